# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a table is divided into regions by ranges of its key (private to the collection).

The bounds come from a sample of the source's keys, and both sides use the same ones; the first and the last range are
open, so rows beyond the sample belong to them. Ranges are read through the key's index where its order is the same on
both sides and near the order on disk; otherwise one scan of the table sums up all ranges at once: through the index it
would read every page many times, and an index in a collation of the operating system cannot serve ranges at all.
"""

from __future__ import annotations

import math
from typing import Any

from ._migration_compare_hash import Pairing, order_expression, order_type, ordered
from ._migration_compare_scope import NODE, SOURCE, Unit
from ._migration_compare_sql import Region
from ._pg_sql import quote_literal

REGION_BYTES = 256 << 20  # a region's rows with what is stored apart from them
_SAMPLED_PAGES = 16  # for each region
_MOST_SAMPLED = 20_000
_MOST_BUCKETS = 1024  # of one scan
_SCATTERED = 0.5  # a correlation below this, in a table above the next, is read by one scan
_CACHED_BYTES = 256 << 20

_SIZE = """
SELECT sum(pg_relation_size(c.oid))::int8 AS heap, sum(pg_table_size(c.oid))::int8 AS whole,
       sum(CASE WHEN c.reltuples > 0 AND c.relpages > 0
                THEN c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::int8)
                ELSE pg_relation_size(c.oid) / 64.0 END)::int8 AS rows
FROM pg_class c WHERE c.relkind = 'r' AND c.oid IN (SELECT relid FROM pg_partition_tree(%(oid)s::int8::oid)
                                                     UNION SELECT %(oid)s::int8::oid)
"""


def size(conn: Any, oid: int) -> dict[str, int]:
    """heap and whole (with TOAST) in bytes, and an estimate of the rows, of a table with its partitions."""
    row = conn.execute(_SIZE, {"oid": oid}).fetchone()
    return {name: int(value or 0) for name, value in row.items()}


def regions(conn: Any, unit: Unit, chunk_rows: int, found: dict[str, int]) -> list[Region]:
    """The regions of a table, in the order of the key. ``conn`` is a session on the source, ``found`` its size."""
    parts = math.ceil(max(found["rows"] / chunk_rows, found["whole"] / REGION_BYTES))
    everything = [Region(found["rows"])]
    if parts < 2 or not unit.key:
        return everything
    best: tuple[Pairing, list[str]] | None = None
    for key in unit.keys:
        if key.retyped and not (ordered(key.source) and ordered(key.node)):
            continue
        bounds = _bounds(conn, unit, key, parts, found["heap"])
        if best is None or len(bounds) > len(best[1]):
            best = (key, bounds)
        if len(bounds) >= parts / 2:
            break  # the key's first column divides it well: the rule, and the index can serve
    if best is None or not best[1]:
        return everything
    key, bounds = best
    rows = max(1, found["rows"] // (len(bounds) + 1))
    if key == unit.keys[0] and ordered(key.source) and ordered(key.node) and not _scattered(key, found["heap"]):
        return _ranges(key, bounds, rows)
    return [Region(found["rows"], bucket={side: _bucket(key, bounds, side) for side in (SOURCE, NODE)})]


def _scattered(key: Pairing, heap: int) -> bool:
    if heap <= _CACHED_BYTES:
        return False
    return key.source.correlation is None or abs(key.source.correlation) < _SCATTERED


def _bounds(conn: Any, unit: Unit, key: Pairing, parts: int, heap: int) -> list[str]:
    """At most ``parts`` values that divide the column about evenly."""
    pages = max(1, heap // 8192)
    share = min(100.0, 100.0 * min(_SAMPLED_PAGES * parts, _MOST_SAMPLED) / pages)
    column = order_expression(key.source)
    rows = conn.execute(
        f"""SELECT s.k::text AS k FROM (
                SELECT {column} AS k, row_number() OVER (ORDER BY {column}) - 1 AS i, count(*) OVER () AS n
                FROM {"ONLY " if unit.only else ""}{unit.source.full_name} AS t TABLESAMPLE SYSTEM ({share:.6f})
            ) s WHERE s.i > 0 AND s.i % greatest(s.n / {parts}, 1) = 0 ORDER BY s.i""".encode(),
        prepare=False,
    )
    return list(dict.fromkeys(row["k"] for row in rows))


def _condition(key: Pairing, side: str, operator: str, bound: str) -> str:
    column = key.source if side == SOURCE else key.node
    return f"{order_expression(column)} {operator} {quote_literal(bound)}::{order_type(column)}"


def _ranges(key: Pairing, bounds: list[str], rows: int) -> list[Region]:
    edges = [None, *bounds, None]
    found = []
    for low, high in zip(edges, edges[1:]):
        where = {}
        for side in (SOURCE, NODE):
            parts = [_condition(key, side, op, edge) for op, edge in ((">=", low), ("<", high)) if edge is not None]
            where[side] = " AND ".join(parts)
        found.append(Region(rows, where, ranged=True))
    return found


def _bucket(key: Pairing, bounds: list[str], side: str) -> str:
    column = key.source if side == SOURCE else key.node
    thinned = bounds[:: math.ceil(len(bounds) / _MOST_BUCKETS)]
    array = f"ARRAY[{', '.join(map(quote_literal, thinned))}]::{order_type(column)}[]"
    return f"width_bucket({order_expression(column)}, {array})"
