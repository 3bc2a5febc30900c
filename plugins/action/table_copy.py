# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the progress of crossover.pgedge.table_copy while it copies."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.crossover.pgedge.plugins.module_utils._ansible import LOGIN_OPTIONS
from ansible_collections.crossover.pgedge.plugins.plugin_utils.live import LiveAction, duration, size

LIMIT = 30 * 86400  # seconds; a copy ends by itself
STEP = 5  # per cent that are worth a line


def line(seen: Mapping[str, Any]) -> str:
    """Word it: ``[node] copy 37% · 182 GiB/490 GiB · 41/212 parts, 30/800 indexes …, 210 MiB/s, ETA 24m10s``."""
    done, total = seen["done"], max(seen["total"] or 0, seen["done"])
    parts = [f"copy {100 * done // max(total, 1)}%", f"{size(done)}/{size(total)}", *filter(None, [seen["message"]])]
    return f"[node] {' · '.join(parts)}"


def table_line(table: Mapping[str, Any]) -> str:
    """Word a table that is complete."""
    return f"[node] copied {table['name']} · {table['rows']} rows · {size(table['bytes'])}"


class ActionModule(LiveAction):
    """crossover.pgedge.table_copy"""

    _told = 0

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

    def look(self, task_vars: dict[str, Any]) -> Any:
        """Read what the module writes into the ledger."""
        args = self._task.args
        logins = {name: args[name] for name in args if name in LOGIN_OPTIONS or name == "source"}
        source = args.get("source") or {}
        name = args.get("migration") or source.get("login_db") or source.get("db") or source.get("database")
        found = self._execute_module(
            module_name="crossover.pgedge.migration_info",
            module_args={**logins, "name": name or "postgres"},
            task_vars=task_vars,
        )
        seen = next((row for row in found.get("progress") or [] if row["task"] == "copy"), None)
        return {**seen, "copied": found.get("copied") or []} if seen else None

    def word(self, seen: Mapping[str, Any]) -> tuple[str, Any]:
        """Word it; a table more, or some per cent more, are worth a line."""
        total = max(seen["total"] or 0, seen["done"], 1)
        return line(seen), (len(seen["copied"]), 100 * seen["done"] // total // STEP)

    def show(self, seen: Any) -> None:
        """Print also each table that has been completed since."""
        if seen and not self._task.no_log:
            self._tables(seen["copied"])
        super().show(seen)

    def last(self, found: Mapping[str, Any]) -> None:
        """Print the tables that came last, and what it was in all."""
        if self._task.no_log or found.get("failed") or not found.get("changed"):
            return
        self._tables(found.get("copied") or [])
        total = found["summary"]
        self.say(
            f"[node] copied {total['tables']} tables · {total['rows']} rows · {size(total['bytes'])} "
            f"in {duration(total['seconds'])}, indexes and statistics included"
        )

    def _tables(self, copied: list[Mapping[str, Any]]) -> None:
        for table in copied[self._told :]:
            self.say(table_line(table))
        self._told = max(self._told, len(copied))
