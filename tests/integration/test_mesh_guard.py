# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a migration asks of a node of a mesh, on real Spock nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_ledger import Ledger
from support.cluster import Cluster
from support.database import Database
from support.mesh import ON_SPOCK, configured, dissolve, join

pytestmark = ON_SPOCK

TABLES = """
CREATE TABLE item (id int PRIMARY KEY);
CREATE TABLE whole (id int PRIMARY KEY); ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE bare (id int); ALTER TABLE bare REPLICA IDENTITY FULL;
CREATE TABLE "By Index" (id int NOT NULL); CREATE UNIQUE INDEX one ON "By Index" (id);
ALTER TABLE "By Index" REPLICA IDENTITY USING INDEX one;
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE UNLOGGED TABLE gone (id int PRIMARY KEY);
"""
IN_SETS = {
    "public.item": ["default"], "public.whole": ["default"], "public.bare": ["default_insert_only"],
    'public."By Index"': ["default"], "public.part": ["default"], "public.part_1": ["default"],
}  # fmt: skip
SETTING = "SELECT setting FROM pg_settings WHERE name = 'spock.exception_behaviour'"


@pytest.fixture(scope="module")
def nodes(mesh_nodes: list[Cluster]) -> Iterator[list[Cluster]]:
    with configured(mesh_nodes[:2], **{"spock.exception_behaviour": "'transdiscard'"}) as made:
        yield made


@pytest.fixture
def pair(nodes: list[Cluster], source_db: Database) -> Iterator[list[Database]]:
    databases = [Database(node, source_db.name).create() for node in nodes]
    try:
        yield databases
    finally:
        dissolve(databases)


@pytest.fixture
def guard(pair: list[Database], run_module: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    def run(check: bool = False, node: int = 0, **args: Any) -> dict[str, Any]:
        result: dict[str, Any] = run_module(
            "mesh_guard", {**pair[node].login, "name": "shop", "patience": 10, **args}, check=check
        )
        return result

    return run


def setting(node: Database) -> str:
    return str(node.sql(SETTING, superuser=True)[0]["setting"])


def test_every_table_is_in_the_set_that_fits_it(pair: list[Database], guard: Callable[..., dict[str, Any]]) -> None:
    join(pair)
    pair[0].sql(TABLES, superuser=True)
    planned = guard(check=True, peers=["n1", "n2"], sets=True)
    done = guard(peers=["n1", "n2"], sets=True)
    assert not done["failed"] and done["changed"], done
    assert planned["queries"] == done["queries"] and planned["diff"] == done["diff"]
    assert done["diff"]["after"]["sets"] == IN_SETS and done["insert_only"] == ["public.bare"]
    assert setting(pair[0]) == "sub_disable" and setting(pair[1]) == "transdiscard"
    again = guard(peers=["n1", "n2"], sets=True)
    assert not again["failed"] and not again["changed"] and again["diff"]["before"] == done["diff"]["after"]
    pair[0].sql("CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20)", superuser=True)
    assert len(guard(sets=True)["queries"]) == 1
    back = guard(state="absent")
    assert back["changed"] and back["queries"] == [
        "ALTER SYSTEM RESET spock.exception_behaviour", "SELECT pg_reload_conf()",
    ]  # fmt: skip
    assert setting(pair[0]) == "transdiscard" and not guard(state="absent")["changed"]


def test_an_apply_worker_is_never_waited_for_with_a_lock_in_hand(
    pair: list[Database], guard: Callable[..., dict[str, Any]]
) -> None:
    """Else the two deadlock, and a subscription with disable_on_error is off."""
    join(pair)
    pair[0].sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)", superuser=True)
    with ThreadPoolExecutor(1) as pool, pair[0].connect() as apply:
        with apply.transaction():
            apply.execute("LOCK TABLE b IN ROW EXCLUSIVE MODE")
            running = pool.submit(guard, sets=True)
            until = time.monotonic() + 30
            while not pair[0].sql("SELECT FROM pg_locks WHERE NOT granted AND relation = 'b'::regclass"):
                assert time.monotonic() < until and not running.done(), "it does not come to the second table"
                time.sleep(0.05)
            apply.execute("SET LOCAL lock_timeout = '3s'")
            apply.execute("LOCK TABLE a IN ROW EXCLUSIVE MODE")
        assert not running.result()["failed"], running.result()


def test_what_alter_system_had_set_is_set_so_again(pair: list[Database], guard: Callable[..., dict[str, Any]]) -> None:
    join(pair)
    for sql in ("ALTER SYSTEM SET spock.exception_behaviour = 'discard'", "SELECT pg_reload_conf()"):
        pair[1].sql(sql, superuser=True)
    try:
        assert guard(node=1)["was"] == {"was": "discard", "by_alter_system": True}
        assert setting(pair[1]) == "sub_disable"
        guard(node=1, state="absent")
        assert setting(pair[1]) == "discard"
    finally:
        for sql in ("ALTER SYSTEM RESET spock.exception_behaviour", "SELECT pg_reload_conf()"):
            pair[1].sql(sql, superuser=True)


def test_what_the_operator_sets_meanwhile_stays(pair: list[Database], guard: Callable[..., dict[str, Any]]) -> None:
    join(pair)
    guard()
    for sql in ("ALTER SYSTEM SET spock.exception_behaviour = 'discard'", "SELECT pg_reload_conf()"):
        pair[0].sql(sql, superuser=True)
    try:
        assert not guard(state="absent")["changed"]
        assert setting(pair[0]) == "discard"
        with pair[0].connect() as conn:
            assert Ledger(conn, "shop").facts() == {}
    finally:
        for sql in ("ALTER SYSTEM RESET spock.exception_behaviour", "SELECT pg_reload_conf()"):
            pair[0].sql(sql, superuser=True)


def test_a_subscription_that_is_disabled_is_told(pair: list[Database], guard: Callable[..., dict[str, Any]]) -> None:
    join(pair)
    pair[0].sql("SELECT spock.sub_disable('sub_n1_n2', true)", superuser=True)
    result = guard(peers=["n1", "n2"], patience=0.5)
    assert result["failed"] and "the subscription sub_n1_n2 of n1 to n2 is disabled" in result["msg"], result["msg"]
    result = guard(peers=["n1", "n2", "n3"], check=True)
    assert "n1 has no subscription to n3" in result["problems"]
    assert guard(peers=["a", "b"], check=True)["problems"] == [
        "Spock calls this node n1, by the inventory the nodes are a, b"
    ]
    assert not pair[0].sql("SELECT FROM pg_namespace WHERE nspname = 'crossover'"), "nothing was changed"


def test_a_node_whose_id_is_an_origins_number(pair: list[Database], guard: Callable[..., dict[str, Any]]) -> None:
    """Spock's id of a node is 16 bits of a hash of its name."""
    name = pair[0].sql(
        """SELECT name, id FROM (SELECT 'node' || n AS name, hashtext('node' || n)::int8 & 65535 AS id
                                 FROM generate_series(1, 200000) n) c WHERE id BETWEEN 5 AND 30 ORDER BY id LIMIT 1"""
    )[0]
    pair[0].sql("CREATE EXTENSION spock", superuser=True)
    pair[0].sql("SELECT spock.node_create(%s, 'host=127.0.0.1')", [name["name"]], superuser=True)
    assert not guard()["failed"], "the number is not taken yet"
    made: list[tuple[str, int]] = []
    try:
        while not made or made[-1][1] < name["id"]:
            origin = f"crossover_test_{len(made)}"
            row = pair[0].sql("SELECT pg_replication_origin_create(%s)::int8 AS id", [origin], superuser=True)
            made.append((origin, row[0]["id"]))
        result = guard()
        assert result["failed"] and result["failure"]["code"] == "node_id_taken", result
        assert name["name"] in result["msg"] and made[-1][0] in result["msg"] and "another name" in result["msg"]
    finally:
        for origin, _id in made:
            pair[0].sql("SELECT pg_replication_origin_drop(%s)", [origin], superuser=True)


def test_without_spock_there_is_nothing_to_do(
    target_db: Database, source_db: Database, run_module: Callable[..., Any]
) -> None:
    result = run_module("mesh_guard", {**target_db.login, "name": "shop", "sets": True})
    assert not result["failed"] and not result["changed"] and result["spock"] == ""
    asked = run_module("mesh_guard", {**target_db.login, "name": "shop", "peers": ["n1", "n2"]})
    assert asked["failed"] and "the extension spock is not in the database" in asked["msg"]
