# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a long module in the background and print how far it is; each line reaches AWX as it happens.

Ansible shows nothing while a module runs. So the module is started with core's async wrapper (by the action plugin, not
by the task: core skips C(async:) tasks in check mode), and what it works on is looked at meanwhile.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

QUIET = 60.0  # seconds after which a line comes even if nothing has changed
POLLS = (2.0, 3.0, 5.0, 8.0, 10.0)  # seconds between two looks: each is a module of its own
GRACE = 120  # seconds that the wrapper grants the module beyond its own timeout
# what the wrapper adds to the module's result
_WRAPPER = ("ansible_job_id", "started", "finished", "results_file", "erased", "child_tracebacks")


class LiveAction(ActionBase):
    """An action plugin of the same name as its module. Say how to look, and how to word what was seen."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def limit(self) -> float:
        """Seconds that the module may take by itself."""
        raise NotImplementedError

    def first(self, task_vars: dict[str, Any]) -> dict[str, Any] | None:
        """Try without the background, for what may be over at once; None: start it."""
        return None

    def look(self, task_vars: dict[str, Any]) -> Any:
        """See how far it is. Nothing fails for it: return None when it cannot be seen."""
        raise NotImplementedError

    def word(self, seen: Any) -> tuple[str, Any]:
        """Return the line, and what makes it worth a line: it is printed when that has changed."""
        raise NotImplementedError

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Run the module and print its progress."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        self._printed: Any = None
        self._printed_at = 0.0
        if self._task.check_mode:
            found = self._execute_module(task_vars=task_vars)
        else:
            found = self.first(task_vars) or self._background(task_vars)
        return {**result, **found}

    def show(self, seen: Any) -> None:
        """Print the line if it says something new, or if nothing was said for long."""
        if seen is None or self._task.no_log:
            return
        text, key = self.word(seen)
        if key != self._printed or time.monotonic() - self._printed_at > QUIET:
            self._printed, self._printed_at = key, time.monotonic()
            self.say(text)

    @staticmethod
    def say(text: str) -> None:
        """Print a line."""
        Display().display(text)

    def last(self, found: dict[str, Any]) -> None:
        """See the result of a module that ran in the background."""

    def start(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Start the module in the background; returns what the wrapper says."""
        before = self._task.async_val
        try:
            self._task.async_val = int(self.limit()) + GRACE  # the wrapper takes its limit from the task
            started: dict[str, Any] = self._execute_module(task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = before
        return started

    def _background(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        started = self.start(task_vars)
        if started.get("failed") or not started.get("results_file"):
            return started
        polls = list(POLLS)
        while True:
            self.show(self.look(task_vars))
            status = self._status(started, "status", task_vars)
            if status.get("finished"):
                break
            time.sleep(polls.pop(0) if len(polls) > 1 else polls[0])
        self._status(started, "cleanup", task_vars)
        found = {key: value for key, value in status.items() if key not in _WRAPPER}
        self.last(found)
        return found

    def _status(self, started: dict[str, Any], mode: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        # where the wrapper says it writes: what ~ means to core here can differ from what it meant to the wrapper
        directory = str(started["results_file"]).rsplit("/", 1)[0]
        found: dict[str, Any] = self._execute_module(
            module_name="ansible.legacy.async_status",
            module_args={"jid": started["ansible_job_id"], "mode": mode, "_async_dir": directory},
            task_vars=task_vars,
        )
        return found


def size(count: float) -> str:
    """Word a number of bytes: 182 GiB, 1.2 MiB."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """Word a time: 45s, 24m, 3h10m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
