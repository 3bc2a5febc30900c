# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module mesh on real Spock where something went wrong before: a killed join, a stopped or missing subscription."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.collection import start_module
from support.database import Database
from support.joining import STRICT, SUMS, Writer, killed
from support.mesh import ON_SPOCK, dissolve, in_step
from support.mesh_module import live_mesh, mesh, nodes, whole
from support.spock import wait_for

pytestmark = ON_SPOCK

STEPS = [
    "_roles",
    "_stand_by",
    "_begin_copy",
    "_advance",
    "_snapshot_taken",
    "_finish_copy",
    "_sets",
    "_links",
    "_ended",
]
IN_SETS = "SELECT set_name, relname FROM spock.tables WHERE set_name IS NOT NULL ORDER BY 1, 2"
REMEMBERED = "SELECT info FROM spock.node JOIN spock.local_node USING (node_id) WHERE info IS NOT NULL"

COPIED = "SELECT FROM spock.local_sync_status WHERE sync_nspname IS NULL AND sync_status IN ('r', 'y')"


@contextlib.contextmanager
def writing(databases: list[Database]) -> Iterator[list[Writer]]:
    writers = [Writer(database, number) for number, database in enumerate(databases[:2], 1)]
    for writer in writers:
        writer.start()
    try:
        yield writers
        time.sleep(0.5)
    finally:
        for writer in writers:
            writer.ended.set()
        for writer in writers:
            writer.join()


def alike(databases: list[Database], writers: list[Writer]) -> None:
    """Rows and sets, also of what the new node writes; and nothing reminds of the join."""
    databases[-1].sql("INSERT INTO item VALUES (90000, 'new')", superuser=True)
    in_step(databases)
    sums = [database.sql(SUMS, superuser=True)[0] for database in databases]
    assert sums[0]["n"] == 5000 + sum(writer.count for writer in writers) + 1
    assert sums == [sums[0]] * len(databases)
    sets = [database.sql(IN_SETS, superuser=True) for database in databases]
    assert sets[0] and sets == [sets[0]] * len(databases)
    assert [database.sql(REMEMBERED, superuser=True) for database in databases] == [[]] * len(databases)
    strict = [{"b": "sub_disable", "notes": 0}]
    assert [database.sql(STRICT, superuser=True) for database in databases] == [strict] * len(databases)


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_join_is_taken_up(mesh_dbs: list[Database], run_module: Callable[..., Any], step: str) -> None:
    live_mesh(run_module, mesh_dbs[:2])
    with writing(mesh_dbs) as writers:
        killed(mesh_dbs, step)
        planned = mesh(run_module, mesh_dbs, check=True)
        assert planned["changed"] and planned["joined"] == ["n3"]
        done = mesh(run_module, mesh_dbs)
    assert done["joined"] == ["n3"] and not done.get("warnings")
    whole(done, "n1", "n2", "n3")
    alike(mesh_dbs, writers)
    assert not mesh(run_module, mesh_dbs)["changed"]


@pytest.mark.parametrize("step", ["_begin_copy", "_snapshot_taken", "_finish_copy", "_sets"])
def test_a_killed_join_of_the_first_other_node(
    mesh_dbs: list[Database], run_module: Callable[..., Any], step: str
) -> None:
    live_mesh(run_module, mesh_dbs[:1])
    with writing(mesh_dbs[:1]) as writers:
        killed(mesh_dbs[:2], step)
        assert mesh(run_module, mesh_dbs[:2])["joined"] == ["n2"]
    alike(mesh_dbs[:2], writers)


@pytest.mark.parametrize("step", ["_advance", "_sets"])
def test_a_killed_join_of_a_fourth_node(mesh_dbs: list[Database], run_module: Callable[..., Any], step: str) -> None:
    fourth = Database(mesh_dbs[2].cluster, mesh_dbs[0].name + "_4").create()
    try:
        fourth.sql("CREATE EXTENSION spock", superuser=True)
        four = [*mesh_dbs, fourth]
        live_mesh(run_module, mesh_dbs)
        with writing(mesh_dbs) as writers:
            killed(four, step)
            done = mesh(run_module, four)
        whole(done, "n1", "n2", "n3", "n4")
        alike(four, writers)
        for database in mesh_dbs:
            database.sql(
                "SELECT spock.sub_drop(sub_name) FROM spock.subscription WHERE sub_name ~ 'n4$'", superuser=True
            )
    finally:
        dissolve([fourth])


@pytest.mark.parametrize("open_still", [False, True])
def test_killed_while_a_transaction_holds_the_snapshot_back(
    mesh_dbs: list[Database], run_module: Callable[..., Any], open_still: bool
) -> None:
    live_mesh(run_module, mesh_dbs[:2])
    writers: list[Writer] = []
    with mesh_dbs[0].connect(superuser=True) as conn:
        conn.autocommit = False
        conn.execute("SELECT pg_current_xact_id()")
        process = start_module("mesh", {"nodes": nodes(mesh_dbs), "timeout": 60})
        wait_for(lambda: mesh_dbs[2].sql("SELECT FROM spock.subscription WHERE sub_name = 'sub_n3_n1'", superuser=True))
        process.kill()
        process.communicate()
        assert mesh_dbs[0].sql("SELECT sub_enabled FROM spock.subscription", superuser=True) == [{"sub_enabled": False}]
        if open_still:
            refused = run_module("mesh", {"nodes": nodes(mesh_dbs), "timeout": 10})
            assert refused["failed"] and "did not take a snapshot" in refused["msg"], refused
            assert mesh_dbs[0].sql("SELECT sub_enabled AS e FROM spock.subscription", superuser=True) == [{"e": True}]
        conn.rollback()
    done = mesh(run_module, mesh_dbs)
    assert done["joined"] == ["n3"]
    alike(mesh_dbs, writers)


def test_a_copy_that_nobody_vouches_for(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    """Somebody turned the donor's subscription on, after the run had died and before it knew of the snapshot."""
    live_mesh(run_module, mesh_dbs[:2])
    killed(mesh_dbs, "_snapshot_taken")
    wait_for(lambda: mesh_dbs[2].sql(COPIED, superuser=True))
    mesh_dbs[0].sql("SELECT spock.sub_enable('sub_n1_n2', true)", superuser=True)
    refused = run_module("mesh", {"nodes": nodes(mesh_dbs), "timeout": 20})
    assert refused["failed"] and refused["failure"]["code"] == "cannot_join", refused
    assert "nobody knows what its copy of n1 holds" in refused["msg"]


def test_disabled_by_an_exception(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    live_mesh(run_module, mesh_dbs)
    mesh_dbs[2].sql("CREATE PUBLICATION own FOR TABLE item", superuser=True)
    mesh_dbs[2].sql("ALTER TABLE item ADD CHECK (id <> 7001)", superuser=True)
    mesh_dbs[0].sql("INSERT INTO item VALUES (7001, 'n1')", superuser=True)
    off = "SELECT FROM spock.subscription WHERE sub_name = 'sub_n3_n1' AND NOT sub_enabled"
    wait_for(lambda: mesh_dbs[2].sql(off, superuser=True), 40)
    mesh_dbs[2].sql("SELECT spock.sub_disable('sub_n3_n2', true)", superuser=True)
    planned = mesh(run_module, mesh_dbs, check=True)
    assert planned["joined"] == [] and planned["queries"] == [
        "n3: SELECT spock.sub_enable('sub_n3_n1', true)", "n3: SELECT spock.sub_enable('sub_n3_n2', true)",
    ]  # fmt: skip
    begun = time.monotonic()
    refused = run_module("mesh", {"nodes": nodes(mesh_dbs), "timeout": 40})
    assert time.monotonic() - begun < 35
    assert refused["failed"] and "n3 has stopped following n1 again" in refused["msg"], refused
    assert "violates check constraint" in refused["msg"] and "public.item" in refused["msg"]
    mesh_dbs[2].sql("ALTER TABLE item DROP CONSTRAINT item_id_check", superuser=True)
    done = mesh(run_module, mesh_dbs)
    assert done["changed"] and "violates check constraint" in str(done["warnings"])
    whole(done, "n1", "n2", "n3")
    assert all(database.sql("SELECT FROM item WHERE id = 7001", superuser=True) for database in mesh_dbs)
    assert mesh_dbs[2].sql("SELECT pubname FROM pg_publication", superuser=True) == [{"pubname": "own"}]


def test_disabled_while_copying(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    live_mesh(run_module, mesh_dbs[:1])
    mesh_dbs[0].sql("INSERT INTO log SELECT now(), repeat('x', 100) FROM generate_series(1, 3000000)", superuser=True)
    killed(mesh_dbs[:2], "_finish_copy")
    mesh_dbs[1].sql("SELECT spock.sub_disable('sub_n2_n1', true)", superuser=True)
    assert not mesh_dbs[1].sql(COPIED, superuser=True)
    begun = time.monotonic()
    refused = run_module("mesh", {"nodes": nodes(mesh_dbs[:2]), "timeout": 20})
    assert time.monotonic() - begun < 15
    assert refused["failed"] and refused["failure"]["code"] == "copy_failed", refused
    assert "crossover_mesh_remove" in refused["msg"]


def test_a_missing_subscription_is_not_made_again_over_rows(
    mesh_dbs: list[Database], run_module: Callable[..., Any]
) -> None:
    two = mesh_dbs[:2]
    live_mesh(run_module, two)
    two[0].sql("SELECT spock.sub_drop('sub_n1_n2')", superuser=True)
    two[1].sql("INSERT INTO item VALUES (7001, 'n2')", superuser=True)
    for check in (True, False):
        refused = run_module("mesh", {"nodes": nodes(two)}, check=check)
        assert refused["failed"] and refused["failure"]["code"] == "rows_would_be_missing", refused
        assert "n1 does not follow n2" in refused["msg"] and "crossover_mesh_data" in refused["msg"]
        assert "Nothing was changed" in refused["msg"]
    two[1].sql("DELETE FROM item WHERE id = 7001", superuser=True)
    whole(mesh(run_module, two, data="same"), "n1", "n2")


def test_nobody_joins_while_a_member_is_dead(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    live_mesh(run_module, mesh_dbs[:2])
    mesh_dbs[1].cluster.stop()
    try:
        for check in (True, False):
            refused = run_module("mesh", {"nodes": nodes(mesh_dbs), "timeout": 20}, check=check)
            assert refused["failed"] and refused["failure"]["code"] == "cannot_join", refused
            assert "n2 does not answer" in refused["msg"] and "crossover_mesh_remove" in refused["msg"]
        assert not mesh_dbs[2].sql("SELECT FROM spock.node", superuser=True)
    finally:
        mesh_dbs[1].cluster.start()
    whole(mesh(run_module, mesh_dbs), "n1", "n2", "n3")


def test_a_clock_that_is_behind(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    live_mesh(run_module, mesh_dbs[:1])
    refused = run_module("mesh", {"nodes": nodes(mesh_dbs[:2]), "clock_skew": -1.0})
    assert refused["failed"] and refused["failure"]["code"] == "clock_skew", refused
    assert not mesh_dbs[1].sql("SELECT FROM spock.node", superuser=True)


def test_partitions_come_with_their_table(mesh_dbs: list[Database], run_module: Callable[..., Any]) -> None:
    one, two = mesh_dbs[:2]
    live_mesh(run_module, [one])
    one.sql("""CREATE SCHEMA shop;
               CREATE TABLE shop.event (id int PRIMARY KEY) PARTITION BY RANGE (id);
               CREATE TABLE shop.event_new PARTITION OF shop.event FOR VALUES FROM (0) TO (100);
               INSERT INTO shop.event VALUES (1);
               SELECT spock.repset_add_table('default', 'shop.event', false)""", superuser=True)  # fmt: skip
    mesh(run_module, [one, two])
    assert one.sql(IN_SETS, superuser=True) == two.sql(IN_SETS, superuser=True)
    two.sql("INSERT INTO shop.event VALUES (2)", superuser=True)
    in_step([one, two])
    assert one.sql("SELECT count(*)::int AS n FROM shop.event", superuser=True) == [{"n": 2}]
