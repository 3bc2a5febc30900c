# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the progress of crossover.pgedge.replication_wait while it waits."""

from __future__ import annotations

import time
from typing import Any, Mapping

from ansible_collections.crossover.pgedge.plugins.plugin_utils.live import LiveAction, duration, size

AT_ONCE = 2  # seconds in which it is tried without the background
STEP = 5  # per cent that are worth a line


def line(side: str, seen: Mapping[str, Any], rate: float | None) -> str:
    """Word a measurement: ``[target] sync 37% · 41/112 tables · 182/490 GiB · 210 MiB/s · ETA 24m · lag 1.2 MiB``."""
    parts = []
    if "tables_total" in seen:
        parts = [f"sync {seen['percent']:.0f}%", f"{seen['tables_ready']}/{seen['tables_total']} tables"]
        if seen.get("bytes_total"):
            done, total = size(seen["bytes_done"]), size(seen["bytes_total"])
            same = done.split()[-1] == total.split()[-1]
            parts.append(f"{done.split()[0] if same else done}/{total}")
            if rate:
                left = (seen["bytes_total"] - seen["bytes_done"]) / rate
                parts += [f"{size(rate)}/s", f"ETA {duration(left)}"]
    if seen.get("lag_bytes") is not None:
        parts.append(f"lag {size(max(0, seen['lag_bytes']))}")
    return f"[{side}] {' · '.join(parts)}"


class ActionModule(LiveAction):
    """crossover.pgedge.replication_wait"""

    _last: tuple[float, int] | None = None
    _rate: float | None = None

    def limit(self) -> float:
        """Return the task's timeout."""
        return float(self._task.args.get("timeout") or 3600)

    def first(self, task_vars: dict[str, Any]) -> dict[str, Any] | None:
        """Most waits are over at once; only those that are not go to the background."""
        seconds = float(self._task.args.get("timeout", 3600))
        found = self._wait(task_vars, timeout=int(min(AT_ONCE, seconds)))
        if self._is_late(found) and seconds > AT_ONCE:
            self.show(self._measured(found))
            return None
        return found

    def look(self, task_vars: dict[str, Any]) -> Any:
        """Look once. For a barrier look at the lag: another canary would replace the one that is waited for."""
        condition = self._task.args.get("condition")
        return self._measured(
            self._wait(task_vars, timeout=0, condition="lag" if condition == "barrier" else condition, max_lag_bytes=0)
        )

    def word(self, seen: Mapping[str, Any]) -> tuple[str, Any]:
        """Word it; a table more, or some per cent more, are worth a line."""
        done, now = seen.get("bytes_done"), time.monotonic()
        if done is not None:
            if self._last and now - self._last[0] >= 1 and done > self._last[1]:
                self._rate = (done - self._last[1]) / (now - self._last[0])
            self._last = (now, done)
        if "tables_total" in seen:
            key: Any = (seen["tables_ready"], int(seen["percent"]) // STEP)
        else:
            key = size(max(0, seen.get("lag_bytes") or 0))
        side = "source" if self._task.args.get("direction") == "back" else "target"
        return line(side, seen, self._rate), key

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

    @staticmethod
    def _measured(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
        seen = found.get("measurement") or {}
        return seen if "tables_total" in seen or seen.get("lag_bytes") is not None else None
