# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop and the workload: what its report must find, and that it can fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support.pooler import Pooler, binary
from support.shop import FILES, Shop, Workload


@pytest.fixture(scope="module")
def shop(source_cluster):
    database = Shop(source_cluster).create()
    try:
        yield database
    finally:
        database.drop()


def wait_for(true, seconds=30.0):
    """Until it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def finished(shop, tmp_path):
    """A short run that is over."""
    with Workload(tmp_path / "run", shop.app_dsn()) as workload:
        time.sleep(1.2)
    return workload


def clean(report):
    """The verdict without what may vary."""
    wrong = ("lost", "duplicated", "phantom", "incomplete", "unresolved", "in_flight")
    return {name: report["acknowledged"][name] for name in wrong}


CLEAN = {"lost": 0, "duplicated": 0, "phantom": 0, "incomplete": 0, "unresolved": 0, "in_flight": 0}


def test_nothing_wrong(shop, finished):
    report = finished.report(shop.dsn, "--dsn-old", shop.dsn)
    assert clean(report) == CLEAN
    assert report["acknowledged"]["ok"] > 100
    assert report["old"]["ok"] == report["acknowledged"]["ok"]
    assert report["failed_transactions"] == report["failed_reads"] == report["stale_reads"] == 0
    assert report["sum"]["constant"] and report["samples"]["taken"] and not report["samples"]["wrong"]
    assert set(report["by_kind"]) == {"probe", "transfer", "order", "customer", "cart", "depot"}
    assert sum(report["series"]["writes"]) == sum(report["by_kind"].values())
    assert set(report["by_server"]) == {str(shop.cluster.port)}


def test_lost(shop, finished):
    shop.sql("DELETE FROM shop.request_log WHERE id = (SELECT max(id) FROM shop.request_log WHERE kind = 'probe')")
    assert clean(finished.report(shop.dsn)) == {**CLEAN, "lost": 1}


def test_lost_with_all_its_parts(shop, finished):
    shop.sql(
        "WITH gone AS (DELETE FROM shop.request_log WHERE id = (SELECT max(id) FROM shop.request_log "
        "WHERE kind = 'transfer') RETURNING run, client, seq) DELETE FROM shop.transfers USING gone "
        "WHERE (transfers.run, transfers.client, transfers.seq) = (gone.run, gone.client, gone.seq)"
    )
    assert clean(finished.report(shop.dsn)) == {**CLEAN, "lost": 1}


def test_duplicated(shop, finished):
    shop.sql(
        "INSERT INTO shop.request_log (run, client, seq, kind) SELECT run, client, seq, kind FROM shop.request_log "
        "WHERE kind = 'probe' ORDER BY id DESC LIMIT 1"
    )
    assert clean(finished.report(shop.dsn)) == {**CLEAN, "duplicated": 1}


def test_phantom_never_asked_for(shop, finished):
    shop.sql(
        "INSERT INTO shop.request_log (run, client, seq, kind) "
        "SELECT run, client, seq + 5, kind FROM shop.request_log WHERE kind = 'probe' ORDER BY id DESC LIMIT 1"
    )
    assert clean(finished.report(shop.dsn)) == {**CLEAN, "phantom": 1}


def test_phantom_that_was_called_failed(shop, finished):
    journal = finished.out / "client-0.jsonl"
    text = journal.read_text().splitlines()
    journal.write_text("\n".join([*text[:-1], text[-1].replace('"o":"ok"', '"o":"failed"')]) + "\n")
    assert clean(finished.report(shop.dsn)) == {**CLEAN, "phantom": 1}


def test_half_a_transaction(shop, finished):
    shop.sql("DELETE FROM shop.transfers WHERE id = (SELECT max(id) FROM shop.transfers)")
    shop.sql(
        "DELETE FROM shop.order_items WHERE (order_id, line_no) = (SELECT order_id, line_no FROM shop.order_items "
        "ORDER BY order_id DESC LIMIT 1)"
    )
    assert clean(finished.report(shop.dsn)) == {**CLEAN, "incomplete": 2}


def test_sum_differs(shop, finished):
    shop.sql("UPDATE shop.accounts SET balance = balance + 1 WHERE id = 7")
    try:
        found = finished.report(shop.dsn)["sum"]
        assert not found["constant"] and found["found"] == found["expected"] + 1
    finally:
        shop.sql("UPDATE shop.accounts SET balance = balance - 1 WHERE id = 7")


def test_pause_is_measured(shop, tmp_path):
    with Workload(tmp_path / "run", shop.app_dsn()) as workload:
        time.sleep(1)
        workload.mark("before")
        time.sleep(0.5)
        workload.mark("stopped")
        shop.cluster.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        time.sleep(0.4)
        held = (time.monotonic() - stopped) * 1000
        shop.cluster.signal(signal.SIGCONT)
        time.sleep(0.3)
        workload.mark("after")
        time.sleep(0.3)
    report = workload.report(shop.dsn, "--from", "stopped", "--to", "after")
    for pause in (report["write_pause_ms"], report["read_pause_ms"]):
        assert held <= pause < held + 1000  # what is above it: signals to each process, and a busy machine
    assert report["failed_transactions"] == 0
    assert clean(report) == CLEAN
    quiet = workload.report(shop.dsn, "--from", "before", "--to", "stopped")
    assert quiet["write_pause_ms"] < report["write_pause_ms"]


def test_killed_sessions_are_counted_and_retried(shop, tmp_path):
    with Workload(tmp_path / "run", shop.app_dsn()) as workload:
        time.sleep(0.5)
        for dummy in range(4):
            shop.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'workload'",
                superuser=True,
            )
            time.sleep(0.3)
    report = workload.report(shop.dsn)
    assert report["failed_transactions"] > 0 and report["retries"] > 0
    assert clean(report) == CLEAN and report["sum"]["constant"]


def test_a_killed_workload_leaves_a_readable_list(shop, tmp_path):
    workload = Workload(tmp_path / "run", shop.app_dsn())
    with workload:
        time.sleep(1)
        os.kill(int((workload.out / "pid").read_text()), signal.SIGKILL)
        wait_for(lambda: not json.loads(workload.run("status"))["running"])
    report = workload.report(shop.dsn)
    assert {**clean(report), "in_flight": 0} == CLEAN
    assert report["acknowledged"]["in_flight"] <= workload.clients + 1


def test_no_start_without_a_database(shop, tmp_path):
    dsn = shop.app_dsn().replace(shop.name, "nowhere")
    done = subprocess.run(
        [sys.executable, str(FILES / "workload"), "start", "--out", str(tmp_path / "run"), "--dsn", dsn],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode and "does not exist" in done.stderr and shop.app_password not in done.stderr


@pytest.mark.skipif(not binary(), reason="no pgbouncer on this machine")
def test_through_a_pooler(shop, tmp_path):
    with Pooler(shop.login, "shop_app", shop.app_password) as pooler:
        with Workload(tmp_path / "run", shop.app_dsn(pooler.port)) as workload:
            time.sleep(2)
        report = workload.report(shop.dsn)
    assert clean(report) == CLEAN and report["failed_transactions"] == 0


def test_native_replication_takes_the_whole_shop(shop, target_db):
    """Nothing in the shop stops the documented grants and PostgreSQL's own replication: schema, copy, changes."""
    tables = "SELECT format('%I.%I', schemaname, tablename) AS t FROM pg_tables WHERE schemaname IN ('shop', 'Legacy')"
    tops = (
        "SELECT oid::regclass::text AS t FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
        """AND relpersistence = 'p' AND relnamespace IN ('shop'::regnamespace, '"Legacy"'::regnamespace)"""
    )
    login, new = shop.login, target_db.superuser
    dump = subprocess.run(
        [str(target_db.cluster.bindir / "pg_dump"), "--schema-only", "--no-owner", "--no-privileges", "--no-policies"],
        env=environment(login),
        capture_output=True,
        check=True,
    )
    load = [str(target_db.cluster.bindir / "psql"), "-Xq", "-v", "ON_ERROR_STOP=1"]
    subprocess.run(load, input=dump.stdout, env=environment(new), check=True)
    shop.sql("CREATE PUBLICATION whole FOR TABLE " + ", ".join(row["t"] for row in shop.sql(tops)))
    target_db.sql(f"CREATE SUBSCRIPTION whole CONNECTION '{shop.dsn}' PUBLICATION whole")
    try:
        not_ready = "SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r'"
        wait_for(lambda: not target_db.sql(not_ready), 60)
        for row in shop.sql(tables):
            count = f"SELECT count(*) AS n FROM {row['t']}"
            if "sessions" not in row["t"]:
                assert target_db.sql(count) == shop.sql(count), row["t"]
    finally:
        target_db.drop()
        shop.sql("DROP PUBLICATION whole")


def environment(login):
    """For PostgreSQL's client programs."""
    names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "db"}
    return {**os.environ, **{name: str(login[f"login_{key}"]) for name, key in names.items()}}
