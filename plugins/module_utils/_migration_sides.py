# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two sides of a migration as the switch sees them (private to the collection)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Mapping

from ._errors import CrossoverError
from ._migration_control import NODE, SOURCE, Control, read, swap
from ._migration_fence import switch
from ._migration_names import Names
from ._migration_route import Route
from ._pg_catalog import Scope, Table, tables
from ._pg_connect import Login, connect

UNREACHABLE = ("unreachable", "unknown_host", "no_connections_left")  # codes of connect_error: the server is not there


@dataclass(frozen=True)
class Link:
    """One native subscription: what the publisher sends through the slot, the subscriber applies."""

    publisher: str  # a side
    publication: str
    slot: str
    subscription: str

    @property
    def subscriber(self) -> str:
        """The other side."""
        return SOURCE if self.publisher == NODE else NODE


@dataclass(frozen=True)
class Limits:
    """Deadlines in seconds. ``lease`` must be longer than any wait during which its session says nothing."""

    quiet: float = 10.0
    hold: float = 2.0
    fence: float = 1.0
    drain: float = 2.0
    window: float = 4.0
    lease: float = 3.0
    catch_up: float = 60.0
    verify: float = 30.0
    long_transaction: float = 5.0
    sequence_gap: int = 0


@dataclass
class Migration:
    """Everything a switch needs to know; holds no connection, so that it survives a fork."""

    name: str
    direction: str  # forward: to the node; back: to the source
    logins: Mapping[str, Login]
    make_route: Callable[[], Route]
    names: Names
    scope: Scope
    limits: Limits
    way_back: bool = True
    tables: dict[str, list[Table]] = field(default_factory=dict)

    @property
    def new(self) -> str:
        """The side to switch to."""
        return NODE if self.direction == "forward" else SOURCE

    @property
    def old(self) -> str:
        """The side to switch from."""
        return SOURCE if self.direction == "forward" else NODE

    @property
    def links(self) -> dict[str, Link]:
        """By publisher."""
        n = self.names
        return {
            SOURCE: Link(SOURCE, n.publication, n.slot, n.subscription),
            NODE: Link(NODE, n.back_publication, n.back_slot, n.back_subscription),
        }

    @property
    def feed(self) -> Link:
        """What feeds the new side until the switch."""
        return self.links[self.old]

    @property
    def opposite(self) -> Link | None:
        """What feeds the old side after the switch; None where the operator gave up the way back."""
        return self.links[self.new] if self.way_back or self.direction == "back" else None

    def turned(self) -> Migration:
        """The same migration in the other direction."""
        return replace(self, direction="back" if self.direction == "forward" else "forward", tables={})

    def open(self, side: str, **how: Any) -> Any:
        """A connection to a side."""
        return connect(self.logins[side], **how)

    @property
    def lease_name(self) -> str:
        """The application_name of the session that holds the locks, so that it can be ended from outside."""
        return f"crossover lease {self.name}"[:63]

    def open_lease(self, side: str) -> Any:
        """That session: it notices within half a second that its client is gone, even while it waits for a lock."""
        settings = {
            "application_name": self.lease_name,
            "client_connection_check_interval": "500ms",
            "synchronous_commit": "on",
        }
        return self.open(side, settings=settings)

    def end_leases(self) -> None:
        """End those sessions from outside: a stalled process cannot let go of its locks by itself."""
        for side in (SOURCE, NODE):
            try:
                with self.open(side) as conn:
                    conn.execute(
                        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                           WHERE application_name = %s AND datname = current_database() AND usename = session_user""",
                        [self.lease_name],
                    )
            except CrossoverError:
                pass  # a server that cannot be reached holds nobody up; the server's own timeout ends the session

    def read_tables(self, side: str, conn: Any) -> list[Table]:
        """The tables of a side that the application can write, as they are now."""
        self.tables[side] = tables(conn, self.scope)
        return self.tables[side]

    def control(self, conn: Any) -> Control:
        """The control row, from a connection to the source."""
        control = read(conn, self.name)
        if control is None:
            raise CrossoverError(
                f"there is no control row for migration {self.name}",
                code="no_control_row",
                server=str(self.logins[SOURCE]),
                untouched="nothing was changed",
                hint="run the playbook crossover.pgedge.replicate first",
            )
        return control


def agree(migration: Migration, control: Control, route: Route) -> bool:
    """Make fences and route agree with the control row: the other side fenced first, so never two are writable.

    Idempotent; used after the point of no return, to back out, by the watchdog and by a rerun. Says whether anything
    had to be changed. The other side's fence is up by then, whatever happened (the node's from the beginning, the old
    side's by the commit itself); so a server that is down does not keep the application from going on here.
    """
    writable, other = control.writable, SOURCE if control.writable == NODE else NODE
    changed = False
    try:
        changed |= _set_fence(migration, other, True)
    except CrossoverError as exc:
        if exc.code not in UNREACHABLE:
            raise
    changed |= _set_fence(migration, writable, False)
    try:
        changed |= route.point(writable)
    finally:  # a part that cannot be pointed meets the fence; the others must not wait for it
        route.release()
    return changed


def _set_fence(migration: Migration, side: str, enabled: bool) -> bool:
    with migration.open(side, settings={"lock_timeout": "2s"}) as conn, conn.transaction():
        return switch(conn, tables(conn, migration.scope), enabled, create=True)


def take_back(migration: Migration, seen: Control, route: Route, by: str) -> Control:
    """End a switch that did not reach its point of no return: take the epoch, then let the old side go on.

    Whoever is slower finds the epoch taken and stops. Where the switch *was* committed, go on with the new side.
    """
    migration.end_leases()
    with migration.open(SOURCE, settings={"lock_timeout": "2s"}) as conn:
        control = migration.control(conn)
        if control == seen:
            control = swap(conn, seen, seen.writable, by)
    agree(migration, control, route)
    return control
