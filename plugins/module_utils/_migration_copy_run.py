# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several workers copy parts, and create indexes and constraints as the tables they need complete (private).

One pool for both: what a complete table waits for comes before the next part, so that the large tables, which are
copied first, also have their indexes first.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from ._migration_copy_move import Mover, Pair, Stopped
from ._migration_copy_plan import CopyTable, Part
from ._migration_schema_build import Builder, Pool, drop_dependents
from ._migration_schema_units import Unit


@dataclass
class Work:
    """What is to be done. ``entries``: entry of the dump -> OID of a table; ``leaves``: table -> where its rows are."""

    tables: Mapping[int, CopyTable]
    parts: list[Part]
    units: list[Unit]
    entries: Mapping[int, int]
    leaves: Mapping[int, set[int]]


@dataclass
class Run:
    """One run over all of it. ``tick`` is called twice a second, and may raise to end the run."""

    mover: Mover
    builder: Builder
    jobs: int
    tick: Callable[[], None]
    moved: dict[Part, int] = field(default_factory=dict)  # bytes of the parts that are being copied
    finished: list[Part] = field(default_factory=list)
    built: int = 0
    copied_after: float | None = None  # seconds until the last row was there
    _error: BaseException | None = None

    def __call__(self, work: Work) -> None:
        """Do it. The first part that fails ends the run; an index that fails does not keep the others waiting."""
        self._work, self._begun = work, time.monotonic()
        self._parts, self._open_tables = list(work.parts), _count(work.parts)
        self._blocked = {u.entry.id: (u, _needs(u, work, self._open_tables)) for u in work.units}
        self._unfinished, self._free = set(self._blocked), dict[int, Unit]()
        self._release()
        self._running: dict[Future[object], Unit | Part] = {}
        self.mover.moved = self._moved
        self._pairs: queue.LifoQueue[Pair] = queue.LifoQueue()
        for number in range(self.jobs):
            self._pairs.put(Pair(self.mover, number))
        with Pool(self.builder.connect, self.jobs) as pool, ThreadPoolExecutor(self.jobs) as threads:
            try:
                while self._start(threads, pool) or self._running:
                    done = wait(self._running, timeout=0.5, return_when=FIRST_COMPLETED).done
                    for future in done:
                        self._end(self._running.pop(future), future)
                    self._tick()
            except BaseException:
                self.mover.stop.set()
                raise
        while not self._pairs.empty():
            self._pairs.get().close()
        if self._error:
            raise self._error

    @property
    def tables_left(self) -> int:
        """Tables whose rows are not all there."""
        return len(self._open_tables)

    def _tick(self) -> None:
        try:
            if self._error is None:
                self.tick()
        except Exception as exc:  # pylint: disable=broad-except
            self._fail(exc)

    def _start(self, threads: ThreadPoolExecutor, pool: Pool) -> bool:
        """Give work to whoever is free; False when there is nothing left to give."""
        while self._error is None and len(self._running) < self.jobs:
            unit = self._ready()
            if unit is not None:
                del self._free[unit.entry.id]
                self._running[threads.submit(self.builder.create, pool, unit)] = unit
            elif self._parts:
                part = self._parts.pop(0)
                self._running[threads.submit(self._copy, part)] = part
            else:
                break
        return self._error is None and bool(self._free or self._blocked or self._parts)

    def _ready(self) -> Unit | None:
        busy = [item for item in self._running.values() if isinstance(item, Unit)]
        found = self.builder.ready(self._free, busy, self._unfinished)[:1]
        # a circle among them is for PostgreSQL to judge, but only when nothing else can be done
        if found and not self._unfinished.isdisjoint(found[0].entry.depends) and (self._running or self._parts):
            return None
        return found[0] if found else None

    def _release(self, table: int | None = None) -> None:
        """The rows of a table are there: what waited for no other one is free."""
        for number, (unit, needs) in list(self._blocked.items()):
            needs.discard(table or 0)
            if not needs:
                self._free[number] = unit
                del self._blocked[number]

    def _copy(self, part: Part) -> int:
        pair = self._pairs.get()
        try:
            return pair.copy(self._work.tables[part.table], part)
        finally:
            self._pairs.put(pair)

    def _moved(self, part: Part, size: int) -> None:
        self.moved[part] = self.moved.get(part, 0) + size

    def _end(self, item: Unit | Part, future: Future[object]) -> None:
        if isinstance(item, Unit):
            self._unfinished.discard(item.entry.id)
            failure = future.result()
            if isinstance(failure, Exception):
                self.builder.failures.append((item, failure))
                self._unfinished -= self._drop_dependents(item.entry.id)
            else:
                self.built += 1
            return
        exc = future.exception()
        if exc is not None:
            self._fail(exc)
            return
        self.moved.pop(item, None)
        self.finished.append(item)
        self._open_tables[item.table] -= 1
        if not self._open_tables[item.table]:
            del self._open_tables[item.table]
            self._release(item.table)
        if not self._open_tables:
            self.copied_after = time.monotonic() - self._begun

    def _drop_dependents(self, failed: int) -> set[int]:
        waiting = self._free | {number: unit for number, (unit, _needs) in self._blocked.items()}
        lost = drop_dependents(waiting, failed)
        for number in lost:
            self._free.pop(number, None)
            self._blocked.pop(number, None)
        return lost

    def _fail(self, exc: BaseException) -> None:
        """The others stop; the first reason is the one that is told."""
        self.mover.stop.set()
        if self._error is None and not isinstance(exc, Stopped):
            self._error = exc


def _count(parts: Iterable[Part]) -> dict[int, int]:
    """table -> parts that are not there yet."""
    found: dict[int, int] = {}
    for part in parts:
        found[part.table] = found.get(part.table, 0) + 1
    return found


def _needs(unit: Unit, work: Work, missing: Mapping[int, int]) -> set[int]:
    """The tables whose rows must be there before the unit is created; a partitioned table's are its partitions'."""
    tables = {work.entries[i] for entry in unit.entries for i in entry.depends if i in work.entries}
    return {leaf for oid in tables for leaf in work.leaves.get(oid, {oid}) if leaf in missing}
