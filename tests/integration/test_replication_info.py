# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module replication_info on a real source (16) and node (18)."""

from __future__ import annotations

import time

import pytest


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
        assert sub["errors"]["apply_error_count"] == 0 and "confl_insert_exists" in sub["errors"]
        assert found["publications"] == [] and found["slots"] == []
    found = run_module("replication_info", source.login)
    pub = one(found, "publications")
    assert pub["name"] == "p" and [t["name"] for t in pub["tables"]] == ["t", "u"] and pub["tables"][0]["bytes"] > 0
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


def test_a_slot_that_nobody_reads_ages(target_db, run_module):
    name = f"x_{target_db.name}"
    target_db.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
    target_db.sql("CREATE TABLE t (id int)")
    time.sleep(1.1)
    slot = one(run_module("replication_info", {**target_db.login, "slots": [name]}), "slots")
    assert slot["state"] == "inactive" and slot["lag_bytes"] > 0 and slot["wal_limit_bytes"] is None
    assert slot["safe_wal_size"] is None and (slot["lag_seconds"] >= 1 or target_db.cluster.version < 17)


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
    assert sub["errors"]["confl_delete_missing"] == 1 and sub["state"] == "streaming"


def test_bad_login(source_db, run_module):
    wrong = run_module("replication_info", {**source_db.login, "login_password": "wr0ng-pass"})
    assert wrong["failed"] and wrong["failure"]["code"] == "bad_password" and "wr0ng-pass" not in str(wrong)
