# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application saw of a migration, as one JSON document."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any, Sequence

from .check import check
from .journal import ABSENT, FAILED, FOUND, OK, UNKNOWN, Attempt, Run
from .pauses import longest_gap, percentiles

BUCKET_MS = 100


SETTLE = 3.0  # seconds until what was acknowledged on one node must be on the others


def report(
    out: Path, new: str, old: str | None, begin: str | None, end: str | None, nodes: Sequence[str] = ()
) -> dict[str, Any]:
    """Pauses and failures between two marks; the verdict on the databases for the whole run."""
    run = Run(out)
    facts, ended = run.facts(), run.ended()
    attempts, reads = run.attempts(), run.reads()  # before the databases are read: what is in here must be in there
    latest = max([a.t for a in attempts] + [r["t"] for r in reads] + [m["t"] for m in run.marks()])
    first = min((a.t for a in attempts if a.outcome == OK), default=run.moment("started"))
    window = (run.moment(begin) if begin else first, run.moment(end) if end else latest)
    result = {
        "run": facts["run"],
        "window": {"from": begin, "to": end, "seconds": round(window[1] - window[0], 3), "begin": window[0]},
        **writes_in(attempts, window),
        **reads_in(reads, window),
        "acknowledged": check(new, facts["run"], attempts, facts["sum"], ended),
        "samples": sums(run.samples(), facts["sum"]),
        "marks": [{"name": mark["name"], "s": round(mark["t"] - window[0], 3)} for mark in run.marks()],
        "series": series(attempts, reads, window),
    }
    result["sum"] = result["acknowledged"].pop("sum")
    if old:
        result["old"] = check(old, facts["run"], attempts, facts["sum"], ended)
    if nodes:
        time.sleep(SETTLE)
        result["nodes"] = {dsn: check(dsn, facts["run"], attempts, facts["sum"], ended, later=True) for dsn in nodes}
    return result


def _within(window: tuple[float, float], t: float) -> bool:
    return window[0] <= t <= window[1]


def writes_in(attempts: Sequence[Attempt], window: tuple[float, float]) -> dict[str, Any]:
    """Write pause, failures, retries, latency."""
    acknowledged = [a for a in attempts if a.outcome in (OK, FOUND)]
    gap, since = longest_gap([a.t for a in acknowledged], *window)
    inside = [a for a in attempts if _within(window, a.t)]
    done = [a for a in inside if a.outcome == OK]
    bad = [a for a in inside if a.outcome in (FAILED, UNKNOWN)]
    tries = [a for a in inside if a.outcome in (OK, FAILED, UNKNOWN)]
    clients = sorted({a.client for a in attempts})
    seconds = max(window[1] - window[0], 0.001)
    return {
        "write_pause_ms": round(gap * 1000, 1),
        "write_pause_at_s": round(since - window[0], 3),
        "client_write_pause_ms": {
            "probe" if c == 0 else str(c): round(
                longest_gap([a.t for a in acknowledged if a.client == c], *window)[0] * 1000, 1
            )
            for c in clients
        },
        "failed_transactions": len(bad),
        "unknown": sum(a.outcome == UNKNOWN for a in bad),
        "retries": len(tries) - len({(a.client, a.seq) for a in tries}),
        "errors": dict(Counter(a.error or "" for a in bad).most_common(20)),
        "transactions": sum(a.client > 0 for a in done),
        "tps": round(sum(a.client > 0 for a in done) / seconds, 1),
        "by_kind": dict(Counter(a.kind for a in done)),
        "by_server": dict(Counter(str(a.port) for a in done)),
        "latency_ms": percentiles([a.ms for a in done if a.client]),
    }


def reads_in(reads: Sequence[dict[str, Any]], window: tuple[float, float]) -> dict[str, Any]:
    """Read pause, failures, and reads that did not see what had been acknowledged before."""
    gap, since = longest_gap([r["t"] for r in reads if r["o"] == OK], *window)
    inside = [r for r in reads if _within(window, r["t"])]
    return {
        "read_pause_ms": round(gap * 1000, 1),
        "read_pause_at_s": round(since - window[0], 3),
        "failed_reads": sum(r["o"] == FAILED for r in inside),
        "stale_reads": sum("stale" in r for r in inside),
        "reads": len(inside),
    }


def sums(samples: Sequence[dict[str, Any]], expected: int) -> dict[str, Any]:
    """How often the balances were added up while the workload ran, and how often the sum was wrong."""
    return {"taken": len(samples), "wrong": sum(s["sum"] != expected for s in samples)}


def series(attempts: Sequence[Attempt], reads: Sequence[dict[str, Any]], window: tuple[float, float]) -> dict[str, Any]:
    """For a chart: per bucket the writes, reads, failures, and the longest latency."""
    count = min(int((window[1] - window[0]) * 1000 / BUCKET_MS) + 1, 100_000)
    found: dict[str, list[Any]] = {name: [0] * count for name in ("writes", "reads", "failed", "max_ms")}
    for a in attempts:
        index = int((a.t - window[0]) * 1000 / BUCKET_MS)
        if _within(window, a.t) and index < count and a.outcome != ABSENT:
            found["failed" if a.outcome in (FAILED, UNKNOWN) else "writes"][index] += 1
            found["max_ms"][index] = max(found["max_ms"][index], a.ms)
    for r in reads:
        index = int((r["t"] - window[0]) * 1000 / BUCKET_MS)
        if _within(window, r["t"]) and index < count and r["o"] == OK:
            found["reads"][index] += 1
    return {"bucket_ms": BUCKET_MS, "buckets": count, **found}
