# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cutover in check mode can say without holding or writing anything (private to the collection)."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any, Callable

from ._errors import CrossoverError
from ._migration_clock import check_clocks
from ._migration_control import NODE, Control
from ._migration_fence_copy import FenceCopy
from ._migration_fence_share import within
from ._migration_links import check_tables, feed_checks, no_long_transactions
from ._migration_mesh_ready import away, check_landing, check_mesh, has_spock
from ._migration_sequences_carry import carry_of
from ._migration_sides import Migration
from ._migration_turn_round import unfinished
from ._replication_lag import slot_state

STEPS = (
    "check fence_copy_first opposite_slot_ready sequences_first catch_up fence_copy_again opposite_slot_warm quiet "
    "hold fence_further drain_further fence drain fence_copy sequences opposite_slot clock commit lift point release "
    "stop_feed start_opposite verify"
).split()


def rehearse(migration: Migration, control: Control) -> dict[str, Any]:
    """``problems``: what would stop the switch now, each a sentence; empty when it could start."""
    if control.writable == migration.new:
        return {"problems": [], "steps": [], "lag_bytes": None, "fence_copy": None}
    problems: list[str] = []

    def attempt(look: Callable[[], Any]) -> Any:
        try:
            return look()
        except CrossoverError as exc:
            problems.append(str(exc))
            return None

    route = migration.make_route()
    attempt(route.prepare)
    lag: list[int] = []
    spock = False
    with contextlib.ExitStack() as stack:
        conn = {place: attempt(partial(_open, stack, migration, place)) for place in migration.everywhere}
        if None not in conn.values():
            attempt(lambda: check_landing(migration))
            if not unfinished(migration, control):  # the switch itself goes forward from there first
                for check in feed_checks(migration, conn):
                    attempt(check)
            for place in migration.places(migration.old):
                attempt(partial(no_long_transactions, conn[place], migration.limits.long_transaction))
            attempt(lambda: check_tables(migration, conn))
            attempt(lambda: carry_of(migration, conn).read())
            if migration.further:
                attempt(lambda: check_mesh(migration, conn))
            spock = migration.new == NODE and has_spock(conn[NODE])
            if spock:
                named = {place: migration.named(place) for place in migration.everywhere}
                limit = migration.limits.clock_skew
                attempt(lambda: check_clocks(conn, migration.places(NODE), named, limit))
            slots = [slot_state(conn[feed.publisher], feed.slot) for feed in migration.feeds]
            lag = [slot["lag_bytes"] for slot in slots if slot and slot["lag_bytes"] is not None]
    copy = FenceCopy(migration)
    share = attempt(copy.forecast) if copy.wish.any else None
    copy.close()
    if share:
        attempt(lambda: within(share["what"], share["predicted_seconds"], copy.wish.budget))
    return {
        "problems": problems,
        "steps": [step for step in STEPS if _taken(step, migration, spock)],
        "lag_bytes": max(lag, default=None),
        "fence_copy": share,
    }


def _open(stack: contextlib.ExitStack, migration: Migration, place: str) -> Any:
    try:
        return stack.enter_context(migration.open(place))
    except CrossoverError as exc:
        raise away(migration, place, exc) from None


def _taken(step: str, migration: Migration, spock: bool) -> bool:
    """Whether this migration's switch takes a step."""
    if step.startswith("fence_copy"):
        return migration.copies.any
    if step.endswith("_further"):
        return migration.old == NODE and bool(migration.further)
    return spock if step == "clock" else True
