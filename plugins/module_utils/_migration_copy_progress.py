# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a copy is, as the ledger shows it to whoever looks (private to the collection)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait

from ._migration_copy_run import Run
from ._migration_progress import COPY, Progress
from ._pg_connect import Login


class Reporter:
    """Writes bytes, tables, keys and indexes; rate and what is left of the time come of it."""

    def __init__(self, node: Login, migration: str, totals: Mapping[str, int], units: int) -> None:
        self.progress = Progress(node, migration, COPY, "bytes")
        self.totals, self.units = totals, units

    def __call__(self, run: Run, doing: str = "") -> None:
        """Write it. What is being copied counts up to the size of its part: the rows' form in transit is another."""
        done = self.totals["bytes_done"] + sum(part.bytes for part in run.finished)
        done += sum(min(size, part.bytes) for part, size in list(run.moved.items()))
        tables = self.totals["tables"] - run.tables_left
        said = f"{run.built}/{self.units} indexes, keys" if self.units else ""
        self.progress(done, self.totals["bytes"], (tables, self.totals["tables"]), doing or said)

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
