# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The durable fence on a real server, made by a login that is no superuser."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest
from support.database import Database

TABLES = """
CREATE SCHEMA shop; CREATE SCHEMA "Odd.Schema";
CREATE TABLE shop.entry (id int PRIMARY KEY);
CREATE TABLE shop.part (id int, day int) PARTITION BY LIST (day);
CREATE TABLE shop.part_1 PARTITION OF shop.part FOR VALUES IN (1);
CREATE TABLE "Odd.Schema"."say ""hi\""" (id int);
INSERT INTO shop.entry VALUES (1);
"""
WRITES = [
    "INSERT INTO shop.entry VALUES (2)",
    "UPDATE shop.entry SET id = 3",
    "DELETE FROM shop.entry",
    "DELETE FROM shop.entry WHERE false",
    "TRUNCATE shop.entry",
    "INSERT INTO shop.part VALUES (1, 1)",
    "INSERT INTO shop.part_1 VALUES (1, 1)",
    """INSERT INTO "Odd.Schema"."say ""hi\""" VALUES (1)""",
    "COPY shop.entry FROM STDIN",
]


@pytest.fixture
def side(source_db: Database) -> Database:
    source_db.as_owner(TABLES)
    return source_db


def fence(run_module: Any, side: Database, check: bool = False, **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = run_module("fence", {**side.login, "name": "shop", **more}, check=check)
    assert not result["failed"], result
    return result


def refused(side: Database, statement: str) -> bool:
    with side.connect(superuser=True) as conn:
        conn.execute("BEGIN")
        try:
            if statement.startswith("COPY"):
                with conn.cursor().copy(statement) as copy:
                    copy.write(b"7\n")
            else:
                conn.execute(statement)
        except psycopg.errors.ReadOnlySqlTransaction as exc:
            return "fenced by the migration" in str(exc)
        finally:
            conn.execute("ROLLBACK")
    return False


def test_check_apply_repeat_absent(side: Database, run_module: Any) -> None:
    planned = fence(run_module, side, check=True, enabled=True)
    assert planned["changed"] and not side.sql("SELECT FROM pg_namespace WHERE nspname = 'crossover'")
    made = fence(run_module, side, enabled=True)
    assert made["changed"] and made["queries"] == planned["queries"] and made["fenced"] == made["tables"] == 4
    assert made["diff"] == planned["diff"]
    assert not fence(run_module, side, enabled=True)["changed"]
    assert not fence(run_module, side)["changed"], "left as it is when nothing is said"
    gone = fence(run_module, side, state="absent", drop_schema=True)
    assert gone["changed"] and not side.sql("SELECT FROM pg_trigger WHERE tgname = 'crossover_fence'")
    assert not side.sql("SELECT FROM pg_namespace WHERE nspname = 'crossover'")
    assert not fence(run_module, side, state="absent", drop_schema=True)["changed"]


@pytest.mark.parametrize("statement", WRITES)
def test_every_write_is_refused_even_a_superusers(side: Database, run_module: Any, statement: str) -> None:
    fence(run_module, side, enabled=True)
    assert refused(side, statement)
    fence(run_module, side, enabled=False)
    assert not refused(side, statement)


def test_reads_go_on_and_apply_passes(side: Database, run_module: Any) -> None:
    fence(run_module, side, enabled=True)
    assert side.sql("SELECT count(*) AS n FROM shop.entry")[0]["n"] == 1
    side.sql("SET session_replication_role = replica; INSERT INTO shop.entry VALUES (5)", superuser=True)


def test_a_new_fence_is_off_and_no_writer_waits_behind_it_for_long(side: Database, run_module: Any) -> None:
    slow = side.connect(superuser=True)
    slow.execute("BEGIN; INSERT INTO shop.entry VALUES (9)")
    longest, stop = [0.0], threading.Event()

    def write() -> None:
        with side.connect(superuser=True) as conn:
            while not stop.is_set():
                begun = time.monotonic()
                conn.execute("UPDATE shop.entry SET id = id WHERE id = 1")
                longest[0] = max(longest[0], time.monotonic() - begun)

    writer, ending = threading.Thread(target=write), threading.Timer(1.5, lambda: slow.execute("COMMIT"))
    writer.start()
    ending.start()
    made = fence(run_module, side, control=True)
    stop.set()
    writer.join()
    slow.close()
    assert made["fenced"] == 0 and made["changed"]
    assert longest[0] < 1.0, "writers must not queue behind our lock"


def test_without_privileges_it_says_so(side: Database, run_module: Any) -> None:
    side.sql(f"REVOKE {side.owner} FROM crossover", superuser=True)
    result = run_module("fence", {**side.login, "name": "shop"})
    assert result["failed"] and result["failure"]["sqlstate"] == "42501" and "privileges" in result["msg"], result
