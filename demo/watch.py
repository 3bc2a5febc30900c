# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks on while the demo runs: replication's lag for the picture, phases as the ledger records them."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

import psycopg
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_names import Names
from psycopg.rows import dict_row

EVERY = 0.25  # seconds

# Bytes not yet confirmed: for the eye only, never to decide anything.
_LAG = """
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::int8 AS behind
FROM pg_replication_slots WHERE slot_name = %s AND active AND confirmed_flush_lsn IS NOT NULL
"""
_PHASES = """
SELECT phase, status, summary, extract(epoch FROM started_at)::float8 AS begun,
       extract(epoch FROM coalesce(finished_at, clock_timestamp()) - started_at)::float8 AS seconds
FROM crossover.phase ORDER BY started_at
"""


class Watch(threading.Thread):
    """Start it, stop it, read what it saw. ``tell`` is called with each phase that has ended."""

    def __init__(self, source: str, node: str, names: Names, tell: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(name="watch", daemon=True)
        self.sides = {"forward": (source, names.slot), "back": (node, names.back_slot)}
        self.tell = tell
        self.lag: dict[str, list[list[float]]] = {"forward": [], "back": []}
        self._phases: dict[tuple[str, float], dict[str, Any]] = {}
        self._conn: dict[str, psycopg.Connection[Any]] = {}
        self._over = threading.Event()

    @property
    def phases(self) -> list[dict[str, Any]]:
        """Every run of a phase, in order."""
        return sorted(self._phases.values(), key=lambda phase: float(phase["begun"]))

    def run(self) -> None:
        """Look until told to stop, and once more."""
        while not self._over.wait(EVERY):
            self.look()
        self.look()
        for conn in self._conn.values():
            conn.close()

    def stop(self) -> None:
        """Look a last time, then end."""
        self._over.set()
        if self.is_alive():
            self.join()

    def look(self) -> None:
        """One look at both sides; a side that does not answer, or has nothing yet, is left out."""
        for name, (_sub, slot) in self.sides.items():
            for row in self._ask(name, _LAG, [slot]):
                self.lag[name].append([round(time.time(), 3), max(0, row["behind"])])
        for row in self._ask("back", _PHASES):
            key = (row["phase"], row["begun"])
            known = self._phases.get(key)
            phase = {"name": row.pop("phase"), **row, "seconds": round(row["seconds"], 3)}
            self._phases[key] = phase
            if phase["status"] != "running" and (known is None or known["status"] == "running"):
                self.tell(phase)

    def _ask(self, name: str, query: str, params: list[Any] | None = None) -> list[dict[str, Any]]:
        try:
            if name not in self._conn:
                self._conn[name] = psycopg.connect(
                    self.sides[name][0],
                    autocommit=True,
                    row_factory=dict_row,
                    connect_timeout=2,
                    prepare_threshold=None,
                )
            return list(self._conn[name].execute(query, params))
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return []
        except psycopg.Error:
            if conn := self._conn.pop(name, None):
                conn.close()
            return []
