# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module replication_info on a real source (16) and node (18)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from support.cluster import Cluster, wheel_bindir
from support.database import Database

DEBIAN = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture
def linked(source_db, target_db):
    for db in (source_db, target_db):
        db.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
    source_db.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    source_db.sql("CREATE PUBLICATION p FOR TABLE t, u")
    name = f"s_{target_db.name}"
    target_db.sql(f"CREATE SUBSCRIPTION {name} CONNECTION '{source_db.dsn}' PUBLICATION p")
    until = time.monotonic() + 30
    while target_db.sql("SELECT 1 FROM pg_subscription_rel WHERE srsubstate <> 'r'") and time.monotonic() < until:
        time.sleep(0.1)
    return source_db, target_db, name


def one(found, what):
    assert not found["failed"], found
    (only,) = found[what]
    return only


def test_everything_of_both_sides(linked, run_module):
    source, node, name = linked
    for check in (False, True):
        found = run_module("replication_info", {**node.login, "source": source.login, "slots": []}, check=check)
        assert not found["changed"]
        sub = one(found, "subscriptions")
        assert sub["name"] == sub["slot"] == name and sub["state"] == "streaming" and sub["worker_pid"]
        assert [(t["name"], t["state"], t["state_text"]) for t in sub["tables"]] == [
            ("t", "r", "ready"),
            ("u", "r", "ready"),
        ]
        assert sub["tables_total"] == sub["tables_ready"] == 2
        assert sub["lag_bytes"] >= 0 and sub["retained_bytes"] >= 0 and sub["wal_status"] == "reserved"
        assert sub["errors"]["apply_error_count"] == 0
        assert ("confl_insert_exists" in sub["errors"]) == (node.cluster.version >= 18)
        assert found["publications"] == [] and found["slots"] == []
    found = run_module("replication_info", source.login)
    pub = one(found, "publications")
    assert pub["name"] == "p" and [t["name"] for t in pub["tables"]] == ["t", "u"] and pub["tables"][0]["bytes"] > 0
    assert pub["state"] == "read" and pub["slots"] == [name] and pub["lag_bytes"] >= 0 and pub["retained_bytes"] > 0
    assert pub["safe_wal_size"] is None
    for table in sub["tables"]:
        assert table["slot"] == name and table["lag_bytes"] is not None and table["bytes_left"] == 0
    assert sub["conflicts"] == (0 if node.cluster.version >= 18 else None) and not sub["disabled_by_error"]
    slot = next(s for s in found["slots"] if s["name"] == name)
    assert slot["state"] == "active" and slot["plugin"] == "pgoutput" and "/" in slot["confirmed_flush_lsn"]
    assert slot["lag_seconds"] is None or slot["lag_seconds"] >= 0
    assert run_module("replication_info", {**source.login, "publications": [], "slots": ["x"]})["slots"] == []


def test_a_broken_subscription_shows(linked, run_module):
    source, node, name = linked
    node.sql("INSERT INTO u VALUES (1)")
    source.sql("INSERT INTO u VALUES (1)")
    until = time.monotonic() + 30
    while time.monotonic() < until:
        sub = one(run_module("replication_info", {**node.login, "subscriptions": [name]}), "subscriptions")
        if sub["errors"]["apply_error_count"]:
            break
    assert sub["errors"]["apply_error_count"] > 0
    assert sub["last_error"] is None and "logging_collector" in sub["last_error_unknown"]
    node.sql(f"ALTER SUBSCRIPTION {name} DISABLE")
    sub = one(run_module("replication_info", node.login), "subscriptions")
    assert sub["state"] == "disabled" and sub["enabled"] is False
    assert sub["disable_on_error"] is False and sub["disabled_by_error"] is False
    until = time.monotonic() + 20
    while (pub := one(run_module("replication_info", source.login), "publications"))["state"] == "read":
        assert time.monotonic() < until
    assert pub["state"] == "not read" and pub["slots"] == [] and pub["lag_bytes"] is None


def test_how_far_behind_and_how_much_room(linked, run_module, source_cluster):
    """WAL kept and the room that is left under max_slot_wal_keep_size; seconds behind while nobody reads (17)."""
    source, node, name = linked
    source_cluster.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '256MB'")
    source_cluster.sql("SELECT pg_reload_conf()")
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            sub = one(run_module("replication_info", {**node.login, "source": source.login}), "subscriptions")
            if sub["lag_seconds"] == 0 and sub["wal_limit_bytes"]:
                break
        assert sub["wal_limit_bytes"] == 256 << 20 and sub["lag_seconds"] == 0  # idle, and caught up
        assert 0 < sub["safe_wal_size"] <= (256 << 20) + (32 << 20)
        node.sql(f"ALTER SUBSCRIPTION {name} DISABLE")
        source.sql("INSERT INTO u SELECT generate_series(1, 20000)")
        behind = one(run_module("replication_info", {**node.login, "source": source.login}), "subscriptions")
        assert behind["state"] == "disabled" and behind["lag_bytes"] > 1_000_000
        assert behind["retained_bytes"] >= behind["lag_bytes"]
        assert behind["safe_wal_size"] < sub["safe_wal_size"]
    finally:
        source_cluster.sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
        source_cluster.sql("SELECT pg_reload_conf()")


def test_a_reader_that_is_silent_falls_behind(linked, run_module):
    """Its connection is up and its last answer was prompt: as when a network swallows what is sent (stopped here)."""
    source, node, name = linked
    source.sql("INSERT INTO u VALUES (1)")
    sub = one(run_module("replication_info", {**node.login, "source": source.login}), "subscriptions")
    os.kill(sub["worker_pid"], signal.SIGSTOP)
    try:
        source.sql("INSERT INTO u VALUES (2)")
        time.sleep(2)
        behind = one(run_module("replication_info", {**node.login, "source": source.login}), "subscriptions")
    finally:
        os.kill(sub["worker_pid"], signal.SIGCONT)
    assert behind["active"] and behind["lag_seconds"] is not None and behind["lag_seconds"] >= 1.5


def test_a_slot_that_nobody_reads_ages(target_db, run_module):
    name = f"x_{target_db.name}"
    target_db.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
    target_db.sql("CREATE TABLE t (id int)")
    time.sleep(1.1)
    slot = one(run_module("replication_info", {**target_db.login, "slots": [name]}), "slots")
    assert slot["state"] == "inactive" and slot["lag_bytes"] > 0 and slot["wal_limit_bytes"] is None
    assert slot["safe_wal_size"] is None and (target_db.cluster.version < 17 or slot["lag_seconds"] >= 1)


def test_each_table_while_it_is_copied(source_db, target_db, run_module):
    """One is being copied and stands still, the other is ready."""
    for db in (source_db, target_db):
        db.sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, v text)")
    source_db.sql("INSERT INTO a VALUES (1); INSERT INTO b SELECT i, repeat('x', 500) FROM generate_series(1, 5000) i")
    source_db.sql("CREATE PUBLICATION p FOR TABLE a, b")
    target_db.sql(
        """CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN IF NEW.id > 4000 THEN PERFORM pg_advisory_xact_lock_shared(42); END IF; RETURN NEW; END';
           CREATE TRIGGER hold BEFORE INSERT ON b FOR EACH ROW EXECUTE FUNCTION hold();
           ALTER TABLE b ENABLE ALWAYS TRIGGER hold"""
    )
    name = f"s_{target_db.name}"

    def tables():
        sub = one(run_module("replication_info", {**target_db.login, "source": source_db.login}), "subscriptions")
        return sub, {table["name"]: table for table in sub["tables"]}

    with target_db.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(42)")
        target_db.sql(f"CREATE SUBSCRIPTION {name} CONNECTION '{source_db.dsn}' PUBLICATION p")
        until = time.monotonic() + 30
        while True:
            sub, found = tables()
            if found["a"]["state"] == "r" and found["b"]["bytes_copied"]:
                break
            assert time.monotonic() < until, sub
        b = found["b"]
        assert sub["state"] == "synchronising" and b["state_text"] == "copying" and b["rows_copied"] <= 4000
        assert b["slot"].startswith("pg_") and "_sync_" in b["slot"]
        assert 0 < b["bytes_left"] < 4_000_000 and b["lag_bytes"] >= 0 and b["retained_bytes"] >= 0
        source_db.sql("INSERT INTO a SELECT generate_series(10, 20000)")
        _sub, later = tables()
        assert later["b"]["lag_bytes"] > b["lag_bytes"] + 500_000, "what it has to catch up with grows"
        assert later["a"]["slot"] == name and later["a"]["bytes_left"] == 0
    until = time.monotonic() + 30
    while (found := tables()[1])["b"]["state"] != "r":
        assert time.monotonic() < until
    assert found["b"]["slot"] == name and found["b"]["bytes_left"] == 0 and found["b"]["bytes_copied"] is None


@pytest.mark.parametrize("version", [15, 18])
def test_the_last_error_of_subscription_and_table(source_db, run_module, version):
    """From the log, where the server collects it; with disable_on_error it is the one that has stopped it."""
    binaries = DEBIAN if version == 15 else wheel_bindir(version)
    if not binaries.exists():
        pytest.skip(f"there is no PostgreSQL {version} here")
    cluster = Cluster(binaries, node=True, fast=True, settings={"logging_collector": "on"})
    try:
        cluster.create()
        node = Database(cluster).create()
        for db in (source_db, node):
            db.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
        source_db.sql("CREATE PUBLICATION p FOR TABLE t, u")
        more = "WITH (disable_on_error)"
        node.sql(f"CREATE SUBSCRIPTION s_{node.name} CONNECTION '{source_db.dsn}' PUBLICATION p {more}")
        until = time.monotonic() + 30
        while node.sql("SELECT 1 FROM pg_subscription_rel WHERE srsubstate <> 'r'"):
            assert time.monotonic() < until
        node.sql("INSERT INTO u VALUES (7)")
        source_db.sql("INSERT INTO u VALUES (7)")
        while (sub := one(run_module("replication_info", node.login), "subscriptions"))["enabled"]:
            assert time.monotonic() < until
        assert sub["state"] == "disabled" and sub["disabled_by_error"] and sub["errors"]["apply_error_count"] == 1
        assert sub["last_error"] and '"u_pkey"' in sub["last_error"], sub
        tables = {table["name"]: table["last_error"] for table in sub["tables"]}
        assert tables == {"t": None, "u": sub["last_error"]}
        assert sub["conflicts"] == (1 if version == 18 else None)
    finally:
        cluster.remove()


def test_conflicts_are_counted(linked, run_module):
    """18 counts each kind of conflict; one that is resolved stops nothing."""
    source, node, name = linked
    if node.cluster.version < 18:
        pytest.skip("PostgreSQL 18 counts conflicts")
    node.sql("DELETE FROM t WHERE id = 5")
    source.sql("DELETE FROM t WHERE id = 5")
    until = time.monotonic() + 20
    while time.monotonic() < until:
        sub = one(run_module("replication_info", {**node.login, "subscriptions": [name]}), "subscriptions")
        if sub["errors"]["confl_delete_missing"]:
            break
    assert sub["errors"]["confl_delete_missing"] == 1 == sub["conflicts"] and sub["state"] == "streaming"


def test_bad_login(source_db, run_module):
    wrong = run_module("replication_info", {**source_db.login, "login_password": "wr0ng-pass"})
    assert wrong["failed"] and wrong["failure"]["code"] == "bad_password" and "wr0ng-pass" not in str(wrong)
