# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole migration onto a mesh of three real Spock nodes that replicate all the DDL they see, by the playbooks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster import Cluster
from support.database import Database
from support.mesh import DDL, DISCARDED, WHY, dissolve, in_step, join, raise_nodes, spock_bindir
from support.mesh_switch import exactly_once
from support.play import Inventory
from support.whole import NOTHING, QUICK, SCHEMA, leftovers, ok, rows
from support.writers import Writers

BINDIR = spock_bindir()
pytestmark = [pytest.mark.mesh, pytest.mark.skipif(BINDIR is None, reason=WHY)]

MORE = """
CREATE TABLE shop.entry (id uuid DEFAULT gen_random_uuid() PRIMARY KEY, client int NOT NULL, number int NOT NULL);
CREATE TABLE shop.log (at timestamptz, note text);
CREATE TABLE shop.whole (id int PRIMARY KEY, value int NOT NULL);
ALTER TABLE shop.whole REPLICA IDENTITY FULL;
INSERT INTO shop.log SELECT now(), 'seed' FROM generate_series(1, 50);
INSERT INTO shop.whole SELECT n, n FROM generate_series(1, 50) n;
"""
SETS = """SELECT t.set_reloid::regclass::text AS name, s.set_name::text AS repset FROM spock.replication_set_table t
          JOIN spock.replication_set s USING (set_id) ORDER BY 1"""
IN_SETS = [
    ("shop.\"Order\"", "default"), ("shop.customer", "default"), ("shop.entry", "default"),
    ("shop.event", "default"), ("shop.event_new", "default"), ("shop.event_old", "default"),
    ("shop.log", "default_insert_only"),
    ("shop.whole", "default"),
]  # fmt: skip
BEHAVIOUR = "SELECT setting FROM pg_settings WHERE name = 'spock.exception_behaviour'"
QUEUED = "SELECT message::text AS m FROM spock.queue"
BEFORE = ("assess", "prepare", "replicate", "validate")


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Cluster]]:
    assert BINDIR is not None
    made = raise_nodes(3, BINDIR, **DDL, **{"spock.exception_behaviour": "'transdiscard'"})
    try:
        yield made
    finally:
        for node in made:
            node.remove()


@pytest.fixture
def mesh(nodes: list[Cluster], source_db: Database) -> Iterator[list[Database]]:
    """Three databases, not a mesh yet."""
    databases = [Database(node, source_db.name).create() for node in nodes]
    try:
        yield databases
    finally:
        dissolve(databases)


@pytest.fixture
def inventory(source_db: Database, mesh: list[Database], tmp_path: Path) -> Inventory:
    source_db.as_owner(SCHEMA + MORE)
    made = Inventory(tmp_path, source_db.login, mesh[0].login, **QUICK)
    waivers = [{"code": "no_replica_identity", "object": "shop.log"}, {"code": "replica_identity_full", "object": "*"}]
    made.set(crossover_waivers=waivers, crossover_route={"type": "none"})
    for number, node in enumerate(mesh[1:], 2):
        made.data["pgedge"]["hosts"][f"n{number}"] = {"crossover_node": node.login}
    made.write()
    return made


def in_sets(node: Database) -> list[tuple[str, str]]:
    return [(row["name"], row["repset"]) for row in node.sql(SETS, superuser=True)]


def behaviour(mesh: list[Database]) -> list[str]:
    return [node.sql(BEHAVIOUR, superuser=True)[0]["setting"] for node in mesh]


def test_nodes_that_are_no_mesh_are_refused(inventory: Inventory, mesh: list[Database]) -> None:
    ok(inventory.play("assess"))
    planned = ok(inventory.play("prepare", "--check"))
    assert "would be refused" in planned.output and "the extension spock is not in the database" in planned.output
    refused = inventory.play("prepare")
    assert refused.rc != 0 and "no mesh yet" in refused.failure, refused.output[-3000:]
    assert "crossover.pgedge.mesh" in refused.failure and "Nothing was changed" in refused.failure
    assert leftovers(mesh[1]) == NOTHING

    join(mesh[:2])  # n3 is none of it
    refused = inventory.play("prepare")
    assert refused.rc != 0 and "n1 has no subscription to n3" in refused.failure, refused.output[-3000:]
    ok(inventory.play("rollback"))


def test_the_source_feeds_a_mesh(inventory: Inventory, source_db: Database, mesh: list[Database]) -> None:
    join(mesh, "default", "default_insert_only", "ddl_sql")
    for phase in BEFORE[:2]:
        ok(inventory.play(phase))
    assert behaviour(mesh) == ["sub_disable"] * 3
    ok(inventory.play("replicate", "--check"))
    play = ok(inventory.play("replicate"))
    assert "no replica identity index: shop.log" in play.output
    assert [in_sets(node) for node in mesh] == [IN_SETS] * 3
    assert rows(source_db) == rows(mesh[0]) == rows(mesh[1]) == rows(mesh[2])

    source_db.as_owner("""CREATE TABLE shop.late (id int PRIMARY KEY);
        CREATE TABLE shop.event_2030 (LIKE shop.event INCLUDING ALL);
        INSERT INTO shop.customer (name) VALUES ('late')""")
    ok(inventory.play("replicate"))
    assert ("shop.late", "default") in in_sets(mesh[2]) and ("shop.event_2030", "default") in in_sets(mesh[1])
    again = ok(inventory.play("replicate"))
    assert again.changed == 0, again.output
    assert "equal" in ok(inventory.play("validate")).output
    in_step(mesh)
    assert not [row for node in mesh for row in node.sql(QUEUED, superuser=True) if "CREATE" in row["m"]]

    ok(inventory.play("rollback"))
    assert [leftovers(side) for side in (source_db, *mesh)] == [NOTHING] * 4
    assert behaviour(mesh) == ["transdiscard"] * 3
    for node in mesh:
        assert not node.sql("SELECT FROM pg_namespace WHERE nspname = 'shop'") and not in_sets(node)
        assert [row["status"] for row in node.sql("SELECT status FROM spock.sub_show_status()", superuser=True)] == [
            "replicating"
        ] * 2
    assert ok(inventory.play("rollback")).changed == 0


class Slow(Writers):
    """On every server at once, also where they are refused."""

    rest = 0.02


def beside_the_mesh(node: Database, query: str) -> None:
    """On one node, and the others do not hear of it."""
    node.sql(f"BEGIN; SELECT spock.repair_mode(true); {query}; COMMIT", superuser=True)


def test_the_order_of_phases_and_the_limit(inventory: Inventory, source_db: Database, mesh: list[Database]) -> None:
    join(mesh)
    early = inventory.play("replicate")
    assert early.rc != 0 and "prepare has not run" in early.failure, early.output[-3000:]
    limited = inventory.play("assess", "--limit", "runner,n1,n3")
    assert limited.rc != 0 and "--limit leaves out n2" in limited.output
    assert [leftovers(side) for side in (source_db, *mesh)] == [NOTHING] * 4


def test_there_and_back_and_there_to_stay(inventory: Inventory, source_db: Database, mesh: list[Database]) -> None:
    join(mesh, "default", "default_insert_only", "ddl_sql")
    sides = [source_db, *mesh]
    ok(inventory.play("migrate", "--check"))
    assert [leftovers(side) for side in sides] == [NOTHING] * 4
    with Slow(source_db.dsn, 2, first=0) as old:
        ok(inventory.play("migrate", timeout=600))
        again = ok(inventory.play("migrate", timeout=600))
        assert again.changed == 0, again.output
        news = [Slow(node.dsn, 2, first=10 * number) for number, node in enumerate(mesh, 1)]
        for writers in news:
            writers.__enter__()
        try:
            ok(inventory.play("cutover", "--check", crossover_cutover=source_db.name))
            ok(inventory.play("cutover", crossover_cutover=source_db.name))
            for writers in news:
                writers.go_on()
            assert "all 3 nodes compare equal" in ok(inventory.play("validate", crossover_validate_force=True)).output
            assert ok(inventory.play("cutover", crossover_cutover=source_db.name)).changed == 0
            status = ok(inventory.play("status")).output
            assert "the node is writable" in status, status
            watched = {"crossover_monitor_samples": 2, "crossover_monitor_interval": 1}
            ok(inventory.play("monitor", **watched))
            mesh[1].sql("SELECT spock.sub_disable('sub_n2_n3', true)", superuser=True)
            stopped = inventory.play("monitor", **watched)
            assert stopped.rc != 0 and "the subscription sub_n2_n3 on node n2 is disabled" in stopped.failure
            mesh[1].sql("SELECT spock.sub_enable('sub_n2_n3', true)", superuser=True)
            ok(inventory.play("replicate"))
            ok(inventory.play("rollback"))
            old.go_on()
            exactly_once(source_db, *news)  # what was written on any node
            ok(inventory.play("validate", crossover_validate_force=True))
            ok(inventory.play("cutover", crossover_cutover=source_db.name))
            for writers in news:
                writers.go_on()
            beside_the_mesh(mesh[1], "UPDATE shop.whole SET value = 0 WHERE id = 7")
            different = inventory.play("validate", crossover_validate_force=True)
            assert different.rc != 0 and "n2: " in different.failure and "different" in different.failure
            beside_the_mesh(mesh[1], "UPDATE shop.whole SET value = 7 WHERE id = 7")
            ok(inventory.play("finish", crossover_finish=source_db.name))
            for writers in news:
                writers.go_on()
        finally:
            for writers in news:
                writers.__exit__()
    in_step(mesh)
    before_the_end = {failure[:5] for writers in (old, *news) for failure in writers.failed}
    assert before_the_end == {"25006"}, before_the_end
    for node in mesh:
        exactly_once(node, *news)
    assert len({str(rows(node)) for node in mesh}) == 1
    assert [leftovers(side) for side in sides] == [NOTHING] * 4
    assert behaviour(mesh) == ["transdiscard"] * 3
    assert [in_sets(node) for node in mesh] == [IN_SETS] * 3
    assert not [row for node in mesh for row in node.sql(QUEUED, superuser=True) if "CREATE" in row["m"]]
    for node in mesh:
        assert not node.sql(DISCARDED, superuser=True)


def test_the_others_join_after_the_cutover(inventory: Inventory, source_db: Database, mesh: list[Database]) -> None:
    one, two, three = mesh
    inventory.set(crossover_topology="expand", crossover_mesh_passwords=True)
    for node in mesh:
        node.sql("CREATE EXTENSION spock", superuser=True)
    with Slow(source_db.dsn, 2, first=0) as old:
        for phase in BEFORE:
            ok(inventory.play(phase))
        assert leftovers(two) == leftovers(three) == NOTHING
        early = inventory.play("expand")
        assert early.rc != 0 and "run crossover.pgedge.cutover first" in early.failure, early.failure
        old.go_on()
        with Slow(one.dsn, 2, first=10) as new:
            ok(inventory.play("cutover", crossover_cutover=source_db.name))
            new.go_on()
            ok(inventory.play("expand", "--check"))
            assert leftovers(two) == leftovers(three) == NOTHING
            ok(inventory.play("expand"))
            again = ok(inventory.play("expand"))
            assert again.changed == 0, again.output
            assert "all 3 nodes compare equal" in ok(inventory.play("validate", crossover_validate_force=True)).output
            with Slow(two.dsn, 1, first=20) as second, Slow(three.dsn, 1, first=30) as third:
                second.go_on()
                third.go_on()
                back = ok(inventory.play("rollback"))
                assert "n2, n3: out of step" in back.output, back.output
                old.go_on()
                exactly_once(source_db, new, second, third)
            assert "n2, n3: out of step" in ok(inventory.play("status")).output
            assert in_sets(one) == IN_SETS
            ok(inventory.play("validate", crossover_validate_force=True))
            ok(inventory.play("cutover", crossover_cutover=source_db.name))
            new.go_on()
            ok(inventory.play("expand"))
            ok(inventory.play("validate", crossover_validate_force=True))
            ok(inventory.play("finish", crossover_finish=source_db.name))
            new.go_on()
    in_step(mesh)
    assert [leftovers(side) for side in (source_db, *mesh)] == [NOTHING] * 4
    assert behaviour(mesh) == ["transdiscard"] * 3
    assert [in_sets(node) for node in mesh] == [IN_SETS] * 3
    for node in mesh:
        exactly_once(node, new, second, third)


CLOSING = Path(__file__).parents[2] / "docs" / "cutover.md"


def closing(side: str, migration: str, node: str = "n2") -> list[str]:
    """What the documentation says is to be done on a server when the publishing node is lost for good."""
    text = CLOSING.read_text(encoding="utf-8")
    block = re.search(rf"-- close: {side}\n(.*?)```", text, re.S)
    assert block is not None
    lines = [re.sub(r"\s+--.*", "", line).strip() for line in block[1].splitlines()]
    return [line.replace("_shop", f"_{migration}").replace("_n2", f"_{node}") for line in lines if line]


def test_the_publishing_node_is_lost_for_good(inventory: Inventory, source_db: Database, mesh: list[Database]) -> None:
    join(mesh)
    inventory.set(crossover_mesh_passwords=True)
    for phase in BEFORE:
        ok(inventory.play(phase))
    ok(inventory.play("cutover", crossover_cutover=source_db.name))
    mesh[0].cluster.stop()
    refused = inventory.play("rollback")
    assert refused.rc != 0 and "docs/cutover.md says how" in refused.failure, refused.output[-3000:]
    refused = inventory.play("finish", crossover_finish=source_db.name)
    assert refused.rc != 0 and "docs/cutover.md says how" in refused.failure, refused.output[-3000:]
    assert "the publishing node" in refused.failure
    left = {"n2": mesh[1], "n3": mesh[2]}
    # as documented: the mesh, the nodes, the source
    del inventory.data["pgedge"]["hosts"]["n1"]
    inventory.write()
    removed = inventory.play("mesh", crossover_mesh_remove=["n1"], crossover_mesh_timeout=30)
    assert removed.rc == 0, removed.output[-3000:]
    for name, node in left.items():
        node.sql("; ".join(closing("node", source_db.name, name)), superuser=True)
    for line in closing("source", source_db.name):
        source_db.sql(line)
    assert [leftovers(side) for side in (source_db, *left.values())] == [NOTHING] * 3
    for number, node in enumerate(left.values()):
        node.sql("INSERT INTO shop.entry (client, number) VALUES (90, %s)", [number])
        assert not node.sql("SELECT slot_name FROM pg_replication_slots WHERE NOT active")
    count = "SELECT count(*) AS n FROM shop.entry WHERE client = 90"
    until = time.monotonic() + 30
    while [node.sql(count)[0]["n"] for node in left.values()] != [2, 2]:
        assert time.monotonic() < until
        time.sleep(0.2)
    source_db.sql("INSERT INTO shop.log VALUES (now(), 'open again')")
