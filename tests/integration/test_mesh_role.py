# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook mesh on three servers, with an inventory of pgedge.platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cluster import Cluster
from support.database import Database
from support.mesh import ON_SPOCK, dissolve
from support.play import Inventory, Play

pytestmark = ON_SPOCK


@pytest.fixture(scope="module")
def servers(mesh_nodes: list[Cluster]) -> list[Cluster]:
    return mesh_nodes


@pytest.fixture
def inventory(servers: list[Cluster], tmp_path: Path) -> Iterator[Inventory]:
    """As pgedge.platform has it, on one machine: ports differ, and so do the passwords."""
    made = Inventory(tmp_path, {}, {})
    del made.data["crossover_runner"]["hosts"]["runner"]["crossover_source"]
    hosts: dict[str, Any] = {}
    for zone, server in enumerate(servers, 1):
        Database(server, "demo").create().sql("CREATE EXTENSION spock", superuser=True)
        hosts[f"db{zone}"] = {
            "zone": zone, "ansible_host": "127.0.0.1", "pg_port": server.port, "db_names": ["demo"],
            "pgedge_user": "postgres", "pgedge_password": server.password, "crossover_node_install": False,
        }  # fmt: skip
    made.data["pgedge"] = {"hosts": hosts}
    made.write()
    yield made
    dissolve([Database(server, "demo") for server in servers])


def play(inventory: Inventory, servers: list[Cluster], *args: str, **extra: Any) -> Play:
    found = inventory.play("mesh", *args, "-vv", **extra)
    assert not any(server.password in found.output for server in servers), "a password is shown"
    return found


def test_the_mesh_of_a_platforms_inventory(inventory: Inventory, servers: list[Cluster]) -> None:
    checked = play(inventory, servers, "--check", "--diff")
    assert checked.rc == 0 and checked.changed == 1, checked.output
    made = play(inventory, servers)
    assert made.rc == 0 and made.changed == 1, made.output
    again = play(inventory, servers)
    assert again.rc == 0 and again.changed == 0, again.output
    names = servers[1].sql("SELECT sub_name FROM spock.subscription ORDER BY 1", database="demo")
    assert [row["sub_name"] for row in names] == ["sub_n2_n1", "sub_n2_n3"]
    local = servers[1].sql("SELECT node_name FROM spock.local_node JOIN spock.node USING (node_id)", database="demo")
    assert local == [{"node_name": "edge2"}]
    mistyped = play(inventory, servers, crossover_mesh_remove=["db4"])
    assert mistyped.rc != 0 and "no node is called db4; there are edge1, edge2, edge3" in mistyped.failure
    # a node dies: the others' play goes on, and says at its end what it could not do
    servers[2].stop()
    servers[0].sql("SELECT spock.sub_drop('sub_n1_n2')", database="demo")
    late = play(inventory, servers)
    assert late.rc != 0 and late.changed == 1, late.output
    assert "edge3 does not answer, so it was left as it is" in late.failure and "All else was done" in late.failure
    # it is taken out, by its host's name
    removed = play(inventory, servers, crossover_mesh_remove=["db3"])
    assert removed.rc == 0 and removed.changed == 1, removed.output
    slots = servers[0].sql("SELECT slot_name FROM pg_replication_slots", database="demo")
    assert [row["slot_name"] for row in slots] == ["spk_demo_edge1_sub_n2_n1"]
    assert play(inventory, servers, crossover_mesh_remove=["edge3"]).changed == 0
