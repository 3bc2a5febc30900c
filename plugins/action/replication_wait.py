# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the progress of crossover.pgedge.replication_wait while it waits."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.crossover.pgedge.plugins.module_utils._progress_words import Rate, size
from ansible_collections.crossover.pgedge.plugins.module_utils._replication_progress import as_task
from ansible_collections.crossover.pgedge.plugins.plugin_utils.live import LiveAction, Seen, seen_of

AT_ONCE = 2  # seconds in which it is tried without the background


class ActionModule(LiveAction):
    """crossover.pgedge.replication_wait"""

    task, table_word = "sync", "in sync"

    def limit(self) -> float:
        """Return the task's timeout."""
        return float(self._task.args.get("timeout") or 3600)

    def first(self, task_vars: dict[str, Any]) -> dict[str, Any] | None:
        """Most waits are over at once; only those that are not go to the background."""
        self._rates: dict[str, Rate] = {}
        self._waiting: dict[str, set[str]] = {}
        if self._task.args.get("direction") == "back":
            self.side = "source"
        seconds = float(self._task.args.get("timeout", 3600))
        found = self._wait(task_vars, timeout=int(min(AT_ONCE, seconds)))
        if self._is_late(found) and seconds > AT_ONCE:
            self.show(self._seen(found))
            return None
        return found

    def look(self, task_vars: dict[str, Any]) -> list[Seen]:
        """Look once. For a barrier look at the lag: another canary would replace the one that is waited for."""
        condition = self._task.args.get("condition")
        return self._seen(
            self._wait(task_vars, timeout=0, condition="lag" if condition == "barrier" else condition, max_lag_bytes=0)
        )

    def last(self, found: dict[str, Any]) -> None:
        """Print the tables that came last."""
        if not found.get("failed"):
            self.show(self._seen(found))

    def _seen(self, found: Mapping[str, Any]) -> list[Seen]:
        measured = found.get("measurement") or {}
        nodes = measured.get("nodes") or {self.side: measured}
        return [seen for side, one in nodes.items() for seen in self._one(side, one)]

    def _one(self, side: str, measured: Mapping[str, Any]) -> list[Seen]:
        lag = measured.get("lag_bytes")
        if "tables_total" not in measured:
            return [] if lag is None else [Seen(side, f"lag {size(max(0, lag))}", size(max(0, lag)))]
        # what is in sync since the first look; all that was before is nothing that this run has brought
        waiting = set(measured.get("waiting") or ())
        known = self._waiting.setdefault(side, waiting)
        known |= waiting
        row = as_task(measured)
        row["rate"] = self._rates.setdefault(side, Rate())(row["done"])
        return [seen_of(side, row, [{"name": name} for name in sorted(known - waiting)])]

    def _wait(self, task_vars: dict[str, Any], **changed: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name="crossover.pgedge.replication_wait",
            module_args={**self._task.args, **changed},
            task_vars=task_vars,
        )
        return found

    @staticmethod
    def _is_late(found: Mapping[str, Any]) -> bool:
        return bool(found.get("failed")) and (found.get("failure") or {}).get("code") in ("timeout", "barrier_timeout")
