# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a line of progress is due, on a clock of the test's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

import pytest
from ansible_collections.crossover.pgedge.plugins.plugin_utils import live

GIB = 1024**3
LOOK = 1.5  # seconds that a look takes


class Clock:
    """Time that passes only when somebody sleeps."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Action(live.LiveAction):
    """A module that takes as long as it is told, and shows what it is told."""

    task, table_word = "copy", "copied"

    def __init__(self, clock: Clock, seconds: float, shown: Callable[[float], list[live.Seen]]) -> None:
        self._task = SimpleNamespace(no_log=False, check_mode=False, async_val=0, args={})
        self.clock, self.seconds, self.shown = clock, seconds, shown
        self.lines: list[tuple[float, str]] = []
        self.side, self._printed, self._told = "n1", {}, set()
        self.from_ = self._begun = self._printed_at = clock.now

    def limit(self) -> float:
        return 100.0

    def look(self, task_vars: dict[str, Any]) -> list[live.Seen]:
        self.clock.now += LOOK
        return self.shown(self.clock.now - self.from_)

    def start(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        return {"results_file": "/x/y", "ansible_job_id": "1"}

    def _status(self, started: dict[str, Any], mode: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        return {"finished": self.clock.now - self.from_ > self.seconds}

    def play(self) -> list[tuple[float, str]]:
        self._background({})
        return self.lines


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(live, "time", made)
    return made


def played(action: Action, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """Every line with the second in which it came."""
    printed = action.lines
    monkeypatch.setattr(
        live,
        "Display",
        lambda: SimpleNamespace(display=lambda text: printed.append((action.clock.now - action.from_, text))),
    )
    return action.play()


def copy(total: float, rate: float, done: float, tables: int = 0) -> list[live.Seen]:
    row = {"task": "copy", "done": int(done), "total": int(total), "unit": "bytes", "rate": rate}
    names = [{"name": f"s.t{n}", "rows": 1, "bytes": 1} for n in range(tables)]
    return [live.seen_of("n1", {**row, "tables_done": tables, "tables_total": 9, "message": ""}, names)]


@pytest.mark.parametrize("seconds", [100, 300, 1200, 7200])
def test_a_line_for_every_5_per_cent_and_one_a_minute(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    rate = 10 * GIB / seconds
    lines = played(Action(clock, seconds, lambda at: copy(10 * GIB, rate, min(at * rate, 10 * GIB))), monkeypatch)
    percents = [int(text.split("%")[0].split()[-1]) for _at, text in lines]
    assert {percent // 5 for percent in percents} >= set(range(1, 19)), lines
    gaps = [later - sooner for (sooner, _text), (later, _next) in zip(lines, lines[1:])]
    assert max(gaps) <= 60 and all("/s · ETA " in text for _at, text in lines[:-1])
    assert len(lines) <= seconds / 40 + 25, "and no more than that"


def test_a_copy_that_stands_still_says_so_every_minute(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = played(Action(clock, 600, lambda at: copy(GIB, 0, GIB / 3)), monkeypatch)
    assert len(lines) >= 10 and all(text.startswith("[n1] copy 33% · ") for _at, text in lines)
    gaps = [later - sooner for (sooner, _text), (later, _next) in zip(lines, lines[1:])]
    assert 45 <= min(gaps) and max(gaps) <= 60


def test_no_figures_are_told_too(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = played(Action(clock, 200, lambda at: []), monkeypatch)
    assert len(lines) >= 3 and lines[0][0] <= 60 and lines[-1][1] == "[n1] copy · 3m so far, no figures now", lines


def test_every_table_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = played(Action(clock, 90, lambda at: copy(GIB, 0, GIB / 3, min(9, int(at / 10)))), monkeypatch)
    told = [text for _at, text in lines if "copied" in text]
    assert told == [f"[n1] copied s.t{n} · 1 row · 1 B" for n in range(len(told))] and len(told) >= 8
