# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns and keys of the tables to compare, as one server's catalogue has them (private to the collection)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable


@dataclass(frozen=True)
class Column:
    """One column. ``base`` is the type's OID below its domains; those under 10000 mean the same on every server."""

    name: str
    type: str
    base: int
    leaves: frozenset[int]  # every type that its values can hold, down through arrays, composites and ranges
    collated: bool
    by_bytes: bool  # sorts as the C collation does
    correlation: float | None  # of key order and place on disk, as ANALYZE found it


@dataclass(frozen=True)
class Shape:
    """What a table looks like: its columns by name, and those of its key (none: it has no usable one)."""

    columns: dict[str, Column]
    key: tuple[str, ...]


# format_type(oid, -1): with NULL it would say "character" for bpchar, and a cast to that cuts values to one byte.
# Only single-column statistics that this login may see are in pg_stats; without them the correlation is unknown.
_COLUMNS = """
WITH RECURSIVE
wanted AS (
    SELECT a.attrelid, a.attname, a.atttypid, a.attcollation FROM pg_attribute a
    WHERE a.attrelid = ANY (%(oids)s::int8[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped),
domains (root, typ, depth) AS (
    SELECT DISTINCT atttypid, atttypid, 0 FROM wanted
    UNION ALL
    SELECT d.root, t.typbasetype, d.depth + 1 FROM domains d JOIN pg_type t ON t.oid = d.typ AND t.typtype = 'd'),
base AS (SELECT DISTINCT ON (root) root, typ FROM domains ORDER BY root, depth DESC),
tree (root, typ) AS (
    SELECT root, typ FROM base
    UNION
    SELECT tree.root, kid.typ FROM tree JOIN LATERAL (
        SELECT t.typelem AS typ FROM pg_type t WHERE t.oid = tree.typ AND t.typcategory = 'A' AND t.typelem <> 0
        UNION ALL
        SELECT t.typbasetype FROM pg_type t WHERE t.oid = tree.typ AND t.typtype = 'd'
        UNION ALL
        SELECT r.rngsubtype FROM pg_range r WHERE tree.typ IN (r.rngtypid, r.rngmultitypid)
        UNION ALL
        SELECT a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
        WHERE t.oid = tree.typ AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped) kid ON true),
leaves AS (SELECT root, array_agg(typ::int8) AS typs FROM tree GROUP BY root)
SELECT w.attrelid::int8 AS oid, w.attname AS name, format_type(w.atttypid, -1) AS type, b.typ::int8 AS base,
       l.typs AS leaves, w.attcollation <> 0 AS collated,
       coalesce(CASE WHEN w.attcollation = 'pg_catalog.default'::regcollation
                     THEN d.datcollate IN ('C', 'POSIX') AND coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c'
                     ELSE w.attcollation IN ('"C"'::regcollation, '"POSIX"'::regcollation) END, false) AS by_bytes,
       s.correlation::float8 AS correlation
FROM wanted w
JOIN base b ON b.root = w.atttypid
JOIN leaves l ON l.root = w.atttypid
JOIN pg_class c ON c.oid = w.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_database d ON d.datname = current_database()
LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = w.attname
                     AND NOT s.inherited
ORDER BY w.attrelid, w.attname COLLATE "C"
"""

# A unique index serves as a key if its columns cannot be NULL. The primary key first, then the replica identity.
_KEYS = """
SELECT DISTINCT ON (x.indrelid) x.indrelid::int8 AS oid, k.names
FROM pg_index x JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY u.at) AS names, bool_and(a.attnotnull) AS filled, count(*) AS width
    FROM unnest(x.indkey::int2[]) WITH ORDINALITY u (attnum, at)
    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.attnum
    WHERE u.at <= x.indnkeyatts) k ON true
WHERE x.indrelid = ANY (%(oids)s::int8[]::oid[]) AND x.indisunique AND x.indisvalid AND x.indpred IS NULL
      AND x.indexprs IS NULL AND k.filled AND k.width = x.indnkeyatts
ORDER BY x.indrelid, x.indisprimary DESC, x.indisreplident DESC, k.width, x.indexrelid
"""


def read_shapes(conn: Any, oids: Iterable[int]) -> dict[int, Shape]:
    """Table oid -> shape. A table without columns is there too."""
    wanted = {"oids": list(oids)}
    columns: dict[int, dict[str, Column]] = {oid: {} for oid in wanted["oids"]}
    for row in conn.execute(_COLUMNS, wanted):
        row["leaves"] = frozenset(row["leaves"])
        oid = row.pop("oid")
        columns[oid][row["name"]] = Column(**row)
    keys = {row["oid"]: tuple(row["names"]) for row in conn.execute(_KEYS, wanted)}
    return {oid: Shape(found, keys.get(oid, ())) for oid, found in columns.items()}
