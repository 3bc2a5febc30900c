# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is waited for: the subscriptions of one publisher, on one node or on several (private to the collection)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

from ._errors import CrossoverError
from ._replication_barrier import Barrier
from ._replication_lag import subscription_state
from ._replication_progress import published_sizes, sizes_by_conninfo
from ._replication_wait import Every, Lag, Synced, Waiter, wait

SYNCED, BARRIER, LAG = "synced", "barrier", "lag"


@dataclass
class Reader:
    """One subscription. ``node`` is empty where it is the only one."""

    node: str
    conn: Any
    subscription: str
    slots: Sequence[str] = field(default_factory=tuple)

    def state(self) -> dict[str, Any]:
        """The subscription as it is now; an error if there is none."""
        found = subscription_state(self.conn, self.subscription)
        if found is None:
            raise CrossoverError(
                f"there is no subscription {self.subscription}" + (f" on {self.node}" if self.node else ""),
                code="no_subscription",
                object=self.subscription,
                untouched="nothing was changed",
                hint="create it first, with crossover.pgedge.subscription",
            )
        return found

    def waiter(self, condition: str, publisher: Any, limit: int) -> Synced | Lag:
        """The waiter for the condition."""
        state = self.state()
        if condition == LAG:
            return Lag(publisher, list(self.slots) or [state["slot"]], limit, self.conn, self.subscription)
        if publisher is not None:
            sizes = published_sizes(publisher, state["publications"])
        else:
            sizes = sizes_by_conninfo(self.conn, self.subscription)
        return Synced(self.conn, self.subscription, sizes, publisher)


def waiter_for(readers: Sequence[Reader], condition: str, publisher: Any, limit: int) -> Waiter:
    """One waiter for all."""
    if len(readers) == 1 and not readers[0].node:
        return readers[0].waiter(condition, publisher, limit)
    return Every({reader.node: reader.waiter(condition, publisher, limit) for reader in readers})


def wait_barrier(readers: Sequence[Reader], publisher: Any, side: str, timeout: float) -> dict[str, Any]:
    """Take one barrier, once, and wait until every reader is past it."""
    states = [reader.state() for reader in readers]
    feeds = [(s["slot"], r.conn, r.subscription, r.node) for r, s in zip(readers, states)]
    own = {state["slot"] for state in states}
    others = [slot for reader in readers for slot in reader.slots if slot not in own]
    return Barrier.take(publisher, side).wait(publisher, feeds, timeout, others)


def wait_for(
    readers: Sequence[Reader],
    condition: str,
    publisher: Any,
    limit: int,
    timeout: float,
    on_look: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Wait until every table is in sync, or the lag is under the limit."""
    return wait(waiter_for(readers, condition, publisher, limit), timeout, on_look=on_look)
