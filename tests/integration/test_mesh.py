# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module mesh on real Spock: a full mesh, a node that comes in under load, one that leaves, one that is dead."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.cluster import Cluster
from support.database import Database
from support.joining import STRICT, SUMS, Writer
from support.mesh import DISCARDED, ON_SPOCK, dissolve, in_step
from support.mesh_module import SCHEMA, SETS, live_mesh, mesh, nodes, whole

pytestmark = ON_SPOCK

LOGS = "SELECT count(*) AS n, count(DISTINCT note) AS notes FROM log"


@pytest.fixture(scope="module")
def servers(mesh_nodes: list[Cluster]) -> list[Cluster]:
    return mesh_nodes


@pytest.fixture
def databases(servers: list[Cluster]) -> Iterator[list[Database]]:
    """Three databases with the extension, no node yet."""
    name = f"m_{secrets.token_hex(3)}"
    for server in servers:
        if server.pid is None:
            server.start()
    made = [Database(server, name).create() for server in servers]
    for database in made:
        database.sql("CREATE EXTENSION spock", superuser=True)
    try:
        yield made
    finally:
        dissolve(made)


def test_two_empty_nodes_become_a_mesh(databases: list[Database], run_module: Callable[..., Any]) -> None:
    two = databases[:2]
    planned = mesh(run_module, two, check=True)
    made = mesh(run_module, two)
    assert planned["changed"] and made["changed"] and planned["queries"] == made["queries"]
    assert not any(database.cluster.password in str(made) for database in two)
    whole(made, "n1", "n2")
    again = mesh(run_module, two)
    assert not again["changed"] and again["queries"] == []
    for database in two:
        database.sql(SCHEMA, superuser=True) if database is two[0] else database.sql(
            SCHEMA.rsplit("INSERT", 1)[0], superuser=True
        )
        database.sql(SETS, superuser=True)
    two[0].sql("INSERT INTO item VALUES (7001, 'n1')", superuser=True)
    two[1].sql("INSERT INTO item VALUES (7002, 'n2')", superuser=True)
    in_step(two)
    assert all(database.sql("SELECT count(*) AS n FROM item WHERE id > 7000")[0]["n"] == 2 for database in two)


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_node_comes_in_under_load_and_loses_and_doubles_nothing(
    databases: list[Database], run_module: Callable[..., Any], attempt: int
) -> None:
    live_mesh(run_module, databases[:2])
    databases[0].sql(f"CREATE ROLE {databases[0].name}_app; GRANT SELECT ON item TO {databases[0].name}_app; "
                     "CREATE PUBLICATION back FOR TABLE item", superuser=True)  # fmt: skip
    writers = [Writer(database, number) for number, database in enumerate(databases[:2], 1)]
    for writer in writers:
        writer.start()
    try:
        time.sleep(1)
        made = mesh(run_module, databases)
        time.sleep(1)
    finally:
        for writer in writers:
            writer.ended.set()
        for writer in writers:
            writer.join()
    assert made["joined"] == ["n3"]
    whole(made, "n1", "n2", "n3")
    databases[2].sql("INSERT INTO item VALUES (90000, 'n3')", superuser=True)
    in_step(databases)
    written = sum(writer.count for writer in writers)
    assert written > 300
    sums = [database.sql(SUMS, superuser=True)[0] for database in databases]
    assert sums[0]["n"] == 5000 + written + 1 and sums[0]["total"] == 2 * written
    assert sums == [sums[0]] * 3
    assert [database.sql(LOGS, superuser=True)[0] for database in databases] == [{"n": written, "notes": written}] * 3
    assert [database.sql(DISCARDED, superuser=True) for database in databases] == [[]] * 3
    assert [database.sql(STRICT, superuser=True) for database in databases] == [[{"b": "sub_disable", "notes": 0}]] * 3
    assert databases[2].sql("SELECT count(*) AS n FROM pg_publication", superuser=True)[0]["n"] == 0
    assert databases[2].sql("SELECT has_table_privilege(%s, 'item', 'SELECT') AS may", [f"{databases[0].name}_app"],
                            superuser=True)[0]["may"]  # fmt: skip
    assert not mesh(run_module, databases)["changed"]
    databases[0].sql(f"DROP OWNED BY {databases[0].name}_app; DROP ROLE {databases[0].name}_app", superuser=True)
    databases[2].sql(f"DROP OWNED BY {databases[0].name}_app; DROP ROLE {databases[0].name}_app", superuser=True)


def test_a_node_leaves_and_comes_back(databases: list[Database], run_module: Callable[..., Any]) -> None:
    live_mesh(run_module, databases[:2])
    mesh(run_module, databases)
    databases[2].sql("INSERT INTO item VALUES (8001, 'n3')", superuser=True)
    planned = mesh(run_module, databases, check=True, remove=["n3"])
    gone = mesh(run_module, databases, remove=["n3"])
    assert gone["removed"] == ["n3"] and gone["nodes"] == {
        "n1": {"n2": "replicating"},
        "n2": {"n1": "replicating"},
        "n3": {},
    }
    assert planned["queries"] == gone["queries"]
    assert not mesh(run_module, databases, remove=["n3"])["changed"]
    for database in databases[:2]:
        assert database.sql("SELECT FROM item WHERE id = 8001"), "what it wrote before is everywhere"
        assert database.sql("SELECT count(*)::int AS n FROM pg_replication_slots WHERE database = current_database()",
                            superuser=True)[0]["n"] == 1  # fmt: skip
    refused = run_module("mesh", {"nodes": nodes(databases)})
    assert refused["failed"] and "n3 is not in the mesh and is not empty" in refused["msg"]
    databases[2].sql("DROP TABLE item, log; DROP TYPE mood", superuser=True)
    whole(mesh(run_module, databases), "n1", "n2", "n3")


def test_two_nodes_leave_at_once(databases: list[Database], run_module: Callable[..., Any]) -> None:
    mesh(run_module, databases)
    result = mesh(run_module, databases, remove=["n2", "n3"])
    assert result["removed"] == ["n2", "n3"] and not result["left_out"], result
    for database in databases:
        assert not database.sql("SELECT FROM spock.subscription", superuser=True)
        assert not database.sql("SELECT FROM pg_replication_slots WHERE database = %s", [database.name], True)
    assert [row["node_name"] for row in databases[0].sql("SELECT node_name FROM spock.node", superuser=True)] == ["n1"]
    assert not databases[1].sql("SELECT FROM spock.node", superuser=True)


def test_a_dead_node_does_not_stop_the_others_and_can_be_removed(
    databases: list[Database], run_module: Callable[..., Any]
) -> None:
    mesh(run_module, databases)
    databases[2].cluster.stop()
    looked = mesh(run_module, databases)
    assert not looked["changed"] and len(looked["left_out"]) == 1 and "n3 does not answer" in looked["left_out"][0]
    databases[0].sql("SELECT spock.sub_drop('sub_n1_n2')", superuser=True)
    made_again = mesh(run_module, databases)  # nobody has rows: none can be missing
    assert made_again["nodes"]["n1"]["n2"] == "replicating" and made_again["left_out"]
    begun = time.monotonic()
    gone = mesh(run_module, databases, remove=["n3"])
    assert time.monotonic() - begun < 30
    assert gone["removed"] == ["n3"] and gone["left_out"] == []
    whole(gone, "n1", "n2")
    for database in databases[:2]:
        assert database.sql("SELECT count(*)::int AS n FROM pg_replication_slots WHERE database = current_database()",
                            superuser=True)[0]["n"] == 1  # fmt: skip
        assert [
            row["node_name"] for row in database.sql("SELECT node_name FROM spock.node ORDER BY 1", superuser=True)
        ] == ["n1", "n2"]
    assert not mesh(run_module, databases, remove=["n3"])["changed"]


def test_guards(databases: list[Database], run_module: Callable[..., Any]) -> None:
    two = databases[:2]
    two[1].cluster.sql("ALTER SYSTEM SET spock.exception_behaviour = transdiscard")
    two[1].cluster.sql("SELECT pg_reload_conf()")
    try:
        time.sleep(0.5)
        refused = run_module("mesh", {"nodes": nodes(two)})
        assert (
            refused["failed"]
            and "n2 has spock.exception_behaviour transdiscard instead of sub_disable" in refused["msg"]
        )
        assert "Nothing was changed" in refused["msg"]
    finally:
        two[1].cluster.sql("ALTER SYSTEM RESET spock.exception_behaviour")
        two[1].cluster.sql("SELECT pg_reload_conf()")
    same = run_module("mesh", {"nodes": [nodes(two)[0], {**nodes(two)[0], "name": "n9"}]})
    assert same["failed"] and "n1 and n9 are the same database" in same["msg"]


def test_an_origin_that_has_a_nodes_number(databases: list[Database], run_module: Callable[..., Any]) -> None:
    """The number is known before the node is made; and it is what Spock makes."""
    two = databases[:2]
    with two[1].connect(superuser=True) as conn:
        conn.execute("SELECT pg_replication_origin_create('other ' || n) FROM generate_series(1, 20) n")
        row = conn.execute("""SELECT 'x' || i AS name, roident FROM generate_series(1, 1000000) i
                              JOIN pg_replication_origin ON roname ~ '^other' AND roident = hashtext('x' || i) & 65535
                              LIMIT 1""").fetchone()  # fmt: skip
    assert row is not None
    named = [{**nodes(two)[0], "name": row["name"]}, nodes(two)[1]]
    refused = run_module("mesh", {"nodes": named})
    assert refused["failed"] and f"the id {row['roident']} of node {row['name']} is also that of" in refused["msg"]
    assert "Nothing was changed" in refused["msg"] and not two[0].sql("SELECT FROM spock.node", superuser=True)
    two[1].sql(
        "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname ~ '^other'", superuser=True
    )
    whole(mesh(run_module, two), "n1", "n2")
    assert (
        two[0].sql("SELECT node_id::int8 = hashtext(node_name::text) & 65535 AS same FROM spock.node", superuser=True)
        == [{"same": True}] * 2
    )
