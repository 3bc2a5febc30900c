# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the point of no return: replication turns round (private to the collection)."""

from __future__ import annotations

import contextlib
from typing import Any

from ._errors import CrossoverError
from ._migration_control import NODE, Control
from ._migration_journal import Journal
from ._migration_links import drop_slot, start_link, stop_link, verify_links
from ._migration_mesh_ready import check_mesh
from ._migration_route import UNREACHABLE
from ._migration_sessions import on_each
from ._migration_sides import Migration
from ._replication_lag import slot_state, subscription_state
from ._spock_wait import cross


def unfinished(migration: Migration, control: Control) -> bool:
    """Whether the last switch, the other way, ended before replication had turned round: what feeds us rests."""
    if not control.crossings:
        return False
    for feed in migration.feeds:
        with migration.open(feed.subscriber) as conn:
            state = subscription_state(conn, feed.subscription)
        if state is None or state["enabled"]:
            continue
        with migration.open(feed.publisher) as conn:  # no slot: the switch gave up the way back on purpose
            if slot_state(conn, feed.slot) is not None:
                return True
    return False


class TurnRound:
    """Stops what fed the new side, and lets what feeds the old one begin."""

    def __init__(self, migration: Migration, journal: Journal) -> None:
        self.m, self.journal = migration, journal
        self.warnings: list[str] = []

    def run(self) -> None:
        """Idempotent: a rerun does what is left."""
        m, step = self.m, self.journal.step
        with step("stop_feed") as detail:
            stopped = on_each(m, [link.subscriber for link in m.feeds], self._stop_feed, 40.0)
            detail["changed"] = any(stopped.values())
        if m.opposites:
            with step("start_opposite") as detail:
                if m.old == NODE and m.further:
                    detail.update(self._all_arrived())
                started = on_each(m, [link.subscriber for link in m.opposites], self._start_opposite, 20.0)
                detail["changed"] = any(started.values())
            with step("verify") as detail:
                detail.update(verify_links(m, m.opposites, m.limits.verify))

    def _stop_feed(self, place: str) -> bool:
        link = next(link for link in self.m.feeds if link.subscriber == place)
        try:
            return stop_link(self.m, link)
        except CrossoverError as exc:
            if place not in self.m.beyond or exc.code not in UNREACHABLE:
                raise
            drop_slot(self.m, link)
            self.warn(place, exc)
            return True

    def _start_opposite(self, place: str) -> bool:
        return start_link(self.m, next(link for link in self.m.opposites if link.subscriber == place))

    def _all_arrived(self) -> dict[str, Any]:
        """Before the source feeds the nodes again, each must have what was written on the others.

        A change of a row that is not there yet would be skipped.
        """
        with contextlib.ExitStack() as stack:
            conn = {place: stack.enter_context(self.m.open(place)) for place in self.m.places(NODE)}
            return cross(check_mesh(self.m.turned(), conn, tables=False), conn, self.m.limits.verify)

    def warn(self, place: str, exc: Exception) -> None:
        """A node that was lost on the way, once."""
        text = (
            f"{self.m.logins[place]} could not be reached and is still fenced: bring it back, then run the playbook "
            f"again ({exc.message if isinstance(exc, CrossoverError) else exc})"
        )
        if not any(warning.startswith(str(self.m.logins[place])) for warning in self.warnings):
            self.warnings.append(text)
