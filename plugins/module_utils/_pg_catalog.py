# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database holds, read from its catalogue (private to the collection)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._pg_sql import qualified

# Our own schema, and the schemas of Spock and its companions, are never part of what is migrated.
OWN_SCHEMA = "crossover"
NOT_MIGRATED = (OWN_SCHEMA, "crossover_bench", "spock", "snowflake", "lolor", "repset", "pglogical")

_SCHEMA_FILTER = """
    n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> ALL (%(not_migrated)s)
    AND (%(schemas)s::text[] IS NULL OR n.nspname = ANY (%(schemas)s::text[]))
"""

# An object that belongs to an extension is made by CREATE EXTENSION, not by the migration.
_NOT_OF_EXTENSION = """
    NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""


@dataclass(frozen=True)
class Scope:
    """Which schemas and tables belong to the migration. ``schemas`` None: all that are not the server's own."""

    schemas: tuple[str, ...] | None = None
    exclude_tables: tuple[str, ...] = ()  # as schema.table

    def parameters(self) -> dict[str, Any]:
        """For the queries here: %(schemas)s and %(not_migrated)s."""
        return {"schemas": list(self.schemas) if self.schemas else None, "not_migrated": list(NOT_MIGRATED)}


@dataclass(frozen=True)
class Table:
    """One ordinary or partitioned table. ``parent`` is the partitioned table it is a partition of."""

    oid: int
    schema: str
    name: str
    owner: str
    partitioned: bool
    parent: int | None
    persistence: str  # p permanent, u unlogged
    identity: str  # relreplident: d default, n nothing, f full, i index
    has_key: bool  # a primary key
    has_identity: bool  # updates and deletes can be replicated
    row_security: bool
    rows: int  # the planner's estimate
    bytes: int  # with indexes and TOAST

    @property
    def full_name(self) -> str:
        """schema.name, quoted where needed."""
        return qualified(self.schema, self.name)


_TABLES = f"""
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, pg_get_userbyid(c.relowner) AS owner,
       c.relkind = 'p' AS partitioned,
       (SELECT i.inhparent::int8 FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition) AS parent,
       c.relpersistence AS persistence, c.relreplident AS identity,
       EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary) AS has_key,
       CASE c.relreplident
            WHEN 'f' THEN true
            WHEN 'n' THEN false
            WHEN 'i' THEN EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisreplident)
            ELSE EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary AND x.indimmediate)
       END AS has_identity,
       c.relrowsecurity AS row_security,
       greatest(c.reltuples, 0)::int8 AS rows, pg_total_relation_size(c.oid) AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {_SCHEMA_FILTER} AND {_NOT_OF_EXTENSION}
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""


def tables(conn: Any, scope: Scope = Scope()) -> list[Table]:
    """Every ordinary and partitioned table of the scope, partitions included, in the order of the C collation."""
    found = [Table(**row) for row in conn.execute(_TABLES, scope.parameters())]
    excluded = set(scope.exclude_tables)
    return [t for t in found if not {t.full_name, f"{t.schema}.{t.name}"} & excluded]


_TABLE_OIDS = f"""
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {_SCHEMA_FILTER} AND {_NOT_OF_EXTENSION}
"""


def table_oids(conn: Any, scope: Scope = Scope()) -> set[int]:
    """The oids of what :func:`tables` returns, quickly: it looks at no sizes."""
    excluded = set(scope.exclude_tables)
    return {
        row["oid"]
        for row in conn.execute(_TABLE_OIDS, scope.parameters())
        if not {qualified(row["schema"], row["name"]), f"{row['schema']}.{row['name']}"} & excluded
    }


def published_roots(all_tables: list[Table]) -> list[Table]:
    """What a publication names: permanent tables that are no partitions (a partitioned table brings its own)."""
    return [t for t in all_tables if t.parent is None and t.persistence == "p"]


def leaves(all_tables: list[Table]) -> list[Table]:
    """The permanent tables that hold rows."""
    return [t for t in all_tables if not t.partitioned and t.persistence == "p"]


@dataclass(frozen=True)
class Sequence:
    """One sequence and its definition."""

    schema: str
    name: str
    type: str
    start: int
    minimum: int
    maximum: int
    increment: int
    cycle: bool
    cache: int

    @property
    def full_name(self) -> str:
        """schema.name, quoted where needed."""
        return qualified(self.schema, self.name)


_SEQUENCES = f"""
SELECT n.nspname AS schema, c.relname AS name, format_type(s.seqtypid, NULL) AS type, s.seqstart AS start,
       s.seqmin AS minimum, s.seqmax AS maximum, s.seqincrement AS increment, s.seqcycle AS cycle, s.seqcache AS cache
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND {_SCHEMA_FILTER} AND {_NOT_OF_EXTENSION}
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""


def sequences(conn: Any, scope: Scope = Scope()) -> list[Sequence]:
    """Every sequence of the scope, owned or not (pg_sequences hides those that the login cannot use)."""
    return [Sequence(**row) for row in conn.execute(_SEQUENCES, scope.parameters())]


def server_version(conn: Any) -> int:
    """server_version_num, e.g. 160004."""
    return int(conn.info.server_version)


def exists(conn: Any, relation: str) -> bool:
    """Whether a relation (quoted name, schema-qualified) is there."""
    return conn.execute("SELECT to_regclass(%s) IS NOT NULL AS there", [relation]).fetchone()["there"]
