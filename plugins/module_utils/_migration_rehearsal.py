# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cutover in check mode can say without holding or writing anything (private to the collection)."""

from __future__ import annotations

from typing import Any, Callable

from ._errors import CrossoverError
from ._migration_control import NODE, SOURCE, Control
from ._migration_cutover import unfinished
from ._migration_fence_copy import FenceCopy
from ._migration_fence_share import within
from ._migration_links import check_feed, check_tables, no_long_transactions
from ._migration_sides import Migration
from ._replication_lag import slot_state

STEPS = (
    "check fence_copy_first opposite_slot_ready sequences_first catch_up fence_copy_again opposite_slot_warm quiet "
    "hold fence drain fence_copy sequences opposite_slot commit lift point release stop_feed start_opposite verify"
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
    feed = migration.feed
    with migration.open(SOURCE) as source, migration.open(NODE) as node:
        conn = {SOURCE: source, NODE: node}
        if not unfinished(migration, control):  # the switch itself goes forward from there first
            attempt(lambda: check_feed(conn[feed.subscriber], conn[feed.publisher], feed))
        attempt(lambda: no_long_transactions(conn[migration.old], migration.limits.long_transaction))
        attempt(lambda: check_tables(migration, conn))
        slot = slot_state(conn[feed.publisher], feed.slot)
    copy = FenceCopy(migration)
    share = attempt(copy.forecast) if copy.wish.any else None
    copy.close()
    if share:
        attempt(lambda: within(share["what"], share["predicted_seconds"], copy.wish.budget))
    return {
        "problems": problems,
        "steps": [step for step in STEPS if copy.wish.any or not step.startswith("fence_copy")],
        "lag_bytes": slot["lag_bytes"] if slot else None,
        "fence_copy": share,
    }
