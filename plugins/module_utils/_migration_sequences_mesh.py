# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sequence of the source on several nodes, and back: the pure part (private to the collection).

Node k of a stride of n hands out only the values v with (v - origin) = k * increment, modulo n * increment, where the
origin is the source's MINVALUE (MAXVALUE, when it counts down). These classes never change: a node that is ahead and
stays, and one that is moved in a later pass, cannot meet. START is of the class too (TRUNCATE ... RESTART IDENTITY),
and the limit that CYCLE goes back to.

The source keeps its own increment. Back, it goes past the furthest of all nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass, replace

from ._errors import CrossoverError
from ._migration_sequences import State, ahead, upcoming, wanted
from ._migration_sequences_choice import KEEP, Choice
from ._pg_catalog import Sequence
from ._pg_sql import Statement, quote_literal

_INT8 = 2**63 - 1


@dataclass(frozen=True)
class Stand:
    """A sequence on one server."""

    definition: Sequence
    state: State


@dataclass(frozen=True)
class Step:
    """What to do with a sequence on one server. ``definition`` is None where it stays."""

    name: str
    before: Stand
    state: State
    definition: Sequence | None = None
    note: str = ""
    exhausted: bool = False  # this server has no value left

    def shown(self) -> tuple[dict[str, object], dict[str, object]]:
        """Before and after, for results and diffs."""
        before: dict[str, object] = dict(self.before.state.as_dict())
        after: dict[str, object] = dict(self.state.as_dict())
        if self.definition:
            before.update(_numbers(self.before.definition))
            after.update(_numbers(self.definition))
        return before, after

    @property
    def after(self) -> State:
        """Where it is set to."""
        return self.state

    @property
    def statements(self) -> list[Statement]:
        """As they would be written by hand."""
        found = []
        new = self.definition
        if new:
            # RESTART in the same statement: the definition never stands without its position
            near = "MINVALUE" if new.increment > 0 else "MAXVALUE"
            limit = f" {near} {_near(new)}" if _near(new) != _near(self.before.definition) else ""
            found.append(
                f"ALTER SEQUENCE {self.name} INCREMENT BY {new.increment}{limit} START WITH {new.start} "
                f"RESTART WITH {self.state.last_value}"
            )
        if not new or self.state.is_called:
            called = "true" if self.state.is_called else "false"
            found.append(f"SELECT setval({quote_literal(self.name)}, {self.state.last_value}, {called})")
        return [Statement.of(text) for text in found]


def _numbers(definition: Sequence) -> dict[str, int]:
    names = ("increment", "start", "minimum", "maximum")
    return {name: getattr(definition, name) for name in names}


# -- classes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grid:
    """The values that are ``origin`` plus a multiple of ``step``. Its sign is the direction."""

    origin: int
    step: int

    @property
    def sign(self) -> int:
        """1 up, -1 down."""
        return 1 if self.step > 0 else -1

    def __contains__(self, value: int) -> bool:
        return (value - self.origin) % self.step == 0

    def after(self, value: int) -> int:
        """The first one beyond ``value``."""
        return self.origin + ((self.sign * (value - self.origin)) // abs(self.step) + 1) * self.step

    def up_to(self, value: int) -> int:
        """The last one that is not beyond ``value``."""
        return self.after(value) - self.step


def grid(source: Sequence, number: int, stride: int) -> Grid:
    """The class of node ``number``."""
    return Grid(_near(source) + number * source.increment, stride * source.increment)


def shared(source: Sequence, node: Sequence, number: int, stride: int) -> Sequence:
    """The definition on node ``number``: its class in INCREMENT and START, and in the limit that CYCLE goes back to."""
    own = grid(source, number, stride)
    first, start = own.after(_near(source) - own.sign), own.after(source.start - own.sign)
    if own.sign * (start - _far(node)) > 0:
        start = first
    near = first if node.cycle else _near(source)
    limit = {"minimum": near} if own.sign > 0 else {"maximum": near}
    return replace(node, increment=own.step, start=start, **limit)


def _near(definition: Sequence) -> int:
    return definition.minimum if definition.increment > 0 else definition.maximum


def _far(definition: Sequence) -> int:
    return definition.maximum if definition.increment > 0 else definition.minimum


def taken(definition: Sequence, state: State) -> int:
    """The last value that may have been handed out."""
    sign = 1 if definition.increment > 0 else -1
    return state.last_value if state.is_called else state.last_value - sign


# -- where to --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Circle:
    """Distances in a sequence's direction; on a circle the shorter way round, so that one that wrapped is ahead."""

    definition: Sequence  # with the source's limits

    def beyond(self, one: int, other: int) -> int:
        distance = one - other if self.definition.increment > 0 else other - one
        if self.definition.cycle:
            around = self.definition.maximum - self.definition.minimum + 1
            distance = (distance + around // 2) % around - around // 2
        return distance

    def furthest(self, first: int, *others: int) -> int:
        for other in others:
            if self.beyond(other, first) > 0:
                first = other
        return first


def _target(own: Grid, limits: Sequence, used: int, free: int) -> tuple[State, str, bool]:
    """The first value of ``own`` beyond ``used`` that leaves ``free`` values free; a note, and whether none is left.

    A gap never exhausts a sequence: the last value that can be handed out stays usable.
    """
    far, sign = _far(limits), own.sign
    if limits.cycle:
        free = min(free, (limits.maximum - limits.minimum) // 4)
        reached = used + sign * free
        if sign * (reached - far) > 0:
            reached = _near(limits) + (reached - far) - sign
        value = own.after(reached)
        if sign * (value - far) > 0:
            value = own.after(_near(limits) - sign)
        return State(value, False), "", sign * (value - far) > 0
    last = own.up_to(far)
    value = own.after(used + sign * free)
    if sign * (value - far) <= 0:
        return State(value, False), "", False
    if sign * (last - used) > 0:
        note = f"a gap of {free} values does not fit before {far}: now 1 value is left" if free else ""
        return State(last, False), note, False
    return State(far, True), "", True


def forward(
    name: str,
    source: Stand,
    nodes: Several[Stand],
    choice: Choice,
    gap: int,
    define: bool = True,
    backwards: bool = False,
) -> list[Step | None]:
    """What to do on each node, so that none hands out what the source or another node has. ``gap`` in calls.

    A node that is ahead stays as it is, unless ``backwards``.
    """
    if choice.at_cutover(name) == KEEP:
        return [_as_the_other(name, source, node, gap, backwards) for node in nodes]
    limits, circle = source.definition, _Circle(source.definition)
    _refuse_outside(name, source, nodes)
    grids = [grid(limits, choice.number(i), choice.stride) for i in range(len(nodes))]
    defined = [shared(limits, node.definition, choice.number(i), choice.stride) for i, node in enumerate(nodes)]
    used = taken(limits, source.state)
    if define and not limits.cycle and any(node.definition != wish for node, wish in zip(nodes, defined)):
        # A node of another class may have handed out values of this one's: all go past all.
        used = circle.furthest(used, *(taken(node.definition, node.state) for node in nodes))
    found: list[Step | None] = []
    for node, own, wish in zip(nodes, grids, defined):
        redefine = wish if define and node.definition != wish else None
        there = replace(node.definition, **_limits(limits, node))
        state, note, none_left = _target(own, there, used, gap * abs(limits.increment))
        if redefine is None and _stays(node, own, state, none_left, circle, backwards):
            found.append(None)
        else:
            found.append(Step(name, node, state, redefine, note, none_left))
    return found


def _limits(source: Sequence, node: Stand) -> dict[str, int]:
    """The source's near limit, the node's far one: the former is where the classes begin."""
    if source.increment > 0:
        return {"minimum": source.minimum, "maximum": node.definition.maximum}
    return {"minimum": node.definition.minimum, "maximum": source.maximum}


def _stays(node: Stand, own: Grid, wish: State, none_left: bool, circle: _Circle, backwards: bool) -> bool:
    following = upcoming(node.definition, node.state)
    if not node.definition.minimum <= following <= node.definition.maximum:
        return none_left or not backwards  # it has no value left, so it hands none out again
    if none_left or following not in own:
        return False
    distance = circle.beyond(following, wish.last_value)
    return distance == 0 if backwards else distance >= 0


def _as_the_other(name: str, old: Stand, new: Stand, gap: int, backwards: bool) -> Step | None:
    state, note = wanted(new.definition, old.state, gap)
    distance = ahead(new.definition, old.state, new.state)
    if distance <= 0:  # on a circle a gap may lead past the point opposite to the new one
        distance = ahead(new.definition, state, new.state)
    return Step(name, new, state, None, note) if distance > 0 or (backwards and distance < 0) else None


def back(name: str, nodes: Several[Stand], source: Stand, gaps: Several[int], backwards: bool = False) -> Step | None:
    """What to do on the source, so that it hands out nothing that a node has. ``gaps``: each node's, in calls."""
    if len(nodes) == 1 and nodes[0].definition.increment == source.definition.increment:
        return _as_the_other(name, nodes[0], source, gaps[0], backwards)
    definition = source.definition
    circle, own = _Circle(definition), Grid(source.state.last_value, definition.increment)
    used = circle.furthest(*(taken(node.definition, node.state) for node in nodes))
    reserved = circle.furthest(
        *(taken(node.definition, node.state) + gap * node.definition.increment for node, gap in zip(nodes, gaps))
    )
    free = max(0, circle.beyond(reserved, used)) if any(gaps) else 0
    state, note, none_left = _target(own, definition, used, free)
    if _stays(source, own, state, none_left, circle, backwards):
        return None
    return Step(name, source, state, None, note, none_left)


def behind(old: Stand, new: Stand) -> bool:
    """Whether ``new`` would hand out a value that ``old`` has. A circle comes back to every value some time."""
    if new.definition.cycle:
        return False
    following = upcoming(new.definition, new.state)
    if not new.definition.minimum <= following <= new.definition.maximum:
        return False
    return _Circle(new.definition).beyond(following, taken(old.definition, old.state)) <= 0


# -- what cannot be --------------------------------------------------------------------------------------------------


def too_small(name: str, source: Sequence, state: State, choice: Choice) -> list[int]:
    """The connections of nodes for which nothing is left, though the source has values left."""
    if choice.at_cutover(name) == KEEP:
        return []
    used, far = taken(source, state), _far(source)
    sign = 1 if source.increment > 0 else -1
    if source.cycle:
        used = _near(source) - sign
    elif sign * (used + source.increment - far) > 0:
        return []  # it is exhausted on the source as well
    step = choice.stride * source.increment
    return [
        i
        for i in range(len(choice.numbers))
        if abs(step) > _INT8 or sign * (grid(source, choice.number(i), choice.stride).after(used) - far) > 0
    ]


def refuse_too_small(found: Mapping[str, Iterable[str]], stride: int) -> None:
    """``found``: for each sequence the nodes for which it has no value left."""
    small = {name: list(nodes) for name, nodes in found.items() if nodes}
    if small:
        name = next(iter(small))
        raise CrossoverError(
            f"{len(small)} sequence(s) have too few values left for a stride of {stride}: "
            f"{', '.join(list(small)[:5])}; {name} has none for {', '.join(small[name])}",
            code="sequence_too_small",
            object=name,
            untouched="no sequence was changed",
            hint="raise MAXVALUE (MINVALUE, where it counts down) on every server, or take keep for these sequences "
            "(crossover_sequence_exceptions) and call them on one node only",
            data={"too_small": small},
        )


def _refuse_outside(name: str, source: Stand, nodes: Several[Stand]) -> None:
    for node in nodes:
        limits = {**vars(node.definition), **_limits(source.definition, node)}
        if not limits["minimum"] <= source.state.last_value <= limits["maximum"]:
            raise CrossoverError(
                f"sequence {name} stands at {source.state.last_value}, outside of {limits['minimum']} to "
                f"{limits['maximum']}, its limits on the other side",
                code="sequence_differs",
                object=name,
                untouched="no sequence was changed",
                hint="give the sequence the same MINVALUE and MAXVALUE on both sides",
            )
