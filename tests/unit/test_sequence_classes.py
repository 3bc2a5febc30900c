# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences on the nodes of a mesh against a model of nextval(): no value twice, in any order of passes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_sequences import State
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_sequences_choice import (
    Choice,
    when_to_convert,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_sequences_mesh import (
    Grid,
    Stand,
    Step,
    back,
    behind,
    forward,
    grid,
    refuse_too_small,
    shared,
    too_small,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_catalog import Sequence

INT2, INT4, INT8 = 2**15 - 1, 2**31 - 1, 2**63 - 1
NAME = "x.s"


def sequence(
    increment: int = 1, minimum: int = 1, maximum: int = INT8, cycle: bool = False, start: int | None = None
) -> Sequence:
    if start is None:
        start = minimum if increment > 0 else maximum
    return Sequence("x", "s", "bigint", start, minimum, maximum, increment, cycle, 1)


class Exhausted(Exception):
    pass


class Server:
    """One sequence on one server, with PostgreSQL's nextval(), setval() and ALTER SEQUENCE, as it checks them."""

    def __init__(self, definition: Sequence) -> None:
        self.definition = definition
        self.state = State(definition.start, False)

    @property
    def stand(self) -> Stand:
        return Stand(self.definition, self.state)

    def nextval(self) -> int:
        d, value = self.definition, self.state.last_value
        if self.state.is_called:
            value += d.increment
            if not d.minimum <= value <= d.maximum:
                if not d.cycle:
                    raise Exhausted
                value = d.minimum if d.increment > 0 else d.maximum
        self.state = State(value, True)
        return value

    def do(self, step: Step | None) -> None:
        if step is None:
            return
        if step.definition:
            d = step.definition
            assert d.minimum < d.maximum or d.minimum == d.maximum
            assert d.minimum <= d.start <= d.maximum, "START value cannot be less than MINVALUE"
            self.definition = d
        assert self.definition.minimum <= step.state.last_value <= self.definition.maximum, "setval: out of bounds"
        self.state = step.state


class World:
    """A source and nodes; every value that anyone hands out is kept, and none may come twice."""

    def __init__(self, definition: Sequence, nodes: int, choice: Choice | None = None) -> None:
        self.source = Server(definition)
        self.nodes = [Server(definition) for _node in range(nodes)]
        self.choice = choice or Choice(stride=nodes, numbers=tuple(range(nodes)))
        self.values: set[int] = set()

    def draw(self, server: Server, calls: int) -> None:
        for _call in range(calls):
            try:
                value = server.nextval()
            except Exhausted:
                return
            assert value not in self.values, f"{value} was handed out twice"
            self.values.add(value)

    def forward(self, gap: int = 0, define: bool = True) -> list[Step | None]:
        steps = forward(NAME, self.source.stand, [n.stand for n in self.nodes], self.choice, gap, define)
        for node, step in zip(self.nodes, steps):
            node.do(step)
            assert not behind(self.source.stand, node.stand)
        return steps

    def back(self, gaps: list[int] | None = None) -> Step | None:
        step = back(NAME, [n.stand for n in self.nodes], self.source.stand, gaps or [0] * len(self.nodes))
        self.source.do(step)
        assert not any(behind(n.stand, self.source.stand) for n in self.nodes)
        return step


def after_forward(definition: Sequence, calls: int, nodes: int = 3, gap: int = 0) -> list[list[int]]:
    """The first three values of each node after so many calls on the source."""
    world = World(definition, nodes)
    world.draw(world.source, calls)
    world.forward(gap)
    found: list[list[int]] = []
    for node in world.nodes:
        values = []
        for _call in range(3):
            try:
                values.append(node.nextval())
            except Exhausted:
                break
        found.append(values)
    return found


@pytest.mark.parametrize(
    ("definition", "calls", "expected"),
    [
        (sequence(), 0, [[1, 4, 7], [2, 5, 8], [3, 6, 9]]),  # never called stays never called
        (sequence(), 1, [[4, 7, 10], [2, 5, 8], [3, 6, 9]]),
        (sequence(), 10, [[13, 16, 19], [11, 14, 17], [12, 15, 18]]),
        (sequence(increment=10), 2, [[31, 61, 91], [41, 71, 101], [21, 51, 81]]),
        (sequence(increment=-1, minimum=-INT8, maximum=-1), 4, [[-7, -10, -13], [-5, -8, -11], [-6, -9, -12]]),
        (sequence(increment=10, start=5), 2, [[31, 61, 91], [41, 71, 101], [21, 51, 81]]),  # 5, 15: not on its grid
        (sequence(maximum=12), 5, [[7, 10], [8, 11], [6, 9, 12]]),
        (sequence(maximum=12), 12, [[], [], []]),  # exhausted on the source, exhausted here
        (sequence(maximum=INT4), 0, [[1, 4, 7], [2, 5, 8], [3, 6, 9]]),
        (sequence(maximum=9, cycle=True), 4, [[7, 1, 4], [5, 8, 2], [6, 9, 3]]),  # each comes back to its own
        (sequence(increment=-1, minimum=1, maximum=9, cycle=True), 4, [[3, 9, 6], [5, 2, 8], [4, 1, 7]]),
        (sequence(maximum=9, cycle=True), 9, [[1, 4, 7], [2, 5, 8], [3, 6, 9]]),
    ],
)
def test_the_classes_of_three_nodes(definition: Sequence, calls: int, expected: list[list[int]]) -> None:
    assert after_forward(definition, calls) == expected


def test_a_gap_leaves_values_free_and_never_exhausts() -> None:
    assert after_forward(sequence(), 10, gap=5) == [[16, 19, 22], [17, 20, 23], [18, 21, 24]]
    world = World(sequence(maximum=20), 3)
    world.draw(world.source, 15)
    steps = world.forward(gap=100)
    assert [step.state for step in steps if step] == [State(19, False), State(20, False), State(18, False)]
    assert all(step and "a gap of 100 values does not fit before 20" in step.note for step in steps)


def test_a_definition_is_altered_once_and_the_second_pass_only_sets() -> None:
    world = World(sequence(cycle=True, maximum=90), 2)
    world.draw(world.source, 3)
    first = world.forward()
    assert [str(s) for step in first if step for s in step.statements] == [
        "ALTER SEQUENCE x.s INCREMENT BY 2 START WITH 1 RESTART WITH 5",
        "ALTER SEQUENCE x.s INCREMENT BY 2 MINVALUE 2 START WITH 2 RESTART WITH 4",
    ]
    assert world.forward() == [None, None], "the same input twice changes nothing"
    world.draw(world.source, 3)
    last = world.forward(define=False)
    assert [str(s) for step in last if step for s in step.statements] == [
        "SELECT setval('x.s', 7, false)",
        "SELECT setval('x.s', 8, false)",
    ]


def test_exhausted_statements_leave_nothing() -> None:
    world = World(sequence(maximum=12), 2)
    world.draw(world.source, 12)
    (step, _other) = world.forward()
    assert step and step.exhausted and step.definition
    assert [str(s) for s in step.statements] == [
        "ALTER SEQUENCE x.s INCREMENT BY 2 START WITH 1 RESTART WITH 12",
        "SELECT setval('x.s', 12, true)",
    ]
    with pytest.raises(Exhausted):
        world.nodes[0].nextval()
    assert world.forward() == [None, None]


def test_start_is_of_the_class_too() -> None:
    """TRUNCATE ... RESTART IDENTITY goes back to START on each node."""
    for start in range(1, 20):
        source = sequence(maximum=20, start=start)
        for k in range(3):
            there = shared(source, source, k, 3)
            assert there.start in grid(source, k, 3) and there.minimum <= there.start <= there.maximum


def test_back_goes_past_the_furthest_in_the_sources_own_increment() -> None:
    world = World(sequence(increment=10, start=5), 3)
    world.draw(world.source, 2)
    world.forward()
    world.draw(world.nodes[1], 4)
    step = world.back()
    assert step and step.state == State(135, False), "beyond 131, on the source's own numbers"
    assert world.back() is None
    world.draw(world.source, 1)
    world.forward()
    for node in world.nodes:
        world.draw(node, 3)


def test_one_node_is_carried_as_it_stands() -> None:
    world = World(sequence(), 1)
    world.draw(world.source, 7)
    (step,) = world.forward(gap=3)
    assert step and step.definition is None and step.state == State(10, True)
    world.draw(world.nodes[0], 2)
    step = world.back()
    assert step and step.state == State(12, True)


def test_keep_is_the_same_position_everywhere() -> None:
    world = World(sequence(), 3, Choice("keep", stride=3, numbers=(0, 1, 2)))
    world.draw(world.source, 7)
    steps = world.forward()
    assert [step and (step.state, step.definition) for step in steps] == [(State(7, True), None)] * 3


def test_from_keep_to_offset_all_go_past_all() -> None:
    """Nodes that shared a position may each have handed out what is of the others' classes."""
    world = World(sequence(), 3, Choice("keep", stride=3, numbers=(0, 1, 2)))
    world.draw(world.source, 5)
    world.forward()
    world.draw(world.nodes[2], 6)  # 6 to 11
    world.back()
    world.choice = Choice("offset", stride=3, numbers=(0, 1, 2))
    world.forward()
    for node in world.nodes:
        world.draw(node, 5)


def test_another_order_or_stride_of_nodes_meets_nothing_old() -> None:
    world = World(sequence(), 3)
    world.draw(world.source, 5)
    world.forward()
    for node, calls in zip(world.nodes, (4, 9, 1)):
        world.draw(node, calls)
    for stride, numbers in ((3, (2, 0, 1)), (5, (0, 1, 2)), (4, (3, 1, 0))):
        world.choice = Choice(stride=stride, numbers=numbers)
        world.forward()
        for node, calls in zip(world.nodes, (2, 1, 5)):
            world.draw(node, calls)


def test_too_small() -> None:
    choice = Choice(stride=3, numbers=(0, 1, 2))
    assert too_small(NAME, sequence(maximum=2), State(1, False), choice) == [2]
    assert too_small(NAME, sequence(maximum=20), State(18, True), choice) == [2]
    assert too_small(NAME, sequence(maximum=20), State(20, True), choice) == [], "exhausted on the source as well"
    assert too_small(NAME, sequence(maximum=2, cycle=True), State(2, True), choice) == [2]
    assert too_small(NAME, sequence(maximum=3, cycle=True), State(3, True), choice) == []
    assert too_small(NAME, sequence(increment=INT8 // 2), State(1, False), choice) == [0, 1, 2]
    assert too_small(NAME, sequence(increment=-1, minimum=-2, maximum=-1), State(-1, False), choice) == [2]
    assert too_small(NAME, sequence(maximum=2), State(1, False), Choice("keep", stride=3, numbers=(0, 1, 2))) == []
    refuse_too_small({NAME: []}, 3)
    with pytest.raises(CrossoverError, match="x.s has none for n3") as told:
        refuse_too_small({NAME: ["n3"]}, 3)
    assert told.value.code == "sequence_too_small"


def test_a_source_outside_of_the_nodes_limits_is_an_error() -> None:
    world = World(sequence(), 2)
    world.nodes[1].definition = replace(world.nodes[1].definition, maximum=10)
    world.draw(world.source, 11)
    with pytest.raises(CrossoverError, match="stands at 11, outside of 1 to 10"):
        world.forward()


def test_a_value_set_by_hand_out_of_its_class_is_mended() -> None:
    world = World(sequence(), 2)
    world.forward()
    world.nodes[0].state = State(100, False)  # of node 1's class
    steps = world.forward()
    assert steps[0] and steps[0].state == State(1, False) and steps[1] is None


def test_grid() -> None:
    for step in (1, 3, -1, -7):
        for origin in (-5, 0, 4):
            own = Grid(origin, step)
            for value in range(-40, 40):
                after = own.after(value)
                assert after in own and own.sign * (after - value) > 0 and own.sign * (after - step - value) <= 0
                assert own.up_to(value) in own and own.sign * (own.up_to(value) - value) <= 0


def test_when_to_convert() -> None:
    assert when_to_convert("snowflake", True, True) == "prepare"
    assert when_to_convert("snowflake", True, False) == "finish"
    assert when_to_convert("snowflake", False, True) == "never", "only the application calls it"
    assert when_to_convert("offset", True, True) == "never"


def test_choice() -> None:
    options = {"how": None, "exceptions": [], "stride": None, "nodes": []}
    assert Choice.of(options, ["n1"]).chosen("x.s") == "keep"
    three = Choice.of({**options, "nodes": ["n1", "n2", "n3"]}, ["n1", "n3"])
    assert (three.stride, three.numbers, three.chosen("x.s")) == (3, (0, 2), "offset")
    exceptions = [{"sequence": "x.a", "how": "keep"}, {"sequence": "x.b", "how": "snowflake"}]
    mixed = Choice.of({**options, "how": "offset", "exceptions": exceptions, "stride": 8}, ["n1", "n2"])
    assert [mixed.at_cutover(n) for n in ("x.a", "x.b", "x.c")] == ["keep", "offset", "offset"]
    assert mixed.stride == 8 and mixed.unknown(["x.a"]) == ["x.b"]
    assert Choice("snowflake").at_cutover("x.s") == "keep", "one node: nothing to share"
    for wrong in (
        {"stride": 1, "nodes": ["n1", "n2"]},
        {"nodes": ["n2"]},
        {"nodes": ["n1", "n1"]},
        {"exceptions": exceptions + exceptions[:1]},
    ):
        with pytest.raises(CrossoverError):
            Choice.of({**options, **wrong}, ["n1"])


# -- random histories --------------------------------------------------------------------------------------------------


def history(rng: random.Random, world: World, rounds: int) -> None:
    """There and back, with calls between a first pass and a last one, and runs that end half way."""
    for _round in range(rounds):
        world.draw(world.source, rng.randint(0, 9))
        gap = rng.choice([0, 0, 1, 4, 30])
        world.forward(gap)
        if rng.random() < 0.2:  # nothing came of it
            continue
        world.draw(world.source, rng.randint(0, 6))
        world.forward(gap, define=False)
        assert world.forward(gap, define=False) == [None] * len(world.nodes)
        if rng.random() < 0.2:  # a rerun after the switch: nodes are at work
            world.draw(rng.choice(world.nodes), 2)
        world.forward()
        for _turn in range(rng.randint(0, 8)):
            world.draw(rng.choice(world.nodes), rng.randint(0, 5))
        gaps = [rng.choice([0, 2]) for _node in world.nodes]
        world.back(gaps)
        for _turn in range(rng.randint(0, 3)):
            world.draw(rng.choice(world.nodes), rng.randint(0, 3))
        world.back(gaps)
        assert world.back(gaps) is None


@pytest.mark.parametrize("seed", range(4))
def test_no_value_is_handed_out_twice(seed: int) -> None:
    rng = random.Random(seed)
    for _unused in range(700):
        increment = rng.choice([1, 1, 2, 7, -1, -5])
        minimum = rng.randint(-60, 10)
        maximum = minimum + rng.choice([rng.randint(abs(increment) * 8, 120), 10_000])
        start = rng.choice([None, rng.randint(minimum, maximum)])
        nodes = rng.randint(2, 5)
        stride = nodes + rng.choice([0, 0, 3])
        numbers = tuple(rng.sample(range(stride), nodes))
        world = World(sequence(increment, minimum, maximum, start=start), nodes, Choice("offset", {}, stride, numbers))
        history(rng, world, 5)


@pytest.mark.parametrize("limit", [INT2, INT4, INT8])
@pytest.mark.parametrize("sign", [1, -1])
def test_close_to_the_limits_of_the_type(limit: int, sign: int) -> None:
    rng = random.Random(limit + sign)
    for _unused in range(300):
        low, high = (1, limit) if sign > 0 else (-limit - 1, -1)
        start = limit - rng.randint(0, 90) if sign > 0 else -limit - 1 + rng.randint(0, 90)
        world = World(sequence(sign * rng.choice([1, 3]), low, high, start=start), 3)
        history(rng, world, 4)


def test_circles_stay_in_their_classes() -> None:
    """Each node goes round on values of its own, whatever the others do."""
    rng = random.Random(5)
    for _unused in range(400):
        increment = rng.choice([1, 2, -1])
        world = World(sequence(increment, 1, rng.randint(12, 60), cycle=True), 3)
        for _round in range(3):
            for _call in range(rng.randint(0, 40)):
                world.source.nextval()
            gap = rng.choice([0, 1, 9])
            world.forward(gap)
            assert world.forward(gap) == [None] * 3
            seen = [{node.nextval() for _call in range(rng.randint(0, 50))} for node in world.nodes]
            assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
            for node in world.nodes:
                assert node.definition.minimum <= node.state.last_value <= node.definition.maximum
            world.back()
