# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queries of a comparison for one table on one side (private to the collection).

A table with a key is divided by its key's hash below the level of regions; one without is divided by the hash of the
row, which then serves as the key, with the number of copies as the value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Sequence

from ._migration_compare_columns import Column
from ._migration_compare_hash import DIRECT, EXACT, FIRST_OWN, Pairing, as_text, key_hash, key_text, mixed, row_hash
from ._migration_compare_scope import SOURCE, Unit
from ._pg_sql import quote_ident, quote_literal

Key = tuple[Optional[str], ...]  # None: the node lacks the constraint, and has a NULL there
_VERSION = "hashtextextended(concat_ws(' ', t.tableoid, t.ctid, t.xmin), 0)"
_SHOWN = 200  # characters of a value in a result


@dataclass(frozen=True)
class Region:
    """A part of a table: conditions by side, and for a scan of the whole table the expression that names the part.

    ``ranged``: an index serves the conditions.
    """

    rows: int
    where: Mapping[str, str] = field(default_factory=dict)
    bucket: Mapping[str, str] = field(default_factory=dict)
    ranged: bool = False

    def part(self, buckets: Sequence[int], rows: int) -> Region:
        """These buckets of the region."""
        if not self.bucket:
            return self
        wanted = ", ".join(map(str, buckets))
        return Region(rows, {side: f"{expr} IN ({wanted})" for side, expr in self.bucket.items()})


def text_array(values: Sequence[str | None]) -> str:
    """A literal text[]."""
    return f"ARRAY[{', '.join('NULL' if v is None else quote_literal(v) for v in values)}]::text[]"


class SideSql:
    """Builds the queries for one unit on one side."""

    def __init__(self, unit: Unit, side: str) -> None:
        self.unit, self.side = unit, side
        table = unit.source if side == SOURCE else unit.node
        self.table = f"{'ONLY ' if unit.only else ''}{table.full_name}"
        # what the publication does not send must not be in the node: its rows are never filtered
        self.filter = f"({unit.filter})" if unit.filter and side == SOURCE else ""
        self.columns = [self._column(p) for p in unit.pairings]
        self.keys = [self._column(p) for p in unit.keys]
        self.hashed = [(column, p.form) for column, p in zip(self.columns, unit.pairings)]
        self.row = row_hash(self.hashed)
        # keys are matched by value in either mode: a key 1.0 and a key 1.00 are one row, written differently
        self.key = key_hash(
            [(k, p.form if p.form != EXACT or p.retyped else DIRECT) for p, k in zip(unit.keys, self.keys)]
        )

    def _column(self, pairing: Pairing) -> Column:
        return pairing.source if self.side == SOURCE else pairing.node

    def where(self, region: Region, *more: str) -> str:
        """The WHERE clause of a region."""
        parts = [part for part in (self.filter, region.where.get(self.side, ""), *more) if part]
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def sums(self, region: Region) -> str:
        """Count and sum of hashes of a region, by bucket where it has some."""
        bucket = region.bucket.get(self.side)
        return (
            f"SELECT {bucket or '0'} AS b, count(*) AS n, coalesce(sum({mixed(self.row)}), 0)::text AS h "
            f"FROM {self.table} AS t{self.where(region)}{' GROUP BY 1' if bucket else ''}"
        )

    def groups(self, region: Region, bits: int, parent_bits: int, parents: Sequence[int]) -> str:
        """The same by the lowest ``bits`` of the key's hash, within the groups that differed at ``parent_bits``."""
        if self.keys:
            within = self.where(region, self._among(self.key, parent_bits, parents))
            return (
                f"SELECT ({self.key} & {_mask(bits)}) AS b, count(*) AS n, sum({mixed(self.row)})::text AS h "
                f"FROM {self.table} AS t{within} GROUP BY 1"
            )
        return (
            f"SELECT q.r & {_mask(bits)} AS b, count(*) AS n, sum({mixed('q.r')})::text AS h "
            f"FROM {self._hashed(region)} WHERE {self._among('q.r', parent_bits, parents) or 'true'} GROUP BY 1"
        )

    def rows(self, region: Region, bits: int, groups: Sequence[int]) -> str:
        """Every key of these groups with its number of rows and their hash. Columns: k (text[]), n, h."""
        if self.keys:
            return (
                f"SELECT {self._key_array()} AS k, count(*) AS n, sum({mixed(self.row)})::text AS h "
                f"FROM {self.table} AS t{self.where(region, self._among(self.key, bits, groups))} GROUP BY 1"
            )
        return (
            f"SELECT ARRAY[q.r::text] AS k, count(*) AS n, '' AS h FROM {self._hashed(region)} "
            f"WHERE {self._among('q.r', bits, groups) or 'true'} GROUP BY q.r"
        )

    def observe(self, keys: Sequence[Key]) -> str:
        """The rows of these keys now: k, n; c, a hash for each column; v, which versions of the rows these are."""
        if not self.keys:
            return (
                f"SELECT ARRAY[q.r::text] AS k, count(*) AS n, ARRAY[]::text[] AS c, sum(q.v)::text AS v "
                f"FROM {self._hashed(Region(0), f', {_VERSION} AS v')} "
                f"WHERE q.r = ANY ({text_array([k[0] for k in keys])}::int8[]) GROUP BY q.r"
            )
        hashes = ", ".join(f"sum({mixed(row_hash([h]))})::text" for h in self.hashed)
        what = f"{self._key_array()} AS k, count(*) AS n, ARRAY[{hashes}] AS c, sum({_VERSION})::text AS v"
        return f"SELECT {what} FROM {self._lookup(keys)} GROUP BY 1"

    def values(self, keys: Sequence[Key], column: Column) -> str:
        """One column's values as text: k, v."""
        return f"SELECT {self._key_array()} AS k, {as_text(column)} AS v FROM {self._lookup(keys)}"

    def contents(self, hashes: Sequence[str], masked: frozenset[str]) -> str:
        """What rows with these hashes hold: k (the hash), v (column -> the beginning of its value)."""
        shown = ", ".join(
            f"{quote_literal(c.name)}, "
            + (quote_literal("********") if c.name in masked else f"left({as_text(c)}, {_SHOWN})")
            for c in self.columns[:25]
        )
        return (
            f"SELECT DISTINCT ON (q.r) q.r::text AS k, q.v "
            f"FROM (SELECT {self.row} AS r, json_build_object({shown}) AS v "
            f"FROM {self.table} AS t{self.where(Region(0))} OFFSET 0) q "
            f"WHERE q.r = ANY ({text_array(hashes)}::int8[])"
        )

    def _hashed(self, region: Region, more: str = "") -> str:
        """The rows' hashes; OFFSET 0 keeps the planner from computing them twice."""
        return f"(SELECT {self.row} AS r{more} FROM {self.table} AS t{self.where(region)} OFFSET 0) q"

    @staticmethod
    def _among(hashed: str, bits: int, groups: Sequence[int]) -> str:
        return f"({hashed} & {_mask(bits)}) IN ({', '.join(map(str, groups))})" if bits else ""

    def _key_array(self) -> str:
        return f"ARRAY[{', '.join(key_text(k) for k in self.keys)}]"

    def _lookup(self, keys: Sequence[Key]) -> str:
        arrays, conditions = [], []
        for at, column in enumerate(self.keys):
            texts = [k[at] for k in keys]
            values, equals = text_array(texts), "IS NOT DISTINCT FROM" if None in texts else "="
            # the = of a type that is no built-in one may lie outside the search_path
            own = column.base >= FIRST_OWN
            arrays.append(values if own else f"{values}::{column.type}[]")
            conditions.append(f"{key_text(column) if own else 't.' + quote_ident(column.name)} {equals} v.k{at}")
        names, on = ", ".join(f"k{at}" for at in range(len(self.keys))), " AND ".join(conditions)
        return f"unnest({', '.join(arrays)}) AS v ({names}) JOIN {self.table} AS t ON {on}{self.where(Region(0))}"


def _mask(bits: int) -> int:
    return (1 << bits) - 1
