# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module mesh on real Spock: who may leave, what a failure says, and that it says no password."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_ledger import Ledger
from support.database import Database
from support.mesh import ON_SPOCK, in_step
from support.mesh_module import live_mesh, mesh, nodes, whole
from support.spock import ROLE, SECRET, TRACE, prepare, wait_for

pytestmark = ON_SPOCK


def refused(run: Callable[..., Any], databases: Sequence[Database], *words: str, **options: Any) -> dict[str, Any]:
    """In check mode too, and nothing of the mesh has changed."""
    before = [links(database) for database in databases]
    for check in (True, False):
        result = run("mesh", {"nodes": nodes(databases), "timeout": 30, **options}, check=check)
        assert result["failed"], result
        assert all(word in result["msg"] for word in (*words, "Nothing was changed")), result["msg"]
        assert result["failure"]["code"] != "defect" and result["failure"]["hint"]
    assert [links(database) for database in databases] == before
    return dict(result)


def warned(result: dict[str, Any], *words: str) -> bool:
    texts = [str(warning) for warning in result.get("warnings", [])]
    return any(all(word in text for word in words) for text in texts)


def links(database: Database) -> list[dict[str, Any]]:
    return database.sql(
        """SELECT node_name, sub_name, sub_enabled FROM spock.node LEFT JOIN spock.subscription ON node_id = sub_origin
           ORDER BY 1, 2""",
        superuser=True,
    )


def has(database: Database, number: int) -> bool:
    return bool(database.sql("SELECT FROM item WHERE id = %s", [number], superuser=True))


def test_nobody_leaves_before_all_follow_it(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    live_mesh(run_module, mesh_dbs)
    first, second, third = mesh_dbs
    first.sql("SELECT spock.sub_disable('sub_n1_n3', true)", superuser=True)
    third.sql("INSERT INTO item VALUES (8001, 'n3')", superuser=True)
    wait_for(lambda: has(second, 8001))
    said = refused(run_module, mesh_dbs, "n1", "sub_n1_n3 is disabled", "crossover_mesh_remove_force", remove=["n3"])
    assert said["failure"]["code"] == "not_followed"
    first.sql("SELECT spock.sub_drop('sub_n1_n3')", superuser=True)
    # also where another one may go before it
    refused(run_module, mesh_dbs, "n1 has no subscription to it", remove=["n2", "n3"])
    forced = mesh(run_module, mesh_dbs, remove=["n3"], remove_force=True)
    assert forced["removed"] == ["n3"] and not has(first, 8001)
    assert warned(forced, "n1 has no subscription to it", "Compare"), forced["warnings"]
    assert forced["nodes"] == {"n1": {"n2": "replicating"}, "n2": {"n1": "replicating"}, "n3": {}}


def test_who_follows_but_is_late_is_named(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    """Whatever a version of Spock calls the end of a wait: it is no arrival."""
    live_mesh(run_module, mesh_dbs)
    first, second, third = mesh_dbs
    before = [links(database) for database in mesh_dbs]
    with first.connect(superuser=True) as holding, holding.transaction():
        holding.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
        third.sql("INSERT INTO item VALUES (8001, 'n3')", superuser=True)
        wait_for(lambda: has(second, 8001))
        late = run_module("mesh", {"nodes": nodes(mesh_dbs), "timeout": 3, "remove": ["n3"]})
        assert late["failed"] and late["failure"]["code"] == "not_followed", late
        assert "sub_n1_n3 is replicating" in late["msg"] and "after 3 s" in late["msg"], late["msg"]
        assert "Nothing was changed" in late["msg"] and "n2" not in late["msg"], late["msg"]
        assert [links(database) for database in mesh_dbs] == before
        with pytest.raises(AssertionError, match="not in step"):
            in_step(mesh_dbs, 2)
    gone = mesh(run_module, mesh_dbs, remove=["n3"])
    assert gone["removed"] == ["n3"] and has(first, 8001) and not gone.get("warnings")


def test_nobody_leaves_while_another_is_dead(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    live_mesh(run_module, mesh_dbs)
    mesh_dbs[1].cluster.stop()
    try:
        said = run_module("mesh", {"nodes": nodes(mesh_dbs), "remove": ["n3"]})
        assert said["failed"] and "n2 does not answer" in said["msg"] and "Nothing was changed" in said["msg"], said
    finally:
        mesh_dbs[1].cluster.start()
    wait_for(lambda: mesh(run_module, mesh_dbs, check=True)["nodes"]["n1"]["n2"] == "replicating")
    assert mesh(run_module, mesh_dbs, remove=["n3"])["removed"] == ["n3"]


def test_a_removal_that_was_interrupted_goes_on(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    live_mesh(run_module, mesh_dbs)
    for database, name in ((2, "sub_n3_n1"), (2, "sub_n3_n2"), (0, "sub_n1_n3")):  # in the module's own order
        mesh_dbs[database].sql(f"SELECT spock.sub_drop('{name}')", superuser=True)
    gone = mesh(run_module, mesh_dbs, remove=["n3"])
    assert gone["removed"] == ["n3"] and warned(gone, "n1 does not follow it"), gone
    assert [row["node_name"] for row in links(mesh_dbs[0])] == ["n1", "n2"] and not links(mesh_dbs[2])


def test_a_name_that_nobody_knows(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    live_mesh(run_module, mesh_dbs)
    refused(run_module, mesh_dbs, "no node is called typo", "n1, n2, n3", remove=["n3", "typo"])
    two = mesh(run_module, mesh_dbs[:2], remove=["n3"])  # known, though not listed
    assert two["removed"] == ["n3"] and warned(two, "n3 is not among nodes"), two["warnings"]
    whole(two, "n1", "n2")


def test_a_node_with_a_migration_stays(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    live_mesh(run_module, mesh_dbs)
    with mesh_dbs[2].connect(superuser=True) as conn:
        Ledger(conn, "shop").create()
    said = refused(run_module, mesh_dbs, "n3", "migration shop", "crossover.pgedge.rollback", remove=["n3"])
    assert said["failure"]["code"] == "in_migration"
    refused(run_module, mesh_dbs, "migration shop", remove=["n3"], remove_force=True)
    refused(run_module, mesh_dbs, "migration shop", remove=["n3"], migration="other")
    assert mesh(run_module, mesh_dbs, remove=["n3"], migration="shop")["removed"] == ["n3"]


@pytest.mark.parametrize("step", ["sub_create", "sub_drop"])
def test_no_password_is_shown_or_logged(mesh_dbs: list[Database], run_module: Callable[..., Any], step: str) -> None:
    """Neither in the message, in whatever way Spock quotes it, nor in a server's log."""
    two = mesh_dbs[:2]
    prepare(two, "SELECT 1")
    peers = [{**node, "peer": {**node["login"], "login_user": ROLE, "login_password": SECRET}} for node in nodes(two)]
    start = [len(database.cluster.log()) for database in two]
    if step == "sub_create":
        peers[1]["peer"]["login_port"] = 1
        said = run_module("mesh", {"nodes": peers, "timeout": 10})
        assert said["failed"] and "the subscription sub_n1_n2 could not be made" in said["msg"], said["msg"]
        assert "********" in said["msg"] and said["msg"].count("n1") == 2, "which node is said once"
        assert "\n" not in said["msg"] and "\t" not in said["msg"]
        assert "What was done before stays" in said["msg"] and said["failure"]["hint"], said
    else:
        said = run_module("mesh", {"nodes": peers, "timeout": 30, "remove": []})
        assert not said["failed"], said["msg"]
        gone = run_module("mesh", {"nodes": peers, "timeout": 30, "remove": ["n2"]})
        assert gone["removed"] == ["n2"] and TRACE not in str(gone), gone
    assert TRACE not in str(said), said
    for database, since in zip(two, start):
        log = database.cluster.log()[since:]
        for secret in (TRACE, database.cluster.password):
            assert secret not in log, [line for line in log.splitlines() if secret in line]


def test_a_node_without_a_login(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    for second in ({"name": "n2"}, {"name": "n2", "login": None}):
        said = run_module("mesh", {"nodes": [nodes(mesh_dbs)[0], second]})
        assert said["failed"] and "login" in said["msg"] and "defect" not in said["msg"], said["msg"]
        assert "Error" not in said["msg"]


def test_a_dead_nodes_slot_goes_where_nobody_followed_it(
    mesh_dbs: list[Database], run_module: Callable[..., Any]
) -> None:
    """It would hold WAL back for ever."""
    live_mesh(run_module, mesh_dbs)
    mesh_dbs[0].sql("SELECT spock.sub_drop('sub_n1_n3')", superuser=True)
    mesh_dbs[2].cluster.stop()
    slots = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
    assert len(mesh_dbs[0].sql(slots, superuser=True)) == 2
    wait_for(lambda: not mesh_dbs[0].sql(f"{slots} AND active AND slot_name ~ 'n3_n1'", superuser=True))
    gone = mesh(run_module, mesh_dbs, remove=["n3"])
    assert gone["removed"] == ["n3"] and len(mesh_dbs[0].sql(slots, superuser=True)) == 1
    assert not mesh(run_module, mesh_dbs, remove=["n3"])["changed"]
