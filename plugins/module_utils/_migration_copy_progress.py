# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a copy is, as the ledger shows it to whoever looks (private to the collection)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait

from ._migration_compare_progress import Progress
from ._migration_copy_ledger import TASK
from ._migration_copy_run import Run
from ._pg_connect import Login

_WINDOW = 15.0  # seconds over which the rate is taken


class Reporter:
    """Writes bytes, parts, indexes, rate and what is left of the time."""

    def __init__(self, node: Login, migration: str, totals: Mapping[str, int], units: int) -> None:
        self.progress = Progress(node, migration, TASK, "bytes")
        self.totals, self.units = totals, units
        self._seen: list[tuple[float, int]] = []

    def __call__(self, run: Run, doing: str = "") -> None:
        """Write it. What is being copied counts up to the size of its part: the rows' form in transit is another."""
        done = self.totals["bytes_done"] + sum(part.bytes for part in run.finished)
        done += sum(min(size, part.bytes) for part, size in list(run.moved.items()))
        parts = self.totals["parts_done"] + len(run.finished)
        said = [f"{parts}/{self.totals['parts']} parts, {run.built}/{self.units} indexes and constraints"]
        rate = self._rate(done)
        if rate and done < self.totals["bytes"]:
            left = int((self.totals["bytes"] - done) / rate)
            said.append(f"{rate / (1 << 20):.1f} MiB/s, ETA {left // 60}m{left % 60:02d}s")
        self.progress(done, self.totals["bytes"], ", ".join([*said, *filter(None, [doing])]))

    def _rate(self, done: int) -> float | None:
        now = time.monotonic()
        self._seen = [(at, n) for at, n in self._seen if now - at < _WINDOW] + [(now, done)]
        at, n = self._seen[0]
        return (done - n) / (now - at) if now - at > 1 and done > n else None

    def during(self, work: Callable[[], object], run: Run, doing: str) -> None:
        """Go on writing while something else is done."""
        with ThreadPoolExecutor(1) as thread:
            future = thread.submit(work)
            while wait([future], timeout=0.5).not_done:
                self(run, doing)
            future.result()

    def close(self) -> None:
        """The copy is over."""
        self.progress.close()
