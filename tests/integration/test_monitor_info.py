# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""monitor_info against real replication: to the node, back to the source, stopped, behind, in conflict."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_control import DDL
from support.collection import module_environment
from support.database import _conninfo

TABLE = "CREATE TABLE t (id bigint PRIMARY KEY, x text)"


def link(publisher, subscriber, name):
    """Publication, slot and subscription of one direction, as replicate makes them."""
    publisher.sql(f"CREATE PUBLICATION {name}_p FOR TABLE t", superuser=True)
    publisher.sql(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')", superuser=True)
    subscriber.sql(
        f"CREATE SUBSCRIPTION {name} CONNECTION '{_conninfo(publisher.login)}' PUBLICATION {name}_p "
        f"WITH (create_slot = false, copy_data = false, slot_name = '{name}')",
        superuser=True,
    )


@pytest.fixture
def both(source_db, target_db):
    """A table on both sides, and the control row."""
    for db in (source_db, target_db):
        db.as_owner(TABLE)
    source_db.sql("CREATE SCHEMA crossover")
    source_db.sql(DDL)
    source_db.sql(
        "INSERT INTO crossover.control (migration, epoch, writable, changed_by) VALUES ('shop', 1, 'source', 'test')"
    )
    return source_db, target_db


@pytest.fixture
def look(run_module, both):
    """Run the module, quickly."""

    def run(check=False, **options):
        args = {**both[1].login, "source": both[0].login, "name": "shop", "samples": 2, "interval": 0.2, **options}
        result = run_module("monitor_info", args, check=check)
        assert not result["failed"] and not result["changed"], result
        return result

    return run


def eventually(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


def test_to_the_node(look, both):
    source_db, target_db = both
    assert "is missing" in look()["problems"][0]
    link(source_db, target_db, "crossover_shop_n1")
    eventually(lambda: not look()["problems"])
    source_db.sql("INSERT INTO t VALUES (1, 'one')")
    result = look(max_lag_bytes=10**9, max_lag_seconds=60, wal_budget=10**9)
    assert result["problems"] == [] and result["writable"] == "source"
    assert result["summary"]["direction"] == "to the node" and result["summary"]["state"] == "streaming"
    assert len(result["samples"]) == 2 and result["samples"][0]["at"] < result["samples"][1]["at"]
    assert 'crossover_streaming{migration="shop"' in result["textfile"]
    assert source_db.cluster.login_password not in str(result)
    assert len(look(check=True)["samples"]) == 1
    assert "WAL, the budget is 1 B" in look(wal_budget=1)["problems"][0]

    target_db.sql("ALTER SUBSCRIPTION crossover_shop_n1 DISABLE", superuser=True)
    assert "is disabled" in look()["problems"][0]
    assert 'crossover_slot_active{migration="shop",side="source",slot="crossover_shop_n1"} 0' in eventually(
        lambda: (t := look()["textfile"]) and 'n1"} 0' in t and t
    )
    # Behind all the time: nothing is confirmed while it is disabled.
    source_db.sql("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(2, 2000) i")
    assert any("behind all the time" in problem for problem in look(max_lag_bytes=1000)["problems"])


def test_back_to_the_source(look, both):
    source_db, target_db = both
    source_db.sql("UPDATE crossover.control SET writable = 'node', epoch = 2")
    link(target_db, source_db, "crossover_shop_back")
    result = eventually(lambda: not (found := look())["problems"] and found)
    assert result["writable"] == "node" and result["summary"]["direction"] == "to the source"
    assert result["summary"]["slots"][0]["side"] == "node"
    source_db.sql("ALTER SUBSCRIPTION crossover_shop_back DISABLE", superuser=True)
    assert "on the source is disabled" in look()["problems"][0]


def test_a_conflict(look, both):
    source_db, target_db = both
    target_db.sql("INSERT INTO t VALUES (7, 'mine')")
    link(source_db, target_db, "crossover_shop_n1")
    eventually(lambda: not look()["problems"])
    before = look()["samples"][-1]["errors"]
    source_db.sql("INSERT INTO t VALUES (7, 'theirs')")
    eventually(lambda: look(samples=1)["samples"][-1]["errors"] > before)
    found = eventually(lambda: (r := look(samples=8, interval=0.25)) and r["summary"]["new_errors"] and r)
    assert any("new error(s)" in problem for problem in found["problems"])
    assert found["summary"]["new_conflicts"] >= 1  # PostgreSQL 18 counts them
    assert look(samples=1)["textfile"].count("crossover_errors_total") == 3


def test_a_lost_slot(look, both):
    source_db, target_db = both
    link(source_db, target_db, "crossover_shop_n1")
    eventually(lambda: not look()["problems"])
    target_db.sql("ALTER SUBSCRIPTION crossover_shop_n1 DISABLE", superuser=True)
    eventually(
        lambda: not source_db.sql("SELECT FROM pg_replication_slots WHERE active AND database = current_database()")
    )
    source_db.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", superuser=True)
    try:
        source_db.sql("SELECT pg_reload_conf()", superuser=True)
        for _i in range(4):
            source_db.sql(
                "SELECT pg_switch_wal(); SELECT pg_logical_emit_message(false, 'x', 'y'); CHECKPOINT", superuser=True
            )
        assert any("is lost" in problem for problem in look()["problems"])
    finally:
        source_db.sql("ALTER SYSTEM RESET max_slot_wal_keep_size", superuser=True)
        source_db.sql("SELECT pg_reload_conf()", superuser=True)


def test_bad_input(run_module, both):
    args = {**both[1].login, "source": both[0].login, "name": "shop"}
    assert run_module("monitor_info", {**args, "samples": 0})["failure"]["code"] == "bad_option"
    assert run_module("monitor_info", {**args, "login_port": 1})["failure"]["code"] == "unreachable"


def test_the_phase(both, run_module, tmp_path):
    """Within the limits it succeeds; beyond them it fails with the sentence, and what was seen is remembered."""
    source_db, target_db = both
    link(source_db, target_db, "crossover_shop_n1")
    args = {**target_db.login, "source": source_db.login, "name": "shop"}
    for phase in ("assess", "prepare", "replicate"):
        for state in ("started", "done"):
            assert not run_module("migration", {**args, "phase": phase, "state": state})["failed"]
    metrics = tmp_path / "crossover.prom"
    runner = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "crossover_source": source_db.login,
        "crossover_name": "shop",
        "crossover_monitor_samples": 2,
        "crossover_monitor_interval": 0.2,
        "crossover_monitor_textfile": str(metrics),
    }
    inventory = {
        "crossover_runner": {"hosts": {"runner": runner}},
        "pgedge": {"hosts": {"n1": {"crossover_node": target_db.login}}},
    }
    (tmp_path / "inventory.json").write_text(json.dumps(inventory))

    def play(**variables):
        return subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "inventory.json")),
                *("crossover.pgedge.monitor", "-e", json.dumps(variables)),
            ],
            env={**module_environment(), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    eventually(lambda: not run_module("monitor_info", {**args, "samples": 1})["problems"])
    done = play()
    assert done.returncode == 0, done.stdout
    assert "within all limits" in done.stdout and "changed=0" in done.stdout
    assert metrics.stat().st_mode & 0o777 == 0o644 and "crossover_streaming" in metrics.read_text()

    done = play(crossover_monitor_wal_budget=1)
    assert done.returncode == 2 and "the budget is 1 B" in done.stdout
    known = run_module("migration", {**args, "phase": "monitor", "state": "present"})
    assert (
        known["phases"]["monitor"]["status"] == "failed"
        and "the budget is 1 B" in known["phases"]["monitor"]["message"]
    )
    assert known["facts"]["monitor.summary"]["problems"] == 1 and len(known["facts"]["monitor.samples"]) == 2
