# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries the sequences from one side to the other, of which either may be several servers (private to the collection).

Two passes. The first one, before anything is held, gives each node its class (ALTER SEQUENCE) and a first position. The
last one, in the window, is one reading of every server and one statement on each that is set, all servers at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ._errors import CrossoverError
from ._migration_deadline import together
from ._migration_sequences import State, apply, definitions, failed, gaps, rates, read_states, refuse
from ._migration_sequences import behind as told_behind
from ._migration_sequences_choice import Choice
from ._migration_sequences_mesh import Stand, Step, back, behind, forward, refuse_too_small, too_small
from ._migration_sides import Migration
from ._pg_catalog import Scope, Sequence
from ._pg_connect import driver
from ._pg_sql import qualified

Result = TypeVar("Result")
_PATIENCE = 60.0  # seconds; in the window its own deadline comes first


@dataclass
class Pass:
    """One look at every server, and what follows from it. ``steps``: by the new side's connection."""

    old: list[dict[str, State]]
    new: list[dict[str, State]]
    steps: list[list[Step]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many sequences have to be set, on all servers."""
        return sum(len(steps) for steps in self.steps)

    @property
    def exhausted(self) -> list[str]:
        """The sequences that a server has no value left of, where it is set now."""
        return sorted({step.name for steps in self.steps for step in steps if step.exhausted})


class Carry:
    """From every server of the old side to every one of the new. ``direction``: forward to the nodes, or back."""

    MEASURED = 0.25  # seconds over which the rate is measured
    HORIZON = 1.0  # seconds of calls at that rate that are left free

    def __init__(
        self,
        olds: Several[Any],
        news: Several[Any],
        scope: Scope = Scope(),
        gap: int = 0,
        choice: Choice = Choice(),
        direction: str = "forward",
        backwards: bool = False,
    ) -> None:
        self.olds = list(olds)
        self.news = list(news)
        self.scope = scope
        self.gap = gap
        self.direction = direction
        self.backwards = backwards
        nodes = self.news if direction == "forward" else self.olds
        numbers = choice.numbers or tuple(range(len(nodes)))
        self.choice = Choice(choice.how, choice.exceptions, max(choice.stride, 1), numbers)
        self.gaps: list[dict[str, int]] = [{} for _old in self.olds]
        self.here: list[dict[str, Sequence]] = []
        self.there: list[dict[str, Sequence]] = []
        self.rates: list[dict[str, float]] = []
        self.missed: list[str] = []  # exceptions for sequences that are not there

    # -- the two passes ----------------------------------------------------------------------------------------------

    def first_pass(self) -> dict[str, Any]:
        """Definitions, classes, rate and a first move; what is left for the window is one reading and one move."""
        self.read()
        self.measure(self.MEASURED, self.HORIZON, self.gap)
        done = self.carry(self.plan(define=True))
        most = max((calls for one in self.gaps for calls in one.values()), default=0)
        return {"sequences": len(self.names), **done, "gap": most}

    def last_pass(self) -> dict[str, Any]:
        """In the window, behind the fence. Fails if a sequence of the new side is still behind afterwards."""
        done = self.carry(self.plan(define=False))
        return {"sequences": len(self.names), **done}

    def carry(self, found: Pass) -> dict[str, Any]:
        """Set what was planned, look again, and fail where something is still behind."""
        altered = sum(step.definition is not None for steps in found.steps for step in steps)
        if altered:
            self._each(self.news, lambda i: _define(self.news[i], found.steps[i]))
            for there, steps in zip(self.there, found.steps):
                there.update({step.name: step.definition for step in steps if step.definition})
        self._each(self.news, lambda i: apply(self.news[i], [s for s in found.steps[i] if s.definition is None]))
        moved = [[step.name for step in steps] for steps in found.steps]
        now = self._each(self.news, lambda i: read_states(self.news[i], moved[i]))
        if late := self.lagging(found.old, now):
            raise told_behind(late)
        told: dict[str, Any] = {"moved": found.count}
        told.update({"altered": altered} if altered else {})
        told.update({"exhausted": found.exhausted} if found.exhausted else {})
        return told

    # -- its parts, for those who only look ----------------------------------------------------------------------------

    def read(self) -> None:
        """The definitions. Raises where a server lacks a sequence, or one has too few values for its nodes."""
        self.here = self._each(self.olds, lambda i: definitions(self.olds[i], self.scope))
        self.there = self._each(self.news, lambda i: definitions(self.news[i], self.scope))
        for here in self.here:
            for there in self.there:
                refuse(here, there)
        self.missed = self.choice.unknown(self.names)
        self._leave_converted()
        if self.direction == "forward":
            (source,) = self.here
            states = read_states(self.olds[0], source)
            small = {name: too_small(name, source[name], states[name], self.choice) for name in source}
            named = {name: [_at(self.news[i]) for i in found] for name, found in small.items()}
            refuse_too_small(named, self.choice.stride)

    def _leave_converted(self) -> None:
        """Those that draw snowflakes are not carried. Forward all nodes must draw them, or none."""
        forward_ = self.direction == "forward"
        nodes, known = (self.news, self.there) if forward_ else (self.olds, self.here)
        found = self._each(nodes, lambda i: converted(nodes[i]))
        for name in sorted(set().union(*found)):
            plain = [_at(nodes[i]) for i, names in enumerate(found) if name not in names and name in known[i]]
            if plain and forward_:
                raise CrossoverError(
                    f"sequence {name} draws snowflakes on some nodes, and not on {', '.join(plain)}",
                    code="sequence_differs",
                    object=name,
                    untouched="no sequence was changed",
                    hint="convert it there too, with crossover.pgedge.snowflake_sequence",
                )
            for i, names in enumerate(found):
                if name in names:
                    known[i].pop(name, None)
            if forward_:
                self.here[0].pop(name, None)

    def measure(self, seconds: float, horizon: float, extra: int = 0) -> None:
        """How many calls to leave free: ``extra``, and those in ``horizon`` seconds at the rate over ``seconds``."""
        before = self._each(self.olds, lambda i: read_states(self.olds[i], self.here[i]))
        start = time.monotonic()
        time.sleep(seconds if self.names else 0)
        after = self._each(self.olds, lambda i: read_states(self.olds[i], self.here[i]))
        passed = time.monotonic() - start
        self.rates = [rates(known, b, a, passed) for known, b, a in zip(self.here, before, after)]
        measured = [gaps(found, horizon) for found in self.rates]
        self.gaps = [{name: m.get(name, 0) + extra for name in known} for known, m in zip(self.here, measured)]

    @property
    def names(self) -> list[str]:
        """The sequences that are carried: those of the old side."""
        return list(dict.fromkeys(name for here in self.here for name in here))

    def plan(self, define: bool) -> Pass:
        """Read where every server stands, and what to do. ``define``: give nodes their classes where they lack them."""
        names = self.names
        conns = [*self.olds, *self.news]
        states = self._each(conns, lambda i: read_states(conns[i], names))
        found = Pass(states[: len(self.olds)], states[len(self.olds) :])
        found.steps = [[] for _new in self.news]
        for name in names:
            old = [Stand(known[name], at[name]) for known, at in zip(self.here, found.old) if name in known]
            new = [Stand(known[name], at[name]) for known, at in zip(self.there, found.new)]
            for steps, step in zip(found.steps, self._steps(name, old, new, define)):
                if step:
                    steps.append(step)
        return found

    def _steps(self, name: str, old: list[Stand], new: list[Stand], define: bool) -> list[Step | None]:
        calls = [gap.get(name, 0) for gap, known in zip(self.gaps, self.here) if name in known]
        if self.direction == "forward":
            return forward(name, old[0], new, self.choice, calls[0], define, self.backwards)
        return [back(name, old, new[0], calls, self.backwards)]

    def lagging(self, old: Several[Mapping[str, State]], new: Several[Mapping[str, State]]) -> list[str]:
        """The sequences of the new side that would hand out a value that the old side has."""
        late = []
        for there, states in zip(self.there, new):
            for name, state in states.items():
                stand = Stand(there[name], state)
                before = [Stand(here[name], at[name]) for here, at in zip(self.here, old) if name in here]
                if any(behind(one, stand) for one in before):
                    late.append(name)
        return sorted(set(late))

    def _each(self, conns: Several[Any], act: Callable[[int], Result]) -> list[Result]:
        """On all servers at once."""
        if len(conns) == 1:
            return [act(0)]
        done, wrong = together({i: (lambda i=i: act(i)) for i in range(len(conns))}, _PATIENCE)  # type: ignore[misc]
        for exc in wrong.values():
            raise exc
        return [done[i] for i in range(len(conns))]


_CONVERTED = """
SELECT DISTINCT n.nspname AS schema, s.relname AS name
FROM pg_attrdef a
JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
WHERE pg_get_expr(a.adbin, a.adrelid) LIKE 'snowflake.nextval(%'
"""


def converted(conn: Any) -> set[str]:
    """The sequences that draw snowflakes: their positions mean nothing to others, and meet nothing."""
    return {qualified(row["schema"], row["name"]) for row in conn.execute(_CONVERTED)}


def _define(conn: Any, steps: list[Step]) -> None:
    """The classes of one node, all or none, with their positions."""
    wanted = [statement for step in steps if step.definition for statement in step.statements]
    try:
        with conn.transaction():
            for statement in wanted:
                conn.execute(statement.sql.encode())
    except driver().Error as exc:
        raise failed(conn, exc, "the sequences could not be altered", "ownership") from None


def _at(conn: Any) -> str:
    return f"{conn.info.host}:{conn.info.port}/{conn.info.dbname}"


def carry_of(migration: Migration, conn: Mapping[str, Any]) -> Carry:
    """For a switch; ``conn`` by place."""
    olds = [conn[place] for place in migration.places(migration.old)]
    news = [conn[place] for place in migration.places(migration.new)]
    gap = migration.limits.sequence_gap
    return Carry(olds, news, migration.scope, gap, migration.sequences, migration.direction)
