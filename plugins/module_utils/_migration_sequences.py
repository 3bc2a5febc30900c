# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences, which no replication carries: read, plan, set (private to the collection).

Positions are compared by the value that nextval() would hand out, in the direction of the increment, so that
descending sequences need no rule of their own. A sequence that cycles is compared on its circle.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import CrossoverError
from ._pg_catalog import Scope, Sequence, sequences
from ._pg_connect import driver, sql_error
from ._pg_sql import Statement, quote_literal

_PER_STATEMENT = 1000  # a UNION ALL is parsed recursively: far more would exceed max_stack_depth


@dataclass(frozen=True)
class State:
    """What a sequence's own row says."""

    last_value: int
    is_called: bool

    def as_dict(self) -> dict[str, Any]:
        """For results and diffs."""
        return {"last_value": self.last_value, "is_called": self.is_called}


@dataclass(frozen=True)
class Move:
    """One sequence to set. ``note`` says what a person should know about it."""

    name: str
    before: State
    after: State
    note: str = ""

    @property
    def statement(self) -> Statement:
        """As it would be written by hand."""
        called = "true" if self.after.is_called else "false"
        return Statement.of(f"SELECT setval({quote_literal(self.name)}, {self.after.last_value}, {called})")


# -- the pure part ---------------------------------------------------------------------------------------------------


def upcoming(definition: Sequence, state: State) -> int:
    """What nextval() hands out next; past the end for one that is exhausted."""
    if not state.is_called:
        return state.last_value
    value = state.last_value + definition.increment
    if definition.cycle and not definition.minimum <= value <= definition.maximum:
        return definition.minimum if definition.increment > 0 else definition.maximum
    return value


def ahead(definition: Sequence, one: State, other: State) -> int:
    """By how much ``one`` is ahead of ``other`` in the sequence's own direction; negative when it is behind."""
    distance = upcoming(definition, one) - upcoming(definition, other)
    if definition.increment < 0:
        distance = -distance
    if definition.cycle:  # the shorter way round: one that has just wrapped is ahead, not far behind
        circle = definition.maximum - definition.minimum + 1
        distance = (distance + circle // 2) % circle - circle // 2
    return distance


def wanted(definition: Sequence, state: State, gap: int) -> tuple[State, str]:
    """Where to put the other side's sequence so that ``gap`` calls stay free, and a note if that does not fit."""
    if not definition.minimum <= state.last_value <= definition.maximum:
        raise CrossoverError(
            f"sequence {definition.full_name} stands at {state.last_value}, outside of {definition.minimum} to "
            f"{definition.maximum}, its limits on the other side",
            code="sequence_differs",
            object=definition.full_name,
            untouched="no sequence was changed",
            hint="give the sequence the same MINVALUE and MAXVALUE on both sides",
        )
    limit = definition.maximum if definition.increment > 0 else definition.minimum
    fresh = not state.is_called  # its first call returns last_value itself
    left = abs(limit - state.last_value) // abs(definition.increment) + fresh
    if definition.cycle:  # further than half way round would look like being behind
        gap = min(gap, (definition.maximum - definition.minimum) // abs(definition.increment) // 4)
    if gap <= 0 or left == 0:
        return state, ""
    if gap < left:
        return State(state.last_value + (gap - fresh) * definition.increment, True), ""
    # A gap never exhausts a sequence: the last value that the source could hand out stays usable.
    note = f"a gap of {gap} does not fit: {left} values were left, now 1" if left > 1 else ""
    return State(state.last_value + (left - fresh) * definition.increment, False), note


def plan(
    definitions: Mapping[str, Sequence],
    source: Mapping[str, State],
    target: Mapping[str, State],
    gap: int | Mapping[str, int] = 0,
    backwards: bool = False,
) -> list[Move]:
    """The sequences to set on the target. ``definitions`` are the target's; ``gap`` in calls, for all or for each.

    A target that is ahead stays as it is, unless ``backwards``.
    """
    moves = []
    for name, definition in definitions.items():
        if name not in source or name not in target:
            continue
        calls = gap if isinstance(gap, int) else gap.get(name, 0)
        state, note = wanted(definition, source[name], calls)
        # the source itself is asked too: on a circle a gap may lead past the point opposite to the target
        distance = ahead(definition, source[name], target[name])
        if distance <= 0:
            distance = ahead(definition, state, target[name])
        if distance > 0 or (backwards and distance < 0):
            moves.append(Move(name, target[name], state, note))
    return moves


def lagging(definitions: Mapping[str, Sequence], source: Mapping[str, State], target: Mapping[str, State]) -> list[str]:
    """The sequences whose target would hand out a value that the source has handed out."""
    return [
        name
        for name, definition in definitions.items()
        if name in source and name in target and ahead(definition, source[name], target[name]) > 0
    ]


def opposed(source: Mapping[str, Sequence], target: Mapping[str, Sequence]) -> list[str]:
    """Sequences that count up on one side and down on the other: no position on one says anything about the other."""
    return [n for n, s in source.items() if n in target and (s.increment > 0) != (target[n].increment > 0)]


def rates(
    definitions: Mapping[str, Sequence], before: Mapping[str, State], after: Mapping[str, State], seconds: float
) -> dict[str, float]:
    """Calls of nextval() per second between two readings, of the sequences that moved."""
    found = {}
    for name, definition in definitions.items():
        if name in before and name in after:
            calls = ahead(definition, after[name], before[name]) / abs(definition.increment)
            if calls > 0:
                found[name] = calls / max(seconds, 1e-3)
    return found


def gaps(calls_per_second: Mapping[str, float], seconds: float, extra: int = 0) -> dict[str, int]:
    """How many calls to leave free for each sequence that moves."""
    return {name: math.ceil(rate * seconds) + extra for name, rate in calls_per_second.items()}


# -- the two servers -------------------------------------------------------------------------------------------------

_OF_EXCLUDED_TABLES = """
SELECT sn.nspname AS schema, s.relname AS name
FROM pg_depend d
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  AND (tn.nspname || '.' || t.relname = ANY (%(tables)s) OR format('%%I.%%I', tn.nspname, t.relname) = ANY (%(tables)s))
"""


def definitions(conn: Any, scope: Scope = Scope()) -> dict[str, Sequence]:
    """Every sequence of the scope by its full name, without those that an excluded table owns."""
    found = {sequence.full_name: sequence for sequence in sequences(conn, scope)}
    if scope.exclude_tables:
        owned = conn.execute(_OF_EXCLUDED_TABLES, {"tables": list(scope.exclude_tables)}).fetchall()
        gone = {(row["schema"], row["name"]) for row in owned}
        found = {name: s for name, s in found.items() if (s.schema, s.name) not in gone}
    return found


def read_states(conn: Any, names: Iterable[str]) -> dict[str, State]:
    """Where the sequences stand, in one statement. Reading a sequence's own row fails without SELECT on it;
    pg_sequences would say NULL, as if it had never been called."""
    wanted_names = list(names)
    found: dict[str, State] = {}
    for start in range(0, len(wanted_names), _PER_STATEMENT):
        part = wanted_names[start : start + _PER_STATEMENT]
        query = " UNION ALL ".join(f"SELECT {i} AS i, last_value, is_called FROM {name}" for i, name in enumerate(part))
        try:
            # prepared: the second reading, in the window, is neither parsed nor planned again
            rows = conn.execute(query, prepare=True).fetchall()
        except driver().Error as exc:
            raise failed(conn, exc, "the sequences could not be read", "SELECT") from None
        found.update((part[row["i"]], State(row["last_value"], row["is_called"])) for row in rows)
    return found


def apply(conn: Any, moves: Iterable[Move]) -> int:
    """Set the sequences, in one statement; how many were set."""
    moves = list(moves)
    if not moves:
        return 0
    try:
        row = conn.execute(
            "SELECT count(setval(name::regclass, value, called)) AS n "
            "FROM unnest(%s::text[], %s::int8[], %s::bool[]) AS s(name, value, called)",
            [[m.name for m in moves], [m.after.last_value for m in moves], [m.after.is_called for m in moves]],
            prepare=True,
        ).fetchone()
    except driver().Error as exc:
        raise failed(conn, exc, "the sequences could not be set", "UPDATE") from None
    return int(row["n"])


def measure_rate(conn: Any, known: Mapping[str, Sequence], seconds: float) -> dict[str, float]:
    """Calls per second of each sequence that moves, from two readings."""
    start = time.monotonic()
    before = read_states(conn, known)
    time.sleep(seconds)
    after = read_states(conn, known)
    return rates(known, before, after, time.monotonic() - start)


def failed(conn: Any, exc: BaseException, doing: str, privilege: str) -> CrossoverError:
    """An error of the driver; where a privilege is missing, the sentence names it."""
    denied = getattr(exc, "sqlstate", None) == "42501"
    return sql_error(
        exc,
        f"{conn.info.host}:{conn.info.port}/{conn.info.dbname}",
        doing,
        code="sequence_denied" if denied else "sequences_failed",
        untouched="no sequence was changed",
        hint=f"grant {privilege} on it to {conn.info.user}" if denied else None,
    )


def refuse(source: Mapping[str, Sequence], target: Mapping[str, Sequence]) -> None:
    """Raise where the target lacks a sequence, or counts the other way."""
    missing = [name for name in source if name not in target]
    if missing:
        raise CrossoverError(
            f"{len(missing)} sequence(s) are missing on the other side: {', '.join(missing[:5])}",
            code="missing_sequence",
            object=missing[0],
            untouched="no sequence was changed",
            hint="create them there, or leave them out by schemas or exclude_tables",
            data={"missing": missing},
        )
    if wrong := opposed(source, target):
        raise CrossoverError(
            f"{len(wrong)} sequence(s) count up on one side and down on the other: {', '.join(wrong[:5])}",
            code="sequence_differs",
            object=wrong[0],
            untouched="no sequence was changed",
            hint="give them the same INCREMENT on both sides",
        )


def behind(names: list[str]) -> CrossoverError:
    """Sequences that would hand out values again."""
    return CrossoverError(
        f"{len(names)} sequence(s) are behind the other side: {', '.join(names[:5])}",
        code="sequence_behind",
        object=names[0],
        hint="something sets these sequences back: stop it and run again",
        data={"lagging": names},
    )
