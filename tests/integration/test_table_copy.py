# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""table_copy against real servers: awkward tables, changes meanwhile, interruptions of every kind, giving up."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.collection import module_result, start_module
from support.copying import Hold, Pair, Result
from support.database import Database

FILES = Path(__file__).parent / "files"
SLOT = "SELECT slot_name, active FROM pg_replication_slots WHERE database = current_database()"


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
SMALL: dict[str, Any] = {"part_size": "1M", "jobs": 3}


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


# -- interruptions ---------------------------------------------------------------------------------------------------

SLOW: dict[str, Any] = {"part_size": "1M", "jobs": 2}


def parts(pair: Pair) -> dict[str, int]:
    """How many parts there are, and how many of them are there."""
    if not pair.target.sql("SELECT FROM pg_class WHERE oid = to_regclass('crossover.copy_part')"):
        return {"n": 0, "done": 0}
    found: dict[str, int] = pair.target.sql("SELECT count(*) AS n, count(copied_at) AS done FROM crossover.copy_part")[
        0
    ]
    return found


def until(what: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def half_way(pair: Pair, **more: Any) -> tuple[subprocess.Popen[str], Hold]:
    """A copy that has brought everything but one table."""
    hold = Hold(pair.target, "shop.child")
    process = start_module("table_copy", pair.args(**{**SLOW, **more}))
    until(lambda: (now := parts(pair)) and now["n"] and now["done"] == now["n"] - 1)
    return process, hold


def ended(process: subprocess.Popen[str]) -> Result:
    out, err = process.communicate(timeout=90)
    return module_result("table_copy", out, err)


def test_a_killed_copy_goes_on_with_what_is_left(shop: Pair) -> None:
    process, hold = half_way(shop)
    process.kill()
    process.communicate()
    hold.release()
    left = parts(shop)
    assert shop.holders() == 1, "the holder outlives the copy"
    first = shop.source.sql(
        "SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = %s", [shop.name]
    )
    shop.source.as_owner("INSERT INTO shop.child VALUES (70000, 1); DELETE FROM shop.child WHERE id = 5")
    done = shop.copy(**SLOW)
    assert not done["failed"], done["msg"]
    assert done["run"] == "resumed" and done["lsn"] == first[0]["lsn"]
    copies = [sql for sql in done["queries"] if sql.startswith("COPY ")]
    assert len(copies) == left["n"] - left["done"] == 1
    assert shop.holders() == 0
    assert shop.target.sql("SELECT count(*) AS n FROM shop.child") == [{"n": 5000}], "the snapshot's rows, not today's"
    shop.subscribe()
    shop.caught_up()
    shop.equal()


def test_a_second_run_waits_for_the_first(shop: Pair) -> None:
    process, hold = half_way(shop)
    second = start_module("table_copy", shop.args(**SLOW))
    time.sleep(2)
    assert second.poll() is None and process.poll() is None
    hold.release()
    one, two = ended(process), ended(second)
    assert not one["failed"] and one["run"] == "begun" and not one["attached"]
    assert not two["failed"] and two["run"] == "nothing" and two["attached"] and not two["changed"]
    shop.equal()


def test_the_snapshot_is_gone(shop: Pair) -> None:
    process, hold = half_way(shop)
    process.kill()
    process.communicate()
    hold.release()
    old = shop.source.sql(
        "SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = %s", [shop.name]
    )
    shop.source.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'crossover snapshot%'",
        superuser=True,
    )
    shop.source.as_owner("DELETE FROM shop.big WHERE id > 39000")
    planned = shop.copy(check=True, **SLOW)
    assert planned["run"] == "restarted" and shop.target.sql("SELECT FROM shop.big LIMIT 1"), (
        "check mode empties nothing"
    )
    done = shop.copy(**SLOW)
    assert not done["failed"], done["msg"]
    assert done["run"] == "restarted" and done["lsn"] != old[0]["lsn"]
    assert "was dropped" in str(done["warnings"]), done["warnings"]
    shop.equal()
    assert len(shop.source.sql(SLOT)) == 1


def test_giving_up(shop: Pair) -> None:
    process, hold = half_way(shop)
    process.kill()
    process.communicate()
    hold.release()
    planned = shop.copy(check=True, state="absent")
    assert planned["changed"] and shop.source.sql(SLOT) and shop.holders() == 1
    assert shop.copy(state="absent")["changed"]
    assert not shop.source.sql(SLOT) and shop.holders() == 0
    assert not shop.copy(state="absent")["changed"]


@pytest.mark.parametrize("hung", [False, True])
def test_giving_up_a_copy_that_is_at_work(shop: Pair, hung: bool) -> None:
    """It outlives the playbook that began it: whoever gives up must not have to look for its process."""
    process, hold = half_way(shop)
    if hung:
        process.send_signal(signal.SIGSTOP)
    gone = shop.copy(state="absent")
    assert not gone["failed"] and gone["changed"], gone["msg"]
    assert not shop.source.sql(SLOT) and shop.holders() == 0
    if hung:
        process.send_signal(signal.SIGCONT)
    told = ended(process)
    hold.release()
    assert told["failed"] and "Traceback" not in str(told), told
    assert not shop.source.sql(SLOT) and shop.holders() == 0, "it makes no other slot"
    assert not shop.target.sql("SELECT FROM shop.child"), "the part that was on its way is not there"
    assert shop.copy(check=True, **SLOW)["failed"], "what it brought stays, and is nobody's now"


@pytest.mark.parametrize("limit", [{"keep": 0}, {"wal_budget": "1M"}])
def test_the_holder_gives_up_by_itself(shop: Pair, limit: dict[str, Any]) -> None:
    process, hold = half_way(shop, **limit)
    if "keep" in limit:
        process.kill()
    else:
        shop.source.sql("SELECT pg_logical_emit_message(false, 'x', repeat('y', 3000000))", superuser=True)
    until(lambda: not shop.source.sql(SLOT), 40)
    until(lambda: shop.holders() == 0)
    if "wal_budget" in limit:
        hold.release()
        failed = ended(process)
        assert failed["failed"] and failed["failure"]["code"] == "slot_lost" and "wal_budget" in failed["msg"], failed
    else:
        process.communicate()
        hold.release()
    done = shop.copy(**SLOW)
    assert done["run"] == "restarted", done
    shop.equal()


def test_a_slot_that_waits_names_whom_it_waits_for(shop: Pair) -> None:
    with shop.source.connect(superuser=True) as other:
        other.execute("BEGIN; INSERT INTO shop.child VALUES (80000, 1)")
        failed = shop.copy(slot_timeout=2, **SLOW)
        assert failed["failed"] and failed["failure"]["code"] == "timeout", failed
        assert f"pid {other.info.backend_pid}" in failed["msg"] and "slot_timeout" in failed["msg"]
        assert not shop.source.sql(SLOT) and shop.holders() == 0
        other.execute("ROLLBACK")
    assert shop.copy(**SLOW)["run"] == "begun"


@pytest.mark.parametrize(
    "how", ["VACUUM FULL shop.child", "TRUNCATE shop.child", "ALTER TABLE shop.child ALTER id TYPE bigint"]
)
def test_a_table_is_rewritten_meanwhile(shop: Pair, how: str) -> None:
    process, hold = half_way(shop)
    process.kill()
    process.communicate()
    hold.release()
    # between the module's look at the files and the part itself
    hold = Hold(shop.target, "shop.child")
    process = start_module("table_copy", shop.args(**SLOW))
    until(lambda: shop.target.sql("SELECT FROM pg_locks WHERE NOT granted AND relation = 'shop.child'::regclass"))
    shop.source.sql(how, superuser=True)
    hold.release()
    failed = ended(process)
    assert failed["failed"] and failed["failure"]["code"] == "table_rewritten" and "shop.child" in failed["msg"], failed
    assert not shop.target.sql("SELECT FROM shop.child")
    if how.startswith("ALTER"):
        return
    done = shop.copy(**SLOW)
    assert not done["failed"] and done["run"] == "restarted"
    shop.equal()


def test_somebody_elses_rows_and_slots_are_refused(shop: Pair) -> None:
    shop.target.sql("INSERT INTO shop.empty VALUES (1)", superuser=True)
    failed = shop.copy(**SLOW)
    assert failed["failed"] and "shop.empty is not empty" in failed["msg"] and not shop.source.sql(SLOT)
    shop.target.sql("DELETE FROM shop.empty", superuser=True)
    shop.source.sql("SELECT pg_create_physical_replication_slot(%s)", [shop.name], superuser=True)
    failed = shop.copy(**SLOW)
    assert failed["failed"] and failed["failure"]["code"] == "other_slot", failed
    shop.source.sql("SELECT pg_drop_replication_slot(%s)", [shop.name], superuser=True)


LARGE: dict[str, Any] = {"part_size": "5M", "jobs": 2}  # large enough to be read by psql
SLOWLY = """
CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON shop.wide FOR EACH ROW EXECUTE FUNCTION public.slow();
ALTER TABLE shop.wide ENABLE ALWAYS TRIGGER slow;
"""


def workers(side: Database) -> None:
    """End the copy's sessions, as a network does."""
    side.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'crossover copy%'",
        superuser=True,
    )


@pytest.mark.parametrize("what", ["source killed", "node killed", "source lost", "node lost", "copy killed"])
def test_broken_in_the_middle_of_a_part(shop: Pair, what: str) -> None:
    side = shop.source if what.startswith("source") else shop.target
    shop.target.sql(SLOWLY, superuser=True)
    process = start_module("table_copy", shop.args(**LARGE))
    try:
        until(
            lambda: shop.target.sql(
                "SELECT FROM pg_stat_progress_copy WHERE relid = 'shop.wide'::regclass AND tuples_processed > 3",
                superuser=True,
            )
        )
        if what == "copy killed":
            process.kill()
            process.communicate()
        elif what.endswith("killed"):
            side.cluster.stop("immediate")
        else:
            workers(side)
        failed = ended(process) if what != "copy killed" else {}
    finally:
        process.kill()
        if side.cluster.pid is None:
            side.cluster.start()
    if failed:
        assert failed["failed"] and failed["failure"]["server"], failed
        assert failed["failure"]["server"].startswith(what.split()[0]), failed["msg"]
        assert "run again" in failed["msg"].lower() and shop.name in failed["msg"], failed["msg"]
        assert "Traceback" not in str(failed)
    until(lambda: not shop.target.sql("SELECT FROM pg_stat_activity WHERE application_name LIKE 'crossover copy%'"))
    marked = shop.target.sql(
        "SELECT coalesce(sum(rows), 0)::int AS n FROM crossover.copy_part "
        "WHERE name = 'shop.wide' AND copied_at IS NOT NULL"
    )
    assert shop.target.sql("SELECT count(*) AS n FROM shop.wide") == [{"n": marked[0]["n"]}], "whole parts only"
    shop.target.sql("DROP FUNCTION public.slow CASCADE", superuser=True)
    done = shop.copy(**LARGE)
    assert not done["failed"], done["msg"]
    assert done["run"] == ("restarted" if what == "source killed" else "resumed")
    shop.equal()
    assert len(shop.source.sql(SLOT)) == 1 and shop.holders() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system to fill")
def test_a_full_disk_on_the_node(shop: Pair, tmp_path: Path) -> None:
    place = shop.target.cluster.base / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("this machine lets root mount nothing")
    try:
        subprocess.run(["chown", "-R", f"{shop.target.cluster.data.stat().st_uid}", str(place)], check=True)
        shop.target.sql(f"CREATE TABLESPACE small LOCATION '{place}'", superuser=True)
        shop.target.sql("ALTER TABLE shop.wide SET TABLESPACE small", superuser=True)
        failed = shop.copy(**LARGE)
        assert failed["failed"] and failed["failure"]["sqlstate"] == "53100", failed
        assert "shop.wide" in failed["msg"] and "o space left" in failed["msg"], failed["msg"]
        assert "free some space" in failed["msg"].lower()
        subprocess.run(["mount", "-o", "remount,size=99m", str(place)], check=True)
        done = shop.copy(**LARGE)
        assert not done["failed"] and done["run"] == "resumed", done
        shop.equal()
        shop.target.sql("ALTER TABLE shop.wide SET TABLESPACE pg_default", superuser=True)
        shop.target.sql("DROP TABLESPACE small", superuser=True)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def test_origins_for_a_mesh(shop: Pair) -> None:
    """What a mesh needs of a seed (no row is forwarded, none beats a later change), on a server without one."""
    from ansible_collections.crossover.pgedge.plugins.module_utils._migration_copy import Copy, Wanted
    from ansible_collections.crossover.pgedge.plugins.module_utils._migration_schema import Options
    from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login

    class Meshed(Copy):
        def _mesh(self) -> bool:
            return True

    logins = Login.of(shop.source.login, "source"), Login.of(shop.target.login, "node")
    copy = Meshed(*logins, shop.source.name, Wanted(shop.name, shop.name, Options(jobs=2), part_bytes=5 << 20))
    try:
        copy.run()
    finally:
        copy.close()
    shop.equal()
    rows = shop.target.sql(
        """SELECT DISTINCT (o.ts = 'epoch') AS epoch, o.roident > 0 AS origin
           FROM shop.wide w, pg_xact_commit_timestamp_origin(w.xmin) AS o(ts, roident) WHERE w.xmin::text > '2'
           UNION SELECT DISTINCT (o.ts = 'epoch'), o.roident > 0
           FROM shop.big w, pg_xact_commit_timestamp_origin(w.xmin) AS o(ts, roident) WHERE w.xmin::text > '2'""",
        superuser=True,
    )
    assert rows == [{"epoch": True, "origin": True}], rows
    assert not shop.target.sql("SELECT FROM pg_replication_origin WHERE roname LIKE %s", [f"{shop.name}%"])


def test_no_secret_anywhere(shop: Pair) -> None:
    process, hold = half_way(shop)
    seen = subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout
    commands = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    hold.release()
    result = ended(process)
    secrets = [shop.source.login["login_password"], shop.target.login["login_password"]]
    for secret in secrets:
        assert secret not in commands and secret not in str(result)
        assert seen.count(secret) == 0, "the holder's environment has none"
        assert not shop.target.sql("SELECT FROM crossover.fact WHERE value::text LIKE %s", [f"%{secret}%"])


def test_it_begins_anew_after_foreign_keys_were_made(pair: Pair) -> None:
    """Small tables are emptied one by one, which none can be that another refers to."""
    pair.source.as_owner("""
        CREATE TABLE public.a (id int PRIMARY KEY); INSERT INTO public.a VALUES (1);
        CREATE TABLE public.x (id int PRIMARY KEY, a int REFERENCES public.a); INSERT INTO public.x VALUES (1, 1)""")
    pair.prepare()
    assert not pair.copy(**SMALL)["failed"]
    pair.source.sql("SELECT pg_drop_replication_slot(%s)", [pair.name], superuser=True)
    again = pair.copy(**SMALL)
    assert not again["failed"], again["msg"]
    assert again["run"] == "restarted"
    pair.equal()
    keys = "SELECT FROM pg_constraint WHERE contype = 'f' AND convalidated AND conrelid = 'public.x'::regclass"
    assert len(pair.target.sql(keys)) == 1, "the foreign key is there again"


def test_a_table_that_comes_between_copy_and_subscription(shop: Pair) -> None:
    """The subscription would take it for copied: its rows would be missing without a word."""
    assert not shop.copy(**SMALL)["failed"]
    shop.source.as_owner(
        "CREATE TABLE shop.late (id int PRIMARY KEY); INSERT INTO shop.late SELECT generate_series(1, 100)"
    )
    shop.ok("schema_sync", **shop.target.login, source=shop.source.login, parts=["pre_data"])
    shop.source.sql(f'ALTER PUBLICATION "{shop.name}" ADD TABLE shop.late', superuser=True)
    again = shop.copy(**SMALL)
    assert not again["failed"], again["msg"]
    assert again["run"] == "restarted" and "shop.late" in str(again["warnings"])
    shop.subscribe()
    shop.caught_up()
    assert shop.target.sql("SELECT count(*) AS n FROM shop.late") == [{"n": 100}]
    shop.equal()


def test_without_its_holder_the_slot_is_dropped_and_that_is_said(shop: Pair) -> None:
    shop.target.sql(SLOWLY, superuser=True)
    process = start_module("table_copy", shop.args(**LARGE))
    try:
        until(
            lambda: shop.target.sql(
                "SELECT FROM pg_stat_progress_copy WHERE relid = 'shop.wide'::regclass AND tuples_processed > 3",
                superuser=True,
            )
        )
        shop.source.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'crossover snapshot%'",
            superuser=True,
        )
        failed = ended(process)
    finally:
        process.kill()
    if failed["failed"]:  # a worker wanted the snapshot once more
        assert "everything is copied anew" in failed["msg"], failed["msg"]
        assert "was dropped" in failed["msg"] and not shop.source.sql(SLOT), failed["msg"]
    shop.target.sql("DROP FUNCTION public.slow CASCADE", superuser=True)
    assert not shop.copy(**LARGE)["failed"]
    shop.equal()
