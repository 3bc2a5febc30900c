# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""table_compare while the source is written and the stream flows: no false alarm, and no difference missed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time

import pytest

TABLES = """
CREATE SCHEMA crossover;
CREATE TABLE crossover.canary (side text PRIMARY KEY, token text NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE public.account (id int PRIMARY KEY, balance numeric(12, 2), note text, doc jsonb);
CREATE TABLE public.entry (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int, amount numeric,
                           at timestamptz);
CREATE TABLE public.hot (name text PRIMARY KEY, n bigint, at timestamptz);
CREATE TABLE public.log (at timestamptz, line text);
CREATE TABLE public.tag (id text COLLATE "C.utf8" PRIMARY KEY, v int);
"""
ROWS = """
INSERT INTO account SELECT g, 1000, 'n' || g, '{"a": 1.0}' FROM generate_series(1, 5000) g;
INSERT INTO hot VALUES ('counter', 0, now()), ('toggle', 0, now());
INSERT INTO tag SELECT md5(g::text), g FROM generate_series(1, 2000) g;
ANALYZE
"""


class Writer(threading.Thread):
    """Transfers, a counter and a toggle that every transaction changes, rows that come and go."""

    def __init__(self, source):
        super().__init__(daemon=True)
        self.source, self.stop, self.count = source, threading.Event(), 0

    def run(self):
        pick = random.Random(7)
        with self.source.connect() as conn:
            while not self.stop.is_set():
                a, b = pick.randint(1, 5000), pick.randint(1, 5000)
                with conn.transaction():
                    conn.execute("UPDATE account SET balance = balance - 1, note = 'out' WHERE id = %s", [a])
                    conn.execute("UPDATE account SET balance = balance + 1 WHERE id = %s", [b])
                    conn.execute(
                        "INSERT INTO entry (account, amount, at) VALUES (%s, -1, now()), (%s, 1, now())", [a, b]
                    )
                    conn.execute("UPDATE hot SET n = n + 1, at = now() WHERE name = 'counter'")
                    conn.execute("UPDATE hot SET n = 1 - n WHERE name = 'toggle'")
                    conn.execute("INSERT INTO log VALUES (now(), %s)", [f"transfer {a} {b}"])
                    conn.execute("UPDATE tag SET v = v + 1 WHERE id = md5(%s)", [str(a)])
                    if self.count % 10 == 0:
                        conn.execute("DELETE FROM entry WHERE id % 7 = 0 AND id < (SELECT max(id) - 50 FROM entry)")
                self.count += 1


@pytest.fixture
def flowing(source_db, target_db):
    """Both databases with a native subscription in between, caught up."""
    for side in (source_db, target_db):
        side.sql(TABLES)
    source_db.sql(ROWS)
    tables = "account, entry, hot, log, tag, crossover.canary"
    source_db.sql(f"CREATE PUBLICATION load FOR TABLE {tables}")
    name = f"s_{source_db.name}"
    target_db.sql(f"CREATE SUBSCRIPTION {name} CONNECTION '{source_db.dsn}' PUBLICATION load")
    until = time.monotonic() + 60
    states = "SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r'"
    while target_db.sql(states) and time.monotonic() < until:
        time.sleep(0.1)
    assert not target_db.sql(states)
    return name


@pytest.fixture
def writer(source_db, flowing):
    thread = Writer(source_db)
    thread.start()
    yield thread
    thread.stop.set()
    thread.join(30)


@pytest.fixture
def compare(run_module, source_db, target_db, flowing):
    def run(**args):
        wanted = {
            **target_db.login, "source": source_db.login, "subscription": flowing, "chunk_rows": 700,
            "fail_on_difference": False, **args,
        }  # fmt: skip
        result = run_module("table_compare", wanted)
        assert not result["changed"] and "verdict" in result, result.get("msg")
        return result

    return run


def test_no_false_alarm_under_load(compare, writer):
    before, in_flight = writer.count, 0
    for _round in range(4):
        result = compare()
        assert result["verdict"] == "equal", (result["msg"], result["differences"])
        in_flight += result["totals"]["in_flight"]
    assert writer.is_alive() and writer.count > before + 50
    assert in_flight > 0  # the test would prove nothing otherwise


def test_differences_are_found_under_load(compare, writer, target_db):
    with target_db.connect() as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute(
            "UPDATE account SET doc = '{\"a\": 2}' WHERE id = 17; DELETE FROM tag WHERE v < 0 OR id = md5('5001')"
        )
        conn.execute("INSERT INTO account VALUES (999999, 1, 'extra', NULL); INSERT INTO log VALUES (NULL, 'extra')")
        conn.execute("UPDATE hot SET at = at - interval '1 day', name = 'Toggle' WHERE name = 'toggle'")
    result = compare()
    assert result["verdict"] == "different"
    shown = sorted((d["table"], d["kind"], *map(str, d["key"].values()), *d["columns"]) for d in result["differences"])
    assert shown == [
        ("public.account", "different", "17", "doc"),
        ("public.account", "extra", "999999"),
        ("public.hot", "extra", "Toggle"),
        ("public.hot", "missing", "toggle"),
        ("public.log", "extra", "None", "extra"),
    ]


def test_column_that_stays_behind_in_a_row_that_always_changes(compare, writer, target_db):
    """The row is replicated all the time; one of its columns differs steadily. Toggling values must not hide it."""
    target_db.sql("ALTER TABLE hot ADD CONSTRAINT c CHECK (true)")
    with target_db.connect() as conn:
        conn.execute(
            """CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$
               BEGIN NEW.at := timestamptz '2000-01-01'; RETURN NEW; END $$;
               CREATE TRIGGER spoil BEFORE UPDATE ON hot FOR EACH ROW EXECUTE FUNCTION spoil();
               ALTER TABLE hot ENABLE ALWAYS TRIGGER spoil"""
        )
    time.sleep(0.5)
    result = compare(tables=["hot"])
    assert result["verdict"] != "equal"
    assert "counter" in str(result["differences"]) or "changed every time" in result["msg"]


def test_stream_that_stands_still_is_not_taken_for_equal(compare, run_module, source_db, target_db, flowing):
    target_db.sql(f"ALTER SUBSCRIPTION {flowing} DISABLE")
    args = {**target_db.login, "source": source_db.login, "subscription": flowing}
    result = run_module("table_compare", args)
    assert result["failed"] and "nothing replicates" in result["msg"]


def test_barrier_that_cannot_be_passed(run_module, source_db, target_db, flowing):
    """Apply hangs behind a lock: the rows on their way can be called neither equal nor different."""
    with target_db.connect() as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE log IN SHARE MODE")
        source_db.sql("INSERT INTO log VALUES (now(), 'waits')")
        args = {**target_db.login, "source": source_db.login, "subscription": flowing, "recheck_timeout": 2}
        result = run_module("table_compare", args)
    assert result["failed"] and result["failure"]["code"] == "barrier_timeout"


def test_canary_is_taken_away_and_progress_too(compare, source_db, target_db):
    assert compare()["verdict"] == "equal"
    assert source_db.sql("SELECT FROM crossover.canary") == []


def test_rows_changed_on_both_sides_at_rest(compare, source_db, target_db, flowing):
    """A difference that no barrier takes away is confirmed, however small the number of attempts."""
    target_db.sql("UPDATE account SET balance = -balance WHERE id IN (1, 2500, 5000)")
    for attempts in (2, 10):
        result = compare(recheck_attempts=attempts)
        assert [d["key"]["id"] for d in result["differences"]] == ["1", "2500", "5000"]
    assert compare(recheck_attempts=1)["verdict"] == "could not compare"  # one look behind a barrier proves nothing


# -- the ledger: progress, and a result that stands ------------------------------------------------------------------


@pytest.fixture
def ledger(target_db, flowing):
    """A migration named after the subscription."""
    from ansible_collections.crossover.pgedge.plugins.module_utils._migration_ledger import Ledger

    with target_db.connect() as conn:
        conn.execute("SET search_path = pg_catalog")
        found = Ledger(conn, "load")
        found.create()
        yield found


def test_progress_is_printed_while_it_compares(source_db, target_db, flowing, ledger, tmp_path):
    from support.collection import module_environment

    options = {"name": "load", "subscription": flowing, "source": source_db.login}
    tasks = [
        {"crossover.pgedge.table_compare": options, "register": "compared"},
        {"ansible.builtin.debug": {"msg": "verdict={{ compared.verdict }} ran={{ compared.ran }}"}},
    ]
    play = {
        "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks,
        "module_defaults": {"group/crossover.pgedge.postgres": target_db.login},
    }  # fmt: skip
    (tmp_path / "play.json").write_text(json.dumps([play]))
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", str(tmp_path / "play.json"), "-vvv"]
    with target_db.connect() as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE log IN SHARE MODE")  # apply waits, and with it the barrier
        source_db.sql("INSERT INTO log VALUES (now(), 'waits')")
        process = subprocess.Popen(
            [*command, "-e", f"ansible_python_interpreter={sys.executable}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**module_environment(), "HOME": str(home), "ANSIBLE_LOCALHOST_WARNING": "0", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        seen, lines = [], []
        for text in process.stdout:
            seen.append(text)
            if text.startswith("[127.0.0.1] compare "):
                lines.append(text.strip())
                holder.rollback()
        out = "".join(seen)
        assert process.wait(60) == 0, out
    assert lines and "compare 0% · 0/" in lines[0] and " · 0/5 tables" in lines[0], out
    assert "verdict=equal ran=True" in out
    for secret in (source_db.login["login_password"], target_db.login["login_password"]):
        assert secret not in out
    for name in ("account", "entry", "hot", "log", "tag"):
        assert sum(text.startswith(f"[127.0.0.1] compared public.{name} · ") for text in seen) == 1, out
    assert target_db.sql("SELECT FROM crossover.progress") == []
    assert target_db.sql("SELECT FROM crossover.progress_table") == []
    assert source_db.sql("SELECT FROM crossover.canary WHERE side LIKE 'compare%'") == []


def test_fresh_result_stands_until_something_happens(compare, source_db, ledger, flowing):
    first = compare(name="load", max_age=3600)
    assert first["ran"] and first["age"] == 0
    again = compare(name="load", max_age=3600)
    assert not again["ran"] and 0 < again["age"] < 60 and again["tables"] == first["tables"]
    assert "compared" in again["msg"] and again["verdict"] == "equal"
    assert compare(name="load")["ran"]  # asked for in any case
    assert compare(name="load", max_age=3600, mode="exact")["ran"]  # another scope
    assert compare(name="load", max_age=3600)["ran"]  # which is what the ledger remembers now
    assert not compare(name="load", max_age=3600)["ran"]
    time.sleep(1.1)
    assert compare(name="load", max_age=1)["ran"]
    ledger.begin("cutover")
    assert compare(name="load", max_age=3600)["ran"]  # the sides are being switched
    ledger.end("cutover", "done", {})
    assert not compare(name="load", max_age=3600)["ran"]
    ledger.begin("replicate")
    ledger.end("replicate", "done", {})
    assert not compare(name="load", max_age=3600)["ran"], "it was run again and copied nothing"


def test_a_second_comparison_waits_for_the_first_and_takes_its_result(source_db, target_db, flowing, ledger):
    from support.collection import module_result, start_module

    args = {**target_db.login, "source": source_db.login, "subscription": flowing, "name": "load"}
    lock = "classid = hashtext('crossover.compare')::bit(32)::int8::oid"
    busy = f"SELECT FROM pg_locks WHERE locktype = 'advisory' AND {lock}"

    def ended(process):
        return module_result("table_compare", *process.communicate(timeout=60))

    def begin(**more):
        """One that is at work, and a second one that waits for it."""
        first = start_module("table_compare", args)
        until = time.monotonic() + 30
        while not target_db.sql(busy):
            assert time.monotonic() < until and first.poll() is None
            time.sleep(0.05)
        second = start_module("table_compare", {**args, **more})
        time.sleep(2)
        assert first.poll() is None and second.poll() is None
        return first, second

    with target_db.connect() as holder:
        holder.execute("BEGIN; LOCK TABLE log IN SHARE MODE")  # apply waits, and with it the barrier
        source_db.sql("INSERT INTO log VALUES (now(), 'waits')")
        first, second = begin()
        rows = target_db.sql("SELECT task FROM crossover.progress")
        assert rows == [{"task": "compare"}], "one comparison, and its progress is not swept away"
        holder.rollback()
        one, two = ended(first), ended(second)
    assert one["ran"] and not one["attached"] and one["verdict"] == "equal", one
    assert not two["ran"] and two["attached"] and two["tables"] == one["tables"] and two["age"] > 2, two
    assert "compared by another run" in two["msg"]

    # the first one is killed, and would have been of another scope: the second one compares
    with target_db.connect() as holder:
        holder.execute("BEGIN; LOCK TABLE log IN SHARE MODE")
        source_db.sql("INSERT INTO log VALUES (now(), 'waits')")
        first, second = begin(mode="exact")
        first.kill()
        first.communicate()
        holder.rollback()
        result = ended(second)
    assert result["ran"] and result["attached"] and result["verdict"] == "equal", result


def test_result_that_is_not_equal_never_stands(compare, target_db, ledger):
    target_db.sql("UPDATE account SET balance = 0 WHERE id = 3")
    assert compare(name="load", max_age=3600)["verdict"] == "different"
    target_db.sql("UPDATE account SET balance = 1000 WHERE id = 3")
    again = compare(name="load", max_age=3600)
    assert again["ran"] and again["verdict"] == "equal"


def test_the_way_back_after_a_switch(run_module, source_db, target_db, flowing):
    """The source follows the node: the barrier goes the other way, and the source's login is no superuser."""
    target_db.sql(f"ALTER SUBSCRIPTION {flowing} DISABLE")
    target_db.sql("CREATE PUBLICATION crossover_load_back FOR TABLE account, entry, hot, log, tag, crossover.canary")
    source_db.sql(
        f"CREATE SUBSCRIPTION crossover_load_back CONNECTION '{target_db.dsn}' PUBLICATION crossover_load_back "
        "WITH (copy_data = false)"
    )
    args = {**target_db.login, "source": source_db.login, "name": "load", "chunk_rows": 700}
    writer = Writer(target_db)
    with target_db.connect() as conn:
        conn.execute("SELECT setval('entry_id_seq', (SELECT coalesce(max(id), 1) FROM entry))")
    writer.start()
    try:
        while writer.count < 20:
            time.sleep(0.05)
        result = run_module("table_compare", args)
        assert result["verdict"] == "equal", result["msg"]
        source_db.sql("INSERT INTO account VALUES (777777, 1, 'only here', NULL)")
        result = run_module("table_compare", args)
    finally:
        writer.stop.set()
        writer.join(30)
    assert result["failed"]
    assert [(d["table"], d["kind"], d["key"]) for d in result["differences"]] == [
        ("public.account", "missing", {"id": "777777"})
    ]
