# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor on a mesh of three real Spock nodes, after the switch: nothing of it goes unnoticed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_control import DDL
from support.cluster import Cluster
from support.database import Database, _conninfo
from support.mesh import ON_SPOCK, dissolve, in_step, join

pytestmark = ON_SPOCK

TABLE = "CREATE TABLE t (id bigint PRIMARY KEY, x text)"
BACK = "crossover_shop_back"


@pytest.fixture
def mesh(mesh_nodes: list[Cluster], source_db: Database) -> Iterator[list[Database]]:
    """A mesh after the switch: the first node feeds the source."""
    nodes = [Database(node, source_db.name).create() for node in mesh_nodes]
    try:
        join(nodes)
        for side in (source_db, *nodes):
            side.as_owner(TABLE)
        for node in nodes:
            node.sql("SELECT spock.repset_add_table('default', 't'::regclass)", superuser=True)
        source_db.sql("CREATE SCHEMA crossover")
        source_db.sql(DDL)
        source_db.sql(
            "INSERT INTO crossover.control (migration, epoch, writable, changed_by) VALUES ('shop', 2, 'node', 'test')"
        )
        nodes[0].sql(f"CREATE PUBLICATION {BACK} FOR TABLE t", superuser=True)
        nodes[0].sql(f"SELECT pg_create_logical_replication_slot('{BACK}', 'pgoutput')", superuser=True)
        source_db.sql(
            f"CREATE SUBSCRIPTION {BACK} CONNECTION '{_conninfo(nodes[0].login)}' PUBLICATION {BACK} "
            f"WITH (create_slot = false, copy_data = false, slot_name = '{BACK}')",
            superuser=True,
        )
        yield nodes
    finally:
        source_db.sql(f"DROP SUBSCRIPTION IF EXISTS {BACK}", superuser=True)
        dissolve(nodes)


Look = Callable[..., dict[str, Any]]


@pytest.fixture
def look(run_module: Any, source_db: Database, mesh: list[Database]) -> Look:
    """Run the module, quickly."""

    def run(**options: Any) -> dict[str, Any]:
        further = [{**node.login, "name": f"n{number}"} for number, node in enumerate(mesh[1:], 2)]
        args = {"source": source_db.login, "name": "shop", "samples": 2, "interval": 0.3, "further_nodes": further}
        result: dict[str, Any] = run_module("monitor_info", {**mesh[0].login, **args, **options})
        assert not result["failed"] and not result["changed"], result
        assert not any(node.cluster.login_password in json.dumps(result) for node in mesh)
        return result

    return run


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


def test_a_subscription_that_stops_is_told(look: Look, mesh: list[Database]) -> None:
    eventually(lambda: not look()["problems"])
    mesh[2].sql("INSERT INTO t VALUES (1, 'one')")
    in_step(mesh)
    well = eventually(lambda: not (found := look(max_lag_bytes=10**8, max_lag_seconds=60))["problems"] and found)
    assert "  mesh of n1, n2, n3: 6 of 6 subscriptions replicate," in well["screen"]
    assert well["textfile"].count("crossover_streaming{") == 7 and well["textfile"].count('slot="spk_') == 4 * 6 - 6
    assert set(well["summary"]["mesh"].values()) == {"replicating"}
    held = [p for p in look(wal_budget=1)["problems"] if "the slot spk_" in p and "on node n2 holds back" in p]
    assert len(held) == 2

    mesh[1].sql("SELECT spock.sub_disable('sub_n2_n3', true)", superuser=True)
    found = look()
    assert found["problems"] == ["the subscription sub_n2_n3 on node n2 is disabled"]
    assert 'subscription="sub_n2_n3",subscriber="n2"} 0' in found["textfile"]
    mesh[2].sql("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(2, 2000) i")
    behind = look(max_lag_bytes=1000, samples=1)["problems"]
    assert any("the subscription sub_n2_n3 on node n2 has been" in problem for problem in behind), behind
    mesh[1].sql("SELECT spock.sub_enable('sub_n2_n3', true)", superuser=True)
    eventually(lambda: not look()["problems"])

    mesh[1].sql("SELECT spock.sub_drop('sub_n2_n3')", superuser=True)
    assert look()["problems"] == ["the subscription to n3 on node n2 is missing"]


def test_an_exception_is_told(look: Look, mesh: list[Database]) -> None:
    eventually(lambda: not look()["problems"])
    mesh[1].sql("ALTER TABLE t ADD CHECK (id < 7)", superuser=True)
    mesh[0].sql("INSERT INTO t VALUES (7, 'nowhere to go')")
    found = look(samples=20, interval=0.5)["problems"]
    why = "the subscription sub_n2_n1 on node n2 is disabled: the last exception there was INSERT public.t"
    assert any(problem.startswith(why) for problem in found), found
    assert any("new exception(s) on node n2, the last: INSERT public.t" in problem for problem in found), found


def test_a_node_that_is_away_is_told(look: Look, mesh: list[Database]) -> None:
    eventually(lambda: not look()["problems"])
    mesh[2].cluster.stop()
    try:
        (only,) = (found := look())["problems"]
        assert only.startswith("node n3: ") and "n3" not in str(found["summary"]["mesh"])
        assert 'crossover_node_up{migration="shop",node="n3"} 0' in found["textfile"]
    finally:
        mesh[2].cluster.start()
    eventually(lambda: not look()["problems"], 60)
