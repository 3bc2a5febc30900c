# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the demo may end well: every figure that it promises must be able to make it fail."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

DEMO = Path(__file__).resolve().parents[2] / "demo"


@pytest.fixture
def missed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DEMO))
    yield importlib.import_module("summary").missed
    for name in ("summary", "lab"):
        sys.modules.pop(name, None)


def report() -> dict[str, Any]:
    """One in which everything is well, as far as it is looked at."""
    run = {"tables": 55, "rows": 1_000_000, "differences": 0}
    switch = {"write_pause_ms": 499.9, "read_pause_ms": 600.0, "failed_transactions": 0}
    return {
        "acknowledged": {"ok": 1000, "lost": 0, "duplicated": 0, "phantom": 0, "incomplete": 0},
        "sum": {"expected": 1000, "found": 1000, "constant": True},
        "compare": {**run, "runs": [dict(run) for _each in range(3)]},
        "cutover": dict(switch),
        "rollback": dict(switch),
    }


def test_all_is_well(missed: Any) -> None:
    assert missed(report(), "pgbouncer") == []


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("acknowledged", {"lost": 1}, "1 lost"),
        ("acknowledged", {"duplicated": 2}, "2 duplicated"),
        ("acknowledged", {"phantom": 3}, "3 phantom"),
        ("acknowledged", {"incomplete": 4}, "4 incomplete"),
        ("acknowledged", {"ok": 0}, "no write was acknowledged"),
        ("sum", {"found": 999, "constant": False}, "the sum of all balances is 999 and was 1000"),
        ("compare", {"differences": 5}, "5 differences"),
        ("compare", {"runs": [{"tables": 0, "rows": 0}]}, "a comparison compared nothing"),
        ("cutover", {"failed_transactions": 6}, "6 failed transactions in the cutover"),
        ("rollback", {"failed_transactions": 7}, "7 failed transactions in the rollback"),
        ("cutover", {"write_pause_ms": 500.0}, "the cutover's write pause of 500 ms is not under 500 ms"),
        ("rollback", {"write_pause_ms": 812.4}, "the rollback's write pause of 812 ms is not under 500 ms"),
    ],
)
def test_each_figure_can_fail_it(missed: Any, part: str, change: dict[str, Any], words: str) -> None:
    bad = report()
    bad[part].update(change)
    assert missed(bad, "pgbouncer") == [words]


def test_without_a_pooler_failed_transactions_are_no_miss(missed: Any) -> None:
    bad = report()
    bad["cutover"]["failed_transactions"] = 3
    assert missed(bad, "libpq") == []
