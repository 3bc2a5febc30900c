# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workload's arithmetic: pauses, and the verdict on what was acknowledged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "lab" / "files"))

psycopg = pytest.importorskip("psycopg")

from workload.check import final_outcomes, judge  # noqa: E402
from workload.client import lost  # noqa: E402
from workload.journal import ABSENT, FAILED, FOUND, OK, UNKNOWN, Attempt, Journal, Run, lines  # noqa: E402
from workload.pauses import longest_gap, percentiles  # noqa: E402
from workload.report import reads_in, series, writes_in  # noqa: E402


def tries(*outcomes, client=1, seq=1):
    return [Attempt(client, seq, "transfer", outcome, float(n), 1.0) for n, outcome in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("times", "window", "gap", "since"),
    [
        ([1, 2, 3], (1, 3), 1, 2),
        ([1, 2, 5, 6], (0, 10), 4, 6),  # nothing more until the window's end
        ([1, 2, 5, 6], (2.5, 3), 3, 2),  # around the window: it counts in full
        ([1, 2, 9], (2, 4), 7, 2),
        ([5, 6], (0, 6), 5, 0),  # nothing before: only what lies within
        ([], (0, 10), 10, 0),
        ([1, 2], (5, 8), 6, 2),
        ([1, 2, 3], (3, 3), 0, 3),
    ],
)
def test_longest_gap(times, window, gap, since):
    assert longest_gap([float(t) for t in times], *window) == (gap, since)


def test_percentiles():
    assert percentiles([]) == {}
    assert percentiles(list(range(1, 102))) == {"p50": 51, "p95": 96, "p99": 100, "max": 101}


@pytest.mark.parametrize(
    ("outcomes", "final"),
    [
        ([OK], OK),
        ([FAILED, OK], OK),
        ([UNKNOWN, FOUND], FOUND),
        ([UNKNOWN, ABSENT, OK], OK),
        ([UNKNOWN, ABSENT], ABSENT),
        ([FAILED], FAILED),
        ([OK, FAILED], OK),  # what was acknowledged stays acknowledged
    ],
)
def test_final_outcome(outcomes, final):
    assert final_outcomes(tries(*outcomes)) == {(1, 1): final}


@pytest.mark.parametrize(
    ("outcomes", "count", "wrong"),
    [
        ([OK], 1, None),
        ([OK], 0, "lost"),
        ([UNKNOWN, FOUND], 0, "lost"),
        ([OK], 2, "duplicated"),
        ([FAILED, OK], 2, "duplicated"),
        ([FAILED], 1, "phantom"),
        ([UNKNOWN, ABSENT], 1, "phantom"),
        ([], 1, "phantom"),
        ([FAILED], 0, None),
        ([UNKNOWN], 1, None),
        ([UNKNOWN], 0, None),
    ],
)
def test_verdict(outcomes, count, wrong):
    verdict = judge(tries(*outcomes), {(1, 1): count} if count else {}, ended=True)
    found = {name for name in ("lost", "duplicated", "phantom") if verdict[name]}
    assert found == ({wrong} if wrong else set())
    assert verdict["examples"] == ({wrong: ["1/1"]} if wrong else {})
    assert verdict["unresolved"] == (outcomes == [UNKNOWN])


def test_only_a_client_that_did_not_end_has_something_in_flight():
    keys = {(1, 1): 1, (1, 2): 1}
    running = judge(tries(OK), keys, ended=False)
    assert (running["phantom"], running["in_flight"]) == (0, 1)
    assert judge(tries(OK), keys, ended=True)["phantom"] == 1
    assert judge(tries(OK), {**keys, (1, 3): 1}, ended=False)["phantom"] == 1


def test_failures_count_in_the_window_only():
    found = writes_in(tries(FAILED, UNKNOWN, ABSENT, OK, OK), (0.5, 3.5))
    assert (found["failed_transactions"], found["unknown"], found["transactions"]) == (1, 1, 1)
    assert found["retries"] == 1
    assert found["client_write_pause_ms"] == {"1": 2500.0}


def test_reads_that_missed_something():
    reads = [{"t": 1.0, "o": OK}, {"t": 2.0, "o": OK, "stale": [5, 4]}, {"t": 3.0, "o": FAILED}, {"t": 4.0, "o": OK}]
    found = reads_in(reads, (1.0, 4.0))
    assert (found["stale_reads"], found["failed_reads"], found["read_pause_ms"]) == (1, 1, 2000.0)


def test_series():
    found = series(tries(OK, FAILED), [{"t": 0.05, "o": OK}], (0.0, 1.0))
    assert found["writes"][0] == 1 and found["failed"][10] == 1 and found["reads"][0] == 1 and found["buckets"] == 11


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    journal = Journal(tmp_path / "client-3.jsonl")
    journal.add(n=1, k="cart", o=OK, ms=1.5)
    journal.close()
    with (tmp_path / "client-3.jsonl").open("a") as handle:
        handle.write('{"n":2,"k":"ca')
    assert len(list(lines(tmp_path / "client-3.jsonl"))) == 1
    (attempt,) = Run(tmp_path).attempts()
    assert (attempt.client, attempt.seq, attempt.outcome) == (3, 1, OK)


def test_marks(tmp_path):
    run = Run(tmp_path)
    run.mark("begin")
    run.mark("begin")
    assert run.moment("begin") == run.marks()[1]["t"] > run.marks()[0]["t"]
    with pytest.raises(SystemExit, match="known marks: begin"):
        run.moment("end")


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (psycopg.errors.AdminShutdown, True),
        (psycopg.errors.CrashShutdown, True),
        (psycopg.errors.ProtocolViolation, True),  # how PgBouncer tells that the server went away
        (psycopg.errors.SerializationFailure, False),
        (psycopg.errors.ReadOnlySqlTransaction, False),
        (psycopg.OperationalError, True),
    ],
)
def test_after_which_errors_a_commit_is_unknown(error, gone):
    assert lost(error("x")) is gone
