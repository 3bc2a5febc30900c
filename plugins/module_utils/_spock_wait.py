# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hops: the proof that what was written on one node has arrived on another (private to the collection).

Spock's sync event is a message in the provider's WAL. The subscriber's apply worker takes transactions in the order of
their commits, and moves its replication origin past each; so once the origin is past the event, everything that was
committed on the provider before the event has been applied. Spock's own wait_for_sync_event looks every 200 ms, at
figures that are up to a second old; the application may be waiting for us.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from ._errors import CrossoverError
from ._pg_connect import driver

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02  # seconds between two looks

_EVENT = "SELECT spock.sync_event()::text AS lsn"
_POSITIONS = """
SELECT o.roname AS origin, s.remote_lsn >= w.lsn::pg_lsn AS passed,
       pg_wal_lsn_diff(w.lsn::pg_lsn, s.remote_lsn)::int8 AS behind
FROM unnest(%s::text[], %s::text[]) AS w(origin, lsn)
JOIN pg_replication_origin o ON o.roname = w.origin
JOIN pg_replication_origin_status s ON s.local_id = o.roident
"""
_SUBSCRIPTIONS = """
SELECT n.node_name AS provider, s.sub_slot_name AS origin, s.sub_name AS subscription,
       (SELECT status FROM spock.sub_show_status(s.sub_name)) AS status
FROM spock.subscription s JOIN spock.node n ON n.node_id = s.sub_origin
"""


@dataclass(frozen=True)
class Hop:
    """One subscription of the mesh; ``provider`` and ``subscriber`` are places."""

    provider: str
    subscriber: str
    origin: str  # the replication origin on the subscriber; Spock calls it as it calls the slot


class Crossing:
    """Events on every provider of the hops, on their way. ``waiting`` are the hops that they have not passed.

    ``on_lost`` hears of a place whose connection breaks, and the others are still waited for; without it that raises.
    """

    def __init__(
        self, hops: Iterable[Hop], conn: Mapping[str, Any], on_lost: Callable[[str, Exception], None] | None = None
    ) -> None:
        self.begun = time.monotonic()
        self.conn = conn
        self.on_lost = on_lost
        self.waiting = set(hops)
        self.events: dict[str, str] = {}
        self.passed: dict[Hop, float] = {}  # after how many ms
        self.behind: dict[Hop, int] = {}  # bytes, of those that wait
        for place in sorted({hop.provider for hop in self.waiting}):
            with self._unless_lost(place):
                self.events[place] = _event(conn[place])
        self.waiting = {hop for hop in self.waiting if hop.provider in self.events}

    @property
    def ms(self) -> float:
        """Since the first event was taken."""
        return round((time.monotonic() - self.begun) * 1000, 1)

    def look(self) -> set[Hop]:
        """See which are past; returns those that are not."""
        for place in {hop.subscriber for hop in self.waiting}:
            mine = {hop.origin: hop for hop in self.waiting if hop.subscriber == place}
            lsns = [self.events[hop.provider] for hop in mine.values()]
            with self._unless_lost(place):
                for row in self.conn[place].execute(_POSITIONS, [list(mine), lsns]):
                    hop = mine[row["origin"]]
                    self.behind[hop] = max(0, row["behind"])
                    if row["passed"]:
                        self.passed[hop] = self.ms
        self.waiting -= set(self.passed)
        return self.waiting

    @contextlib.contextmanager
    def _unless_lost(self, place: str) -> Iterator[None]:
        try:
            yield
        except driver().OperationalError as exc:
            ending = (getattr(exc, "sqlstate", None) or "").startswith("57P")  # the server is going down
            if self.on_lost is None or not (ending or self.conn[place].closed):
                raise
            self.on_lost(place, exc)
            self.waiting = {hop for hop in self.waiting if hop.subscriber != place}

    def wait(self, seconds: float, on_look: Callable[[], None] | None = None) -> bool:
        """Until all are past; False when the time is over."""
        pause = FIRST_PAUSE
        while self.look():
            if self.ms > seconds * 1000:
                return False
            if on_look:
                on_look()
            time.sleep(pause)
            pause = min(pause * 1.05, LONGEST_PAUSE)
        return True


def cross(hops: Iterable[Hop], conn: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """Wait until all that was written on each provider by now has been applied by its subscriber."""
    hops = list(hops)
    crossing = Crossing(hops, conn)
    if not crossing.wait(timeout):
        raise _late(crossing.waiting, conn, timeout)
    return {"hops": len(hops), "ms": crossing.ms}


def sync_all(conns: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """The same between every two of these nodes, until ``deadline`` (time.monotonic()). Keys are Spock's names."""
    hops = []
    for name, conn in conns.items():
        known = {row["provider"]: row for row in subscriptions_of(conn)}
        for other in conns:
            if other == name:
                continue
            if other not in known:
                raise CrossoverError(
                    f"node {name} has no subscription to {other}: nothing replicates between them",
                    code="no_mesh",
                    object=name,
                    hint="run the playbook crossover.pgedge.mesh",
                )
            hops.append(Hop(other, name, known[other]["origin"]))
    return cross(hops, conns, max(0.0, deadline - time.monotonic()))


def subscriptions_of(conn: Any) -> list[dict[str, Any]]:
    """A node's subscriptions: C(provider), C(origin), C(subscription), C(status)."""
    return [dict(row) for row in conn.execute(_SUBSCRIPTIONS)]


def _event(conn: Any) -> str:
    lsn: str = conn.execute(_EVENT, prepare=True).fetchone()["lsn"]
    return lsn


def _late(waiting: Iterable[Hop], conn: Mapping[str, Any], timeout: float) -> CrossoverError:
    names = {place: spock_name(conn[place]) for hop in waiting for place in (hop.provider, hop.subscriber)}
    pairs = sorted(f"{names[hop.provider]} to {names[hop.subscriber]}" for hop in waiting)
    return CrossoverError(
        f"what was written on one node did not arrive on another within {timeout:g} s ({', '.join(pairs)})",
        code="mesh_behind",
        hint="crossover.pgedge.status shows the mesh; try again when it has caught up",
    )


def spock_name(conn: Any) -> str:
    """What Spock calls this node."""
    row = conn.execute("SELECT node_name AS name FROM spock.local_node JOIN spock.node USING (node_id)").fetchone()
    name: str = row["name"] if row else "a node without a name"
    return name
