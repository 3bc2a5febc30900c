# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the progress of crossover.pgedge.table_compare while it compares."""

from __future__ import annotations

import time
from typing import Any, Mapping

from ansible_collections.crossover.pgedge.plugins.module_utils._ansible import LOGIN_OPTIONS
from ansible_collections.crossover.pgedge.plugins.plugin_utils.live import LiveAction, duration

LIMIT = 7 * 86400  # seconds; a comparison ends by itself
STEP = 5  # per cent that are worth a line


def line(seen: Mapping[str, Any], rate: float | None) -> str:
    """Word it: ``[source, target] compare 37% · 12/41 tables · 1200000/3200000 rows · 350000 rows/s · ETA 6s``."""
    done, total = seen["done"], max(seen["total"] or 0, seen["done"])
    parts = [f"compare {100 * done // max(total, 1)}%", *filter(None, [seen["message"]]), f"{done}/{total} rows"]
    if rate:
        parts += [f"{rate:.0f} rows/s", f"ETA {duration((total - done) / rate)}"]
    return f"[source, target] {' · '.join(parts)}"


class ActionModule(LiveAction):
    """crossover.pgedge.table_compare"""

    _begun: tuple[float, int] | None = None

    def limit(self) -> float:
        """Return what no comparison takes."""
        return LIMIT

    def look(self, task_vars: dict[str, Any]) -> Any:
        """Read what the module writes into the ledger."""
        args = self._task.args
        logins = {name: args[name] for name in args if name in LOGIN_OPTIONS or name == "source"}
        source = args.get("source") or {}
        name = args.get("name") or source.get("login_db") or source.get("db") or source.get("database")
        found = self._execute_module(
            module_name="crossover.pgedge.migration_info",
            module_args={**logins, "name": name or "postgres"},
            task_vars=task_vars,
        )
        return next((row for row in found.get("progress") or [] if row["task"] == "compare"), None)

    def word(self, seen: Mapping[str, Any]) -> tuple[str, Any]:
        """Word it; some per cent more are worth a line."""
        now = time.monotonic()
        self._begun = self._begun or (now, seen["done"])
        passed, more = now - self._begun[0], seen["done"] - self._begun[1]
        rate = more / passed if passed > 1 and more > 0 else None
        total = max(seen["total"] or 0, seen["done"], 1)
        return line(seen, rate), 100 * seen["done"] // total // STEP
