# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows how far the nodes are while crossover.pgedge.mesh_wait waits."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.crossover.pgedge.plugins.module_utils._progress_words import size
from ansible_collections.crossover.pgedge.plugins.plugin_utils.live import LiveAction, Seen

AT_ONCE = 2.0  # seconds in which it is tried without the background


class ActionModule(LiveAction):
    """crossover.pgedge.mesh_wait"""

    task = "mesh"

    def limit(self) -> float:
        """Return the task's timeout."""
        return float(self._task.args.get("timeout", 60))

    def first(self, task_vars: dict[str, Any]) -> dict[str, Any] | None:
        """Most waits are over at once; only those that are not go to the background."""
        found = self._wait(task_vars, min(AT_ONCE, self.limit()))
        late = (found.get("failure") or {}).get("code") == "mesh_behind"
        if not late or self.limit() <= AT_ONCE or found.get("unreachable"):
            return found
        self.show(_seen(found))
        return None

    def look(self, task_vars: dict[str, Any]) -> list[Seen]:
        """Look once."""
        return _seen(self._wait(task_vars, 0.0))

    def _wait(self, task_vars: dict[str, Any], timeout: float) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name="crossover.pgedge.mesh_wait",
            module_args={**self._task.args, "timeout": timeout},
            task_vars=task_vars,
        )
        return found


def _seen(found: Mapping[str, Any]) -> list[Seen]:
    """A line for each node that lacks something."""
    pairs = found.get("pairs") or []
    lines = []
    for name in dict.fromkeys(pair["to"] for pair in pairs):
        late = [pair for pair in pairs if pair["to"] == name and not pair["passed"]]
        parts = [
            f"{pair['from']} {size(pair['behind'])}" if pair["behind"] else f"{pair['from']} ({pair['status']})"
            for pair in late
        ]
        text = f"mesh · waits for {', '.join(parts)}" if parts else "mesh · has everything"
        lines.append(Seen(name, text, text))
    return lines
