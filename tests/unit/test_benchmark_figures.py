# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgbench's report and log, read; when an earlier measurement is good enough."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_benchmark import Setup, fresh
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_benchmark_figures import (
    latencies,
    measured,
    percentile,
    table,
)

REPORT = """transaction type: x.sql
number of transactions actually processed: 4
number of failed transactions: 1 (20.000%)
latency average = 1.9 ms
tps = 123.456789 (without initial connection time)
"""
SETUP = Setup(4, 2, 10, 2, 0.0, "prepared", 3, True, None)


def test_the_log() -> None:
    lines = [
        "0 1 1500 0 1790000000 12\n",
        "0 2 skipped 0 1790000000 13 5\n",
        "1 1 failed 0 1790000000 14\n",
        "1 2 2500 0 1 1 0\n",
        "",
    ]
    assert latencies(lines) == [1500, 2500]


@pytest.mark.parametrize(("part", "value"), [(1, 0.001), (50, 0.05), (95, 0.095), (99, 0.099), (100, 0.1)])
def test_percentiles_are_nearest_rank(part: int, value: float) -> None:
    assert percentile(list(range(1, 101)), part) == pytest.approx(value)


def test_percentiles_of_little() -> None:
    assert percentile([7000], 50) == percentile([7000], 99) == 7.0
    assert percentile([], 50) == 0.0
    assert percentile([1000, 2000, 3000], 50) == 2.0


def test_figures() -> None:
    figures = measured(REPORT, [4000, 1000, 2000, 3000], 10.04).as_dict()
    assert figures == {
        "tps": 123.5, "transactions": 4, "failed": 1, "seconds": 10.0, "average_ms": 2.5,
        "p50_ms": 2.0, "p95_ms": 4.0, "p99_ms": 4.0, "max_ms": 4.0,
    }  # fmt: skip


def test_the_table_is_narrow() -> None:
    one = measured(REPORT, [1000], 1).as_dict()
    lines = table(one, {**one, "tps": 246.9}, ("16.14", "18.4"))
    assert max(map(len, lines)) <= 72
    assert lines[1].split()[-1] == "2.00"
    assert table({**one, "failed": 0}, one, ("1", "2"))[-1].split()[-1] == "-"


@pytest.mark.parametrize(
    ("age", "setup", "result"),
    [
        (100, SETUP, True),
        (101, SETUP, False),
        (-5, SETUP, False),  # from the future: another clock
        (10, dataclasses.replace(SETUP, clients=8), False),
        (10, dataclasses.replace(SETUP, script="SELECT 1;"), False),
        (10, dataclasses.replace(SETUP, writes=False), False),
        (10, dataclasses.replace(SETUP, warm_up=0), True),
    ],
)
def test_fresh(age: int, setup: Setup, result: bool) -> None:
    assert fresh({"at": 1000.0, "setup": SETUP.fingerprint()}, setup, 100, 1000.0 + age) is result
    assert not fresh({}, setup, 100, 1000.0)
