# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a copy, and how its progress is worded."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.crossover.pgedge.plugins.module_utils._migration_copy_plan import (
    MIB,
    CopyTable,
    part_size,
    plan,
    split,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_catalog import Table
from ansible_collections.crossover.pgedge.plugins.module_utils._progress_words import line, table_line
from ansible_collections.crossover.pgedge.plugins.module_utils._replication_snapshot import session_name


def table(oid: int = 1, blocks: int = 1000, size: int = 8 * MIB, **more: object) -> CopyTable:
    known = Table(oid, "shop", "Order", "o", False, None, "p", "d", True, True, False, 0, size)
    found = CopyTable(known, 77, blocks, size, True, ("id", "a b"), True)
    return replace(found, **more)  # type: ignore[arg-type]


def test_parts_cover_every_block_once() -> None:
    for blocks, size in ((1000, MIB), (7, MIB), (1001, 3 * MIB)):
        parts = split(table(blocks=blocks), size)
        assert parts[0].start == 0 and parts[-1].end is None, "the heap may have grown"
        assert [p.end for p in parts[:-1]] == [p.start for p in parts[1:]]
        assert [p.number for p in parts] == list(range(len(parts)))


def test_a_small_heap_with_a_huge_toast_is_split() -> None:
    assert len(split(table(blocks=40, size=900 * MIB), 100 * MIB)) == 9
    assert len(split(table(blocks=3, size=900 * MIB), 100 * MIB)) == 3, "no more parts than blocks"


def test_what_is_never_split() -> None:
    for whole in (table(heap=False), table(columns=()), table(blocks=1), table(size=MIB)):
        (part,) = split(whole, MIB)
        assert part.whole


def test_statements() -> None:
    whole, parts = table(size=MIB), table()
    assert whole.reading(split(whole, MIB)[0]) == 'COPY shop."Order" (id, "a b") TO STDOUT (FORMAT binary)'
    assert whole.writing(split(whole, MIB)[0]) == 'COPY shop."Order" (id, "a b") FROM STDIN (FORMAT binary, FREEZE)'
    first, second = split(parts, 4 * MIB)
    assert "WHERE ctid >= '(0,0)' AND ctid < '(500,0)'" in parts.reading(first) and "FREEZE" not in parts.writing(first)
    assert "ctid <" not in parts.reading(second)
    bare = table(columns=(), binary=False)
    assert bare.reading(split(bare, MIB)[0]) == 'COPY shop."Order" TO STDOUT (FORMAT text)'


def test_sizes_of_parts_and_their_order() -> None:
    assert part_size(0, 2) == 64 * MIB and part_size(1 << 50, 2) == 1024 * MIB
    assert part_size(5120 * MIB, 2) == 640 * MIB
    assert [p.table for p in plan([table(2, size=3 * MIB), table(1, size=MIB)], 8 * MIB)] == [2, 1]


def test_a_session_is_told_from_another_by_its_name() -> None:
    one, two = (session_name("snapshot", "crossover_" + "x" * 52 + end) for end in "ab")
    assert one != two and len(one) <= 63


def test_progress_lines() -> None:
    seen = {
        "task": "copy", "done": 37 * MIB, "total": 100 * MIB, "unit": "bytes", "tables_done": 4, "tables_total": 9,
        "rate": MIB, "message": "1/8 indexes, keys",
    }  # fmt: skip
    text = "copy 37% · 37.0/100 MiB · 4/9 tables · 1.0 MiB/s · ETA 1m"
    assert line(seen) == f"{text} · 1/8 indexes, keys"
    assert line(seen, 70) == text, "the message only where there is room"
    assert line({**seen, "done": 100 * MIB}, 60) == "copy 99% · 100/100 MiB · 4/9 tables · 1.0 MiB/s", "not all tables"
    assert table_line("copied", {"name": "a.b", "rows": 3, "bytes": 8192}) == "copied a.b · 3 rows · 8.0 KiB"
    assert table_line("compared", {"name": "a.b", "rows": 3, "note": "equal"}) == "compared a.b · 3 rows · equal"
