# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two sides of a migration as the switch sees them (private to the collection)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Mapping

from ._errors import CrossoverError
from ._migration_control import NODE, SOURCE, Control, read
from ._migration_fence_share import Wish
from ._migration_names import Names
from ._migration_route import Route
from ._pg_catalog import Scope, Table, tables
from ._pg_connect import Login, connect


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
    copies: Wish = field(default_factory=Wish)  # what is copied at the fence
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

    def end_lease(self, side: str) -> None:
        """End that session from outside: a stalled process cannot let go of its locks by itself."""
        with self.open(side) as conn:
            conn.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = %s AND datname = current_database() AND usename = session_user""",
                [self.lease_name],
            )

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
