# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence: what keeps application writes out of one side (private to the collection).

Durable: a statement trigger on every table that refuses writes. It binds owners and superusers; apply workers run with
session_replication_role = replica and pass it. Statement triggers of a partitioned table do not fire for statements
that name a partition, so every partition has its own.
Lease: locks held by one session; the server lets go of them by itself when that session dies.
"""

from __future__ import annotations

import itertools
import random
import time
from typing import Any, Iterable

from ._errors import CrossoverError
from ._migration_control import DDL as CONTROL_DDL
from ._migration_names import FENCE_TRIGGER
from ._pg_catalog import Table
from ._pg_connect import driver
from ._pg_sql import Statement

SCHEMA_DDL = "CREATE SCHEMA IF NOT EXISTS crossover"
CANARY_DDL = """CREATE TABLE IF NOT EXISTS crossover.canary (
    side text PRIMARY KEY, token text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())"""
# 25006 is what a client gets from a read-only server: those that retry after a failover know it.
FUNCTION_DDL = """CREATE OR REPLACE FUNCTION crossover.refuse_write() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $fence$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
        MESSAGE = format('%I.%I is fenced by the migration: writes belong on the other side',
                         TG_TABLE_SCHEMA, TG_TABLE_NAME),
        HINT = 'Reconnect through the route that the migration switches.';
END $fence$"""


def triggers(conn: Any) -> dict[int, bool]:
    """Table oid -> whether its fence trigger is on, for every table that has one."""
    rows = conn.execute(
        """SELECT tgrelid::int8 AS oid, tgenabled <> 'D' AS enabled
           FROM pg_trigger WHERE tgname = %s AND NOT tgisinternal""",
        [FENCE_TRIGGER],
    )
    return {row["oid"]: row["enabled"] for row in rows}


def base_plan(conn: Any, control: bool) -> list[Statement]:
    """Schema, canary and fence function, and on the source the control table, as far as they are missing."""
    there = conn.execute(
        """SELECT to_regnamespace('crossover') IS NOT NULL AS schema,
                  to_regclass('crossover.canary') IS NOT NULL AS canary,
                  to_regclass('crossover.control') IS NOT NULL AS control,
                  to_regprocedure('crossover.refuse_write()') IS NOT NULL AS function"""
    ).fetchone()
    wanted = [("schema", SCHEMA_DDL), ("canary", CANARY_DDL), ("function", FUNCTION_DDL)]
    wanted += [("control", CONTROL_DDL.strip())] if control else []
    return [Statement.of(ddl) for what, ddl in wanted if not there[what]]


def _create(table: Table, enabled: bool) -> Statement:
    made = (
        f"CREATE TRIGGER {FENCE_TRIGGER} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table.full_name} "
        "FOR EACH STATEMENT EXECUTE FUNCTION crossover.refuse_write()"
    )
    return Statement.of(made if enabled else f"{made}; {_toggle(table, False)}")


def _toggle(table: Table, enabled: bool) -> str:
    # ONLY: before 15 this form recursed to partitions by itself; each has a trigger of its own here.
    return f"ALTER TABLE ONLY {table.full_name} {'ENABLE' if enabled else 'DISABLE'} TRIGGER {FENCE_TRIGGER}"


def plan(tables: Iterable[Table], existing: dict[int, bool], enabled: bool) -> list[Statement]:
    """Make the fence of every table present, and on or off. Each statement can run in a transaction of its own."""
    steps = []
    for table in tables:
        if table.oid not in existing:
            steps.append(_create(table, enabled))
        elif existing[table.oid] != enabled:
            steps.append(Statement.of(_toggle(table, enabled)))
    return steps


def removal(tables: Iterable[Table], existing: dict[int, bool]) -> list[Statement]:
    """Drop the fence of every table that has one."""
    return [Statement.of(f"DROP TRIGGER {FENCE_TRIGGER} ON {t.full_name}") for t in tables if t.oid in existing]


def apply_gently(conn: Any, statements: Iterable[Statement], deadline: float = 120.0, lock_ms: int = 200) -> None:
    """Run DDL on live tables: give up each lock quickly and try again, so that no writer waits behind us for long."""
    psycopg = driver()
    until = time.monotonic() + deadline
    for statement in statements:
        pause = 0.05
        while True:
            try:
                with conn.transaction():
                    conn.execute("SELECT set_config('lock_timeout', %s, true)", [f"{lock_ms}ms"])
                    conn.execute(statement.sql)
                break
            except psycopg.errors.LockNotAvailable:
                if time.monotonic() > until:
                    raise CrossoverError(
                        f"no lock within {deadline:g} s for: {statement}",
                        code="lock_timeout",
                        untouched="what was done so far is harmless and a rerun goes on from there",
                        hint="end the long transactions on that table (oldest xact_start), then run again",
                    ) from None
                time.sleep(pause)
                pause = min(pause * 2, 1.0)


def switch(conn: Any, tables: Iterable[Table], enabled: bool, create: bool = False) -> bool:
    """Turn the fence of all tables on or off, in the caller's transaction; says whether anything changed.

    A table without a fence is an error, or gets one with ``create``.
    """
    now, tables = triggers(conn), list(tables)
    missing = [t.full_name for t in tables if t.oid not in now]
    if missing and enabled and create:
        for statement in plan([t for t in tables if t.oid not in now], now, True):
            conn.execute(statement.sql)
    elif missing and enabled:
        raise CrossoverError(
            f"{len(missing)} table(s) have no fence: {', '.join(missing[:5])}",
            code="unfenced_table",
            object=missing[0],
            hint="run the playbook crossover.pgedge.migrate again: it takes new tables in",
        )
    wanted = [_toggle(t, enabled) for t in tables if t.oid in now and now[t.oid] != enabled]
    if wanted:
        conn.execute("; ".join(wanted))
    return bool(wanted or (missing and enabled))


# How long an attempt at all locks may take. Less than deadlock_timeout, so that no transaction of the application is
# the victim of a deadlock with us.
_ATTEMPT = 0.4
# How long one of them may be waited for: the more often one tries, the sooner is an attempt between transactions that
# have one table and want another; but transactions that take longer must be waited for, too. So first short, then long.
_WAITS = [0.01 * 1.2**number for number in range(13)]  # 10 to 90 ms
_IN_USE = """
SELECT relation FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY relation ORDER BY count(*) DESC
"""
_DEADLOCK = "SELECT setting::float8 / 1000 AS seconds FROM pg_settings WHERE name = 'deadlock_timeout'"


class Lease:
    """One session whose open transaction keeps writers out of all tables.

    ``quiet`` takes SHARE UPDATE EXCLUSIVE first: no writer waits for it, but autovacuum, whose lock conflicts with the
    fence, is kept off the tables from then on and nothing has to be put back afterwards. ``fence`` then only waits for
    writers. The server ends the session, and with it the fence, after ``seconds`` without a word from us.
    """

    def __init__(self, conn: Any, tables: Iterable[Table], seconds: float) -> None:
        self.conn = conn
        self.tables = list(tables)
        self.seconds = seconds

    def quiet(self, timeout: float) -> None:
        """Begin, and keep autovacuum and DDL off the tables; writers go on.

        A VACUUM on the other side may take as long again, with nothing said here; these locks harm nobody meanwhile.
        """
        self.conn.execute("BEGIN")
        self._set("idle_in_transaction_session_timeout", timeout + self.seconds)
        self._lock("SHARE UPDATE EXCLUSIVE", timeout, timeout)

    def fence(self, timeout: float) -> None:
        """Wait for the writers that are there and let no other in. Granted, every writer has drained.

        Where nothing is held in front of us, a transaction may have one table and want another that we have already,
        and neither would ever go on. So an attempt is short, lets go of everything, and the next one begins with the
        tables that most transactions have: who has those can go on to its end, and nobody else begins.
        """
        until = time.monotonic() + timeout
        self._set("idle_in_transaction_session_timeout", self.seconds)
        limit = min(_ATTEMPT, self.conn.execute(_DEADLOCK).fetchone()["seconds"] * 0.4)
        for wait in itertools.cycle(_WAITS):
            left = until - time.monotonic()
            one = min(wait * random.uniform(1, 1.5), limit, left)
            try:
                with self.conn.transaction():  # a savepoint: the locks of quiet stay
                    self._lock("SHARE", one, min(4 * one + len(self.tables) / 5000, limit, left))
                return
            except driver().errors.LockNotAvailable:
                if time.monotonic() >= until:
                    raise
            rank = {row["relation"]: number for number, row in enumerate(self.conn.execute(_IN_USE))}
            self.tables.sort(key=lambda table: rank.get(table.oid, len(rank)))

    def _set(self, name: str, seconds: float) -> None:
        self.conn.execute("SELECT set_config(%s, %s, true)", [name, f"{max(1, round(seconds * 1000))}ms"])

    def _lock(self, mode: str, one: float, all_of_them: float) -> None:
        """lock_timeout is for each table anew, so the statement has a limit too; what follows it has none."""
        self._set("lock_timeout", one)
        if not self.tables:
            return
        names = ", ".join(f"ONLY {table.full_name}" for table in self.tables)
        limit = f"SET LOCAL statement_timeout = '{max(1, round(all_of_them * 1000))}ms'"
        errors = driver().errors
        try:
            self.conn.execute(f"{limit}; LOCK TABLE {names} IN {mode} MODE; SET LOCAL statement_timeout = 0")
        except errors.QueryCanceled as exc:
            raise errors.LockNotAvailable(str(exc)) from None

    def release(self) -> None:
        """Let writers in again, with nothing changed."""
        try:
            self.conn.execute("ROLLBACK")
        except driver().Error:
            self.conn.close()  # the session is gone, and the locks with it


def holders(conn: Any, found: Iterable[Table], ours: list[int]) -> str:
    """Who keeps a lock on these tables from being had: for a sentence."""
    rows = conn.execute(
        """SELECT DISTINCT l.pid, coalesce(a.usename, a.backend_type) AS usename, a.state,
                  l.relation::regclass::text AS relation
           FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
           WHERE l.relation = ANY (%s::oid[]) AND l.granted AND l.pid <> ALL (%s)
             AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') LIMIT 3""",
        [[table.oid for table in found], ours],
    )
    said = [
        f"pid {row['pid']} ({row['usename']}, {row['state']}) holds {row['relation']}"
        if row["pid"]
        else f"a prepared transaction holds {row['relation']}"
        for row in rows
    ]
    return "; ".join(said) or "its holder is gone by now"
