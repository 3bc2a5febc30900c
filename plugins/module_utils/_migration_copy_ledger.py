# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ledger knows of a copy (private to the collection).

A part is marked in the transaction that brings its rows, so that rows and mark are there together or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ._migration_copy_plan import CopyTable, Part
from ._migration_ledger import Ledger
from ._replication_snapshot import Snapshot

FACT = "copy"

_DDL = """
CREATE TABLE IF NOT EXISTS crossover.copy_part (
    migration_id uuid NOT NULL REFERENCES crossover.migration ON DELETE CASCADE,
    relation oid NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    first_block bigint,
    end_block bigint,
    bytes bigint NOT NULL,
    rows bigint,
    copied_at timestamptz,
    PRIMARY KEY (migration_id, relation, number));
"""


@dataclass(frozen=True)
class Begun:
    """A copy that was begun: from which snapshot, which files its tables had, whether all of it is there."""

    snapshot: Snapshot
    files: dict[int, int]
    done: bool
    summary: dict[str, Any]


class CopyLedger:
    """The copy's part of the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.conn = ledger, ledger.conn

    def begun(self) -> Begun | None:
        """The copy that was begun here, if any."""
        fact = self.ledger.facts().get(FACT)
        if fact is None or fact.get("handed_over"):
            return None
        snapshot = Snapshot(**fact["snapshot"])
        files = {int(oid): file for oid, file in fact["files"].items()}
        return Begun(snapshot, files, fact["done"], fact.get("summary", {}))

    def begin(self, snapshot: Snapshot, tables: Iterable[CopyTable], parts: Iterable[Part]) -> None:
        """Remember what is going to be copied; what an earlier copy left is forgotten."""
        known = {t.table.oid: t for t in tables}
        rows = [
            {"relation": p.table, "number": p.number, "name": known[p.table].name, "first": p.start, "end": p.end,
             "bytes": p.bytes}
            for p in parts
        ]  # fmt: skip
        with self.conn.transaction():
            self.conn.execute("SET LOCAL client_min_messages = warning")
            self.conn.execute(_DDL)
            self.conn.execute("DELETE FROM crossover.copy_part WHERE migration_id = %s", [self.ledger.id])
            self.conn.execute(
                """INSERT INTO crossover.copy_part (migration_id, relation, number, name, first_block, end_block, bytes)
                   SELECT %s, relation, number, name, first, "end", bytes
                   FROM json_to_recordset(%s) AS r(relation oid, number int, name text, first int8, "end" int8,
                                                   bytes int8)""",
                [self.ledger.id, json.dumps(rows)],
            )
            files = {t.table.oid: t.filenode for t in known.values()}
            self.ledger.put(FACT, {"snapshot": snapshot.as_dict(), "files": files, "done": False})

    def left(self) -> list[Part]:
        """The parts that are not there yet, largest tables first."""
        rows = self.conn.execute(
            """SELECT relation::int8 AS table, number, first_block AS start, end_block AS "end", bytes
               FROM (SELECT *, sum(bytes) OVER (PARTITION BY relation) AS size FROM crossover.copy_part
                     WHERE migration_id = %s) p
               WHERE copied_at IS NULL ORDER BY size DESC, name, number""",
            [self.ledger.id],
        )
        return [Part(**row) for row in rows]

    def totals(self) -> dict[str, int]:
        """How much there is, and how much of it is there."""
        row = self.conn.execute(
            """SELECT count(*) AS parts, count(copied_at) AS parts_done, count(DISTINCT relation) AS tables,
                      coalesce(sum(bytes), 0)::int8 AS bytes, coalesce(sum(rows), 0)::int8 AS rows,
                      coalesce(sum(bytes) FILTER (WHERE copied_at IS NOT NULL), 0)::int8 AS bytes_done
               FROM crossover.copy_part WHERE migration_id = %s""",
            [self.ledger.id],
        ).fetchone()
        return dict(row)

    def finish(self, begun: Begun, summary: dict[str, Any]) -> None:
        """All of it is there. This commit is flushed, and with it every part's before it."""
        files = {str(oid): file for oid, file in begun.files.items()}
        value = {"snapshot": begun.snapshot.as_dict(), "files": files, "done": True, "summary": summary}
        with self.conn.transaction():
            self.conn.execute("SET LOCAL synchronous_commit = on")
            self.ledger.put(FACT, value)

    def hand_over(self) -> None:
        """The subscription has taken over: from now on the tables are nothing that a copy may empty."""
        fact = self.ledger.facts().get(FACT)
        if fact is not None and not fact.get("handed_over"):
            self.ledger.put(FACT, {**fact, "handed_over": True})

    def summary(self) -> dict[str, Any]:
        """What was measured when it was complete."""
        found: dict[str, Any] = self.ledger.facts().get(FACT, {}).get("summary", {})
        return found

    def forget(self) -> None:
        """There is no copy any more."""
        if self.conn.execute("SELECT to_regclass('crossover.copy_part') IS NOT NULL AS there").fetchone()["there"]:
            self.conn.execute("DELETE FROM crossover.copy_part WHERE migration_id = %s", [self.ledger.id])
        if self.ledger.exists:
            self.ledger.forget(FACT)


def mark(conn: Any, migration_id: str, part: Part, rows: int) -> bool:
    """In the part's own transaction: it is there. False when somebody else has brought it."""
    done = conn.execute(
        """UPDATE crossover.copy_part SET rows = %s, copied_at = clock_timestamp()
           WHERE migration_id = %s AND relation = %s::int8::oid AND number = %s AND copied_at IS NULL""",
        [rows, migration_id, part.table, part.number],
    )
    return bool(done.rowcount == 1)


def finished_tables(conn: Any, name: str) -> list[dict[str, Any]]:
    """The tables whose every part is there, in the order in which they were: for progress."""
    if not conn.execute("SELECT to_regclass('crossover.copy_part') IS NOT NULL AS there").fetchone()["there"]:
        return []
    rows = conn.execute(
        """SELECT p.name, sum(p.bytes)::int8 AS bytes, sum(p.rows)::int8 AS rows FROM crossover.copy_part p
           JOIN crossover.migration m ON m.id = p.migration_id AND m.name = %s
           GROUP BY p.relation, p.name HAVING count(*) = count(p.copied_at) ORDER BY max(p.copied_at), p.name""",
        [name],
    )
    return list(rows)
