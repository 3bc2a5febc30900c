# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planning of sequences against a model of nextval()."""

from __future__ import annotations

import random

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_sequences import (
    State,
    ahead,
    gaps,
    lagging,
    opposed,
    plan,
    rates,
    upcoming,
    wanted,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_catalog import Sequence

BIG = 9223372036854775807


def sequence(
    increment: int = 1, minimum: int = 1, maximum: int = BIG, cycle: bool = False, name: str = "s"
) -> Sequence:
    start = minimum if increment > 0 else maximum
    return Sequence("x", name, "bigint", start, minimum, maximum, increment, cycle, 1)


UP = sequence()
TENS = sequence(increment=10)
DOWN = sequence(increment=-1, minimum=-BIG - 1, maximum=-1)
SMALL = sequence(maximum=10)
SMALL_DOWN = sequence(increment=-3, minimum=-10, maximum=-1)
RING = sequence(maximum=10, cycle=True)
RING_DOWN = sequence(increment=-1, minimum=1, maximum=10, cycle=True)


class Exhausted(Exception):
    pass


def nextval(definition: Sequence, state: State) -> tuple[int, State]:
    """PostgreSQL's nextval(), as its documentation describes it."""
    if not state.is_called:
        return state.last_value, State(state.last_value, True)
    value = state.last_value + definition.increment
    if not definition.minimum <= value <= definition.maximum:
        if not definition.cycle:
            raise Exhausted
        value = definition.minimum if definition.increment > 0 else definition.maximum
    return value, State(value, True)


@pytest.mark.parametrize(
    ("definition", "state", "gap", "expected"),
    [
        (UP, State(1, False), 0, State(1, False)),  # never called stays never called
        (UP, State(1, True), 0, State(1, True)),
        (UP, State(41, True), 9, State(50, True)),
        (UP, State(1, False), 1, State(1, True)),  # the first call returns last_value itself
        (UP, State(1, False), 5, State(5, True)),
        (TENS, State(31, True), 2, State(51, True)),
        (DOWN, State(-7, True), 3, State(-10, True)),
        (SMALL, State(7, True), 2, State(9, True)),
        (SMALL, State(8, True), 2, State(10, False)),  # does not fit: the last value stays usable
        (SMALL, State(8, True), 3, State(10, False)),
        (SMALL, State(10, False), 5, State(10, False)),
        (SMALL, State(10, True), 5, State(10, True)),  # exhausted there, exhausted here
        (SMALL_DOWN, State(-4, True), 9, State(-10, False)),
        (SMALL_DOWN, State(-3, True), 9, State(-9, False)),  # stays on its own numbers
        (RING, State(5, True), 1, State(6, True)),
        (RING, State(5, True), 5, State(7, True)),  # at most a quarter of the circle
        (RING, State(9, True), 5, State(10, False)),
        (RING, State(10, True), 5, State(10, True)),
        (UP, State(BIG - 1, True), 1000, State(BIG, False)),
    ],
)
def test_wanted(definition: Sequence, state: State, gap: int, expected: State) -> None:
    assert wanted(definition, state, gap)[0] == expected


def test_a_gap_that_does_not_fit_is_told() -> None:
    assert wanted(SMALL, State(8, True), 3)[1] == "a gap of 3 does not fit: 2 values were left, now 1"
    assert wanted(SMALL, State(7, True), 2)[1] == ""
    assert wanted(SMALL, State(9, True), 2)[1] == ""  # the one that is left is still left


@pytest.mark.parametrize(
    ("definition", "source", "target", "moved"),
    [
        (UP, State(5, True), State(1, False), True),
        (UP, State(5, True), State(5, True), False),
        (UP, State(5, True), State(6, False), False),  # the same next value, told in another way
        (UP, State(5, True), State(5, False), True),  # the target would hand out 5 again
        (UP, State(5, True), State(500, True), False),  # never backwards
        (DOWN, State(-5, True), State(-1, False), True),
        (DOWN, State(-5, True), State(-9, True), False),
        (RING, State(2, True), State(9, True), True),  # the source has wrapped
        (RING, State(9, True), State(2, True), False),  # the target has wrapped
        (RING_DOWN, State(9, True), State(2, True), True),
        (RING, State(10, True), State(1, False), False),
    ],
)
def test_plan_moves_forward_only(definition: Sequence, source: State, target: State, moved: bool) -> None:
    moves = plan({"x.s": definition}, {"x.s": source}, {"x.s": target})
    assert [m.after for m in moves] == ([source] if moved else [])
    assert lagging({"x.s": definition}, {"x.s": source}, {"x.s": target}) == (["x.s"] if moved else [])


def test_plan_goes_back_when_asked() -> None:
    known = {"x.s": UP}
    assert plan(known, {"x.s": State(5, True)}, {"x.s": State(9, True)}) == []
    (move,) = plan(known, {"x.s": State(5, True)}, {"x.s": State(9, True)}, backwards=True)
    assert (move.after, str(move.statement)) == (State(5, True), "SELECT setval('x.s', 5, true)")


def test_plan_takes_a_gap_for_each() -> None:
    known = {"a": UP, "b": UP}
    states = {"a": State(5, True), "b": State(5, True)}
    assert {m.name: m.after.last_value for m in plan(known, states, states, {"a": 10})} == {"a": 15}


def test_plan_ignores_what_is_on_one_side_only() -> None:
    assert plan({"a": UP}, {}, {"a": State(1, False)}) == []
    assert plan({"a": UP}, {"a": State(9, True)}, {}) == []


def test_a_value_outside_of_the_targets_limits_is_an_error() -> None:
    with pytest.raises(CrossoverError, match="x.s stands at 11, outside of 1 to 10"):
        plan({"x.s": SMALL}, {"x.s": State(11, True)}, {"x.s": State(1, False)})


def test_opposed() -> None:
    assert opposed({"a": UP, "b": DOWN, "c": UP}, {"a": UP, "b": UP}) == ["b"]


def test_rates_and_gaps() -> None:
    known = {"up": TENS, "down": DOWN, "idle": UP, "ring": RING}
    before = {"up": State(1, True), "down": State(-1, False), "idle": State(3, True), "ring": State(9, True)}
    after = {"up": State(201, True), "down": State(-5, True), "idle": State(3, True), "ring": State(2, True)}
    measured = rates(known, before, after, 2.0)
    assert measured == {"up": 10.0, "down": 2.5, "ring": 1.5}
    assert gaps(measured, 3.0, extra=1) == {"up": 31, "down": 9, "ring": 6}


def test_upcoming_is_what_nextval_returns() -> None:
    for definition in (UP, TENS, DOWN, SMALL, SMALL_DOWN, RING, RING_DOWN):
        state = State(definition.start, False)
        for _unused in range(25):
            try:
                value, after = nextval(definition, state)
            except Exhausted:
                assert not definition.minimum <= upcoming(definition, state) <= definition.maximum
                break
            assert upcoming(definition, state) == value
            state = after


def test_a_gap_on_a_circle_is_never_behind() -> None:
    for definition in (RING, RING_DOWN, sequence(increment=3, maximum=10, cycle=True), sequence(maximum=2, cycle=True)):
        for value in range(definition.minimum, definition.maximum + 1):
            for state in (State(value, True), State(value, False)):
                for gap in (0, 1, 3, 1000):
                    assert ahead(definition, wanted(definition, state, gap)[0], state) >= 0, (definition, state, gap)


def test_no_value_is_handed_out_twice() -> None:
    """Random sequences, histories and gaps: the target never returns what the source has returned."""
    rng = random.Random(20)
    for _unused in range(3000):
        increment = rng.choice([1, 2, 7, -1, -5])
        minimum = rng.randint(-60, 10)
        definition = sequence(increment, minimum, minimum + rng.randint(abs(increment), 80))
        state = State(rng.randint(definition.minimum, definition.maximum), False)
        target = State(definition.start, False)
        handed_out: set[int] = set()
        gap = rng.randint(0, 12)
        for _round in range(3):  # a first pass, more calls, the last pass
            try:
                for _call in range(rng.randint(0, 8)):
                    value, state = nextval(definition, state)
                    handed_out.add(value)
            except Exhausted:
                pass
            for move in plan({"x.s": definition}, {"x.s": state}, {"x.s": target}, gap):
                target = move.after
                assert definition.minimum <= target.last_value <= definition.maximum
        assert ahead(definition, state, target) <= 0
        again = plan({"x.s": definition}, {"x.s": state}, {"x.s": target}, gap)
        assert again == [], "the same input twice moves nothing"
        try:
            for _call in range(5):
                value, target = nextval(definition, target)
                assert value not in handed_out
        except Exhausted:
            pass
