# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a phase may start."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_control import Control
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_gates import Known, decide
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_status import screen

SOURCE, NODE = Control("shop", 1, "source"), Control("shop", 2, "node")


def done(*phases: str, **more: Any) -> dict[str, Any]:
    return {phase: {"status": "done", "age": 10.0, "summary": {}} for phase in phases} | more


EQUAL = {"status": "done", "age": 10.0, "summary": {"verdict": "equal"}}


@pytest.mark.parametrize(
    ("phase", "known", "runs", "words"),
    [
        ("assess", Known(ledger=False), True, "every gate"),
        ("prepare", Known(), False, "assess has not run"),
        ("prepare", Known(done("assess")), True, "every gate"),
        ("prepare", Known(done("assess"), {"assess.blockers": [{"code": "x", "object": "y"}]}), False, "x y"),
        ("replicate", Known({"prepare": {"status": "failed"}}), False, "prepare has failed"),
        ("cutover", Known(done("replicate"), control=SOURCE), False, "validate has not run"),
        ("cutover", Known(done("validate"), control=SOURCE), False, "says nothing"),
        ("cutover", Known({"validate": {**EQUAL, "age": 4000.0}}, control=SOURCE), False, "4000 s old"),
        (
            "cutover",
            Known({"validate": {**EQUAL, "summary": {"verdict": "different"}}}, control=SOURCE),
            False,
            "different",
        ),
        ("cutover", Known({"validate": EQUAL}, control=SOURCE), True, "every gate"),
        (
            "cutover",
            Known(
                {"validate": {**EQUAL, "summary": {"verdict": "equal", "state": "0 1"}}}, control=SOURCE, state="0 2"
            ),
            False,
            "since the last validation",
        ),
        ("cutover", Known(done("cutover"), control=NODE), False, "nothing to cut over"),
        ("cutover", Known({"cutover": {"status": "failed"}}, control=NODE), True, "goes forward"),
        ("replicate", Known(done("prepare"), control=NODE), False, "has been switched"),
        ("replicate", Known(done("cutover"), control=NODE), True, "taken into the way back"),
        ("validate", Known(done("replicate"), control=NODE), True, "every gate"),
        ("finish", Known(done("cutover"), control=SOURCE), False, "the source is writable"),
        ("finish", Known(done("cutover"), control=NODE), True, "every gate"),
        ("rollback", Known(ledger=False), False, "no migration"),
        ("rollback", Known(control=SOURCE, ledger=False), True, "every gate"),
        ("rollback", Known(control=NODE, ledger=False), False, "finish has closed the way back"),
        ("rollback", Known(done("assess")), True, "every gate"),
    ],
)
def test_decide(phase: str, known: Known, runs: bool, words: str) -> None:
    decision = decide(phase, known, check=False)
    assert decision.run == runs and words in decision.why


def test_check_mode_never_fails_for_a_phase_that_has_not_run() -> None:
    decision = decide("replicate", Known(), check=True)
    assert decision.run and decision.why.startswith("would run after prepare")


def test_the_screen_is_for_people() -> None:
    summary = {"rows": 1149876, "bytes": 162742272, "tables": 56, "seconds": 1.234567, "age": 0.0}
    phases = {
        "replicate": {"status": "done", "seconds": 10.2, "summary": summary},
        "cutover": {"status": "done", "seconds": 3.8, "summary": {"hold_ms": 82.5, "writable": "node"}},
    }
    lines = screen("shop", phases, NODE, [], 80)
    assert "  replicate  done        10.2 s  1 149 876 rows, 155 MiB, 56 tables" in lines
    assert "  cutover    done         3.8 s  hold 82 ms, writable node" in lines


def test_after_finish_with_the_fence_kept_there_is_nothing_to_do() -> None:
    assert screen("shop", {}, NODE, [], 80)[-1].startswith("next: nothing: it is finished")


def test_the_cutover_is_told_with_its_confirmation() -> None:
    phases = {name: {"status": "done"} for name in ("assess", "prepare", "replicate", "validate", "benchmark")}
    assert screen("two", phases, SOURCE, [], 80, "shop")[-1].endswith("cutover -e crossover_cutover=shop")
