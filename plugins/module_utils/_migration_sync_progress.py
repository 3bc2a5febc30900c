# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the initial synchronisation of one node is, for the ledger (private to the collection)."""

from __future__ import annotations

from typing import Any, Mapping

from ._migration_ledger import migrations
from ._migration_progress import SYNC, Progress
from ._pg_connect import Login
from ._replication_progress import as_task


def only_migration(conn: Any) -> str:
    """The migration of a node's ledger, if there is one and no other."""
    names = migrations(conn)
    return names[0] if len(names) == 1 else ""


class SyncProgress:
    """Writes what a wait has measured. Nothing is written where there is no ledger."""

    def __init__(self, conn: Any, login: Login, migration: str) -> None:
        self._waiting: set[str] | None = None
        name = migration or only_migration(conn)
        self._progress = Progress(login, name, SYNC, "bytes") if name else None

    def __call__(self, measured: Mapping[str, Any]) -> None:
        """Write it, with the tables that have come since."""
        if self._progress is None:
            return
        row, waiting = as_task(measured), set(measured["waiting"])
        ready = sorted((waiting if self._waiting is None else self._waiting) - waiting)
        self._waiting, self._progress.unit = waiting, row["unit"]
        counts = (row["tables_done"], row["tables_total"])
        self._progress(row["done"], row["total"], counts, row["message"], [{"name": name} for name in ready])

    def close(self) -> None:
        """The wait is over."""
        if self._progress is not None:
            self._progress.close()
