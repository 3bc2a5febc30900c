# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy onto real Spock nodes: the mesh neither forwards the seed nor prefers it to a later change."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.cluster import Cluster
from support.database import Database
from support.mesh import ON_SPOCK, in_step, join

pytestmark = ON_SPOCK

SCHEMA = """
CREATE TABLE item (id int PRIMARY KEY, value int NOT NULL, note text);
CREATE TABLE wide (id int PRIMARY KEY, doc text);
ALTER TABLE wide ALTER doc SET STORAGE EXTERNAL;
CREATE TABLE log (at timestamptz, note text);
INSERT INTO item SELECT n, 0, md5(n::text) FROM generate_series(1, 20000) n;
INSERT INTO wide SELECT n, repeat(md5(n::text), 300) FROM generate_series(1, 1500) n;
INSERT INTO log SELECT now(), 'seed' FROM generate_series(1, 100);
"""
CONTROL = "CREATE TABLE control (id int PRIMARY KEY)"  # only on the nodes
DROP_NODE = "SELECT spock.node_drop(node_name) FROM spock.local_node JOIN spock.node USING (node_id)"
SUMS = """SELECT (SELECT count(*) FROM item) AS items, (SELECT sum(value)::int FROM item) AS total,
                 (SELECT count(*) FROM wide) AS wide, (SELECT count(*) FROM log) AS log"""


@pytest.fixture(scope="module")
def nodes(mesh_nodes: list[Cluster]) -> list[Cluster]:
    return mesh_nodes[:2]


@pytest.fixture
def mesh(nodes: list[Cluster], source_db: Database) -> Iterator[list[Database]]:
    """Two nodes that replicate to each other, and have the source's tables, empty and in their sets."""
    databases = [Database(node, source_db.name).create() for node in nodes]
    try:
        join(databases)
        yield databases
    finally:
        for node in databases:
            for row in node.sql("SELECT sub_name FROM spock.subscription", superuser=True):
                node.sql("SELECT spock.sub_drop(%s)", [row["sub_name"]], superuser=True)
        for node in databases:
            node.sql(
                "SELECT spock.node_drop(node_name) FROM spock.local_node JOIN spock.node USING (node_id)",
                superuser=True,
            )
            node.sql("DROP EXTENSION spock CASCADE", superuser=True)
            node.drop()


def prepare(source: Database, mesh: list[Database], run: Callable[..., Any]) -> None:
    from ansible_collections.crossover.pgedge.plugins.module_utils._migration_ledger import Ledger

    source.as_owner(SCHEMA)
    source.sql("CREATE PUBLICATION mesh FOR TABLE item, wide, log", superuser=True)
    for node in mesh:
        with node.connect() as conn:
            Ledger(conn, source.name).create()
        ok(run("schema_sync", {**node.login, "source": source.login, "parts": ["roles", "pre_data", "keys"]}))
        node.sql(CONTROL, superuser=True)
        for table, repset in (("item", "default"), ("wide", "default"), ("control", "default"),
                              ("log", "default_insert_only")):  # fmt: skip
            node.sql("SELECT spock.repset_add_table(%s, %s, false)", [repset, table], superuser=True)


def ok(result: dict[str, Any]) -> dict[str, Any]:
    assert not result["failed"], result["msg"]
    return result


def copy(source: Database, node: Database, number: int, run: Callable[..., Any]) -> dict[str, Any]:
    name = f"mesh_{source.name}_{number}"
    args = {**node.login, "source": source.login, "slot": name, "subscription": name, "part_size": "1M", "jobs": 2}
    result: dict[str, Any] = ok(run("table_copy", args))
    return result


def subscribe(source: Database, node: Database, number: int, run: Callable[..., Any]) -> None:
    name, login = f"mesh_{source.name}_{number}", source.login
    connparams = {"host": login["login_host"], "port": login["login_port"], "user": login["login_user"],
                  "password": login["login_password"], "dbname": source.name}  # fmt: skip
    subsparams = {"create_slot": False, "copy_data": False, "slot_name": name}
    ok(run("subscription", {**node.login, "name": name, "publications": ["mesh"], "connparams": connparams,
                            "subsparams": subsparams}))  # fmt: skip


def test_the_seed_stays_where_it_was_loaded_and_is_older_than_any_change(
    source_db: Database, mesh: list[Database], run_module: Callable[..., Any]
) -> None:
    one, two = mesh
    prepare(source_db, mesh, run_module)
    assert copy(source_db, one, 1, run_module)["summary"]["parts"] > 3, "also in ranges"
    one.sql("INSERT INTO control VALUES (1)", superuser=True)
    in_step(mesh)
    assert two.sql("SELECT count(*) AS n FROM control")[0]["n"] == 1, "the mesh does forward what is written here"
    assert two.sql(SUMS)[0] == {"items": 0, "total": None, "wide": 0, "log": 0}
    stamps = one.sql(
        """SELECT DISTINCT extract(epoch FROM pg_xact_commit_timestamp(xmin))::int8 AS at FROM item
           UNION SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::int8 FROM wide""",
        superuser=True,
    )
    assert [row["at"] for row in stamps] == [0], "it wins over nothing"
    assert not one.sql("SELECT FROM pg_replication_origin WHERE roname ~ 'seed'", superuser=True)


def test_both_nodes_are_fed_while_the_source_is_written_to(
    source_db: Database, mesh: list[Database], run_module: Callable[..., Any]
) -> None:
    prepare(source_db, mesh, run_module)
    stop, written = threading.Event(), [0]

    def write() -> None:
        with source_db.connect(superuser=True) as conn:
            while not stop.is_set():
                conn.execute("UPDATE item SET value = value + 1 WHERE id = %s", [random.randint(1, 20000)])
                written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number, node in enumerate(mesh, 1):
            copy(source_db, node, number, run_module)
            subscribe(source_db, node, number, run_module)
    finally:
        stop.set()
        writer.join()
    assert written[0] > 100
    wanted = source_db.sql(SUMS)[0]
    assert wanted["total"] == written[0]
    until = time.monotonic() + 30
    while any(node.sql(SUMS)[0] != wanted for node in mesh) and time.monotonic() < until:
        time.sleep(0.2)
    in_step(mesh)
    assert [node.sql(SUMS)[0] for node in mesh] == [wanted, wanted]
    for node in mesh:
        found = node.sql("SELECT (SELECT count(*) FROM spock.resolutions) AS conflicts, "
                         "(SELECT count(*) FROM spock.exception_log) AS exceptions", superuser=True)  # fmt: skip
        assert found == [{"conflicts": 0, "exceptions": 0}], (
            "nothing of the seed or of the stream went through the mesh"
        )
    # what is written on a node wins over the seed on the others
    mesh[1].sql("UPDATE item SET value = -1 WHERE id = 5", superuser=True)
    in_step(mesh)
    assert mesh[0].sql("SELECT value FROM item WHERE id = 5")[0]["value"] == -1
