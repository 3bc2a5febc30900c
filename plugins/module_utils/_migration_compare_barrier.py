# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The barrier of a comparison: over the stream that flows now, in whichever direction (private to the collection)."""

from __future__ import annotations

import secrets

from ._errors import CrossoverError
from ._migration_compare_scope import NODE, SOURCE
from ._migration_names import Names
from ._pg_connect import Login, connect, driver, sql_error
from ._replication_barrier import Barrier
from ._replication_lag import subscription_state


class CompareBarrier:
    """Call it to wait until both sides have passed one barrier."""

    def __init__(self, source: Login, node: Login, names: Names, subscription: str, seconds: float) -> None:
        self.logins = {SOURCE: source, NODE: node}
        self.seconds = seconds
        # a canary of its own: whoever else takes a barrier meanwhile writes another row
        self.side = f"compare-{secrets.token_hex(4)}"
        self.conns = {side: connect(login) for side, login in self.logins.items()}
        try:
            self.publisher, self.subscriber, self.subscription, self.slot = self._feed(names, subscription)
        except BaseException:
            self._close()
            raise

    def _feed(self, names: Names, subscription: str) -> tuple[str, str, str, str]:
        ways = [(SOURCE, NODE, subscription or names.subscription)]
        ways += [] if subscription else [(NODE, SOURCE, names.back_subscription)]
        for publisher, subscriber, name in ways:
            state = subscription_state(self.conns[subscriber], name)
            if state and state["enabled"] and state["slot"]:
                return publisher, subscriber, name, state["slot"]
        names_tried = " nor ".join(f"{name} on the {subscriber}" for _publisher, subscriber, name in ways)
        raise CrossoverError(
            f"nothing replicates between source and node: there is no enabled subscription {names_tried}",
            code="no_subscription",
            object=ways[0][2],
            untouched="nothing was compared",
            hint="run crossover.pgedge.replicate first, or compare with barrier: false where nothing writes",
        )

    def __call__(self) -> None:
        """Wait; CrossoverError when it takes too long or can never come."""
        publisher = self.conns[self.publisher]
        try:
            taken = Barrier.take(publisher, self.side)
            taken.wait(publisher, [(self.slot, self.conns[self.subscriber], self.subscription)], self.seconds)
        except driver().Error as exc:
            raise sql_error(
                exc,
                self.logins[self.publisher],
                "no barrier could be taken",
                code="barrier_failed",
                hint="run the playbook crossover.pgedge.replicate again: it makes the canary table",
            ) from None

    def close(self) -> None:
        """Take the canary away and end the sessions."""
        try:
            self.conns[self.publisher].execute("DELETE FROM crossover.canary WHERE side = %s", [self.side])
        except driver().Error:
            pass  # one small row stays until finish drops the schema
        self._close()

    def _close(self) -> None:
        for conn in self.conns.values():
            conn.close()
