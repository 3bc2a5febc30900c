# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""table_copy against real servers: awkward tables, changes meanwhile, interruptions of every kind, giving up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.database import Database

Result = dict[str, Any]
FILES = Path(__file__).parent / "files"
SLOT = "SELECT slot_name, active FROM pg_replication_slots WHERE database = current_database()"


class Pair:
    """A source with a publication, a node with a ledger and the empty tables."""

    def __init__(self, source: Database, target: Database, run_module: Callable[..., Result]) -> None:
        self.source, self.target, self._run = source, target, run_module
        self.name = f"copy_{source.name}"

    def args(self, **more: Any) -> dict[str, Any]:
        return {
            **self.target.login, "source": self.source.login, "slot": self.name, "subscription": self.name, **more,
        }  # fmt: skip

    def ok(self, module: str, check: bool = False, **args: Any) -> Result:
        result = self._run(module, args, check=check)
        assert not result["failed"], result["msg"]
        return result

    def prepare(self) -> None:
        from ansible_collections.crossover.pgedge.plugins.module_utils._migration_ledger import Ledger

        with self.target.connect() as conn:
            Ledger(conn, self.source.name).create()
        self.ok("schema_sync", **self.target.login, source=self.source.login, parts=["roles", "pre_data"])
        # as the documented grants have it: the login is a member of the tables' owner, who owns the publication
        tables = ", ".join(
            row["name"]
            for row in self.source.sql(
                """SELECT format('%I.%I', n.nspname, c.relname) AS name
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
                     AND n.nspname !~ '^(pg_|information_schema|crossover)'"""
            )
        )
        self.source.sql(f'CREATE PUBLICATION "{self.name}" FOR TABLE {tables}', superuser=True)

    def copy(self, check: bool = False, **more: Any) -> Result:
        return self._run("table_copy", self.args(**more), check=check)

    def subscribe(self) -> None:
        self.ok(
            "subscription",
            **self.target.login,
            name=self.name,
            publications=[self.name],
            connparams={
                "host": "127.0.0.1", "port": self.source.cluster.port, "dbname": self.source.name,
                "user": "crossover", "password": self.source.login["login_password"],
            },
            subsparams={"slot_name": self.name, "create_slot": False, "copy_data": False},
        )  # fmt: skip

    def caught_up(self) -> None:
        lsn = self.source.sql("SELECT pg_current_wal_insert_lsn()::text AS lsn")[0]["lsn"]
        until = time.monotonic() + 30
        while not self.source.sql(
            "SELECT FROM pg_replication_slots WHERE slot_name = %s AND confirmed_flush_lsn >= %s::pg_lsn",
            [self.name, lsn],
        ):
            assert time.monotonic() < until, self.target.cluster.log()[-3000:]
            time.sleep(0.1)

    def sums(self, side: Database) -> dict[str, Any]:
        """Every table's count and sum, without what inherits from it."""
        names = side.sql(
            """SELECT format('%I.%I', n.nspname, c.relname) AS name
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind = 'r' AND c.relpersistence = 'p'
                 AND n.nspname !~ '^(pg_|information_schema|crossover)' ORDER BY 1""",
            superuser=True,
        )
        return {
            row["name"]: side.sql(
                f"SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM ONLY {row['name']} t",
                superuser=True,
            )[0]
            for row in names
        }

    def equal(self) -> None:
        there, here = self.sums(self.source), self.sums(self.target)
        assert here == there

    def holders(self) -> int:
        return len(
            self.source.sql(
                "SELECT FROM pg_stat_activity WHERE application_name LIKE 'crossover snapshot%' "
                "AND datname = current_database()",
                superuser=True,
            )
        )


@pytest.fixture
def pair(source_db: Database, target_db: Database, run_module: Any) -> Iterator[Pair]:
    made = Pair(source_db, target_db, run_module)
    try:
        yield made
    finally:
        made.source.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            superuser=True,
        ) if made.source.cluster.pid else None


SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.big (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, note text, amount numeric(12, 2),
                       at timestamptz DEFAULT now(), twice int GENERATED ALWAYS AS (n * 2) STORED);
CREATE INDEX big_n ON shop.big (n);
CREATE TABLE shop.wide (id int PRIMARY KEY, doc text STORAGE EXTERNAL);
CREATE TABLE shop.child (id int PRIMARY KEY, big bigint REFERENCES shop.big, UNIQUE (big, id));
CREATE TABLE shop.empty (id int PRIMARY KEY, d date);
CREATE MATERIALIZED VIEW shop.seen AS SELECT n, count(*) FROM shop.big GROUP BY n;
INSERT INTO shop.big (n, note, amount)
    SELECT i % 100, 'note ' || i || repeat('x', 200), i FROM generate_series(1, 40000) i;
INSERT INTO shop.wide SELECT i, repeat(md5(i::text), 3000) FROM generate_series(1, 150) i;
INSERT INTO shop.child SELECT i, i FROM generate_series(1, 5000) i;
"""
SMALL = {"part_size": "1M", "jobs": 3}


@pytest.fixture
def shop(pair: Pair) -> Pair:
    pair.source.as_owner(SCHEMA)
    pair.prepare()
    return pair


def test_check_copy_subscribe_repeat(shop: Pair) -> None:
    planned = shop.copy(check=True, **SMALL)
    assert planned["changed"] and planned["run"] == "begun", planned
    assert not shop.source.sql(SLOT) and not shop.target.sql("SELECT FROM shop.big")

    done = shop.copy(**SMALL)
    assert not done["failed"], done["msg"]
    assert done["queries"] == planned["queries"] and done["run"] == "begun"
    assert done["summary"]["tables"] == 4 and done["summary"]["rows"] == 45150
    assert done["summary"]["parts"] > 12, "big and wide are read in parts"
    assert [row["slot_name"] for row in shop.source.sql(SLOT)] == [shop.name]
    assert shop.holders() == 0, "the holder ends with the copy"
    shop.equal()
    names = {row["conname"] for row in shop.target.sql("SELECT conname FROM pg_constraint WHERE contype <> 'n'")}
    assert {"big_pkey", "wide_pkey", "child_big_fkey", "child_big_id_key"} <= names
    assert shop.target.sql("SELECT count(*) AS n FROM shop.seen") == [{"n": 100}]
    assert not shop.target.sql(
        "SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'shop' AND last_analyze IS NULL"
    )

    again = shop.copy(**SMALL)
    assert not again["changed"] and again["run"] == "nothing" and again["lsn"] == done["lsn"]
    shop.source.as_owner(
        "INSERT INTO shop.big (n, note) VALUES (1, 'later'); UPDATE shop.wide SET doc = 'new' WHERE id = 7;"
        "DELETE FROM shop.child WHERE id = 9"
    )
    shop.subscribe()
    shop.caught_up()
    shop.equal()
    assert not shop.copy(**SMALL)["changed"]
    assert not shop.copy(check=True, **SMALL)["changed"]
    gone = shop.copy(state="absent")
    assert not gone["changed"] and shop.source.sql(SLOT), "the slot is the subscription's"


def test_awkward_tables_while_rows_are_written(pair: Pair) -> None:
    """Partitions, inheritance, odd names, no columns, another access method, row security; and a busy source."""
    pair.source.as_owner((FILES / "copy.sql").read_text(encoding="utf-8"))
    pair.source.sql(
        f"""CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler;
            CREATE TABLE shop.other (id int PRIMARY KEY, note text) USING heap_too;
            ALTER TABLE shop.other OWNER TO {pair.source.owner};
            INSERT INTO shop.other SELECT i, repeat('o', 1000) FROM generate_series(1, 6000) i""",
        superuser=True,
    )
    pair.prepare()
    stop = threading.Event()

    def write() -> None:
        number = 100000
        with pair.source.connect(superuser=True) as conn:
            while not stop.is_set():
                number += 1
                conn.execute("INSERT INTO shop.event VALUES (%s, '2026-05-05', 'live')", [number])
                conn.execute("UPDATE shop.event SET note = 'changed' WHERE id = %s", [number - 99000])
                conn.execute("DELETE FROM shop.other WHERE id = %s", [number - 100000])
                conn.execute("UPDATE shop.base SET big = 'changed' WHERE x = %s", [number - 99990])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = pair.copy(part_size="1M", jobs=3)
        assert not done["failed"], done["msg"]
        pair.subscribe()
        time.sleep(1)
    finally:
        stop.set()
        writer.join()
    pair.caught_up()
    pair.equal()
    parts = {
        row["name"]: row["n"]
        for row in pair.target.sql("SELECT name, count(*) AS n FROM crossover.copy_part GROUP BY 1")
    }
    assert parts["shop.base"] > 1 and parts["shop.other"] == 1, "another access method is read whole"
    assert parts["shop.event_old"] + parts["shop.event_new_0"] > 2 and "shop.event" not in parts


def test_row_security_is_an_error_not_fewer_rows(shop: Pair) -> None:
    shop.source.as_owner(
        "ALTER TABLE shop.child ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.child FORCE ROW LEVEL SECURITY"
    )
    failed = shop.copy(**SMALL)
    assert failed["failed"] and "shop.child" in failed["msg"] and "row-level security" in failed["msg"], failed["msg"]
    shop.source.as_owner("ALTER TABLE shop.child NO FORCE ROW LEVEL SECURITY")
    assert shop.copy(**SMALL)["run"] == "resumed"
    shop.equal()
