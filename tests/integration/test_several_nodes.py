# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology direct: several nodes, each fed by the source through a slot of its own, by the playbooks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster import Cluster
from support.database import Database
from support.play import Inventory
from support.whole import NOTHING, QUICK, SCHEMA, leftovers, ok, rows

SLOTS = "SELECT slot_name, active FROM pg_replication_slots WHERE database = current_database() ORDER BY 1"


@pytest.fixture
def second_db(target_cluster: Cluster) -> Iterator[Database]:
    """The second node's database."""
    database = Database(target_cluster).create()
    try:
        yield database
    finally:
        database.drop()


@pytest.fixture
def inventory(source_db: Database, target_db: Database, second_db: Database, tmp_path: Path) -> Inventory:
    source_db.as_owner(SCHEMA)
    made = Inventory(tmp_path, source_db.login, target_db.login, **QUICK)
    made.data["pgedge"]["hosts"]["n2"] = {
        "crossover_node": second_db.login,
        # where the copy may run, too
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    made.set(crossover_mesh_required=False)  # the servers have no Spock
    return made


def test_two_nodes_are_fed_compared_and_rolled_back(
    inventory: Inventory, source_db: Database, target_db: Database, second_db: Database
) -> None:
    planned = ok(inventory.play("migrate", "--check"))
    assert "copy_cost" in planned.output, "what it costs the source is said before anything is done"
    assert leftovers(source_db) == leftovers(target_db) == leftovers(second_db) == NOTHING
    ok(inventory.play("migrate"))
    assert rows(source_db) == rows(target_db) == rows(second_db)
    slots = source_db.sql(SLOTS)
    assert [(slot["slot_name"].rsplit("_", 1)[1], slot["active"]) for slot in slots] == [("n1", True), ("n2", True)]
    again = ok(inventory.play("migrate"))
    assert again.changed == 0, again.output

    refused = inventory.play("cutover", crossover_cutover=source_db.name)
    assert refused.rc != 0 and "no Spock" in refused.failure, refused.output[-3000:]

    source_db.sql("INSERT INTO shop.customer (name) VALUES ('reaches both')")
    assert "equal" in ok(inventory.play("validate", crossover_validate_force=True)).output
    status = ok(inventory.play("status")).output
    assert status.count("flowing") == 2, status

    second_db.sql("SET session_replication_role = replica; DELETE FROM shop.customer WHERE id = 7")
    different = inventory.play("validate", crossover_validate_force=True)
    assert different.rc != 0 and "different" in different.failure, "a difference on any node counts"

    ok(inventory.play("rollback"))
    assert leftovers(source_db) == leftovers(target_db) == leftovers(second_db) == NOTHING
    assert not second_db.sql("SELECT FROM pg_namespace WHERE nspname = 'shop'")
    assert ok(inventory.play("rollback")).changed == 0


def test_each_node_copies_for_itself(
    inventory: Inventory, source_db: Database, target_db: Database, second_db: Database
) -> None:
    inventory.data["pgedge"]["hosts"]["n1"].update(
        ansible_connection="local", ansible_python_interpreter=sys.executable
    )
    inventory.set(crossover_copy_on="node")
    for phase in ("assess", "prepare"):
        ok(inventory.play(phase))
    play = ok(inventory.play("replicate", "-v"))
    assert "runner -> n1" in play.output and "runner -> n2" in play.output
    assert rows(source_db) == rows(target_db) == rows(second_db)
    refused = inventory.play("validate", "--limit", "runner,n1")
    assert refused.rc != 0 and "--limit leaves out n2" in refused.output


def test_a_native_copy_to_two_nodes(
    inventory: Inventory, source_db: Database, target_db: Database, second_db: Database
) -> None:
    inventory.set(crossover_copy="tablesync")
    for phase in ("assess", "prepare", "replicate"):
        ok(inventory.play(phase))
    assert rows(source_db) == rows(target_db) == rows(second_db)


def test_the_monitor_watches_every_landing_node(
    inventory: Inventory, source_db: Database, second_db: Database, tmp_path: Path
) -> None:
    metrics = tmp_path / "crossover.prom"
    inventory.set(crossover_monitor_samples=2, crossover_monitor_interval=0.5, crossover_monitor_textfile=str(metrics))
    for phase in ("assess", "prepare", "replicate"):
        ok(inventory.play(phase))
    ok(inventory.play("monitor"))
    assert metrics.read_text().count("crossover_streaming{") == 2

    (two,) = source_db.sql("SELECT slot_name AS slot FROM pg_replication_slots WHERE slot_name ~ '_n2$'")
    over = inventory.play("monitor", crossover_monitor_wal_budget=1)
    assert over.rc != 0 and f"the slot {two['slot']} on the source holds back" in over.failure, over.output

    second_db.sql(f"ALTER SUBSCRIPTION {two['slot']} DISABLE", superuser=True)
    stopped = inventory.play("monitor")
    assert stopped.rc != 0 and f"the subscription {two['slot']} on node n2 is disabled" in stopped.failure
    assert f'subscription="{two["slot"]}",subscriber="n2"}} 0' in metrics.read_text()

    inventory.data["pgedge"]["hosts"]["n2"]["crossover_node"]["login_port"] = 1
    inventory.write()
    away = inventory.play("monitor")
    assert away.rc != 0 and f"the subscription {two['slot']} on node n2 is unreachable" in away.failure
