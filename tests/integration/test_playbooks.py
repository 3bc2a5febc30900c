# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole migrations by the playbooks, as a user runs them, on real servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.database import Database
from support.play import Inventory
from support.whole import NOTHING, QUICK, SCHEMA, leftovers, ok, rows


@pytest.fixture
def inventory(source_db: Database, target_db: Database, tmp_path: Path) -> Inventory:
    source_db.as_owner(SCHEMA)
    return Inventory(tmp_path, source_db.login, target_db.login, **QUICK)


def test_a_whole_migration_there_and_back(inventory: Inventory, source_db: Database, target_db: Database) -> None:
    planned = ok(inventory.play("migrate", "--check", "--diff"))
    assert "would run after" in planned.output
    assert leftovers(source_db) == leftovers(target_db) == NOTHING
    ok(inventory.play("migrate"))
    assert rows(source_db) == rows(target_db)
    again = ok(inventory.play("migrate"))
    assert again.changed == 0, again.output
    assert "; compared " in again.output, "a comparison that is fresh is not made again"
    assert ok(inventory.play("migrate", "--check")).changed == 0
    assert "the source is writable" in ok(inventory.play("status")).output

    refused = inventory.play("cutover")
    assert refused.rc != 0 and f"crossover_cutover={source_db.name}" in refused.output
    ok(inventory.play("cutover", crossover_cutover=source_db.name))
    assert ok(inventory.play("cutover", crossover_cutover=source_db.name)).changed == 0
    assert "the node is writable" in ok(inventory.play("status")).output
    target_db.sql("INSERT INTO shop.customer (name) VALUES ('written on the node')")
    assert ok(inventory.play("migrate")).changed == 0, "after the switch there is nothing left to build"
    ok(inventory.play("validate", crossover_validate_force=True))

    # the application is developed further while the way back is open
    target_db.sql("CREATE TABLE shop.note (id int PRIMARY KEY, text text); INSERT INTO shop.note VALUES (1, 'one')")
    refused = inventory.play("rollback")
    assert refused.rc != 0 and "missing on the source: shop.note" in refused.failure, refused.output
    assert "pg_dump" in refused.failure and "the node is writable" in ok(inventory.play("status")).output
    source_db.as_owner("CREATE TABLE shop.note (id int PRIMARY KEY, text text)")
    assert ok(inventory.play("replicate")).changed
    compared = ok(inventory.play("validate"))
    assert "; compared " not in compared.output, "a table has come since the last comparison"
    assert ok(inventory.play("replicate")).changed == 0
    target_db.sql("INSERT INTO shop.note VALUES (2, 'two')")

    ok(inventory.play("rollback"))
    assert source_db.sql("SELECT count(*) AS n FROM shop.note")[0]["n"] == 2
    assert ok(inventory.play("rollback")).changed == 0
    assert source_db.sql("SELECT count(*) AS n FROM shop.customer WHERE name = 'written on the node'")[0]["n"] == 1
    source_db.sql("INSERT INTO shop.customer (name) VALUES ('written on the source')")
    ok(inventory.play("validate", crossover_validate_force=True))

    ok(inventory.play("cutover", crossover_cutover=source_db.name))
    ok(inventory.play("finish", crossover_finish=source_db.name))
    assert leftovers(source_db) == leftovers(target_db) == NOTHING
    assert ok(inventory.play("finish", crossover_finish=source_db.name)).changed == 0
    target_db.sql('INSERT INTO shop."Order" (customer, total) VALUES (1, 1)')


def test_what_is_copied_at_the_fence(inventory: Inventory, source_db: Database, target_db: Database) -> None:
    source_db.as_owner(
        """CREATE UNLOGGED TABLE shop.session (id int PRIMARY KEY, note text);
           INSERT INTO shop.session VALUES (1, 'one');
           SELECT lo_from_bytea(800001, 'large')"""
    )
    assert "2 blocker(s) are open" in inventory.play("migrate").failure
    inventory.set(crossover_large_objects="copy", crossover_unlogged="copy", crossover_fence_copy_budget=1.5)
    ok(inventory.play("migrate"))
    assert not target_db.sql("SELECT FROM shop.session")
    source_db.sql("INSERT INTO shop.session VALUES (2, 'two')")
    assert "would do: fence_copy" in ok(inventory.play("cutover", "--check", crossover_cutover=source_db.name)).output
    done = ok(inventory.play("cutover", crossover_cutover=source_db.name))
    assert "* fence_copy" in done.output
    assert target_db.sql("SELECT count(*) AS n, lo_get(800001) = 'large' AS same FROM shop.session") == [
        {"n": 2, "same": True}
    ]
    target_db.sql("SELECT lo_put(800001, 0, 'L')")
    refused = inventory.play("rollback")
    assert refused.rc != 0 and "GRANT SET ON PARAMETER session_replication_role" in refused.failure, refused.output
    ok(inventory.play("rollback", crossover_unlogged="skip", crossover_rollback_remove=True))
    assert source_db.sql("SELECT lo_get(800001) = 'Large' AS same")[0]["same"]
    assert leftovers(source_db) == leftovers(target_db) == NOTHING
    assert not target_db.sql("SELECT FROM pg_largeobject_metadata")


def test_rollback_before_the_cutover_removes_everything(
    inventory: Inventory, source_db: Database, target_db: Database
) -> None:
    ok(inventory.play("migrate"))
    ok(inventory.play("rollback"))
    assert leftovers(source_db) == leftovers(target_db) == NOTHING
    assert not target_db.sql("SELECT FROM pg_namespace WHERE nspname = 'shop'")
    assert ok(inventory.play("rollback")).changed == 0
    ok(inventory.play("migrate"))
    assert rows(source_db) == rows(target_db)


def test_a_node_that_is_gone_for_good(inventory: Inventory, source_db: Database, target_db: Database) -> None:
    for phase in ("assess", "prepare", "replicate"):
        ok(inventory.play(phase))
    target_db.cluster.stop()
    try:
        seen = ok(inventory.play("status")).output
        assert "the node cannot be reached" in seen and "crossover_rollback_source_only" in seen, seen
        refused = inventory.play("rollback")
        assert refused.rc != 0 and leftovers(source_db)["slots"] == 1
        gone = {"crossover_rollback_source_only": True}
        assert ok(inventory.play("rollback", "--check", **gone)).changed and leftovers(source_db)["slots"] == 1
        ok(inventory.play("rollback", **gone))
        assert leftovers(source_db) == NOTHING
        assert ok(inventory.play("rollback", **gone)).changed == 0
    finally:
        target_db.cluster.start()


@pytest.mark.parametrize("phase", ["prepare", "replicate", "validate", "benchmark", "cutover", "monitor", "finish"])
def test_out_of_order(inventory: Inventory, source_db: Database, target_db: Database, phase: str) -> None:
    play = inventory.play(phase, crossover_cutover=source_db.name, crossover_finish=source_db.name)
    if phase == "finish":
        assert play.rc == 0 and "no migration of this name" in play.output
    else:
        assert play.rc != 0 and "run the playbook crossover.pgedge." in play.failure, play.output
    assert leftovers(source_db) == leftovers(target_db) == NOTHING


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"crossover_sorce": {}}, "did you mean crossover_source"),
        ({"crossover_schemas": ["nonsense"]}, "nonsense"),
        ({"crossover_exclude_tables": ["shop.nonsense"]}, "nonsense"),
        ({"crossover_waivers": [{"code": "nonsense", "object": "*"}]}, "nonsense"),
        ({"crossover_route": {"type": "nonsense"}}, "nonsense"),
        ({"crossover_jobs": "many"}, "many"),
    ],
)
def test_unknown_names(
    inventory: Inventory, source_db: Database, target_db: Database, variables: dict[str, Any], words: str
) -> None:
    inventory.set(**variables)
    play = inventory.play("migrate")
    assert play.rc != 0 and words in play.output, play.output
    assert leftovers(source_db) == leftovers(target_db) == NOTHING


def test_limit_and_inventory(inventory: Inventory) -> None:
    play = inventory.play("assess", "--limit", "runner")
    assert play.rc != 0 and "--limit leaves out n1" in play.output
    play = inventory.play("assess", "--limit", "n1")
    assert play.rc != 0 and "--limit leaves out runner" in play.output
    inventory.data["pgedge"]["hosts"]["n1"] = {}
    inventory.write()
    play = inventory.play("assess")
    assert play.rc != 0 and "crossover_node of n1 is not set" in play.output


def test_a_target_that_is_not_empty(inventory: Inventory, source_db: Database, target_db: Database) -> None:
    target_db.as_owner("CREATE TABLE public.precious (id int); INSERT INTO public.precious VALUES (1)")
    play = inventory.play("migrate")
    assert play.rc != 0 and "precious" in play.output and "empty" in play.output, play.output
    assert target_db.sql("SELECT * FROM public.precious") == [{"id": 1}]
    assert leftovers(source_db) == NOTHING


def test_no_secret_in_any_output(inventory: Inventory, source_db: Database, target_db: Database) -> None:
    secrets = {source_db.login["login_password"], target_db.login["login_password"]}
    plays = [inventory.play("migrate", "-vvv", "--diff"), inventory.play("status", "-vvvv")]
    plays.append(inventory.play("cutover", "-vvv", "--diff", crossover_cutover=source_db.name))
    plays.append(inventory.play("rollback", "-vvv", "--diff"))
    plays.append(inventory.play("rollback", "-vvv", "--diff", crossover_rollback_remove=True))
    plays.append(inventory.play("migrate", "-vvv", "--diff", crossover_cutover=source_db.name))
    plays.append(inventory.play("finish", "-vvvv", "--diff", crossover_finish=source_db.name))
    for play in plays:
        ok(play)
        for secret in secrets:
            assert secret not in play.output, next(line for line in play.output.splitlines() if secret in line)[:300]
