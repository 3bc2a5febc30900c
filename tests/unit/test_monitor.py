# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A watch judged, shown, and rendered for Prometheus."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_monitor import (
    Limits,
    Sample,
    Slot,
    Watch,
    growth,
    judge,
    screen,
    size,
    summary,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_monitor_textfile import render

GOOD = Sample(1000.0, "streaming", 100, 0.1, 4096, errors=3, conflicts=1, tables_ready=5, tables_total=5)
SLOT = Slot("source", "crossover_shop_n1", True, "reserved", 4096, None)


def seen(*changes: dict[str, Any], slot: dict[str, Any] | None = None, writable: str = "source") -> Watch:
    samples = [dataclasses.replace(GOOD, at=1000.0 + 10 * i, **change) for i, change in enumerate(changes or ({}, {}))]
    return Watch("shop", writable, "crossover_shop_n1", tuple(samples), (dataclasses.replace(SLOT, **(slot or {})),))


@pytest.mark.parametrize(
    ("watch", "limits", "words"),
    [
        (seen(), Limits(), None),
        (seen(), Limits(100, 0.1, 4096), None),  # a limit is what is still allowed
        (seen({"state": "disabled"}), Limits(), "on the node is disabled"),
        (seen({"state": "not working", "message": "duplicate key"}), Limits(), "is not working: duplicate key"),
        (seen({"state": "missing"}), Limits(), "is missing"),
        (seen({"state": "disabled"}, writable="node"), Limits(), "on the source is disabled"),
        (
            seen({"lag_bytes": 2048}, {"lag_bytes": 4096}),
            Limits(lag_bytes=1024),
            "2.0 KiB to 4.0 KiB behind all the time",
        ),
        (seen({"lag_bytes": 4096}, {"lag_bytes": 10}), Limits(lag_bytes=1024), None),  # for a moment
        (seen({"lag_seconds": 9.0}), Limits(lag_seconds=5), "9.0 s to 9.0 s behind"),
        (seen({"lag_bytes": None, "lag_seconds": None}), Limits(1, 1), None),
        (seen({}, {"errors": 4}), Limits(), "1 new error(s)"),
        (seen({}, {"errors": 4}), Limits(errors=1), None),
        (seen({}, {"errors": 4}), Limits(errors=None), None),
        (seen({}, {"errors": 0}), Limits(), None),  # the statistics were reset
        (seen({}, {"conflicts": 3}), Limits(), "2 new conflict(s)"),
        (seen(slot={"wal_status": "lost"}), Limits(), "is lost"),
        (seen(slot={"wal_status": "unreserved"}), Limits(), "about to be lost"),
        (
            seen(slot={"retained_bytes": 5000}),
            Limits(wal_budget=4096),
            "holds back 4.9 KiB of WAL, the budget is 4.0 KiB",
        ),
    ],
)
def test_judge(watch: Watch, limits: Limits, words: str | None) -> None:
    problems = judge(watch, limits)
    if words is None:
        assert problems == []
    else:
        assert len(problems) == 1 and words in problems[0]


def test_a_moment_without_an_answer_is_no_new_error() -> None:
    watch = seen({}, {"state": "unreachable", "errors": 0, "lag_bytes": None}, {})
    assert judge(watch, Limits()) == []
    assert judge(seen({}, {"state": "unreachable", "message": "refused"}), Limits()) == [
        "the subscription crossover_shop_n1 on the node is unreachable: refused"
    ]


def test_summary() -> None:
    figures = summary(seen({"lag_bytes": 10}, {"lag_bytes": 5, "errors": 5}), ["x"])
    assert (figures["direction"], figures["lag_bytes"], figures["lag_bytes_max"]) == ("to the node", 5, 10)
    assert (figures["new_errors"], figures["problems"], figures["retained_bytes"]) == (2, 1, 4096)
    assert summary(seen(writable="node"), [])["direction"] == "to the source"


def test_the_screen_fits() -> None:
    lines = screen(seen({"retained_bytes": 0}, {"retained_bytes": 10**6}), Limits(1, 1, 10**9), ["too late"])
    assert max(map(len, lines)) <= 80
    assert "! too late" in lines
    assert any("used up in" in line for line in lines)
    assert screen(seen({"lag_bytes": None}), Limits(), [])[-1] == "within all limits"


def test_growth() -> None:
    assert growth(seen({"retained_bytes": 0}, {"retained_bytes": 500}, {"retained_bytes": 1000})) == 50.0
    assert growth(seen({})) == growth(seen({"retained_bytes": None}, {"retained_bytes": None})) == 0.0


def test_sizes() -> None:
    assert [size(n) for n in (0, 1023, 1024, 3 * 1024**3, 5000 * 1024**3)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "3.0 GiB",
        "5000.0 GiB",
    ]


def test_the_textfile_is_prometheus() -> None:
    text = render(dataclasses.replace(seen({"message": "row (secret)"}), migration='a"b\\'), 2)
    assert text.endswith("\n") and "secret" not in text
    sample = re.compile(r'^crossover_\w+\{(\w+="([^"\\\n]|\\.)*",?)+\} -?[\d.]+$')
    helped: set[str] = set()
    typed: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# "):
            _hash, word, name, _rest = line.split(" ", 3)
            (helped if word == "HELP" else typed).add(name)
        else:
            assert sample.match(line), line
            assert line.split("{")[0] in helped & typed
    assert 'crossover_problems{migration="a\\"b\\\\"} 2' in text
    assert "crossover_slot_safe_bytes" not in text  # not known
    assert "crossover_errors_total" in text
