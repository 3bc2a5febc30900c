# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pgbench reports and logs, as figures (private to the collection). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_REPORT = {
    "transactions": r"number of transactions actually processed: (\d+)",
    "failed": r"number of failed transactions: (\d+)",
    "tps": r"tps = ([\d.]+)",
}
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Measured:
    """One side's figures; latencies in milliseconds."""

    tps: float
    transactions: int
    failed: int
    seconds: float
    average_ms: float
    percentiles_ms: dict[int, float]
    max_ms: float

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        return {
            "tps": round(self.tps, 1),
            "transactions": self.transactions,
            "failed": self.failed,
            "seconds": round(self.seconds, 1),
            "average_ms": round(self.average_ms, 3),
            **{f"p{p}_ms": round(value, 3) for p, value in self.percentiles_ms.items()},
            "max_ms": round(self.max_ms, 3),
        }


def latencies(lines: Iterable[str]) -> list[int]:
    """Microseconds of every transaction in a log: client, number, time, …; failed and skipped ones have no time."""
    found = []
    for line in lines:
        fields = line.split(None, 3)
        if len(fields) >= 3 and fields[2].isdigit():
            found.append(int(fields[2]))
    return found


def percentile(ordered: list[int], part: int) -> float:
    """The smallest value that at least ``part`` percent do not exceed (nearest rank), in milliseconds."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-part * len(ordered) // 100) - 1)] / 1000


def measured(report: str, times: list[int], seconds: float) -> Measured:
    """pgbench's report and its log, together."""
    numbers = {name: float(m.group(1)) if (m := re.search(p, report)) else 0.0 for name, p in _REPORT.items()}
    ordered = sorted(times)
    return Measured(
        tps=numbers["tps"],
        transactions=int(numbers["transactions"]),
        failed=int(numbers["failed"]),
        seconds=seconds,
        average_ms=sum(ordered) / len(ordered) / 1000 if ordered else 0.0,
        percentiles_ms={p: percentile(ordered, p) for p in PERCENTILES},
        max_ms=ordered[-1] / 1000 if ordered else 0.0,
    )


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """A result as the ledger keeps it: what is plain comes first on the screen of crossover.pgedge.status."""
    both = {side: result[side] for side in ("source", "node")}
    return {**{f"{side}_tps": figures["tps"] for side, figures in both.items()}, **both, "setup": result["setup"]}


_ROWS = (
    ("transactions a second", "tps", 1),
    ("latency p50, ms", "p50_ms", 3),
    ("latency p95, ms", "p95_ms", 3),
    ("latency p99, ms", "p99_ms", 3),
    ("latency max, ms", "max_ms", 3),
    ("failed transactions", "failed", 0),
)


def table(source: dict[str, Any], node: dict[str, Any], versions: tuple[str, str]) -> list[str]:
    """Both sides next to each other."""
    heads = (f"source {versions[0]}", f"node {versions[1]}", "node:source")
    lines = [f"{'':24}{heads[0]:>16}{heads[1]:>16}{heads[2]:>14}"]
    for label, key, digits in _ROWS:
        one, two = source.get(key, 0), node.get(key, 0)
        ratio = f"{two / one:.2f}" if one else "-"
        lines.append(f"{label:24}{one:>16.{digits}f}{two:>16.{digits}f}{ratio:>14}")
    return lines
