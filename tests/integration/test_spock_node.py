# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module spock_node on real Spock; and what the modules say where Spock cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.cluster import Cluster
from support.database import Database
from support.mesh import DDL, ON_SPOCK
from support.spock import Modules, dsn, prepare

LOCAL = "SELECT node_name AS name FROM spock.local_node JOIN spock.node USING (node_id)"
QUEUED = "SELECT message::text AS m FROM spock.queue"
MODULES: dict[str, dict[str, Any]] = {
    "spock_node": {"name": "n1"},
    "spock_repset": {"name": "default"},
    "spock_subscription": {"name": "sub"},
}


@pytest.fixture
def run(run_module: Callable[..., dict[str, Any]]) -> Modules:
    return Modules(run_module)


@pytest.fixture
def one(mesh_dbs: list[Database]) -> Database:
    prepare(mesh_dbs[:1])
    return mesh_dbs[0]


def on_spock(test: Callable[..., None]) -> Callable[..., None]:
    for mark in ON_SPOCK:
        test = mark(test)
    return test


def test_a_server_without_spock(target_db: Database, run: Modules) -> None:
    for module, args in MODULES.items():
        for state in ("present", "absent"):
            run.fails(
                module, target_db, "the extension spock is not installed on this server", "pgEdge's packages",
                "Nothing was changed", state=state, **args,
            )  # fmt: skip


@on_spock
def test_a_database_without_the_extension(one: Database, run: Modules) -> None:
    one.sql("DROP EXTENSION spock", superuser=True)
    for module, args in MODULES.items():
        run.fails(module, one, "the extension spock is not in this database", "CREATE EXTENSION spock", **args)


@on_spock
def test_a_version_that_is_not_known(one: Database, run: Modules) -> None:
    for version in ("4.0.10", "7.0.0"):
        one.sql("UPDATE pg_extension SET extversion = %s WHERE extname = 'spock'", [version], superuser=True)
        for module, args in MODULES.items():
            run.fails(module, one, f"Spock {version} is not supported", "5.x or 6.x", **args)


@on_spock
def test_spock_that_is_not_loaded(mesh_nodes: list[Cluster], run: Modules) -> None:
    server = Cluster(mesh_nodes[0].bindir, node=True, fast=True)
    try:
        server.create()
        database = Database(server).create()
        database.sql("CREATE SCHEMA spock", superuser=True)
        # CREATE EXTENSION is refused then: what a server is like whose configuration was changed later
        database.sql("INSERT INTO pg_extension SELECT 99999, 'spock', 10, n.oid, false, '5.0.11' FROM pg_namespace n "
                     "WHERE nspname = 'spock'", superuser=True)  # fmt: skip
        for module, args in MODULES.items():
            run.fails(module, database, "has not loaded it", "shared_preload_libraries", **args)
    finally:
        server.remove()


@on_spock
def test_life(one: Database, run: Modules) -> None:
    given: dict[str, Any] = {"dsn": dsn(one), "location": "Köln", "info": {"tiebreaker": 3}}
    made = run("spock_node", one, name="n1", **given)
    assert made["queries"] == [
        (
            f"SELECT spock.node_create('n1', 'host=127.0.0.1 port={one.cluster.port} dbname={one.name} user=replicator "
            "password=********', location := 'Köln', info := '{\"tiebreaker\": 3}'::jsonb)"
        )
    ]
    assert made["node"]["dsn"]["password"] == "********" and made["spock"].split(".")[0] in ("5", "6")
    assert made["diff"]["before"] == {} and made["diff"]["after"] == made["node"]
    assert made["node"]["info"] == {"tiebreaker": 3} and made["node"]["country"] is None
    assert one.sql(LOCAL, superuser=True) == [{"name": "n1"}]
    assert not run("spock_node", one, name="n1")["changed"], "what is not asked for stays"

    wan = {"name": "wan", "dsn": dsn(one, application_name="x")}
    more = run("spock_node", one, name="n1", **given, interfaces=[wan])
    assert len(more["queries"]) == 1 and more["queries"][0].startswith("SELECT spock.node_add_interface('n1', 'wan', ")
    changed = run("spock_node", one, name="n1", interfaces=[{"name": "wan", "dsn": dsn(one, application_name="y")}])
    assert len(changed["queries"]) == 2 and changed["node"]["interfaces"]["wan"]["application_name"] == "y"
    assert not run("spock_node", one, name="n1")["changed"]

    assert not run("spock_node", one, name="n2", state="absent")["changed"]
    gone = run("spock_node", one, name="n1", state="absent")
    assert gone["queries"] == ["SELECT spock.node_drop('n1')"] and gone["node"] == {}
    assert one.sql(LOCAL, superuser=True) == []


@on_spock
def test_what_is_refused(one: Database, run: Modules) -> None:
    run.fails("spock_node", one, "'N-1' is no name for a node", name="N-1", dsn=dsn(one))
    run.fails("spock_node", one, "there is no node n1 yet", "Give its dsn", name="n1")
    run.fails("spock_repset", one, "no Spock node yet", "spock_node", name="x")
    run.fails("spock_subscription", one, "no Spock node yet", name="x", provider_dsn=dsn(one))
    own = [{"name": "n1", "dsn": dsn(one)}]
    run.fails("spock_node", one, "is the node's own", name="n1", dsn=dsn(one), interfaces=own)
    run("spock_node", one, name="n1", dsn=dsn(one), location="here")
    run.fails("spock_node", one, "Spock's node n1 already", "one node only", name="n2", dsn=dsn(one))
    run.fails("spock_node", one, "n1 is there with other location and country", "Spock cannot change",
              "Nothing was changed", name="n1", location="there", country="DE")  # fmt: skip
    run.fails("spock_node", one, "other dsn", name="n1", dsn=dsn(one, application_name="x"))


@on_spock
def test_a_number_that_an_origin_has(one: Database, run: Modules) -> None:
    origin = f"other_{one.name}"
    number = one.sql("SELECT pg_replication_origin_create(%s)::int8 AS id", [origin], superuser=True)[0]["id"]
    try:
        found = one.sql(
            "SELECT 'c' || n AS name FROM generate_series(1, 1000000) n WHERE hashtext('c' || n) & 65535 = %s LIMIT 1",
            [number],
        )
        name = found[0]["name"]
        run.fails("spock_node", one, f"makes of the name {name}, {number}", f"origin {origin}", "another name",
                  name=name, dsn=dsn(one))  # fmt: skip
        assert one.sql("SELECT FROM spock.node", superuser=True) == []
        # the module's reckoning is Spock's own
        id_ = one.sql("SELECT spock.node_create(%s, 'dbname=x')::int8 AS id", [name], superuser=True)[0]["id"]
        assert id_ == number
        run.fails("spock_node", one, f"origin {origin}", "drop that origin if nothing needs it", name=name)
    finally:
        one.sql("SELECT pg_replication_origin_drop(%s)", [origin], superuser=True)
    assert not run("spock_node", one, name=name)["changed"]


@on_spock
def test_a_session_that_is_local(one: Database, run: Modules) -> None:
    from ansible_collections.crossover.pgedge.plugins.module_utils._spock_session import local_only

    run("spock_node", one, name="n1", dsn=dsn(one))
    for name in DDL:
        one.sql(f"ALTER DATABASE {one.name} SET {name} = on", superuser=True)
    with one.connect(superuser=True) as conn:
        local_only(conn)
        conn.execute("CREATE TABLE stays (id int PRIMARY KEY)")
    assert one.sql(QUEUED, superuser=True) == []
    one.sql("CREATE TABLE travels (id int PRIMARY KEY)", superuser=True)
    assert any("travels" in row["m"] for row in one.sql(QUEUED, superuser=True)), "else this test could not fail"


@on_spock
def test_what_hangs_on_a_node(mesh_dbs: list[Database], one: Database, run: Modules) -> None:
    two = mesh_dbs[1]
    prepare([two])
    for name, database in (("n1", one), ("n2", two)):
        run("spock_node", database, name=name, dsn=dsn(database))
    run("spock_subscription", two, name="sub_n2_n1", provider_dsn=dsn(one), wait_timeout=60)
    slot = f"spk_{one.name}_n1_sub_n2_n1"
    run.fails("spock_node", two, "the subscription(s) sub_n2_n1", name="n2", state="absent")
    run.fails("spock_node", two, "the subscription(s) sub_n2_n1", name="n1", state="absent")
    run.fails("spock_node", one, f"what other nodes read, by the slot(s) {slot}", name="n1", state="absent")
    run("spock_subscription", two, name="sub_n2_n1", state="absent")
    for name, database in (("n1", one), ("n2", two)):
        assert run("spock_node", database, name=name, state="absent")["changed"]
