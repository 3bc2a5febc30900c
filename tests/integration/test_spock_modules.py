# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""spock_node, spock_repset and spock_subscription on real nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_sql import quote_literal
from support.cluster import Cluster
from support.database import Database
from support.mesh import ON_SPOCK

pytestmark = ON_SPOCK

Run = Callable[..., dict[str, Any]]
SECRET = "p w'Zq9\\x"  # a blank, a quote, a backslash
TABLES = """
CREATE SCHEMA shop;
CREATE TABLE shop."Order" (id int PRIMARY KEY, region text NOT NULL, total int, note text);
CREATE TABLE shop.log (at timestamptz, note text);
CREATE TABLE shop.part (id int PRIMARY KEY, at int) PARTITION BY RANGE (id);
CREATE TABLE shop.part_1 PARTITION OF shop.part FOR VALUES FROM (0) TO (100);
CREATE SEQUENCE shop.seq;
"""


def reached(database: Database, **more: Any) -> dict[str, Any]:
    """connparams of a node, as the role replicator."""
    return {"host": "127.0.0.1", "port": database.cluster.port, "dbname": database.name, "user": "replicator",
            "password": SECRET, **more}  # fmt: skip


@pytest.fixture
def two(spock_dbs: list[Database]) -> list[Database]:
    """Two databases with tables, and a role with an awkward password."""
    for database in spock_dbs[:2]:
        with database.connect(superuser=True) as conn:
            if not conn.execute("SELECT FROM pg_roles WHERE rolname = 'replicator'").fetchone():
                conn.execute("CREATE ROLE replicator SUPERUSER LOGIN")
            conn.execute(f"ALTER ROLE replicator PASSWORD {quote_literal(SECRET)}".encode())
        database.sql(TABLES, superuser=True)
    return spock_dbs[:2]


@pytest.fixture
def spock(run_module: Run) -> Run:
    """Run a spock module: planned, done and done again, with the same statements and no change the second time."""

    def run(module: str, database: Database, again: bool = True, **args: Any) -> dict[str, Any]:
        login = {**database.login}
        planned = run_module(module, {**login, **args}, check=True)
        assert not planned["failed"], planned["msg"]
        done = run_module(module, {**login, **args})
        assert not done["failed"], done["msg"]
        assert planned["queries"] == done["queries"] and planned["changed"] == done["changed"]
        if again:
            repeated = run_module(module, {**login, **args})
            assert not repeated["changed"] and not repeated["queries"], repeated
        for result in (planned, done):
            shown = str({key: value for key, value in result.items() if key != "invocation"})
            assert "Zq9" not in shown, shown
        return done

    return run


def node(spock: Run, database: Database, name: str) -> dict[str, Any]:
    return spock("spock_node", database, name=name, connparams=reached(database), location="here")


def failed(result: dict[str, Any], *words: str) -> None:
    assert result["failed"] and all(word in result["msg"] for word in words), result["msg"]
    assert "Traceback" not in result["msg"]


def wait_for(what: Callable[[], Any], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)


# -- nodes -----------------------------------------------------------------------------------------------------------


def test_a_node(two: list[Database], spock: Run, run_module: Run) -> None:
    one = two[0]
    made = node(spock, one, "n1")
    assert made["changed"] and made["node"]["interfaces"]["n1"]["password"] == "********"
    assert made["diff"]["before"] == {} and made["diff"]["after"]["location"] == "here"
    assert one.sql("SELECT node_name AS n FROM spock.local_node JOIN spock.node USING (node_id)", superuser=True) == [
        {"n": "n1"}
    ]
    more = spock("spock_node", one, name="n1", interfaces={"wan": reached(one, application_name="x")})
    assert more["queries"][0].startswith("SELECT spock.node_add_interface('n1', 'wan', ")
    changed = spock("spock_node", one, name="n1", interfaces={"wan": reached(one, application_name="y")})
    assert len(changed["queries"]) == 2 and changed["node"]["interfaces"]["wan"]["application_name"] == "y"
    failed(
        run_module("spock_node", {**one.login, "name": "n2", "connparams": reached(one)}), "is Spock's node n1 already"
    )
    moved = run_module("spock_node", {**one.login, "name": "n1", "location": "there"})
    failed(moved, "location", "Spock cannot change that", "nothing was changed".capitalize())
    assert not spock("spock_node", two[1], name="n1", state="absent")["changed"]
    assert spock("spock_node", one, name="n1", state="absent")["changed"]


def test_bad_nodes(two: list[Database], run_module: Run, source_db: Database) -> None:
    failed(run_module("spock_node", {**two[0].login, "name": "N-1", "connparams": {}}), "is no name of a node")
    failed(run_module("spock_node", {**two[0].login, "name": "n1"}), "give connparams".capitalize())
    failed(run_module("spock_repset", {**two[0].login, "name": "x"}), "no Spock node yet")
    two[1].sql("DROP EXTENSION spock", superuser=True)
    failed(run_module("spock_node", {**two[1].login, "name": "n1"}), "not in this database", "CREATE EXTENSION spock")
    two[1].sql("CREATE EXTENSION spock", superuser=True)
    failed(run_module("spock_node", {**source_db.login, "name": "n1"}), "not installed on this server")


def test_a_number_that_an_origin_has(two: list[Database], run_module: Run) -> None:
    one = two[0]
    number = one.sql("SELECT spock.node_create('clash', 'dbname=x')::int8 AS id", superuser=True)[0]["id"]
    one.sql("SELECT spock.node_drop('clash')", superuser=True)
    # origins are numbered from below: the catalogue is told a number directly
    one.sql(
        f"SET allow_system_table_mods = on; INSERT INTO pg_replication_origin VALUES ({number}, 'other_{one.name}')",
        superuser=True,
    )
    try:
        result = run_module("spock_node", {**one.login, "name": "clash", "connparams": reached(one)})
        failed(result, f"{number}, is that of the replication origin other_{one.name}", "Take another name")
        assert one.sql("SELECT FROM spock.node", superuser=True) == []
    finally:
        one.sql(
            f"SET allow_system_table_mods = on; DELETE FROM pg_replication_origin WHERE roident = {number}",
            superuser=True,
        )


# -- sets ------------------------------------------------------------------------------------------------------------


def test_a_set(two: list[Database], spock: Run, run_module: Run) -> None:
    one = two[0]
    node(spock, one, "n1")
    wanted = {
        "name": "eu",
        "replicate_truncate": False,
        "tables": [
            {"name": 'shop."Order"', "columns": ["id", "region", "total"], "row_filter": "region = 'EU' and total>0"},
            "shop.part",
        ],
        "sequences": ["shop.seq"],
    }
    made = spock("spock_repset", one, **wanted)
    assert made["repset"]["replicate_truncate"] is False and made["repset"]["replicate_update"] is True
    assert set(made["repset"]["tables"]) == {'shop."Order"', "shop.part", "shop.part_1"}
    assert made["repset"]["tables"]['shop."Order"']["columns"] == ["id", "region", "total"]
    same = [{**wanted["tables"][0], "row_filter": "((region = 'EU'::text) AND (total > 0))"}]
    assert not spock("spock_repset", one, name="eu", tables=same)["changed"], "written differently, the same"
    other = [{**wanted["tables"][0], "row_filter": "region = 'US'"}]
    changed = spock("spock_repset", one, name="eu", tables=other)
    assert len(changed["queries"]) == 2 and "US" in changed["repset"]["tables"]['shop."Order"']["row_filter"]
    assert not spock("spock_repset", one, name="eu", tables=[])["changed"], "without exact nothing is taken out"
    fewer = spock("spock_repset", one, name="eu", tables=["shop.part"], exact=True)
    assert set(fewer["repset"]["tables"]) == {"shop.part", "shop.part_1"} and fewer["repset"]["sequences"] == [
        "shop.seq"
    ]
    assert spock("spock_repset", one, name="eu", state="absent")["changed"]
    failed(run_module("spock_repset", {**one.login, "name": "default", "state": "absent"}), "cannot be dropped")


def test_a_table_that_spock_would_not_take(two: list[Database], spock: Run, run_module: Run) -> None:
    one = two[0]
    node(spock, one, "n1")
    failed(run_module("spock_repset", {**one.login, "name": "default", "tables": ["shop.log"]}),
           "shop.log", "no index as replica identity", "default_insert_only")  # fmt: skip
    assert spock("spock_repset", one, name="default_insert_only", tables=["shop.log"])["changed"]
    one.sql('ALTER TABLE shop."Order" REPLICA IDENTITY FULL', superuser=True)
    failed(run_module("spock_repset", {**one.login, "name": "default", "tables": ['shop."Order"']}),
           "REPLICA IDENTITY FULL", "REPLICA IDENTITY DEFAULT")  # fmt: skip
    failed(run_module("spock_repset", {**one.login, "name": "default", "tables": ["shop.none"]}), "shop.none")
    failed(run_module("spock_repset", {**one.login, "name": "default", "tables": [{"table": "x"}]}), "has table")


# -- subscriptions ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(two: list[Database], spock: Run) -> list[Database]:
    """Two nodes with the same tables in sets."""
    for name, database in zip(("n1", "n2"), two):
        node(spock, database, name)
        spock("spock_repset", database, name="default", tables=['shop."Order"'])
    return two


def subscribe(spock: Run, pair: list[Database], **more: Any) -> dict[str, Any]:
    sets = ["default", "default_insert_only"]
    args = {"connparams": reached(pair[0]), "replication_sets": sets, "forward_origins": [], "wait_timeout": 30}
    return spock("spock_subscription", pair[1], name="sub_n2_n1", **{**args, **more})


def test_a_subscription(pair: list[Database], spock: Run, run_module: Run) -> None:
    one, two = pair
    made = subscribe(spock, pair)
    assert made["subscription"]["status"] == "replicating" and made["subscription"]["provider"] == "n1"
    one.sql("INSERT INTO shop.\"Order\" VALUES (1, 'EU', 5)", superuser=True)
    wait_for(lambda: two.sql('SELECT FROM shop."Order" WHERE id = 1', superuser=True))
    sets = spock("spock_subscription", two, name="sub_n2_n1", replication_sets=["default"])
    assert sets["queries"] == ["SELECT spock.sub_remove_repset('sub_n2_n1', 'default_insert_only')"]
    assert spock("spock_subscription", two, name="sub_n2_n1", replication_sets=["default", "ddl_sql"])["changed"]
    off = spock("spock_subscription", two, name="sub_n2_n1", enabled=False)
    assert off["subscription"]["status"] == "disabled" and off["diff"]["before"]["enabled"] is True
    one.sql("INSERT INTO shop.\"Order\" VALUES (2, 'EU', 5)", superuser=True)
    assert spock("spock_subscription", two, name="sub_n2_n1", enabled=True, wait_timeout=30)["changed"]
    wait_for(lambda: two.sql('SELECT FROM shop."Order" WHERE id = 2', superuser=True))
    assert spock("spock_subscription", two, name="sub_n2_n1", skip_lsn="0/1")["subscription"]["skip_lsn"] == "0/1"
    assert spock("spock_subscription", two, name="sub_n2_n1", skip_lsn="0/0")["changed"]
    failed(run_module("spock_node", {**two.login, "name": "n2", "state": "absent"}), "1 subscription(s): sub_n2_n1")
    gone = spock("spock_subscription", two, name="sub_n2_n1", state="absent")
    assert gone["changed"] and gone["remaining_slots"] == []
    assert not one.sql("SELECT FROM pg_replication_slots WHERE database = current_database()", superuser=True)


def test_rows_and_structure_are_taken_over(spock_dbs: list[Database], two: list[Database], spock: Run) -> None:
    one, _two, three = spock_dbs
    node(spock, one, "n1")
    if not three.sql("SELECT FROM pg_roles WHERE rolname = 'replicator'", superuser=True):
        three.sql("CREATE ROLE replicator SUPERUSER LOGIN", superuser=True)
    spock(
        "spock_node",
        three,
        name="n3",
        connparams={**reached(three), "password": three.cluster.password, "user": "postgres"},
    )
    spock("spock_repset", one, name="default", tables=['shop."Order"'])
    one.sql("INSERT INTO shop.\"Order\" SELECT n, 'EU', n FROM generate_series(1, 500) n", superuser=True)
    made = spock("spock_subscription", three, name="sub_n3_n1", connparams=reached(one), synchronize_structure=True,
                 synchronize_data=True, wait_timeout=60)  # fmt: skip
    assert made["subscription"]["status"] == "replicating"
    assert three.sql('SELECT count(*) AS n FROM shop."Order"', superuser=True) == [{"n": 500}]
    three.sql('SET session_replication_role = replica; DELETE FROM shop."Order"', superuser=True)
    again = spock("spock_subscription", three, False, name="sub_n3_n1", resync_tables=['shop."Order"'], wait_timeout=60)
    assert again["changed"]
    assert three.sql('SELECT count(*) AS n FROM shop."Order"', superuser=True) == [{"n": 500}]


def test_another_way_to_the_provider(pair: list[Database], spock: Run) -> None:
    one, two = pair
    subscribe(spock, pair)
    other = spock(
        "spock_subscription", two, name="sub_n2_n1", connparams=reached(one, application_name="other"), wait_timeout=30
    )
    assert len(other["queries"]) == 2 and other["subscription"]["connparams"]["application_name"] == "other"
    third = spock(
        "spock_subscription", two, name="sub_n2_n1", connparams=reached(one, application_name="third"), wait_timeout=30
    )
    assert len(third["queries"]) == 3, "an interface that was made for the last one goes"
    one.sql("INSERT INTO shop.\"Order\" VALUES (7, 'EU', 5)", superuser=True)
    wait_for(lambda: two.sql('SELECT FROM shop."Order" WHERE id = 7', superuser=True))


def test_what_cannot_be_changed(pair: list[Database], spock: Run, run_module: Run) -> None:
    subscribe(spock, pair)
    args = {**pair[1].login, "name": "sub_n2_n1"}
    major = run_module("spock_subscription", args)["spock"][0]
    for option, value in (("forward_origins", ["all"]), ("apply_delay", 3.0), ("skip_schema", ["x"])):
        if major == "5":
            failed(run_module("spock_subscription", {**args, option: value}), option, "Spock 5 cannot change that")
        else:
            spock("spock_subscription", pair[1], name="sub_n2_n1", **{option: value})
    failed(run_module("spock_subscription", {**args, "force_text_transfer": True}), "force_text_transfer")
    failed(run_module("spock_subscription", {**args, "name": "other"}), "is not there")
    failed(run_module("spock_subscription", {**args, "skip_lsn": "x"}), "is no LSN")


def test_a_provider_that_is_down(pair: list[Database], spock: Run, run_module: Run, spock_nodes: list[Cluster]) -> None:
    one, two = pair
    subscribe(spock, pair)
    one.cluster.stop("immediate")
    try:
        wait_for(
            lambda: (
                run_module("spock_subscription", {**two.login, "name": "sub_n2_n1"})["subscription"]["status"] == "down"
            )
        )
        late = run_module("spock_subscription", {**two.login, "name": "sub_n2_n1", "wait_timeout": 1})
        failed(late, "not in step with n1 after 1 s", "down")
        begun = time.monotonic()
        gone = run_module("spock_subscription", {**two.login, "name": "sub_n2_n1", "state": "absent"})
        assert not gone["failed"], gone["msg"]
        assert time.monotonic() - begun < 30
        assert len(gone["remaining_slots"]) == 1 and gone["remaining_slots"][0].startswith("spk_"), gone
        assert "pg_drop_replication_slot" in str(gone["warnings"])
    finally:
        one.cluster.start()
    for slot in gone["remaining_slots"]:
        one.sql("SELECT pg_drop_replication_slot(%s)", [slot], superuser=True)
