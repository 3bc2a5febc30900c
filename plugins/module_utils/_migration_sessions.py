# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions of a switch, and what is done in all of them at once (private to the collection)."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Mapping, TypeVar

from ._errors import CrossoverError
from ._migration_deadline import together
from ._migration_fence import Lease, holders
from ._migration_mesh_ready import away
from ._migration_sides import Migration
from ._pg_connect import driver, sql_error

Result = TypeVar("Result")
_GRACE = 0.5  # seconds for a server to say that the time for a lock is over


def on_each(migration: Migration, places: list[str], act: Callable[[str], Result], seconds: float) -> dict[str, Result]:
    """On all these servers at once, or fail with the first failure; one alone needs no thread."""
    if len(places) == 1:
        return {places[0]: act(places[0])}
    done, failed = together({place: partial(act, place) for place in places}, seconds)
    for place, exc in failed.items():
        if isinstance(exc, CrossoverError):
            exc.server = exc.server or str(migration.logins[place])
        raise exc
    return done


class Sessions:
    """By place: one to look with everywhere, one with the lease's locks on the old side, one to lift the new one's."""

    def __init__(self, migration: Migration) -> None:
        self.m = migration
        self.conn: dict[str, Any] = {}
        self.lease: dict[str, Any] = {}
        self.lift: dict[str, Any] = {}

    def open(self) -> None:
        """All servers answer."""

        def look(place: str) -> None:
            try:
                self.conn[place] = self.m.open(place)
            except CrossoverError as exc:
                raise away(self.m, place, exc) from None

        on_each(self.m, self.m.everywhere, look, 15.0)

    def open_leases(self) -> None:
        """The others; from here on only the watchdog's rescue ends them where we cannot."""
        self.lease.update((place, self.m.open_lease(place)) for place in self.m.places(self.m.old))
        self.lift.update((place, self.m.open_lease(place)) for place in self.m.places(self.m.new))

    def leases(self) -> tuple[dict[str, Lease], dict[str, Lease]]:
        """Of the old side and of the new."""
        limits, tables = self.m.limits, self.m.tables
        # Back, on a mesh: a further node's session is silent from its fence to the commit, so for the whole window.
        seconds = limits.lease if len(self.lease) == 1 else max(limits.lease, limits.window)
        return (
            {place: Lease(conn, tables[place], seconds) for place, conn in self.lease.items()},
            {place: Lease(conn, tables[place], limits.window + limits.lease) for place, conn in self.lift.items()},
        )

    def lock(self, take: Mapping[str, Callable[[float], None]], timeout: float, hint: str = "") -> None:
        """Each of these locks, on all servers at once."""

        def one(place: str) -> None:
            try:
                take[place](timeout)
            except driver().errors.LockNotAvailable:
                raise CrossoverError(
                    f"a lock on all tables was not to be had within {timeout:g} s: {self._holders(place)}",
                    code="fence_timeout",
                    server=str(self.m.logins[place]),
                    hint=f"end it or wait for its end{hint}",
                ) from None
            except driver().Error as exc:
                raise sql_error(
                    exc, self.m.logins[place], "the tables could not be locked", code="fence_failed"
                ) from None

        on_each(self.m, list(take), one, timeout + _GRACE)

    def _holders(self, place: str) -> str:
        ours = [conns[place].info.backend_pid for conns in (self.lease, self.lift) if place in conns]
        return holders(self.conn[place], self.m.tables[place], ours)

    def gone(self) -> list[str]:
        """The servers that have ended a session of ours."""
        return [p for conns in (self.conn, self.lease, self.lift) for p, conn in conns.items() if conn.closed]

    def close(self) -> None:
        """The lease's locks go with its session."""
        for conns in (self.lease, self.lift, self.conn):
            for conn in conns.values():
                conn.close()
            conns.clear()
