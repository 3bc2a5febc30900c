# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a long task is, in the ledger's table crossover.progress (private to the collection).

Nothing ever fails for it: where there is no ledger, or it cannot be written, there is no progress to be seen.
"""

from __future__ import annotations

import time
from typing import Any

from ._errors import CrossoverError
from ._pg_connect import Login, connect, driver

_WRITE = """
INSERT INTO crossover.progress (migration, task, done, total, unit, message) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (migration, task) DO UPDATE SET done = excluded.done, total = excluded.total, unit = excluded.unit,
    message = excluded.message, updated_at = clock_timestamp()
"""


class Progress:
    """Writes at most once in ``every`` seconds; call it from one thread at a time."""

    def __init__(self, node: Login, migration: str, task: str, unit: str, every: float = 1.0) -> None:
        self.place, self.unit, self.every = (migration, task), unit, every
        self._last = 0.0
        self._conn: Any = None
        try:
            self._conn = connect(node, settings={"lock_timeout": "1s", "statement_timeout": "2s"})
            if not self._conn.execute("SELECT to_regclass('crossover.progress') IS NOT NULL AS t").fetchone()["t"]:
                self.close()
        except (CrossoverError, driver().Error):
            self.close()

    def __call__(self, done: int, total: int, message: str) -> None:
        """Tell how far it is."""
        if self._conn is None or time.monotonic() - self._last < self.every:
            return
        self._last = time.monotonic()
        try:
            self._conn.execute(_WRITE, [*self.place, done, total, self.unit, message])
        except driver().Error:
            self.close()

    def close(self) -> None:
        """Remove what was told: the task is over."""
        conn, self._conn = self._conn, None
        if conn is None:
            return
        try:
            conn.execute("DELETE FROM crossover.progress WHERE migration = %s AND task = %s", self.place)
        except driver().Error:
            pass
        conn.close()
