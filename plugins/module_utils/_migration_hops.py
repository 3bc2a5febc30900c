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

import time
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from ._errors import CrossoverError

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02  # seconds between two looks

_EVENT = "SELECT spock.sync_event()::text AS lsn"
_POSITIONS = """
SELECT o.roname AS origin, s.remote_lsn >= w.lsn::pg_lsn AS passed
FROM unnest(%s::text[], %s::text[]) AS w(origin, lsn)
JOIN pg_replication_origin o ON o.roname = w.origin
JOIN pg_replication_origin_status s ON s.local_id = o.roident
"""


@dataclass(frozen=True)
class Hop:
    """One subscription of the mesh; ``provider`` and ``subscriber`` are places."""

    provider: str
    subscriber: str
    origin: str  # the replication origin on the subscriber; Spock calls it as it calls the slot


def cross(hops: Iterable[Hop], conn: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """Wait until all that was written on each provider by now has been applied by its subscriber."""
    begun = time.monotonic()
    hops = list(hops)
    events = {place: _event(conn[place]) for place in dict.fromkeys(hop.provider for hop in hops)}
    waiting, pause = set(hops), FIRST_PAUSE
    while True:
        for place in {hop.subscriber for hop in waiting}:
            mine = {hop.origin: hop for hop in waiting if hop.subscriber == place}
            rows = conn[place].execute(_POSITIONS, [list(mine), [events[hop.provider] for hop in mine.values()]])
            waiting -= {mine[row["origin"]] for row in rows if row["passed"]}
        ms = round((time.monotonic() - begun) * 1000, 1)
        if not waiting:
            return {"hops": len(hops), "ms": ms}
        if ms > timeout * 1000:
            raise _late(waiting, conn, timeout)
        time.sleep(pause)
        pause = min(pause * 1.05, LONGEST_PAUSE)


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
