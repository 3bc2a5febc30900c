# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a long task is, in the ledger's table crossover.progress (private to the collection).

Nothing ever fails for it: where there is no ledger, or it cannot be written, there is no progress to be seen. What is
told is true as long as the session that tells it lives: what a killed run has left is not shown.
"""

from __future__ import annotations

import json
import time
from typing import Any, Iterable, Mapping

from ._errors import CrossoverError
from ._pg_connect import Login, connect, driver
from ._progress_words import Rate, figures

COPY, COMPARE, SYNC = "copy", "compare", "sync"  # the tasks

_WRITE = """
INSERT INTO crossover.progress (migration, task, done, total, unit, tables_done, tables_total, rate, message, pid)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, pg_backend_pid())
ON CONFLICT (migration, task) DO UPDATE SET done = excluded.done, total = excluded.total, unit = excluded.unit,
    tables_done = excluded.tables_done, tables_total = excluded.tables_total, rate = excluded.rate,
    message = excluded.message, pid = excluded.pid, updated_at = clock_timestamp()
"""
_FINISHED = """
INSERT INTO crossover.progress_table (migration, task, name, rows, bytes, note)
SELECT %s, %s, name, rows, bytes, note
FROM json_to_recordset(%s) AS r(name text, rows int8, bytes int8, note text)
"""
_READ = """
SELECT p.task, p.done, p.total, p.unit, p.tables_done, p.tables_total, p.rate, p.message
FROM crossover.progress p JOIN pg_stat_activity a ON a.pid = p.pid AND a.backend_start <= p.updated_at
WHERE p.migration = %s ORDER BY p.task
"""


class Progress:
    """Writes at most once in ``every`` seconds; call it from one thread at a time."""

    def __init__(self, node: Login, migration: str, task: str, unit: str, every: float = 1.0) -> None:
        self.place, self.unit, self.every = (migration, task), unit, every
        self._last = 0.0
        self._rate = Rate()
        self._finished: list[Mapping[str, Any]] = []
        self._conn: Any = None
        try:
            self._conn = connect(node, settings={"lock_timeout": "1s", "statement_timeout": "2s"})
            if self._conn.execute("SELECT to_regclass('crossover.progress_table') IS NULL AS t").fetchone()["t"]:
                self.close()
            else:
                self._clear()  # what a run that was killed has left
        except (CrossoverError, driver().Error):
            self.close()

    def __call__(
        self,
        done: int,
        total: int,
        tables: tuple[int, int] | None = None,
        message: str = "",
        finished: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Tell how far it is. ``finished``: tables that are done since the last call (name, rows, bytes, note)."""
        self._finished += finished
        if self._conn is None or time.monotonic() - self._last < self.every:
            return
        self._last = time.monotonic()
        counts = tables or (None, None)
        try:
            self._conn.execute(_WRITE, [*self.place, done, total, self.unit, *counts, self._rate(done), message])
            if self._finished:
                self._conn.execute(_FINISHED, [*self.place, json.dumps(self._finished)])
                self._finished = []
        except driver().Error:
            self.close()

    def _clear(self) -> None:
        for table in ("progress", "progress_table"):
            self._conn.execute(f"DELETE FROM crossover.{table} WHERE migration = %s AND task = %s", self.place)

    def close(self) -> None:
        """Remove what was told: the task is over."""
        if self._conn is None:
            return
        try:
            self._clear()
        except driver().Error:
            pass
        self._conn.close()
        self._conn = None


def running(conn: Any, migration: str) -> list[dict[str, Any]]:
    """The long tasks that run now, with percentage, rate (a second) and the seconds that are left."""
    if not conn.execute("SELECT to_regclass('crossover.progress_table') IS NOT NULL AS t").fetchone()["t"]:
        return []
    return [figures(row) for row in conn.execute(_READ, [migration])]


def done_tables(conn: Any, migration: str, task: str) -> list[dict[str, Any]]:
    """The tables that a task that runs now has done, in that order."""
    rows = conn.execute(
        """SELECT name, rows, bytes, note FROM crossover.progress_table
           WHERE migration = %s AND task = %s ORDER BY number""",
        [migration, task],
    )
    return list(rows)
