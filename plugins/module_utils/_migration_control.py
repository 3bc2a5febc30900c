# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control row on the source: which side is writable (private to the collection).

A process that was stalled, the watchdog and a rerun all contend for this one row by compare-and-swap on its epoch,
so no two of them can act.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._errors import CrossoverError

SOURCE, NODE = "source", "node"

DDL = """
CREATE TABLE IF NOT EXISTS crossover.control (
    migration text PRIMARY KEY,
    epoch bigint NOT NULL,
    writable text NOT NULL CHECK (writable IN ('source', 'node')),
    crossings integer NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by text NOT NULL)
"""


@dataclass(frozen=True)
class Control:
    """The row as it was read."""

    migration: str
    epoch: int
    writable: str
    crossings: int = 0  # how often the sides were changed

    @property
    def switched(self) -> bool:
        """Whether the application's writes belong on the node."""
        return self.writable == NODE

    @property
    def switched_back(self) -> bool:
        """Whether the application has been on the node and is on the source again."""
        return self.writable == SOURCE and self.crossings > 0


class EpochTaken(CrossoverError):
    """Somebody else changed the control row first: whoever gets this must stop."""

    def __init__(self, migration: str) -> None:
        super().__init__(
            f"the control row of migration {migration} was changed by another process",
            code="epoch_taken",
            untouched="this run stops here and changed nothing more",
            hint="run crossover.pgedge.status to see which side is writable",
        )


def read(conn: Any, migration: str) -> Control | None:
    """The row, or None where there is no table or no row."""
    if not conn.execute("SELECT to_regclass('crossover.control') IS NOT NULL AS there").fetchone()["there"]:
        return None
    row = conn.execute(
        "SELECT migration, epoch, writable, crossings FROM crossover.control WHERE migration = %s", [migration]
    ).fetchone()
    return Control(**row) if row else None


def create(conn: Any, migration: str) -> bool:
    """Make the row, with the source writable; an existing one is left as it is. Says whether it was made."""
    cursor = conn.execute(
        """INSERT INTO crossover.control (migration, epoch, writable, changed_by)
           VALUES (%s, 1, 'source', 'replicate') ON CONFLICT (migration) DO NOTHING""",
        [migration],
    )
    return cursor.rowcount == 1


def swap(conn: Any, seen: Control, writable: str, by: str) -> Control:
    """Change sides, or only take the epoch when ``writable`` is the side it is. EpochTaken when somebody was faster."""
    cursor = conn.execute(
        """UPDATE crossover.control
           SET epoch = epoch + 1, crossings = crossings + (writable <> %s)::int, writable = %s,
               changed_at = clock_timestamp(), changed_by = %s
           WHERE migration = %s AND epoch = %s AND writable = %s""",
        [writable, writable, by, seen.migration, seen.epoch, seen.writable],
    )
    if cursor.rowcount != 1:
        raise EpochTaken(seen.migration)
    return Control(seen.migration, seen.epoch + 1, writable, seen.crossings + (writable != seen.writable))
