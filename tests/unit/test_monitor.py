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
    growth,
    judge,
    screen,
    size,
    summary,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_monitor_mesh import (
    Look,
    members,
    mesh_feeds,
    mesh_slots,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_monitor_seen import (
    Feed,
    Limits,
    Sample,
    Slot,
    Watch,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_monitor_textfile import render

GOOD = Sample(1000.0, "streaming", 100, 0.1, 4096, errors=3, conflicts=1, tables_ready=5, tables_total=5)
SLOT = Slot("source", "crossover_shop_n1", True, "reserved", 4096, None)


def seen(*changes: dict[str, Any], slot: dict[str, Any] | None = None, writable: str = "source") -> Watch:
    samples = [dataclasses.replace(GOOD, at=1000.0 + 10 * i, **change) for i, change in enumerate(changes or ({}, {}))]
    feed = Feed("crossover_shop_n1", "source" if writable == "node" else "node", tuple(samples))
    return Watch("shop", writable, (feed,), (dataclasses.replace(SLOT, **(slot or {})),))


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
    assert growth(seen({"retained_bytes": 0}, {"retained_bytes": 500}, {"retained_bytes": 1000}).feeds[0]) == 50.0
    assert growth(seen({}).feeds[0]) == 0.0
    assert growth(seen({"retained_bytes": None}, {"retained_bytes": None}).feeds[0]) == 0.0


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


STATE = {"lag_bytes": 2048, "lag_seconds": 9.0, "retained_bytes": 8192, "active": True, "wal_status": "reserved",
         "safe_wal_size": None}  # fmt: skip


def look(name: str, *providers: str, status: str = "replicating", **more: Any) -> Look:
    subscriptions = {p: {"name": f"sub_{name}_{p}", "status": status, "slot": f"spk_{name}_{p}"} for p in providers}
    slots = {f"spk_{other}_{name}": STATE for other in ("e1", "e2", "e3") if other != name}
    return Look(name, subscriptions=subscriptions, slots=slots, **{"exceptions": 4, **more})


WELL = {"n1": look("e1", "e2", "e3"), "n2": look("e2", "e1", "e3"), "n3": look("e3", "e1", "e2")}


def mesh_seen(*rounds: dict[str, Look], writable: str = "node") -> Watch:
    kept, switched = [{**WELL, **one} for one in rounds], writable == "node"
    one = seen(writable=writable)
    return dataclasses.replace(
        one,
        slots=one.slots + tuple(mesh_slots(kept[-1])),
        mesh=tuple(mesh_feeds(kept)),
        members=tuple(members(kept, switched)),
    )


def test_a_mesh_that_is_well() -> None:
    watch = mesh_seen({}, {})
    assert judge(watch, Limits(2048, 9.0, 8192)) == []
    assert [feed.subscription for feed in watch.mesh][:3] == ["sub_e1_e2", "sub_e1_e3", "sub_e2_e1"]
    assert "  mesh of n1, n2, n3: 6 of 6 subscriptions replicate," in screen(watch, Limits(), [])
    assert max(map(len, screen(watch, Limits(), []))) <= 80
    text = render(watch, 0)
    assert 'crossover_streaming{migration="shop",subscription="sub_e2_e3",subscriber="n2"} 1' in text
    assert 'crossover_slot_retained_bytes{migration="shop",side="n3",slot="spk_e1_e3"} 8192' in text
    assert 'crossover_exceptions_total{migration="shop",node="n2"} 4' in text


@pytest.mark.parametrize(
    ("last", "limits", "words"),
    [
        ({"n2": look("e2", "e1", "e3", status="disabled", last_exception="INSERT t: boom")}, Limits(),
         ["the subscription sub_e2_e1 on node n2 is disabled: the last exception there was INSERT t: boom",
          "the subscription sub_e2_e3 on node n2 is disabled"]),
        ({"n1": look("e1", "e3")}, Limits(), ["sub_e1_e2 on node n1 is missing"]),
        ({"n3": Look(problem="no answer")}, Limits(), ["node n3: no answer"]),
        ({"n3": look("e3", "e1", "e2", exceptions=6, last_exception="UPDATE t: gone")}, Limits(),
         ["2 new exception(s) on node n3, the last: UPDATE t: gone"]),
        ({"n3": look("e3", "e1", "e2", exceptions=6)}, Limits(errors=2), []),
        ({}, Limits(lag_seconds=5.0), ["sub_e1_e2 on node n1 has been 9.0 s to 9.0 s behind"] + [""] * 5),
        ({}, Limits(wal_budget=8000), ["the slot spk_e2_e1 on node n1 holds back 8.0 KiB"] + [""] * 5),
    ],
)  # fmt: skip
def test_a_mesh_judged(last: dict[str, Look], limits: Limits, words: list[str]) -> None:
    watch = mesh_seen({}, last)
    feed = dataclasses.replace(watch.feeds[0], samples=(dataclasses.replace(GOOD, lag_seconds=0.0),))
    problems = judge(dataclasses.replace(watch, feeds=(feed,)), limits)
    assert len(problems) == len(words), problems
    for problem, word in zip(problems, words):
        assert word in problem


def test_before_the_switch_there_need_not_be_a_mesh() -> None:
    nothing = {"n1": Look(), "n2": Look(), "n3": Look()}
    assert judge(mesh_seen(nothing, writable="source"), Limits()) == []
    assert len(judge(mesh_seen(nothing), Limits())) == 3
