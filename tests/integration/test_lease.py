# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease is had while transactions over several tables go on, as without a pooler in front nothing holds them."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_control import EpochTaken, swap
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_fence import Lease
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_names import Names
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_rescue import agree
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_route import NoRoute
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_sides import Limits, Migration
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_catalog import Scope, tables
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login
from support.database import Database
from support.writers import Writers as Application

# The lease asks for them in the order of their names, the writers in the opposite one.
TABLES = [f"t{number}" for number in range(5)]


class Writers(Application):
    """Clients, each with one transaction over all tables after the other, without a rest."""

    rest = 0

    def __init__(self, side: Database, count: int = 4) -> None:
        super().__init__(side.dsn, count)
        self.side = side

    def connect(self) -> psycopg.Connection[Any]:
        return self.side.connect()

    def transaction(self, conn: psycopg.Connection[Any], client: int, number: int) -> None:
        with conn.transaction():
            for table in reversed(TABLES):
                conn.execute(f"INSERT INTO {table} VALUES (1)")
                time.sleep(0.005)


@pytest.fixture
def side(source_db: Database) -> Database:
    source_db.as_owner("; ".join(f"CREATE TABLE {table} (id int)" for table in TABLES))
    return source_db


def lease_of(side: Database, conn: psycopg.Connection) -> Lease:
    return Lease(conn, tables(conn, Scope(("public",))), 5.0)


@pytest.mark.parametrize("attempt", range(3))
def test_no_deadlock_with_transactions_over_several_tables(side: Database, attempt: int) -> None:
    with side.connect() as conn, Writers(side) as writers:
        lease = lease_of(side, conn)
        lease.quiet(5.0)
        lease.fence(1.0)
        before = side.sql("SELECT count(*) AS n FROM t0")
        time.sleep(0.2)
        assert side.sql("SELECT count(*) AS n FROM t0") == before, "nobody writes"
        lease.release()
        time.sleep(0.1)
        assert side.sql("SELECT count(*) AS n FROM t0") != before
    assert writers.failed == []


def test_one_that_stays_open_is_not_waited_for_longer_than_allowed(side: Database) -> None:
    with side.connect() as conn, side.connect() as other:
        lease = lease_of(side, conn)
        lease.quiet(5.0)
        with other.transaction():
            other.execute("INSERT INTO t2 VALUES (1)")
            begun = time.monotonic()
            with pytest.raises(psycopg.errors.LockNotAvailable):
                lease.fence(0.5)
            assert 0.4 < time.monotonic() - begun < 2
        lease.release()


def test_fences_follow_no_row_that_has_changed_since(source_db: Database, target_db: Database, run_module: Any) -> None:
    """What acts on an old look at the control row must not open the side that was fenced meanwhile."""
    source_db.as_owner("CREATE TABLE t0 (id int)")
    target_db.as_owner("CREATE TABLE t0 (id int)")
    logins = {"source": Login.of(source_db.login, "source"), "node": Login.of(target_db.login, "node")}
    assert not run_module("fence", {**source_db.login, "name": "shop", "control": True})["failed"]
    m = Migration("shop", "forward", logins, NoRoute, Names.of("shop"), Scope(("public",)), Limits())
    with source_db.connect() as conn:
        stale = m.control(conn)
        swap(conn, stale, "node", "another run")
    assert not run_module("fence", {**source_db.login, "name": "shop", "enabled": True})["failed"]
    with pytest.raises(EpochTaken):
        agree(m, stale, NoRoute())
    with pytest.raises(psycopg.Error):
        source_db.sql("INSERT INTO t0 VALUES (1)", superuser=True)
