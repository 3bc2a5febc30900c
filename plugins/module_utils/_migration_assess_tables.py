# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the assessment has to know of the source's tables and sequences (private to the collection)."""

from __future__ import annotations

from typing import Any

from ._errors import CrossoverError
from ._migration_assess_facts import Index, SequenceFacts, TableFacts
from ._migration_names import FENCE_TRIGGER
from ._pg_catalog import Scope, Table, sequences, server_version, tables

_TABLES = """
SELECT c.oid::int8 AS oid,
       pg_has_role(c.relowner, 'USAGE') AS owned, pg_has_role(c.relowner, '{become}') AS becomes_owner,
       has_table_privilege(c.oid, 'SELECT') AS readable, row_security_active(c.oid) AS rows_hidden,
       c.relforcerowsecurity AS forced_security, coalesce(am.amname, 'heap') AS access_method,
       pg_stat_get_tuples_updated(c.oid) AS updates, pg_stat_get_tuples_deleted(c.oid) AS deletes,
       ARRAY(SELECT a.attname::text
             FROM pg_index x JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (x.indkey)
             WHERE x.indrelid = c.oid AND x.indisprimary
               AND a.atttypid IN ('int2'::regtype, 'int4'::regtype)) AS narrow_key,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attgenerated = 's' AND NOT a.attisdropped) AS generated,
       ARRAY(SELECT t.tgname::text FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgparentid = 0
                AND t.tgenabled IN ('R', 'A') AND t.tgname <> %(fence)s) AS replica_triggers
FROM pg_class c LEFT JOIN pg_am am ON am.oid = c.relam WHERE c.oid = ANY (%(oids)s::oid[])
"""
_INDEXES = """
SELECT x.indrelid::int8 AS oid, c.relname AS name, x.indisprimary AS "primary", x.indimmediate AS immediate,
       x.indpred IS NOT NULL AS partial, x.indexprs IS NOT NULL AS expression, x.indisexclusion AS exclusion,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey::int2[])
                  AND array_position(x.indkey::int2[], a.attnum) < x.indnkeyatts AND NOT a.attnotnull) AS nullable
FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
WHERE x.indrelid = ANY (%(oids)s::oid[]) AND (x.indisunique OR x.indisexclusion) AND x.indisvalid
ORDER BY c.relname COLLATE "C"
"""
# A sequence belongs to a column by a dependency: 'a' for serial and OWNED BY, 'i' for identity.
_SEQUENCES = """
SELECT {name} AS name, pg_get_userbyid(c.relowner) AS owner,
       s.seqmin AS minimum, s.seqmax AS maximum, s.seqincrement AS increment, s.seqcycle AS cycle,
       p.last_value, has_sequence_privilege(c.oid, 'SELECT') AS readable,
       has_sequence_privilege(c.oid, 'UPDATE') AS settable, owned.column, owned.column_type
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_sequences p ON p.schemaname = n.nspname AND p.sequencename = c.relname
LEFT JOIN LATERAL (
    SELECT d.refobjid::regclass::text || '.' || quote_ident(a.attname) AS "column",
           format_type(a.atttypid, NULL) AS column_type
    FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
      AND d.deptype IN ('a', 'i') LIMIT 1) owned ON true
WHERE {name} = ANY (%(names)s)
""".replace("{name}", "quote_ident(n.nspname) || '.' || quote_ident(c.relname)")


def check_scope(conn: Any, scope: Scope) -> frozenset[str]:
    """The full names of the excluded tables; a schema or table that the source does not have is an error."""
    there = {row["n"] for row in conn.execute("SELECT nspname AS n FROM pg_namespace")}
    unknown = [f"schema {name}" for name in scope.schemas or () if name not in there]
    found = tables(conn, Scope(scope.schemas))
    names = {name: t.full_name for t in found for name in (t.full_name, f"{t.schema}.{t.name}")}
    unknown += [f"table {name}" for name in scope.exclude_tables if name not in names]
    if unknown:
        option = "crossover_schemas" if unknown[0].startswith("schema") else "crossover_exclude_tables"
        raise CrossoverError(
            f"the source has no {', '.join(unknown)}",
            code="unknown_name",
            object=unknown[0],
            untouched="nothing was changed",
            hint=f"correct {option}: names are written as they are, tables as schema.table",
        )
    return frozenset(names[name] for name in scope.exclude_tables)


def read_tables(conn: Any, scope: Scope) -> tuple[TableFacts, ...]:
    """Every table of the scope."""
    found = tables(conn, scope)
    oids = {"oids": [t.oid for t in found], "fence": FENCE_TRIGGER}
    # From 16 on a member may be barred from SET ROLE, which the apply worker of the way back does.
    become = "SET" if server_version(conn) >= 160000 else "MEMBER"
    more = {row.pop("oid"): row for row in conn.execute(_TABLES.format(become=become), oids)}
    indexes: dict[int, list[Index]] = {}
    for row in conn.execute(_INDEXES, oids):
        indexes.setdefault(row.pop("oid"), []).append(Index(**row))
    return tuple(_facts(t, more[t.oid], indexes.get(t.oid, [])) for t in found if t.oid in more)


def _facts(table: Table, row: dict[str, Any], indexes: list[Index]) -> TableFacts:
    for name in ("narrow_key", "generated", "replica_triggers"):
        row[name] = tuple(row[name])
    return TableFacts(table, indexes=tuple(indexes), **row)


def read_sequences(conn: Any, scope: Scope) -> tuple[SequenceFacts, ...]:
    """Every sequence of the scope, with how far it has got."""
    names = [s.full_name for s in sequences(conn, scope)]
    return tuple(SequenceFacts(**row) for row in conn.execute(_SEQUENCES, {"names": names}))
