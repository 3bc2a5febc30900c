# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application saw, from the workload's own list, in the words of the report. No database is asked for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "roles" / "lab" / "files"))

from workload.journal import FAILED, FOUND, OK, UNKNOWN, Run
from workload.pauses import longest_gap
from workload.report import reads_in, writes_in

FINE_MS = 5.0  # of the timeline of a switch
AROUND = 1.0  # seconds before and after the pause that are kept of it
COARSE_S = 0.5  # of the whole course


class Seen:
    """A run of the workload, read once."""

    def __init__(self, out: Path) -> None:
        self.run = Run(out)
        self.attempts = self.run.attempts()
        self.raw_reads = self.run.reads()
        self.writes = [a.t for a in self.attempts if a.outcome in (OK, FOUND)]
        self.reads = [r["t"] for r in self.raw_reads if r["o"] == OK]
        first = self.run.marks()[0]
        self.wall = first["w"] - first["t"]  # of CLOCK_MONOTONIC, which the workload's times are

    def switch(self, begin: str, end: str) -> dict[str, Any]:
        """Pauses and failures between two marks, and every acknowledged write and read around the pause."""
        window = (self.run.moment(begin), self.run.moment(end))
        pause, since = longest_gap(self.writes, *window)
        writes, reads = writes_in(self.attempts, window), reads_in(self.raw_reads, window)
        near = (since - AROUND, since + pause + AROUND)
        return {
            "write_pause_ms": round(pause * 1000, 1),
            "read_pause_ms": reads["read_pause_ms"],
            "failed_transactions": writes["failed_transactions"],
            "failed_reads": reads["failed_reads"],
            "stale_reads": reads["stale_reads"],
            "errors": writes["errors"],
            "write_pause_from": since + self.wall,
            "writes": self._bins(self.writes, *near, FINE_MS / 1000, "step_ms", FINE_MS),
            "reads": self._bins(self.reads, *near, FINE_MS / 1000, "step_ms", FINE_MS),
        }

    def course(self) -> dict[str, Any]:
        """Acknowledged writes over the whole run."""
        return self._bins(self.writes, self.writes[0], self.writes[-1], COARSE_S, "step_s", COARSE_S)

    def failed(self) -> int:
        """Transactions that did not go through at once, in the whole run."""
        return sum(a.outcome in (FAILED, UNKNOWN) for a in self.attempts)

    def _bins(
        self, times: Sequence[float], begin: float, end: float, step: float, key: str, value: float
    ) -> dict[str, Any]:
        counts = [0] * max(1, int((end - begin) / step))
        for t in times:
            index = int((t - begin) // step)
            if 0 <= index < len(counts):
                counts[index] += 1
        return {"begun": begin + self.wall, key: value, "counts": counts}
