# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snowflake sequences: what a conversion would change, and the plan (private to the collection).

The extension's convert_sequence_to_snowflake() makes the column that draws from the sequence, and every foreign key
that refers to it, int8, and its default snowflake.nextval(). An identity column loses its identity by a change of
the catalogue, which no DDL replication carries: so each node is converted by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable

from ._errors import CrossoverError
from ._migration_sequences import definitions
from ._migration_sequences_choice import Choice, when_to_convert
from ._pg_catalog import Scope
from ._pg_connect import Login
from ._pg_sql import Statement, quote_literal

FIRST, LAST = 1, 1023  # numbers of nodes
SMALLEST = 1 << 52  # a snowflake id has milliseconds since 2023 in its upper bits: all are far above this

_COLUMN = """
SELECT a.attrelid::int8 AS relation, a.attnum AS number, format('%%I.%%I', n.nspname, c.relname) AS table,
       a.attname AS column,
       format_type(a.atttypid, NULL) AS type, a.attidentity <> '' AS identity,
       coalesce(pg_get_expr(ad.adbin, ad.adrelid), '') LIKE 'snowflake.nextval(%%' AS converted
FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.objid = %s::regclass
  AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
UNION ALL
SELECT a.attrelid::int8, a.attnum, format('%%I.%%I', n.nspname, c.relname), a.attname, format_type(a.atttypid, NULL),
       false, pg_get_expr(ad.adbin, ad.adrelid) LIKE 'snowflake.nextval(%%'
FROM pg_depend d JOIN pg_attrdef ad ON ad.oid = d.objid
JOIN pg_attribute a ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %s::regclass
  AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = d.refobjid
                  AND o.refclassid = 'pg_class'::regclass AND o.refobjid = ad.adrelid AND o.refobjsubid = ad.adnum)
"""
# every column that follows by foreign keys, and the column itself, with what has to be rewritten
_FOLLOWING = """
WITH RECURSIVE follows (relation, number) AS (
    SELECT %s::int8::oid, %s::int2
    UNION
    SELECT k.conrelid, k.conkey[array_position(k.confkey, f.number)]
    FROM follows f JOIN pg_constraint k ON k.contype = 'f' AND k.confrelid = f.relation AND f.number = ANY (k.confkey))
SELECT format('%%I.%%I.%%I', n.nspname, c.relname, a.attname) AS name, format_type(a.atttypid, NULL) AS type,
       greatest(c.reltuples, 0)::int8 AS rows, pg_relation_size(c.oid) AS bytes,
       a.atttypid <> 'int8'::regtype AS changes,
       (f.relation, f.number) = (%s::int8::oid, %s::int2) AS own
FROM follows f JOIN pg_attribute a ON a.attrelid = f.relation AND a.attnum = f.number
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY own DESC, 1
"""
_SETTING = "SELECT setting::int AS number, context FROM pg_settings WHERE name = 'snowflake.node'"


@dataclass(frozen=True)
class Draw:
    """A sequence and what draws from it. ``type`` is empty where no column does."""

    name: str
    column: str
    type: str
    identity: bool
    converted: bool
    follows: tuple[str, ...]  # columns that refer to it, directly or not
    rewrites: int  # bytes of the tables whose column becomes int8
    rows: bool  # whether one of them has any
    narrow: tuple[str, ...] = ()  # it, and what refers to it, where that has less than 64 bits
    table: str = ""
    attribute: str = ""

    @property
    def fits_back(self) -> bool:
        """Whether a source with the same columns could take a snowflake id."""
        return self.type in ("bigint", "") and not self.narrow

    def shown(self) -> dict[str, Any]:
        """For results and diffs."""
        found = {name: value for name, value in vars(self).items() if name not in ("table", "attribute")}
        return {**found, "follows": list(self.follows), "narrow": list(self.narrow), "fits_back": self.fits_back}


def require(conn: Any, login: Login) -> int:
    """The node's number, where the extension is usable; else one sentence."""
    there = conn.execute("SELECT extversion AS v FROM pg_extension WHERE extname = 'snowflake'").fetchone()
    row = conn.execute(_SETTING).fetchone()
    if there and row is None:  # the library brings the setting once it is loaded
        conn.execute("LOAD 'snowflake'")
        row = conn.execute(_SETTING).fetchone()
    if not there or row is None:
        raise CrossoverError(
            "the extension snowflake is not in this database",
            code="no_snowflake",
            server=str(login),
            untouched="nothing was changed",
            hint="install pgEdge's package for it and run CREATE EXTENSION snowflake, or crossover.pgedge.node",
        )
    return int(row["number"])


def read(conn: Any, scope: Scope, names: Iterable[str], login: Login) -> list[Draw]:
    """The sequences of the scope, or those that are named."""
    known = definitions(conn, scope)
    wanted = list(names) or list(known)
    if missing := [name for name in wanted if name not in known]:
        raise CrossoverError(
            f"{len(missing)} sequence(s) are not there: {', '.join(missing[:5])}",
            code="no_relation",
            object=missing[0],
            server=str(login),
            untouched="nothing was changed",
            hint="give the schema too, and quote names that PostgreSQL would quote",
        )
    return [_draw(conn, name) for name in wanted]


def _draw(conn: Any, name: str) -> Draw:
    columns = conn.execute(_COLUMN, [name, name]).fetchall()
    if not columns:
        last = conn.execute(f"SELECT last_value AS v FROM {name}").fetchone()["v"]
        return Draw(name, "", "", False, last >= SMALLEST, (), 0, False)
    column = columns[0]
    spot = [column["relation"], column["number"]]
    found = conn.execute(_FOLLOWING, [*spot, *spot]).fetchall()
    changes = [row for row in found if row["changes"]]
    return Draw(
        name,
        f"{column['table']}.{column['column']}",
        column["type"],
        column["identity"],
        all(one["converted"] for one in columns),
        tuple(row["name"] for row in found if not row["own"]),
        sum(row["bytes"] for row in changes),
        any(row["rows"] or row["bytes"] for row in changes),
        tuple(row["name"] for row in changes),
        column["table"],
        column["column"],
    )


def refuse_rows(draws: Iterable[Draw], login: Login) -> None:
    """A column that becomes int8 means that its table is rewritten, and nobody reads or writes it meanwhile."""
    heavy = [draw for draw in draws if not draw.converted and draw.rows]
    if heavy:
        size = sum(draw.rewrites for draw in heavy) / 1048576
        raise CrossoverError(
            f"{len(heavy)} sequence(s) are drawn from by columns narrower than 64 bits in tables that have rows: "
            f"{', '.join(draw.column for draw in heavy[:5])}; {size:.1f} MiB would be rewritten, locked meanwhile",
            code="has_rows",
            object=heavy[0].name,
            server=str(login),
            untouched="nothing was changed",
            hint="convert while the tables are empty, or set rewrite to true",
        )


def selected(draws: Iterable[Draw], choice: Choice, source: Iterable[Draw] | None) -> list[Draw]:
    """Those to convert now: before the switch what the source could take back, at the end all that were chosen."""
    wide = {draw.name: draw.fits_back and bool(draw.type) for draw in source or ()}
    found = []
    for draw in draws:
        when = when_to_convert(choice.chosen(draw.name), bool(draw.column), wide.get(draw.name, False))
        if when == "prepare" or (when == "finish" and source is None):
            found.append(draw)
    return found


def widen(draw: Draw) -> Statement:
    """The column and all that refer to it, without drawing snowflakes yet."""
    return Statement.of(
        "SELECT snowflake.convert_column_to_int8(attrelid, attnum) FROM pg_catalog.pg_attribute "
        f"WHERE attrelid = {quote_literal(draw.table)}::regclass AND attname = {quote_literal(draw.attribute)}"
    )


def convert(draw: Draw) -> Statement:
    """Convert one, on this node only."""
    return Statement.of(f"SELECT snowflake.convert_sequence_to_snowflake({quote_literal(draw.name)}::regclass)")


def number(wanted: int | None, now: int, taken: Iterable[int], login: Login) -> list[Statement]:
    """Give the node its number, which no other node may have: two would draw the same ids."""
    effective = wanted if wanted is not None else now
    problem = None
    if not FIRST <= effective <= LAST:
        problem = f"snowflake.node is {effective}" if wanted is None else f"{wanted} is no number of a node"
    elif effective in set(taken):
        problem = f"{effective} is another node's number"
    if problem:
        raise CrossoverError(
            problem,
            code="bad_number",
            server=str(login),
            untouched="nothing was changed",
            hint=f"give each node a number of its own, {FIRST} to {LAST} (node_number)",
        )
    if wanted is None or wanted == now:
        return []
    return [Statement.of(f"ALTER SYSTEM SET snowflake.node = {wanted}"), Statement.of("SELECT pg_reload_conf()")]
