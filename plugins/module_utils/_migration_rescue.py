# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making everything agree with the control row, after a switch or instead of it (private to the collection)."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import Iterator, NamedTuple

from ._errors import CrossoverError
from ._migration_control import NODE, SOURCE, Control, EpochTaken, read, swap
from ._migration_deadline import NoAnswer, together
from ._migration_fence import switch
from ._migration_route import UNREACHABLE, Route
from ._migration_sides import Migration
from ._pg_catalog import tables

_SETTINGS = {"lock_timeout": "2s"}


class Agreed(NamedTuple):
    """What agree did: whether anything had to be changed, and the servers that still are to be let in on."""

    changed: bool
    away: dict[str, Exception]  # by place


def agree(migration: Migration, control: Control, route: Route, patience: float = 15.0) -> Agreed:
    """Make fences and route agree with the control row: the other side fenced first, so never two are writable.

    Idempotent; used after the point of no return, to back out, by the watchdog and by a rerun. The other side's fence
    is up by then, whatever happened (the nodes' from the beginning, the old side's by the commit itself); so a server
    that is down, or does not answer for ``patience`` seconds, does not keep the application from going on here. Nor
    does a further node that cannot be let in on, as long as one of the nodes can.
    """
    writable, other = control.writable, SOURCE if control.writable == NODE else NODE
    with _held(migration, control):
        fenced, failed = _set_fences(migration, migration.places(other), True, patience)
        for exc in failed.values():
            if not isinstance(exc, CrossoverError) or exc.code not in UNREACHABLE:
                raise exc
        opened, away = _set_fences(migration, migration.places(writable), False, patience)
        if not opened:
            raise next(iter(away.values()))
    changed = any(fenced.values()) or any(opened.values())
    changed |= route.settle(writable)
    return Agreed(changed, away)


def _set_fences(
    migration: Migration, places: list[str], enabled: bool, patience: float
) -> tuple[dict[str, bool], dict[str, Exception]]:
    """On all these servers at once; the only one that lets the application go on is waited for."""
    if len(places) == 1 and not enabled:
        return {places[0]: _set_fence(migration, places[0], enabled)}, {}
    until = time.monotonic() + patience
    return together({p: partial(_set_fence, migration, p, enabled, until) for p in places}, patience)


@contextmanager
def _held(migration: Migration, control: Control) -> Iterator[None]:
    """Nobody changes sides between a look at the row and what is done because of it."""
    try:
        conn = migration.open(SOURCE, settings=_SETTINGS)
    except CrossoverError as exc:
        if exc.code not in UNREACHABLE or control.writable == SOURCE:
            raise
        yield  # the row is on a server that is away: nobody can change it
        return
    with conn, conn.transaction():
        query = "SELECT epoch FROM crossover.control WHERE migration = %s FOR SHARE"
        row = conn.execute(query, [migration.name]).fetchone()
        if row is None or row["epoch"] != control.epoch:
            raise EpochTaken(migration.name)
        yield


def _set_fence(migration: Migration, place: str, enabled: bool, until: float | None = None) -> bool:
    with migration.open(place, settings=_SETTINGS) as conn, conn.transaction():
        changed = switch(conn, tables(conn, migration.scope), enabled, create=True)
        if until is not None and time.monotonic() > until:  # nobody waits for this any more: it may be wrong by now
            raise NoAnswer(0, str(migration.logins[place]))
        return changed


class Rescue:
    """Ends a switch that failed, died or stalled; called once more, it goes on with what it could not do.

    Before the point of no return it takes the epoch and lets the old side go on: whoever is slower finds the epoch
    taken and stops. Where the switch *was* committed, it goes on with the new side.
    """

    PATIENCE = 1.0  # seconds for a server that is not needed; the application may be waiting

    def __init__(self, migration: Migration, seen: Control) -> None:
        self.m = migration
        self.seen = seen
        self.control: Control | None = None  # the row as we left it; None while we do not know
        self.route: Route | None = None

    def __call__(self) -> Control:
        """Raises what kept it from its end."""
        if self.control is None:
            self.control = self._take()
        elif self._row() != self.control:
            return self.control  # the sides were switched, or all was removed, by a run that came later
        self.route = self.route or self.m.make_route()
        try:
            agreed = agree(self.m, self.control, self.route, self.PATIENCE)
        except EpochTaken:
            return self.control  # between that look and the fences
        for exc in agreed.away.values():  # the application goes on; there it will, too, once it can be reached
            raise exc
        return self.control

    def _take(self) -> Control:
        """The row, with an epoch that the switch does not know."""
        together({place: partial(self.m.end_lease, place) for place in self.m.everywhere}, self.PATIENCE)
        with self.m.open(SOURCE, settings=_SETTINGS) as conn:
            control = self.m.control(conn)
            try:
                return swap(conn, control, control.writable, "back out") if control == self.seen else control
            except EpochTaken:  # its commit was still on the way
                return self.m.control(conn)

    def _row(self) -> Control | None:
        try:
            with self.m.open(SOURCE) as conn:
                return read(conn, self.m.name)
        except CrossoverError as exc:
            if exc.code != "unknown_database":
                raise
            return None  # dropped since
