# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two sides of a migration as the switch sees them (private to the collection).

A side is what the control row names: the source, or the nodes. A place is one server of a side: the source, the
publishing node (it is called as its side is: the way back leads from it) or a further node, by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Mapping, Sequence

from ._errors import CrossoverError
from ._migration_control import NODE, SOURCE, Control, read
from ._migration_fence_share import Wish
from ._migration_names import Names
from ._migration_route import Route
from ._migration_sequences_choice import Choice
from ._pg_catalog import Scope, Table, tables
from ._pg_connect import Login, connect


@dataclass(frozen=True)
class Link:
    """One native subscription: what the publisher sends through the slot, the subscriber applies."""

    publisher: str  # a place
    subscriber: str  # a place
    publication: str
    slot: str
    subscription: str


@dataclass(frozen=True)
class FurtherNode:
    """A node beside the publishing one. A landing node has a native subscription of its own to the source."""

    name: str
    login: Login
    names: Names
    landing: bool = True


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
    clock_skew: float = 0.5
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
    tables: dict[str, list[Table]] = field(default_factory=dict)  # by place
    further: Sequence[FurtherNode] = ()
    sequences: Choice = field(default_factory=Choice)  # how the nodes share them

    def __post_init__(self) -> None:
        self.logins = {**self.logins, **{node.name: node.login for node in self.further}}
        if self.sequences.stride <= len(self.further):
            self.sequences = replace(self.sequences, stride=len(self.further) + 1)

    @property
    def new(self) -> str:
        """The side to switch to."""
        return NODE if self.direction == "forward" else SOURCE

    @property
    def old(self) -> str:
        """The side to switch from."""
        return SOURCE if self.direction == "forward" else NODE

    def places(self, side: str) -> list[str]:
        """The servers of a side; the first of the nodes is the publishing one."""
        return [SOURCE] if side == SOURCE else [NODE, *self.beyond]

    @property
    def beyond(self) -> list[str]:
        """The further nodes."""
        return [node.name for node in self.further]

    @property
    def everywhere(self) -> list[str]:
        """Every server."""
        return [*self.places(SOURCE), *self.places(NODE)]

    def side(self, place: str) -> str:
        """The side of a place."""
        return SOURCE if place == SOURCE else NODE

    def named(self, place: str) -> str:
        """For sentences: the source, the node (where it is the only one), or the node n2."""
        return place if place == SOURCE or not self.further else f"node {self.logins[place].label}"

    @property
    def forward_links(self) -> list[Link]:
        """What feeds the landing nodes."""
        landing = [(NODE, self.names), *((node.name, node.names) for node in self.further if node.landing)]
        return [Link(SOURCE, place, n.publication, n.slot, n.subscription) for place, n in landing]

    @property
    def back_link(self) -> Link:
        """What feeds the source after the switch; what is written on further nodes comes through it too."""
        n = self.names
        return Link(NODE, SOURCE, n.back_publication, n.back_slot, n.back_subscription)

    @property
    def feeds(self) -> list[Link]:
        """What feeds the new side until the switch."""
        return self.forward_links if self.direction == "forward" else [self.back_link]

    @property
    def opposites(self) -> list[Link]:
        """What feeds the old side after the switch; nothing where the operator gave up the way back."""
        if self.direction == "back":
            return self.forward_links
        return [self.back_link] if self.way_back else []

    def turned(self) -> Migration:
        """The same migration in the other direction."""
        return replace(self, direction="back" if self.direction == "forward" else "forward", tables={})

    def open(self, place: str, **how: Any) -> Any:
        """A connection to a place. What a session of ours does on a node stays there (_pg_connect)."""
        return connect(self.logins[place], **how)

    @property
    def lease_name(self) -> str:
        """The application_name of the session that holds the locks, so that it can be ended from outside."""
        return f"crossover lease {self.name}"[:63]

    def open_lease(self, place: str) -> Any:
        """That session: it notices within half a second that its client is gone, even while it waits for a lock."""
        settings = {
            "application_name": self.lease_name,
            "client_connection_check_interval": "500ms",
            "synchronous_commit": "on",
        }
        return self.open(place, settings=settings)

    def end_lease(self, place: str) -> None:
        """End that session from outside: a stalled process cannot let go of its locks by itself."""
        with self.open(place) as conn:
            conn.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = %s AND datname = current_database() AND usename = session_user""",
                [self.lease_name],
            )

    def read_tables(self, place: str, conn: Any) -> list[Table]:
        """The tables of a place that the application can write, as they are now."""
        self.tables[place] = tables(conn, self.scope)
        return self.tables[place]

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


def further_nodes(params: Mapping[str, Any]) -> tuple[FurtherNode, ...]:
    """From the options ``further_nodes``, ``node`` and ``name`` (the migration's)."""
    taken = {SOURCE, NODE, params["node"]}
    found = []
    for options in params["further_nodes"]:
        name = options["name"]
        if name in taken:
            raise CrossoverError(
                f"{name} cannot be the name of a further node: it is another server's",
                code="bad_option",
                untouched="nothing was changed",
                hint="give each node a name of its own",
            )
        taken.add(name)
        login = Login.of(options, name)
        found.append(FurtherNode(name, login, Names.of(params["name"], name), options["landing"]))
    return tuple(found)
