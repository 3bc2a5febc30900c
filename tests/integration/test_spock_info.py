# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""spock_info and mesh_wait on real nodes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.database import Database
from support.mesh import ON_SPOCK, join
from support.screen import Screen, write_play

Run = Callable[..., dict[str, Any]]
TABLES = """
CREATE TABLE public.item (id int PRIMARY KEY, value int);
CREATE TABLE public.log (note text);
SELECT spock.repset_add_table('default', 'public.item');
"""


@pytest.fixture
def mesh(mesh_dbs: list[Database]) -> list[Database]:
    """Three nodes n1, n2, n3 with two tables, of which one is in no set."""
    for database in mesh_dbs:
        database.sql("DROP EXTENSION spock", superuser=True)  # join makes it
    join(mesh_dbs)
    for database in mesh_dbs:
        database.sql(TABLES, superuser=True)
    return mesh_dbs


def logins(mesh: list[Database]) -> list[dict[str, Any]]:
    return [{"name": f"host{number}", **database.login} for number, database in enumerate(mesh, 1)]


def test_without_spock_it_says_so(source_db: Database, run_module: Run) -> None:
    found = run_module("spock_info", source_db.login)
    assert not found["failed"] and found["installed"] is False
    assert "not installed on this server" in found["why"] and found["versions"]["spock"] is None
    late = run_module("mesh_wait", {"nodes": [{"name": "a", **source_db.login}, {"name": "b", **source_db.login}]})
    assert late["failed"] and "not installed on this server" in late["msg"]


@pytest.mark.parametrize(
    ("nodes", "more", "words"),
    [
        (["a"], {}, "two or more"),
        (["a", "a"], {}, "each once"),
        (["a", "b"], {"from_nodes": ["c"]}, "have c, which nodes has not"),
    ],
)
def test_bad_options(source_db: Database, run_module: Run, nodes: list[str], more: dict[str, Any], words: str) -> None:
    found = run_module("mesh_wait", {"nodes": [{"name": name, **source_db.login} for name in nodes], **more})
    assert found["failed"] and words in found["msg"], found["msg"]


class TestOnSpock:
    """What needs real nodes."""

    pytestmark = ON_SPOCK

    def test_everything_of_a_node(self, mesh: list[Database], run_module: Run) -> None:
        one = mesh[0]
        found = run_module("spock_info", one.login)
        assert not found["failed"], found["msg"]
        assert found["installed"] and found["local"] == "n1" and found["versions"]["spock"][0] in "56"
        assert set(found["nodes"]) == {"n1", "n2", "n3"} and found["nodes"]["n1"]["id"] > 0
        assert {s["status"] for s in found["subscriptions"].values()} == {"replicating"}
        assert len(found["subscriptions"]) == 2 and [s["active"] for s in found["slots"]] == [True] * 2
        assert found["tables"] == {"public.item": ["default"], "public.log": []}
        assert found["tables_in_no_set"] == ["public.log"]
        assert found["sets"]["default_insert_only"] == {
            "insert": True, "update": False, "delete": False, "truncate": True
        }  # fmt: skip
        assert all(s["lag_seconds"] is None or s["lag_seconds"] >= 0 for s in found["subscriptions"].values())
        assert found["problems"] == [], "the tests' nodes are as they should be"
        assert one.cluster.password not in str({key: value for key, value in found.items() if key != "invocation"})

    def test_a_transaction_that_cannot_be_applied(self, mesh: list[Database], run_module: Run) -> None:
        one, two = mesh[:2]
        two.sql("ALTER TABLE public.item ADD CHECK (value < 100)", superuser=True)
        one.sql("INSERT INTO public.item VALUES (1, 100)", superuser=True)
        until = time.monotonic() + 30
        while run_module("spock_info", two.login)["subscriptions"]["sub_n2_n1"]["status"] != "disabled":
            assert time.monotonic() < until
        found = run_module("spock_info", two.login)
        assert found["exceptions"]["count"] >= 1 and "item" in str(found["exceptions"]["last"])
        late = run_module("mesh_wait", {"nodes": logins(mesh), "timeout": 0.5})
        assert late["failed"] and "host1 to host2: sub_n2_n1 is disabled" in late["msg"], late["msg"]
        assert "1 of 6 pair(s)" in late["msg"]

    @pytest.mark.parametrize(
        ("setting", "value", "words"),
        [
            ("spock.exception_behaviour", "transdiscard", "thrown away"),
            ("spock.save_resolutions", "off", "leave no trace"),
            ("output_plugin_libraries", "pgoutput", "lacks spock_output"),
        ],
    )
    def test_settings_that_lose_something(
        self, mesh: list[Database], run_module: Run, setting: str, value: str, words: str
    ) -> None:
        one = mesh[0]
        if setting not in run_module("spock_info", one.login)["settings"]:
            pytest.skip(f"this minor version does not know {setting}")
        one.sql(f"ALTER SYSTEM SET {setting} = {value}", superuser=True)
        try:
            one.sql("SELECT pg_reload_conf()", superuser=True)
            time.sleep(0.3)
            assert any(words in problem for problem in run_module("spock_info", one.login)["problems"])
        finally:
            one.sql(f"ALTER SYSTEM RESET {setting}", superuser=True)
            one.sql("SELECT pg_reload_conf()", superuser=True)

    def test_passwords_in_settings(self, mesh_dbs: list[Database], run_module: Run) -> None:
        one = mesh_dbs[0]
        values = {
            "spock.extra_connection_options": "keepalives=1 password=s3cret-words",
            "spock.primary_dsn": "host=elsewhere password=''s3cret-words'' nonsense",
        }
        try:
            for setting, value in values.items():
                one.sql(f"ALTER SYSTEM SET {setting} = '{value}'", superuser=True)
            one.sql("SELECT pg_reload_conf()", superuser=True)
            until = time.monotonic() + 10
            while "keepalives" not in str(found := run_module("spock_info", one.login)):
                assert time.monotonic() < until
        finally:
            for setting in values:
                one.sql(f"ALTER SYSTEM RESET {setting}", superuser=True)
            one.sql("SELECT pg_reload_conf()", superuser=True)
        assert "s3cret-words" not in str(found)
        assert found["settings"]["spock.extra_connection_options"].startswith("keepalives=1 password=")

    def test_a_node_with_the_number_of_an_origin(self, mesh_dbs: list[Database], run_module: Run) -> None:
        one = mesh_dbs[0]
        with one.connect(superuser=True) as conn:
            conn.execute("SELECT pg_replication_origin_create('other')")
            name = conn.execute("""SELECT 'x' || i AS name FROM generate_series(1, 1000000) i
                                   JOIN pg_replication_origin ON roname = 'other' AND roident = hashtext('x' || i) & 65535
                                   LIMIT 1""").fetchone()["name"]  # fmt: skip
            try:
                conn.execute("SELECT spock.node_create(%s, %s)", [name, one.dsn])
                problems = run_module("spock_info", one.login)["problems"]
            finally:
                conn.execute("SELECT pg_replication_origin_drop('other')")
        assert [p for p in problems if f"the id of node {name}" in p and "origin other" in p], problems

    def test_a_login_that_may_not(self, mesh_dbs: list[Database], run_module: Run) -> None:
        one, two = mesh_dbs[:2]
        for database in (one, two):
            database.sql("CREATE ROLE nobody_here LOGIN PASSWORD 'none'", superuser=True)
        try:
            weak = [{**d.login, "login_user": "nobody_here", "login_password": "none"} for d in (one, two)]
            found = [
                run_module("spock_info", weak[0]),
                run_module("mesh_wait", {"nodes": [{"name": "a", **weak[0]}, {"name": "b", **weak[1]}]}),
            ]
        finally:
            for database in (one, two):
                database.sql("DROP ROLE nobody_here", superuser=True)
        for result in found:
            assert result["failed"] and "what Spock knows could not be read: permission denied" in result["msg"]
            assert one.login["login_host"] in result["msg"] and "Grant what is missing" in result["msg"]

    def test_every_pair_is_waited_for(self, mesh: list[Database], run_module: Run) -> None:
        for number, database in enumerate(mesh):
            database.sql(
                f"INSERT INTO public.item SELECT n, 0 FROM generate_series({number * 1000}, {number * 1000 + 499}) n",
                superuser=True,
            )
        planned = run_module("mesh_wait", {"nodes": logins(mesh)}, check=True)
        assert not planned["failed"] and not planned["met"] and len(planned["pairs"]) == 6 and not planned["changed"]
        found = run_module("mesh_wait", {"nodes": logins(mesh)})
        assert not found["failed"], found["msg"]
        assert found["met"] and all(pair["passed"] and pair["ms"] is not None for pair in found["pairs"])
        counts = [database.sql("SELECT count(*) AS n FROM public.item", superuser=True)[0]["n"] for database in mesh]
        assert counts == [1500, 1500, 1500], "all that was written before has arrived"
        some = run_module("mesh_wait", {"nodes": logins(mesh), "from_nodes": ["host2"], "to_nodes": ["host1", "host3"]})
        assert [(pair["from"], pair["to"]) for pair in some["pairs"]] == [("host2", "host1"), ("host2", "host3")]

    def test_a_dead_node_does_not_hide_the_others(self, mesh: list[Database], run_module: Run) -> None:
        mesh[2].cluster.stop("immediate")
        try:
            found = run_module("mesh_wait", {"nodes": logins(mesh), "timeout": 5})
        finally:
            mesh[2].cluster.start()
        assert found["failed"] and "4 of 6 pair(s)" in found["msg"] and "host3 cannot be reached" in found["msg"]
        passed = {(pair["from"], pair["to"]) for pair in found["pairs"] if pair["passed"]}
        assert passed == {("host1", "host2"), ("host2", "host1")} and list(found["unreachable"]) == ["host3"]
        again = run_module("mesh_wait", {"nodes": logins(mesh), "timeout": 60})
        assert not again["failed"], again["msg"]

    def test_a_node_that_dies_while_it_is_waited_for(self, mesh: list[Database], run_module: Run) -> None:
        mesh[1].sql("SELECT spock.sub_disable('sub_n2_n1')", superuser=True)
        args = {"nodes": logins(mesh), "timeout": 8}
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(run_module, "mesh_wait", args)
            try:
                until = time.monotonic() + 60
                looking = "SELECT FROM pg_stat_activity WHERE application_name = 'crossover' AND query ~ 'remote_lsn'"
                while not mesh[2].sql(looking, superuser=True):
                    assert time.monotonic() < until and not running.done()
                mesh[2].cluster.stop("immediate")
                found = running.result()
            finally:
                mesh[2].cluster.start()
        assert found["failed"] and "host1 to host2: sub_n2_n1 is disabled" in found["msg"], found["msg"]
        assert list(found["unreachable"]) == ["host3"]
        assert ("host2", "host1") in {(pair["from"], pair["to"]) for pair in found["pairs"] if pair["passed"]}

    def test_progress_is_printed_while_it_waits(self, mesh: list[Database], tmp_path: Path) -> None:
        one, two = mesh[:2]
        worker = two.sql("SELECT pid FROM pg_stat_activity WHERE backend_type ~ 'spock' AND application_name ~ 'apply' "
                         "AND datname = current_database()", superuser=True)  # fmt: skip
        pids = [row["pid"] for row in worker]
        assert pids, two.sql("SELECT backend_type, application_name FROM pg_stat_activity", superuser=True)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            one.sql("INSERT INTO public.item SELECT n, 0 FROM generate_series(1, 2000) n", superuser=True)
            task = {"name": "Wait", "crossover.pgedge.mesh_wait": {"nodes": logins(mesh), "timeout": 90}}
            screen = Screen(tmp_path / "home", str(write_play(tmp_path, [task])))
            screen.until(lambda: screen.starting("[host2] mesh · waits for host1"))
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert screen.wait() == 0, screen.output
        assert one.login["login_password"] not in screen.output
