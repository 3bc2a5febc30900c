# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module replication_wait on a real source (16) and node (18), and its progress under ansible-playbook."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCHEMA = """
CREATE SCHEMA crossover;
CREATE TABLE crossover.canary (side text PRIMARY KEY, token text NOT NULL,
                               at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE public.t (id int PRIMARY KEY, v text);
CREATE TABLE public.u (id int PRIMARY KEY);
CREATE TABLE public.parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (100);
"""


class Pair:
    """A source with a publication and a node with the name of a subscription to it."""

    def __init__(self, source, node, run_module):
        self.source, self.node, self._run = source, node, run_module
        self.name = f"s_{node.name}"
        for db in (source, node):
            db.sql(SCHEMA)
        source.sql("INSERT INTO public.t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i")
        source.sql("INSERT INTO public.parts VALUES (1)")
        tables = "crossover.canary, public.t, public.u, public.parts"
        source.sql(f"CREATE PUBLICATION p FOR TABLE {tables} WITH (publish_via_partition_root)")

    def subscribe(self, conninfo=None):
        text = (conninfo or self.source.dsn).replace("'", "''")
        self.node.sql(f"CREATE SUBSCRIPTION {self.name} CONNECTION '{text}' PUBLICATION p")

    def wait(self, condition, check=False, source=True, **args):
        options = {**self.node.login, "condition": condition, "subscription": self.name, **args}
        if source:
            options["source"] = self.source.login
        found = self._run("replication_wait", options, check=check)
        assert not found["changed"] and self.source.login["login_password"] not in str(found)
        return found


@pytest.fixture
def pair(source_db, target_db, run_module):
    return Pair(source_db, target_db, run_module)


def test_synced(pair):
    checked = pair.wait("synced", check=True)
    assert not checked["failed"] and not checked["met"] and "no such subscription yet" in checked["msg"]
    missing = pair.wait("synced")
    assert missing["failed"] and missing["failure"]["code"] == "no_subscription"
    pair.subscribe()
    for source in (True, False):
        found = pair.wait("synced", source=source, timeout=60)
        assert found["met"] and found["measurement"]["tables_ready"] == found["measurement"]["tables_total"] == 4
        assert found["measurement"]["percent"] == 100.0 and found["measurement"]["bytes_total"] > 500000
        assert found["tables"] == ["crossover.canary", "public.parts", "public.t", "public.u"]
        assert found["rows"] == 5001 and found["bytes"] > 500000 and found["seconds"] >= 0
    checked = pair.wait("synced", check=True)
    assert checked["met"] and "would wait until" in checked["msg"]


def test_a_table_that_takes_its_time(pair):
    with pair.node.connect() as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE public.t IN SHARE MODE")
        pair.subscribe()
        begun = time.monotonic()
        late = pair.wait("synced", timeout=4)
        assert late["failed"] and late["failure"]["code"] == "timeout" and time.monotonic() - begun < 8
        assert "not yet: public.t" in late["msg"] and late["measurement"]["tables_total"] == 4
        assert late["measurement"]["percent"] < 100
    assert pair.wait("synced", timeout=60)["met"]


def test_a_copy_that_fails_is_told_at_once(pair):
    pair.node.sql("INSERT INTO public.t VALUES (7, 'in the way')")
    pair.subscribe()
    begun = time.monotonic()
    failed = pair.wait("synced", timeout=300)
    assert failed["failed"] and failed["failure"]["code"] == "subscription_broken" and time.monotonic() - begun < 40
    assert "fails again and again" in failed["msg"] and "log of the server that subscribes" in failed["msg"]
    assert "public.t" in failed["measurement"]["waiting"]


def test_a_publisher_that_is_out_of_reach_is_told(pair):
    pair.subscribe()
    assert pair.wait("synced", timeout=60)["met"]
    pair.node.sql(f"ALTER SUBSCRIPTION {pair.name} CONNECTION 'host=127.0.0.1 port=1 password=x'")
    begun = time.monotonic()
    failed = pair.wait("lag", timeout=300, max_lag_bytes=-1)
    assert failed["failed"] and "has not reached its publisher" in failed["msg"] and time.monotonic() - begun < 60


def test_disabled(pair):
    pair.subscribe()
    pair.node.sql(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
    for condition in ("synced", "barrier", "lag"):
        begun = time.monotonic()
        failed = pair.wait(condition, timeout=300, max_lag_bytes=-1)
        assert failed["failed"] and "is disabled" in failed["msg"] and time.monotonic() - begun < 5
        assert not pair.wait(condition, check=True)["failed"]


def test_the_reason_from_the_log(source_db, run_module):
    from support.cluster import Cluster, wheel_bindir
    from support.database import Database

    cluster = Cluster(wheel_bindir(18), node=True, fast=True, settings={"logging_collector": "on"})
    try:
        cluster.create()
        pair = Pair(source_db, Database(cluster).create(), run_module)
        pair.node.sql("INSERT INTO public.t VALUES (7, 'in the way')")
        pair.subscribe()
        failed = pair.wait("synced", timeout=300)
        assert 'duplicate key value violates unique constraint "t_pkey" Key (id)=(7) already exists' in failed["msg"]
        sub = run_module("replication_info", pair.node.login)["subscriptions"][0]
        assert "duplicate key" in sub["last_error"] and sub["state"] in ("synchronising", "not working")
        pair.node.drop()
    finally:
        cluster.remove()


def test_barrier_and_lag(pair):
    pair.subscribe()
    pair.wait("synced", timeout=60)
    pair.source.sql("INSERT INTO public.u SELECT generate_series(1, 1000)")
    found = pair.wait("barrier", timeout=30, slots=[pair.name])
    assert found["met"] and found["measurement"]["subscriptions"][0]["proof"] == "origin"
    assert pair.node.sql("SELECT count(*) AS n FROM public.u")[0]["n"] == 1000
    found = pair.wait("lag", timeout=30)
    assert found["met"] and found["measurement"]["lag_bytes"] <= 1048576
    late = pair.wait("lag", timeout=1, max_lag_bytes=-1)
    assert late["failed"] and "the limit -1" in late["msg"]
    wrong = pair.wait("lag", timeout=1, slots=["nothing"])
    assert wrong["failed"] and "nothing does not exist" in wrong["msg"]
    wrong = pair.wait("barrier", timeout=5, slots=["nothing"])
    assert wrong["failed"] and "nothing does not exist" in wrong["msg"]
    checked = pair.wait("barrier", check=True)
    assert not checked["failed"] and not checked["met"] and "barrier" in checked["msg"]
    needs = pair.wait("barrier", source=False)
    assert needs["failed"] and "source" in needs["msg"]


def test_the_way_back(source_db, target_db, run_module):
    if source_db.cluster.version < 16:
        pytest.skip("before PostgreSQL 16 only a superuser may subscribe")
    for db in (source_db, target_db):
        db.sql(SCHEMA)
    target_db.sql("CREATE PUBLICATION p FOR TABLE crossover.canary, public.u")
    name = f"s_{source_db.name}"
    source_db.sql(f"CREATE SUBSCRIPTION {name} CONNECTION '{target_db.dsn}' PUBLICATION p")
    args = {**target_db.login, "source": source_db.login, "subscription": name, "direction": "back", "timeout": 60}
    assert run_module("replication_wait", {**args, "condition": "synced"})["met"]
    target_db.sql("INSERT INTO public.u VALUES (1)")
    found = run_module("replication_wait", {**args, "condition": "barrier"})
    assert found["met"] and found["measurement"]["subscriptions"][0]["proof"] == "flush"
    assert source_db.sql("SELECT 1 AS one FROM public.u")


# -- under ansible-playbook ------------------------------------------------------------------------------------------


def start_playbook(tmp_path: Path, pair: Pair, tasks: list[Any], *arguments: str) -> subprocess.Popen[str]:
    from support.collection import module_environment

    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "module_defaults": {"group/crossover.pgedge.postgres": pair.node.login},
        "tasks": tasks,
    }
    path, home = tmp_path / "play.json", tmp_path / "home"
    path.write_text(json.dumps([play]))
    home.mkdir(exist_ok=True)
    program = Path(sys.executable).with_name("ansible-playbook")
    command = str(program) if program.exists() else shutil.which("ansible-playbook") or "ansible-playbook"
    return subprocess.Popen(
        [command, "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", str(path), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**module_environment(), "HOME": str(home), "ANSIBLE_LOCALHOST_WARNING": "0", "LC_ALL": "C.UTF-8"},
    )


def playbook(tmp_path: Path, pair: Pair, tasks: list[Any], *arguments: str) -> tuple[int, str]:
    process = start_playbook(tmp_path, pair, tasks, *arguments)
    out, _err = process.communicate(timeout=180)
    return process.returncode, out


def task(pair, **args):
    options = {"condition": "synced", "subscription": pair.name, "source": pair.source.login, "timeout": 90, **args}
    return {"name": "wait", "crossover.pgedge.replication_wait": options, "register": "waited"}


def in_ledger(pair):
    """What migration_info shows meanwhile."""
    until = time.monotonic() + 30
    while True:
        found = pair._run("migration_info", {**pair.node.login, "source": pair.source.login, "name": "shop"})
        if found["progress"]:
            assert any(text.startswith("  now: sync ") for text in found["screen"]), found["screen"]
            return found["progress"][0]
        assert time.monotonic() < until, found


def test_progress_is_printed_while_it_waits(pair, tmp_path):
    from ansible_collections.crossover.pgedge.plugins.module_utils._migration_ledger import Ledger

    with pair.node.connect() as conn:
        Ledger(conn, "shop").create()
    shown = {
        "ansible.builtin.debug": {"msg": "met={{ waited.met }} rows={{ waited.rows }} changed={{ waited.changed }}"}
    }
    with pair.node.connect() as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE public.t IN SHARE MODE")
        pair.subscribe()
        process = start_playbook(tmp_path, pair, [task(pair), shown], "-vvv", "-e", "crossover_landing_node=n7")
        seen, lines, told = [], [], {}
        for text in process.stdout:
            seen.append(text)
            if text.startswith("[n7] "):
                lines.append(text.strip())
                if len(lines) == 1:  # it is waiting now, and says so; so does the ledger; then let it go on
                    assert process.poll() is None
                    told = in_ledger(pair)
                    holder.rollback()
        out = "".join(seen)
        assert process.wait(30) == 0, out
    assert len(lines) >= 2 and "3/4 tables" in lines[0] and "lag " in lines[0], out
    assert "[n7] in sync public.t" in lines and lines[-1].startswith("[n7] sync 100% · "), lines
    assert "4/4 tables" in lines[-1] and all(len(text) <= 80 for text in lines), lines
    assert (told["task"], told["unit"], told["tables_done"], told["tables_total"]) == ("sync", "bytes", 3, 4)
    assert lines[0].startswith(f"[n7] sync {told['percent']}% · "), "the same figures"
    assert "met=True rows=5001 changed=False" in out
    for secret in (pair.source.login["login_password"], pair.node.login["login_password"]):
        assert secret not in out
    assert not any((tmp_path / "home" / ".ansible_async").glob("*"))  # cleaned up


def test_failure_and_check_mode_under_ansible_playbook(pair, tmp_path):
    code, out = playbook(tmp_path, pair, [task(pair)], "--check", "-v")
    assert code == 0 and "would wait until every table" in out, out
    with pair.node.connect() as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE public.t IN SHARE MODE")
        pair.subscribe()
        code, out = playbook(tmp_path, pair, [task(pair, timeout=6)])
        assert code == 2 and "it took longer than 6 s: 3 of 4 tables are in sync" in out, out
        assert "async" not in out
    code, out = playbook(tmp_path, pair, [task(pair), task(pair, condition="barrier"), task(pair, condition="lag")])
    assert code == 0, out
