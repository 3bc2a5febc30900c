# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a long module in the background and print how far it is; each line reaches AWX as it happens.

Ansible shows nothing while a module runs. So the module is started with core's async wrapper (by the action plugin, not
by the task: core skips C(async:) tasks in check mode), and what it works on is looked at meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.crossover.pgedge.plugins.module_utils._ansible import LOGIN_OPTIONS
from ansible_collections.crossover.pgedge.plugins.module_utils._progress_words import (
    STEP,
    WIDTH,
    duration,
    figures,
    line,
    table_line,
)

QUIET = 45.0  # seconds after which a line is due even if nothing has changed: with a pause and a look, once a minute
POLLS = (2.0, 3.0, 5.0, 8.0, 10.0)  # seconds between two looks: each is a module of its own
GRACE = 120  # seconds that the wrapper grants the module beyond its own timeout
# what the wrapper adds to the module's result
_WRAPPER = ("ansible_job_id", "started", "finished", "results_file", "erased", "child_tracebacks")


@dataclass
class Seen:
    """What one look has found of one node. ``key``: the line is printed when it, or a table, is new."""

    side: str
    text: str
    key: Any
    done: Sequence[Mapping[str, Any]] = ()  # all tables that are done
    row: Mapping[str, Any] = field(default_factory=dict)  # the figures behind it


def seen_of(side: str, row: Mapping[str, Any], done: Sequence[Mapping[str, Any]] = ()) -> Seen:
    """Word a task's figures."""
    seen = figures(row)
    return Seen(side, line(seen, WIDTH - len(side) - 3), seen["percent"] // STEP, done, seen)


class LiveAction(ActionBase):
    """An action plugin of the same name as its module. Say how to look; what is new is printed."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False
    task = ""  # what is done: the word in the ledger
    table_word = ""  # what a table is that is done

    def limit(self) -> float:
        """Seconds that the module may take by itself."""
        raise NotImplementedError

    def first(self, task_vars: dict[str, Any]) -> dict[str, Any] | None:
        """Try without the background, for what may be over at once; None: start it."""
        return None

    def look(self, task_vars: dict[str, Any]) -> list[Seen]:
        """See how far it is. Nothing fails for it: nothing is returned when it cannot be seen."""
        raise NotImplementedError

    def last(self, found: dict[str, Any]) -> None:
        """See the result of a module that ran in the background."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Run the module and print its progress."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        self.side = self._node(task_vars)
        self._printed: dict[str, Any] = {}
        self._told: set[tuple[str, str]] = set()
        self._begun = self._printed_at = time.monotonic()
        if self._task.check_mode:
            found = self._execute_module(task_vars=task_vars)
        else:
            found = self.first(task_vars) or self._background(task_vars)
        return {**result, **found}

    def _node(self, task_vars: dict[str, Any]) -> str:
        """The node as lines name it: that of the phase, or where the module logs in."""
        args = self._task.args
        try:
            name = args.get("landing_node") or self._templar.template(task_vars.get("crossover_landing_node") or "")
        except AnsibleError:
            name = ""
        return str(name or args.get("login_host") or args.get("host") or "node")

    # -- printing --------------------------------------------------------------------------------------------------

    def show(self, found: Sequence[Seen]) -> None:
        """Print what is new; if nothing was said for long, print what there is."""
        due = time.monotonic() - self._printed_at > QUIET
        for seen in found:
            new = self.tables(seen.side, seen.done)
            if new or due or self._printed.get(seen.side) != seen.key:
                self._printed[seen.side] = seen.key
                self.say(f"[{seen.side}] {seen.text}")
        if due and not found:
            self.say(f"[{self.side}] {self.task} · {duration(time.monotonic() - self._begun)} so far, no figures now")

    def tables(self, side: str, done: Sequence[Mapping[str, Any]]) -> bool:
        """Print the tables that are done since the last look."""
        new = [table for table in done if (side, table["name"]) not in self._told]
        for table in new:
            self._told.add((side, table["name"]))
            self.say(f"[{side}] {table_line(self.table_word, table)}")
        return bool(new)

    def say(self, text: str) -> None:
        """Print a line."""
        if not self._task.no_log:
            self._printed_at = time.monotonic()
            Display().display(text)

    # -- running ---------------------------------------------------------------------------------------------------

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
            found = self.look(task_vars)
            self.show(found)
            status = self._status(started, "status", task_vars)
            if status.get("finished"):
                break
            longest = polls.pop(0) if len(polls) > 1 else polls[0]
            time.sleep(min([longest, *(_to_next_step(seen.row, longest) for seen in found)]))
        self._status(started, "cleanup", task_vars)
        result = {key: value for key, value in status.items() if key not in _WRAPPER}
        self.last(result)
        return result

    def _status(self, started: dict[str, Any], mode: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        # where the wrapper says it writes: what ~ means to core here can differ from what it meant to the wrapper
        directory = str(started["results_file"]).rsplit("/", 1)[0]
        found: dict[str, Any] = self._execute_module(
            module_name="ansible.legacy.async_status",
            module_args={"jid": started["ansible_job_id"], "mode": mode, "_async_dir": directory},
            task_vars=task_vars,
        )
        return found


class LedgerAction(LiveAction):
    """A module that tells the ledger how far it is: whoever looks sees the same, also while another run works."""

    def migration(self) -> str:
        """The migration's name: by default that of the source's database."""
        args, source = self._task.args, self._task.args.get("source") or {}
        given = args.get("migration") or args.get("name")
        return str(given or source.get("login_db") or source.get("db") or source.get("database") or "postgres")

    def look(self, task_vars: dict[str, Any]) -> list[Seen]:
        """Read what the module writes into the ledger."""
        args = self._task.args
        logins = {name: args[name] for name in args if name in LOGIN_NAMES or name == "source"}
        found = self._execute_module(
            module_name="crossover.pgedge.migration_info",
            module_args={**logins, "name": self.migration()},
            task_vars=task_vars,
        )
        row = next((row for row in found.get("progress") or [] if row["task"] == self.task), None)
        done = found.get("copied") if self.task == "copy" else (found.get("finished") or {}).get(self.task)
        return [seen_of(self.side, row, done or [])] if row else []


LOGIN_NAMES = {*LOGIN_OPTIONS, *(alias for option in LOGIN_OPTIONS.values() for alias in option.get("aliases", ()))}


def _to_next_step(row: Mapping[str, Any], longest: float) -> float:
    """Seconds until the next per cent that are worth a line, as it goes now; never a look right after the last."""
    if not row.get("rate") or not row.get("total"):
        return longest
    step = row["total"] * STEP / 100
    return float(max(POLLS[0], (step - row["done"] % step) / row["rate"]))
