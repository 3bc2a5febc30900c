# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: data laid over data, and a page that is whole, needs nothing else, and draws what was measured."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._report_chart import Chart, Scale
from ansible_collections.crossover.pgedge.plugins.module_utils._report_data import build, epoch, figures, overlay
from ansible_collections.crossover.pgedge.plugins.module_utils._report_page import page
from support.collection import run_module

HELD = ("hold", "fence", "drain", "commit", "release")
RUN, ABANDONED = "5d4e", "0a1b"
BEGUN = "2026-03-04 05:06:07.250000+00"
ZERO = epoch(BEGUN) or 0.0
# when the ledger has them as started: each 10 ms after the one before, and noted 1 to 8 ms late
STARTED = [f"2026-03-04 05:06:07.{250 + 10 * n + late:03d}+00" for n, late in enumerate((8, 5, 1, 4, 3, 2, 2, 7))]


def steps() -> list[dict[str, Any]]:
    """Ten milliseconds each."""
    names = ("check", "catch_up", *HELD, "verify")
    return [{"name": n, "at_ms": 10.0 * i, "ms": 10.0, "held": n in HELD} for i, n in enumerate(names)]


def ledger(**phases: dict[str, Any]) -> dict[str, Any]:
    """What migration_info returns after a cutover."""
    done = {"status": "done", "seconds": 2.5, "started_at": "2026-03-04 05:06:07+00"}
    recorded = [
        {"run": ABANDONED, "phase": "cutover", "step": "check", "status": "started", "at": "2026-03-04 05:00:00+00"},
        *(
            {"run": RUN, "phase": "cutover", "step": step["name"], "status": status, "at": at}
            for step, at in zip(steps(), STARTED)
            for status in ("started", "done")
        ),
    ]
    return {
        "exists": True,
        "phases": {
            "replicate": {**done, "summary": {"bytes": 2**21, "rows": 1234567, "seconds": 2.0, "tables": 3}},
            "validate": {**done, "summary": {"tables": 3, "rows": 1234567, "differences": 0}},
            "cutover": {**done, "summary": {"writable": "node", "hold_ms": 50.0}},
            **phases,
        },
        "facts": {
            "switch.forward": {"hold_ms": 50.0, "steps": steps()},
            "assess.findings": [
                {"code": "no_key", "severity": "blocker", "object": "s.<t>", "meaning": "None & such", "waived": True},
                {"code": "other", "severity": "blocker", "object": "s.u", "meaning": "", "waived": False},
            ],
        },
        "steps": recorded,
    }


MEASURED: dict[str, Any] = {
    "acknowledged": {"ok": 1000, "lost": 0, "duplicated": 0, "phantom": 0},
    "cutover": {
        "write_pause_ms": 60.0,
        "read_pause_ms": 42.0,
        "failed_transactions": 0,
        "write_pause_from": ZERO + 0.016,
        "writes": {"begun": ZERO - 0.1, "step_ms": 5.0, "counts": [3] * 20 + [0] * 12 + [2] * 20},
    },
    "lag": {"forward": [[ZERO + i, 1000 * i] for i in range(5)]},
    "writes": {"begun": ZERO - 10, "step_s": 0.5, "counts": [150] * 40},
}


class Checker(HTMLParser):
    """Every element that is opened is closed, in order; collects text, classes and what would be fetched."""

    VOID = ("meta", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.seen: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        self.seen.append(tag)
        self.fetched += [
            f"{tag} {name}" for name, dummy in attrs if name in ("src", "href", "srcset", "data", "action")
        ]
        if tag not in self.VOID and not (self.get_starttag_text() or "").endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "path":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def looked_at(report: dict[str, Any]) -> tuple[str, Checker]:
    text = page(report)
    found = Checker(text)
    assert found.open == []
    return text, found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01 00:00:01+00", 1.0),
        ("1970-01-01 00:00:01.25+00", 1.25),
        ("1970-01-01 02:00:00.5+02", 0.5),
        ("1970-01-01 05:30:00+05:30", 0.0),
        ("", None),
        (None, None),
    ],
)
def test_moments_of_postgresql(text: str | None, seconds: float | None) -> None:
    assert epoch(text) == seconds


def test_what_was_measured_lies_over_the_ledger() -> None:
    assert overlay({"a": {"x": 1, "y": 2}, "l": [1], "k": 1}, {"a": {"y": 3}, "l": [2, 3]}) == {
        "a": {"x": 1, "y": 3},
        "l": [2, 3],
        "k": 1,
    }
    report = build("shop", "now", ledger(), MEASURED)
    assert report["cutover"]["hold_ms"] == 50.0
    assert report["cutover"]["write_pause_ms"] == 60.0
    assert report["copy"] == {"bytes": 2**21, "rows": 1234567, "seconds": 2.0, "tables": 3}
    assert [item["code"] for item in report["waived"]] == ["no_key"]


def test_the_switch_that_counts_is_the_one_that_was_committed() -> None:
    assert build("shop", "now", ledger(), {})["cutover"]["begun"] == pytest.approx(ZERO + 0.001)


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    text, found = looked_at(build("shop", "now", ledger(), MEASURED))
    assert found.fetched == []
    assert not {"script", "link", "img", "iframe"} & set(found.seen)
    assert "http" not in text and "@import" not in text and "url(" not in text


def test_names_are_escaped() -> None:
    text, dummy = looked_at(build("<shop>", "now", ledger(), {}))
    assert "<shop>" not in text and "&lt;shop&gt;" in text
    assert "s.&lt;t&gt;" in text and "None &amp; such" in text


def test_the_gap_is_where_it_was_measured() -> None:
    text, dummy = looked_at(build("shop", "now", ledger(), MEASURED))
    # held from 20 to 70 ms of the run; the pause began 5 ms before: axis from -5-60 to 55+60 ms around the hold
    assert re.search(r'class="band" style="left:33\.33\d*%;width:33\.33\d*%"', text)
    assert "60 ms<span> without a write</span>" in text


def test_the_steps_are_drawn_and_what_was_held_is_marked() -> None:
    text, dummy = looked_at(build("shop", "now", ledger(), {}))
    assert "50 ms<span> held</span>" in text
    assert len(re.findall('class="bar held"', text)) == len(HELD) + 1  # and the phase itself
    assert text.count('<div class="name held-name"') == len(HELD) + 1


def test_a_ledger_alone_makes_a_page() -> None:
    dummy, found = looked_at(build("shop", "now", ledger(), {}))
    words = " ".join(found.text)
    assert "The cutover: to the node" in words and "The rollback" not in words and "acknowledged writes" not in words


def test_nothing_makes_a_page_too() -> None:
    dummy, found = looked_at(build("shop", "now", {"exists": False, "phases": {}, "facts": {}, "steps": []}, {}))
    assert "Migration of shop" in found.text


def test_what_is_wrong_is_said_first() -> None:
    measured = {"acknowledged": {"ok": 10, "lost": 2, "duplicated": 0, "phantom": 0}}
    text, found = looked_at(build("shop", "now", ledger(benchmark={"status": "failed", "seconds": 1}), measured))
    assert "Not as it should be: 2 writes lost, benchmark failed." in found.text
    assert 'class="bad">2<' in text


def test_figures_leave_the_series_out() -> None:
    said = figures(build("shop", "now", ledger(), MEASURED))
    assert said["cutover"]["write_pause_ms"] == 60.0
    assert "steps" not in said["cutover"] and "phases" not in said and "counts" not in json.dumps(said)


def test_ticks_are_round_and_on_the_axis() -> None:
    assert Scale(-65, 115).ticks() == [-50, 0, 50, 100]
    assert Scale(0, 152).ticks() == [0, 20, 40, 60, 80, 100, 120, 140]
    assert Scale(5, 5)(5) == 0


def test_a_histogram_changes_its_colour_at_the_turn() -> None:
    chart = Chart(Scale(0, 4))
    chart.histogram("writes", 0, 1, [1, 2, 0, 2], lambda at: "node" if at >= 2 else "")
    assert chart.lanes[0].body.count("<path") == 2
    assert 'class="fill node" d="M750.00 100V0.0H999.60V100Z"' in chart.lanes[0].body


def test_the_module_writes_once(tmp_path) -> None:
    measured = tmp_path / "measured.json"
    measured.write_text(json.dumps(MEASURED))
    args = {
        "name": "shop",
        "ledger": ledger(),
        "measured": str(measured),
        "html": str(tmp_path / "made" / "report.html"),
        "json": str(tmp_path / "made" / "report.json"),
    }
    checked = run_module("report", args, check=True)
    assert checked["changed"] and not (tmp_path / "made").exists()
    first = run_module("report", args)
    assert first["changed"] and first["report"]["cutover"]["write_pause_ms"] == 60.0
    assert (tmp_path / "made" / "report.html").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "made" / "report.json").read_text())["acknowledged"]["ok"] == 1000
    again = run_module("report", args)
    assert not again["changed"] and again["diff"]["before"] == again["diff"]["after"]
    measured.write_text("{")
    failed = run_module("report", args)
    assert failed["failed"] and "cannot be read" in failed["msg"]
