# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: the migration's durable state on the first node (private to the collection).

It remembers only what cannot be seen in the two databases: decisions, measurements, progress.
"""

from __future__ import annotations

import json
from typing import Any

from ._errors import CrossoverError
from ._pg_catalog import exists
from ._pg_sql import Statement

_DDL = """
CREATE SCHEMA IF NOT EXISTS crossover;
REVOKE ALL ON SCHEMA crossover FROM PUBLIC;
CREATE TABLE IF NOT EXISTS crossover.migration (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS crossover.phase (
    migration_id uuid NOT NULL REFERENCES crossover.migration ON DELETE CASCADE,
    phase text NOT NULL,
    status text NOT NULL CHECK (status IN ('running', 'done', 'failed')),
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    summary jsonb NOT NULL DEFAULT '{}',
    message text,
    PRIMARY KEY (migration_id, phase));
CREATE TABLE IF NOT EXISTS crossover.step (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    migration_id uuid NOT NULL REFERENCES crossover.migration ON DELETE CASCADE,
    run uuid NOT NULL,
    phase text NOT NULL,
    step text NOT NULL,
    status text NOT NULL CHECK (status IN ('started', 'done', 'failed')),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ms double precision,
    detail jsonb NOT NULL DEFAULT '{}');
CREATE TABLE IF NOT EXISTS crossover.fact (
    migration_id uuid NOT NULL REFERENCES crossover.migration ON DELETE CASCADE,
    key text NOT NULL,
    value jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (migration_id, key));
CREATE TABLE IF NOT EXISTS crossover.progress (
    migration text NOT NULL,
    task text NOT NULL,
    done bigint NOT NULL,
    total bigint,
    unit text NOT NULL,
    tables_done bigint,
    tables_total bigint,
    rate double precision,
    message text,
    pid integer NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (migration, task));
CREATE TABLE IF NOT EXISTS crossover.progress_table (
    migration text NOT NULL,
    task text NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    rows bigint,
    bytes bigint,
    note text);
"""


def migrations(conn: Any) -> list[str]:
    """The names of those that have a ledger in this database: finish removes it."""
    if not exists(conn, "crossover.migration"):
        return []
    return [row["name"] for row in conn.execute("SELECT name FROM crossover.migration ORDER BY 1")]


class Ledger:
    """One migration's ledger. Reading one that does not exist gives nothing; writing to it is an error."""

    def __init__(self, conn: Any, name: str) -> None:
        self.conn = conn
        self.name = name
        self.id: str | None = self._find()

    def _find(self) -> str | None:
        if not exists(self.conn, "crossover.migration"):
            return None
        row = self.conn.execute("SELECT id::text FROM crossover.migration WHERE name = %s", [self.name]).fetchone()
        return row["id"] if row else None

    @property
    def exists(self) -> bool:
        """Whether this migration has a ledger on this node."""
        return self.id is not None

    def creation(self) -> list[Statement]:
        """The statements that create the ledger; none when it is there."""
        return [] if self.exists else [Statement(_DDL.strip(), "CREATE SCHEMA crossover; -- and the ledger's tables")]

    def create(self) -> None:
        """Create schema, tables and this migration's row; nothing is overwritten."""
        if self.exists:
            return
        with self.conn.transaction():
            self.conn.execute("SELECT pg_advisory_xact_lock(hashtext('crossover.ledger'))")
            self.conn.execute("SET LOCAL client_min_messages = warning")
            self.conn.execute(_DDL)
            self.conn.execute(
                "INSERT INTO crossover.migration (name) VALUES (%s) ON CONFLICT (name) DO NOTHING", [self.name]
            )
        self.id = self._find()

    def remove(self) -> None:
        """Forget the migration; the schema goes with the last one, unless the database is the source of another."""
        with self.conn.transaction():
            self.conn.execute("SELECT pg_advisory_xact_lock(hashtext('crossover.ledger'))")
            self.conn.execute("SET LOCAL client_min_messages = warning")
            self.conn.execute("DELETE FROM crossover.migration WHERE id = %s", [self.need()])
            last = self.conn.execute("SELECT FROM crossover.migration").fetchone() is None
            row = self.conn.execute("SELECT to_regclass('crossover.control') IS NULL AS no_source").fetchone()
            if last and row["no_source"]:
                self.conn.execute("DROP SCHEMA crossover CASCADE")
        self.id = None

    def need(self) -> str:
        """The migration's id; an error where there is none."""
        if self.id is None:
            raise CrossoverError(
                f"there is no migration named {self.name} on this node",
                code="no_migration",
                untouched="nothing was changed",
                hint="run the playbook crossover.pgedge.assess first",
            )
        return self.id

    def phases(self) -> dict[str, dict[str, Any]]:
        """phase -> status, started_at, finished_at, age (seconds since its end), summary, message."""
        if not self.exists:
            return {}
        rows = self.conn.execute(
            """SELECT phase, status, started_at::text, finished_at::text, summary, message,
                      extract(epoch FROM clock_timestamp() - finished_at)::float8 AS age,
                      extract(epoch FROM coalesce(finished_at, clock_timestamp()) - started_at)::float8 AS seconds
               FROM crossover.phase WHERE migration_id = %s ORDER BY started_at""",
            [self.id],
        )
        return {row.pop("phase"): row for row in rows}

    def begin(self, phase: str) -> None:
        """Record that a phase has started; what an earlier run left of it is replaced."""
        self.conn.execute(
            """INSERT INTO crossover.phase (migration_id, phase, status, started_at)
               VALUES (%s, %s, 'running', clock_timestamp())
               ON CONFLICT (migration_id, phase) DO UPDATE
               SET status = 'running', started_at = excluded.started_at, finished_at = NULL, message = NULL""",
            [self.need(), phase],
        )

    def end(self, phase: str, status: str, summary: dict[str, Any], message: str | None = None) -> None:
        """Record how a phase ended."""
        self.conn.execute(
            """UPDATE crossover.phase SET status = %s, finished_at = clock_timestamp(), summary = %s, message = %s
               WHERE migration_id = %s AND phase = %s""",
            [status, json.dumps(summary), message, self.need(), phase],
        )

    def facts(self) -> dict[str, Any]:
        """Every fact, by key."""
        if not self.exists:
            return {}
        rows = self.conn.execute("SELECT key, value FROM crossover.fact WHERE migration_id = %s", [self.id])
        return {row["key"]: row["value"] for row in rows}

    def put(self, key: str, value: Any) -> None:
        """Remember a fact, replacing what was there."""
        self.conn.execute(
            """INSERT INTO crossover.fact (migration_id, key, value) VALUES (%s, %s, %s)
               ON CONFLICT (migration_id, key) DO UPDATE SET value = excluded.value, recorded_at = clock_timestamp()""",
            [self.need(), key, json.dumps(value)],
        )

    def forget(self, key: str) -> None:
        """Remove a fact."""
        self.conn.execute("DELETE FROM crossover.fact WHERE migration_id = %s AND key = %s", [self.need(), key])

    def step(
        self,
        run: str,
        phase: str,
        step: str,
        status: str,
        ms: float | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Record one step of a run, before ('started') and after ('done', 'failed')."""
        self.conn.execute(
            """INSERT INTO crossover.step (migration_id, run, phase, step, status, ms, detail)
               VALUES (%s, %s, %s, %s, %s, %s, %s)""",
            [self.need(), run, phase, step, status, ms, json.dumps(detail or {})],
        )

    def steps(self, phase: str | None = None) -> list[dict[str, Any]]:
        """The steps of all runs in order; of one phase when given."""
        if not self.exists:
            return []
        rows = self.conn.execute(
            """SELECT run::text, phase, step, status, at::text, ms, detail FROM crossover.step
               WHERE migration_id = %(id)s AND (%(phase)s::text IS NULL OR phase = %(phase)s) ORDER BY id""",
            {"id": self.id, "phase": phase},
        )
        return list(rows)
