# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a key that differed in one pair of snapshots really differs (private to the collection).

While the stream flows, the side that follows is a moment behind. So a key that differed is looked at again, each time
after both sides have passed a barrier, that is, after all that was there at the look before has arrived; and each time
the side that follows is looked at first. Then:

* Equal once: it was in flight.
* Different, and on neither side has the row been written since the look before: it differs, for whatever the row was
  then has arrived. (Values would not do: a value that toggles can look the same and be another version.)
* A row that is written all the time is looked at again and again. In the end it differs if the side that follows has
  never moved, or if some column's two values have been the same all the time; else nobody knows, and that is said.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Callable, Iterator, Mapping, Sequence

from ._errors import CrossoverError
from ._migration_compare_hash import Pairing
from ._migration_compare_scope import NODE, SOURCE, Unit
from ._migration_compare_session import SidePair
from ._migration_compare_sql import Key, SideSql
from ._pg_connect import driver

MISSING, EXTRA, DIFFERENT = "missing", "extra", "different"
_OFTEN = 5  # looks without which nothing is concluded about a row that is written all the time
_SLICE = 500  # keys of one query
_VALUES = 50  # rows of which whole values are fetched at once


@dataclass(frozen=True)
class Seen:
    """The rows of one key on one side. ``version`` tells whether they have been written since another look."""

    count: int = 0
    columns: tuple[str | None, ...] = ()  # a hash for each
    version: str | None = None

    def same(self, other: Seen) -> bool:
        """Whether both sides have the same."""
        return (self.count, self.columns) == (other.count, other.columns)


_NOTHING = Seen()


@dataclass(frozen=True)
class Difference:
    """One key that differs. ``count``: by how many rows, which is more than 1 only without a unique key."""

    key: Key
    kind: str
    columns: tuple[str, ...] = ()
    count: int = 1


@dataclass
class Settled:
    """What became of the keys that were looked at again."""

    differences: list[Difference] = field(default_factory=list)
    in_flight: int = 0
    unsettled: list[Key] = field(default_factory=list)


class _Watch:
    """What a key that differs has looked like so far."""

    def __init__(self) -> None:
        self.last: tuple[Seen, Seen] | None = None
        self.versions: set[str | None] = set()  # on the side that follows
        self.columns: set[tuple[int, str | None, str | None]] | None = None  # that differed each time in the same way
        self.looks = 0

    def note(self, left: Seen, right: Seen, follower: Seen) -> bool:
        """One more look; True when it proves the difference."""
        differing = {(at, a, b) for at, (a, b) in enumerate(zip(left.columns, right.columns)) if a != b}
        self.columns = differing if self.columns is None else self.columns & differing
        self.versions.add(follower.version)
        self.looks += 1
        before, self.last = self.last, (left, right)
        return before is not None and (before[0].version, before[1].version) == (left.version, right.version)

    @property
    def differs(self) -> bool:
        """What to think after the last look."""
        return self.looks >= _OFTEN and (len(self.versions) == 1 or bool(self.columns))


class Rechecker:
    """Settles keys, one batch at a time: barriers of one process share one canary."""

    def __init__(
        self,
        open_pair: Callable[[], SidePair],
        barrier: Callable[[], None] | None,
        follower: str,
        attempts: int,
        seconds: float,
    ) -> None:
        self._open, self._barrier, self._follower = open_pair, barrier, follower
        self._attempts, self._seconds = attempts, seconds
        self._pair: SidePair | None = None
        self._lock = threading.Lock()
        self._broken: CrossoverError | None = None

    def close(self) -> None:
        """End its sessions."""
        if self._pair:
            self._pair.close()

    def settle(self, unit: Unit, sql: Mapping[str, SideSql], keys: Sequence[Key]) -> Settled:
        """Look at the keys again until each of them is settled."""
        with self._lock:
            if self._broken:
                raise self._broken
            if self._pair is None or not self._pair.alive:
                self._pair = self._open()
            result = Settled()
            for at in range(0, len(keys), _SLICE):
                self._settle(unit, sql, keys[at : at + _SLICE], result)
            return result

    def _settle(self, unit: Unit, sql: Mapping[str, SideSql], keys: Sequence[Key], result: Settled) -> None:
        names = [p.name for p in unit.pairings]
        open_ = {key: _Watch() for key in keys}
        until = time.monotonic() + self._seconds
        for attempt in range(self._attempts):
            if not open_ or (attempt > 1 and time.monotonic() > until):
                break
            time.sleep(min(0.03 * max(0, attempt - 2), 0.5))
            self._pass_barrier()
            left, right, same = self._look(unit, sql, list(open_))
            for key in list(open_):
                a, b = left.get(key, _NOTHING), right.get(key, _NOTHING)
                if a.same(b):
                    result.in_flight += 1
                elif key not in same:
                    proven = open_[key].note(a, b, a if self._follower == SOURCE else b)
                    if self._barrier and not proven:
                        continue
                    result.differences.append(_difference(key, a, b, names))
                del open_[key]
        for key, watch in open_.items():
            if watch.differs and watch.last:
                result.differences.append(_difference(key, *watch.last, names))
            else:
                result.unsettled.append(key)

    def _pass_barrier(self) -> None:
        if not self._barrier:
            return
        try:
            self._barrier()
        except CrossoverError as exc:
            self._broken = exc  # the next one would wait as long for nothing
            raise

    def _look(
        self, unit: Unit, sql: Mapping[str, SideSql], keys: list[Key]
    ) -> tuple[dict[Key, Seen], dict[Key, Seen], set[Key]]:
        """The keys' rows on both sides now, and the keys that PostgreSQL calls equal though some texts differ."""
        pair = self._pair
        if pair is None:
            raise AssertionError("the re-check has its connections by now")
        with pair.snapshot():
            for side in sorted((SOURCE, NODE), key=lambda side: side != self._follower):
                pair.one(side, "SELECT 1")  # the first query takes the snapshot
            answers = pair.both(*(sql[side].observe(keys) for side in (SOURCE, NODE)))
            left, right = (
                {tuple(row["k"]): Seen(row["n"], tuple(row["c"]), row["v"]) for row in answer} for answer in answers
            )
            same = set(_doubtful(unit, left, right))
            for at, pairing in enumerate(unit.pairings):
                those = [key for key in same if pairing.loose and left[key].columns[at] != right[key].columns[at]]
                for start in range(0, len(those), _VALUES):
                    same -= _unequal(pair, sql, pairing, those[start : start + _VALUES])
        return left, right, same


def _difference(key: Key, left: Seen, right: Seen, names: Sequence[str]) -> Difference:
    if left.count != right.count:
        return Difference(key, MISSING if left.count > right.count else EXTRA, (), abs(left.count - right.count))
    columns = (name for name, a, b in zip(names, left.columns, right.columns) if a != b)
    return Difference(key, DIFFERENT, tuple(columns))


def _doubtful(unit: Unit, left: Mapping[Key, Seen], right: Mapping[Key, Seen]) -> Iterator[Key]:
    """Keys that differ, but only in columns whose texts may differ for equal values."""
    for key, seen in left.items():
        other = right.get(key, _NOTHING)
        if seen.count == other.count == 1:
            differing = [at for at, (a, b) in enumerate(zip(seen.columns, other.columns)) if a != b]
            if differing and all(unit.pairings[at].loose for at in differing):
                yield key


def _unequal(pair: SidePair, sql: Mapping[str, SideSql], pairing: Pairing, keys: list[Key]) -> set[Key]:
    """The keys for which PostgreSQL calls the two values different."""
    answers = pair.both(sql[SOURCE].values(keys, pairing.source), sql[NODE].values(keys, pairing.node))
    left, right = ({tuple(row["k"]): row["v"] for row in answer} for answer in answers)
    type_ = pairing.node.type.replace("%", "%%")
    conn = pair.conns[NODE]
    try:
        with conn.transaction():  # a savepoint: an error here must not end the snapshot
            rows = conn.execute(
                f"""SELECT v.at FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS v (a, b, at)
                    WHERE v.a::{type_} IS DISTINCT FROM v.b::{type_}""".encode(),
                [[left.get(key) for key in keys], [right.get(key) for key in keys]],
            ).fetchall()
    except driver().Error:
        return set(keys)  # the type has no =, or the text is no value of it
    return {keys[row["at"] - 1] for row in rows}
