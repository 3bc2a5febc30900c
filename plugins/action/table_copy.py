# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the progress of crossover.pgedge.table_copy while it copies, or while another run of it does."""

from __future__ import annotations

from typing import Any

from ansible_collections.crossover.pgedge.plugins.module_utils._progress_words import duration, number, size
from ansible_collections.crossover.pgedge.plugins.plugin_utils.live import LedgerAction

LIMIT = 30 * 86400  # seconds; a copy ends by itself


class ActionModule(LedgerAction):
    """crossover.pgedge.table_copy"""

    task, table_word = "copy", "copied"

    def limit(self) -> float:
        """Return what no copy takes."""
        return LIMIT

    def first(self, task_vars: dict[str, Any]) -> dict[str, Any] | None:
        """To give a copy up takes no time worth a line; what is only begun is looked at later."""
        state = self._task.args.get("state", "present")
        if state == "started":
            return {**self.start(task_vars), "changed": False}
        if state != "absent":
            return None
        found: dict[str, Any] = self._execute_module(task_vars=task_vars)
        return found

    def last(self, found: dict[str, Any]) -> None:
        """Print the tables that came last, and what it was in all."""
        if found.get("failed") or not (found.get("changed") or found.get("attached")):
            return
        self.tables(self.side, found.get("copied") or [])
        if total := found.get("summary"):
            self.say(
                f"[{self.side}] copied {total['tables']} tables · {number(total['rows'])} rows · "
                f"{size(total['bytes'])} in {duration(total['seconds'])}, with indexes and statistics"
            )
