# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order units are created, and which side by side."""

from __future__ import annotations

from typing import Sequence

from ansible_collections.crossover.pgedge.plugins.module_utils._migration_restore import Entry
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_schema_build import Builder, drop_dependents
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_schema_objects import Object
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_schema_units import Present, Unit
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login

A, B = 1, 2  # tables


def unit(number: int, kind: str, *depends: int, name: str = "x") -> Unit:
    return Unit(Entry(number, (1259, number), depends, "x", kind, "shop", "bob", "SELECT 1"), Object("index", name))


def ready(pending: list[Unit], running: Sequence[Unit] = (), jobs: int = 4) -> list[int]:
    builder = Builder(lambda: None, Login(), jobs)
    ids = {u.entry.id for u in (*pending, *running)}
    return [u.entry.id for u in builder.ready({u.entry.id: u for u in pending}, list(running), ids)]


def test_indexes_of_one_table_side_by_side() -> None:
    assert ready([unit(10, "INDEX", A), unit(11, "INDEX", A), unit(12, "INDEX", B)]) == [10, 11, 12]
    assert ready([unit(10, "INDEX", A), unit(11, "INDEX", A)], jobs=1) == [10]


def test_a_constraint_wants_its_tables_alone() -> None:
    assert ready([unit(10, "CONSTRAINT", A), unit(11, "INDEX", A), unit(12, "FK CONSTRAINT", A, B)]) == [10]
    assert ready([unit(11, "INDEX", A), unit(12, "FK CONSTRAINT", A, B), unit(13, "INDEX", B)]) == [11, 13]
    assert ready([unit(12, "FK CONSTRAINT", A, B)], [unit(11, "INDEX", B)]) == []


def test_what_others_depend_on_comes_first() -> None:
    assert ready([unit(10, "CONSTRAINT", A), unit(20, "INDEX ATTACH", 10, 11)]) == [10]
    assert ready([unit(20, "INDEX ATTACH", 10, 11)], [unit(10, "CONSTRAINT", A)]) == []
    assert ready([unit(20, "INDEX ATTACH", 10, 11)]) == [20], "done or there before"
    assert ready([unit(20, "RULE", 21), unit(21, "RULE", 20)]) == [20], "a circle does not hang"


def test_dependents_of_a_failure_are_dropped() -> None:
    pending = {u.entry.id: u for u in (unit(11, "INDEX", 10), unit(12, "INDEX", 11), unit(13, "INDEX", A))}
    assert drop_dependents(pending, 10) == {10, 11, 12}
    assert list(pending) == [13]


def test_present() -> None:
    there = Present(
        frozenset({Object("index", "shop.i"), Object("rule", '"_RETURN" on shop.v')}),
        frozenset({"shop.part"}),
        frozenset({"shop.secured"}),
        frozenset({"shop.whole"}),
    )
    assert there.has(unit(1, "INDEX", name="shop.i")) and not there.has(unit(1, "INDEX", name="shop.j"))
    assert there.has(unit(1, "INDEX ATTACH", name="shop.part")) and not there.has(
        unit(1, "INDEX ATTACH", name="shop.i")
    )
    assert there.has(unit(1, "ROW SECURITY", name="shop.secured"))
    assert there.has(unit(1, "RULE", name='"_RETURN" on shop.whole'))
    assert not there.has(unit(1, "RULE", name='"_RETURN" on shop.v')), "pg_dump's placeholder is not the view"
