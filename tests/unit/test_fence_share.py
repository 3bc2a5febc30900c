# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is copied at the fence, and the share of the pause that it takes: the planning."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_fence_large import (
    PIECE,
    Changes,
    Large,
    _groups,
    changes,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_fence_share import (
    Load,
    Wish,
    estimate,
    predict,
    within,
)

ONE = Large(1, 10, 77, "app", (("app", "SELECT", False), ("app", "UPDATE", False)), None)


def also(**more: object) -> Large:
    return dataclasses.replace(ONE, **more)  # type: ignore[arg-type]


def test_what_is_the_same_is_left_alone() -> None:
    found = changes({1: ONE}, {1: ONE}, {1})
    assert not found and found == Changes((), (), ())


def test_a_new_object_is_written_and_described() -> None:
    found = changes({1: ONE, 2: also(oid=2, size=0)}, {1: ONE}, set())
    assert [large.oid for large in found.written] == [large.oid for large in found.described] == [2]
    assert found and found.bytes == 0


@pytest.mark.parametrize("other", [also(digest=78), also(size=11)])
def test_other_bytes_are_written(other: Large) -> None:
    found = changes({1: ONE}, {1: other}, set())
    assert found.written == (ONE,) and not found.described and found.bytes == 10


@pytest.mark.parametrize("other", [also(owner="b"), also(acl=()), also(comment="c")])
def test_what_is_said_of_it_is_carried_without_its_bytes(other: Large) -> None:
    found = changes({1: ONE}, {1: other}, set())
    assert found.described == (ONE,) and not found.written and found


def test_only_our_own_is_removed() -> None:
    there = {1: ONE, 2: also(oid=2), 3: also(oid=3)}
    assert changes({1: ONE}, there, {1, 2, 9}).removed == (2,)
    assert not changes({1: ONE}, there, set())


def test_pieces_cover_every_byte_and_no_group_is_too_large() -> None:
    larges = [also(oid=oid, size=size) for oid, size in enumerate([0, 1, PIECE, PIECE + 1, 30 * PIECE, 7])]
    groups = list(_groups(larges))
    found = [piece for group in groups for piece in group]
    assert found == [(large.oid, at) for large in larges for at in range(0, large.size, PIECE)]
    assert max(len(group) for group in groups) <= 10 and all(groups)
    assert [len(group) for group in _groups([also(oid=n, size=1) for n in range(2500)])] == [1000, 1000, 500]


def test_the_prediction_counts_looking_what_changed_and_every_table_twice() -> None:
    assert predict(0.1, 0.02, 0.2) == pytest.approx(0.52)


def test_the_estimate_grows_with_everything() -> None:
    assert estimate(Load()) == 0
    few = estimate(Load(10, 1 << 20))
    assert 0 < few < 0.1 < estimate(Load(100_000, 1 << 20)) and estimate(Load(10, 1 << 30)) > 1
    assert estimate(Load(tables=1, table_bytes=8192)) < 0.1 < 1 < estimate(Load(tables=1, table_bytes=1 << 30))


def test_over_the_budget_is_one_sentence_with_the_figures() -> None:
    within(Load(1, 1), 0.5, 0.5)
    with pytest.raises(CrossoverError) as caught:
        within(Load(12, 3 << 20, 2, 40 << 20), 0.81, 0.5)
    assert caught.value.code == "fence_copy_over_budget"
    assert caught.value.message == (
        "copying 12 large object(s) (3.0 MiB) and 2 unlogged table(s) (40.0 MiB) at the fence is predicted to take "
        "0.81 s of the pause, allowed are 0.5 s"
    )
    assert str(Load(tables=1)) == "1 unlogged table(s) (0.0 MiB)" and str(Load()) == "nothing"


def test_nothing_is_wished_unless_somebody_says_so() -> None:
    assert not Wish().any and Wish(large_objects=True).any and Wish(unlogged=True).any
