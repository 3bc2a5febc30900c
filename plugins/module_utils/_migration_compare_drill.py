# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a region whose sums differ down to the keys that differ (private to the collection).

All of it in the snapshots in which the sums were taken. Groups of keys (by the lowest bits of the key's hash) are
divided until they are small, and only the rows of groups that differ are fetched, as hashes.
"""

from __future__ import annotations

import math
from typing import Any, Iterator, Mapping

from ._migration_compare_scope import NODE, SOURCE
from ._migration_compare_session import SidePair
from ._migration_compare_sql import Key, Region, SideSql

_MOST_GROUPS = 4096  # in one answer
_SMALL_GROUP = 200  # rows
_FETCHED = 4000  # rows of one answer, about


def by_bucket(rows: list[dict[str, Any]]) -> dict[int, tuple[int, str]]:
    """An answer of SideSql.sums or groups: bucket -> (count, sum)."""
    return {row["b"]: (row["n"], row["h"]) for row in rows}


def unequal(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> list[Any]:
    """The keys whose values differ, or that only one side has."""
    return [key for key in {**left, **right} if left.get(key) != right.get(key)]


def differing_keys(pair: SidePair, sql: Mapping[str, SideSql], region: Region) -> Iterator[list[Key]]:
    """The keys of a region that differ, in batches. To be used inside the snapshots."""
    size = max(1, region.rows)
    todo: list[tuple[int, list[int]]] = [(0, [0])]
    while todo:
        bits, groups = todo.pop()
        average = size / (1 << bits)
        if average <= _SMALL_GROUP or bits >= 40 or (bits == 0 and size <= _FETCHED):
            step = max(1, int(_FETCHED / max(average, 1)))
            for at in range(0, len(groups), step):
                found = _rows(pair, sql, region, bits, groups[at : at + step])
                if found:
                    yield found
            continue
        wanted = math.ceil(math.log2(average / (_SMALL_GROUP / 2)))
        finer = bits + max(1, min(wanted, int(math.log2(_MOST_GROUPS / min(len(groups), 256)))))
        for at in range(0, len(groups), 256):
            part = groups[at : at + 256]
            answers = pair.both(*(sql[side].groups(region, finer, bits, part) for side in (SOURCE, NODE)))
            differing = unequal(*(by_bucket(answer) for answer in answers))
            if differing:
                todo.append((finer, sorted(differing)))


def _rows(pair: SidePair, sql: Mapping[str, SideSql], region: Region, bits: int, groups: list[int]) -> list[Key]:
    answers = pair.both(*(sql[side].rows(region, bits, groups) for side in (SOURCE, NODE)))
    left, right = ({tuple(row["k"]): (row["n"], row["h"]) for row in answer} for answer in answers)
    return unequal(left, right)
