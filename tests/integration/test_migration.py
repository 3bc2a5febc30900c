# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger on a real node."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_turn import take_turn
from support.database import Database


class Notebook:
    """Calls the two modules."""

    def __init__(self, source: Database, target: Database, run: Any) -> None:
        self.source, self.target, self.run = source, target, run

    def call(self, module: str = "migration", check: bool = False, **more: Any) -> dict[str, Any]:
        args = {**self.target.login, "name": "shop", "source": self.source.login, **more}
        result: dict[str, Any] = self.run(module, args, check=check)
        return result


@pytest.fixture
def notebook(source_db: Database, target_db: Database, run_module: Any) -> Notebook:
    return Notebook(source_db, target_db, run_module)


def test_a_phase_is_begun_and_ended_and_remembered(notebook: Notebook) -> None:
    planned = notebook.call(phase="assess", check=True)
    assert planned["run"] and not notebook.target.sql("SELECT FROM pg_namespace WHERE nspname = 'crossover'")
    begun = notebook.call(phase="assess")
    assert begun["run"] and begun["phases"]["assess"]["status"] == "running" and not begun["changed"]
    ended = notebook.call(
        phase="assess", state="done", summary={"blockers": 1}, facts={"assess.blockers": [{"code": "x", "object": "y"}]}
    )
    assert ended["phases"]["assess"]["summary"] == {"blockers": 1}
    refused = notebook.call(phase="prepare")
    assert refused["failed"] and refused["failure"]["code"] == "gate" and "x y" in refused["msg"]
    waived = notebook.call(phase="assess", state="present", facts={"assess.blockers": None})
    assert "assess.blockers" not in waived["facts"]
    assert notebook.call(phase="prepare")["run"]


def test_out_of_order_is_one_sentence_and_in_check_mode_no_failure(notebook: Notebook) -> None:
    refused = notebook.call(phase="replicate")
    assert refused["failed"] and "run the playbook crossover.pgedge.prepare first" in refused["msg"]
    assert "Nothing was changed" in refused["msg"]
    assert not notebook.target.sql("SELECT FROM pg_namespace WHERE nspname = 'crossover'")
    planned = notebook.call(phase="replicate", check=True)
    assert not planned["failed"] and planned["run"] and planned["why"].startswith("would run after prepare")


def test_nothing_to_roll_back_leaves_no_ledger(notebook: Notebook) -> None:
    result = notebook.call(phase="rollback")
    assert not result["failed"] and not result["run"]
    assert not notebook.target.sql("SELECT FROM pg_namespace WHERE nspname = 'crossover'")


def test_info(notebook: Notebook) -> None:
    empty = notebook.call("migration_info")
    assert not empty["exists"] and empty["writable"] == "" and "there is none" in empty["screen"][0]
    notebook.call(phase="assess")
    notebook.call(phase="assess", state="failed", reason="it broke")
    assert not notebook.target.sql("SELECT FROM pg_namespace WHERE nspname = 'crossover'"), "nothing was begun"
    notebook.call(phase="assess")
    notebook.call(phase="assess", state="done", summary={"blockers": 0})
    notebook.call(phase="prepare")
    notebook.call(phase="prepare", state="failed", reason="it broke\nbadly")
    found = notebook.call("migration_info", steps=True)
    assert found["exists"] and found["reachable"] and found["phases"]["prepare"]["status"] == "failed"
    text = "\n".join(found["screen"])
    assert "FAILED" in text and "it broke" in text and "crossover.pgedge.prepare" in text
    assert all(len(line) <= 80 for line in found["screen"])


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"login_password": "wrong-password-1"}, "bad_password", "login_password"),
        ({"login_db": "nonsense"}, "unknown_database", "login_db"),
        ({"login_port": 1}, "unreachable", "login_port"),
        ({"login_host": "no.such.host.invalid"}, "unknown_host", "login_host"),
        ({"ssl_mode": "require"}, "no_tls", "ssl_mode"),
    ],
)
def test_bad_logins_are_one_sentence(notebook: Notebook, change: dict[str, Any], code: str, words: str) -> None:
    result = notebook.call(phase="assess", **change)
    assert result["failed"] and result["failure"]["code"] == code, result
    assert words in result["msg"] and "Nothing was changed" in result["msg"] and "wrong-password-1" not in str(result)


def test_one_run_at_a_time(notebook: Notebook) -> None:
    notebook.call(phase="assess")
    notebook.call(phase="assess", state="done", summary={"blockers": 0})
    with notebook.target.connect() as other:
        take_turn(other, "another", "cutover")  # of another migration: in nobody's way
        assert notebook.call(phase="prepare")["run"]
        take_turn(other, "shop", "schema_sync")
        refused = notebook.call(phase="prepare")
        assert refused["failed"] and refused["failure"]["code"] == "busy", refused
        assert "another run is at work on migration shop: schema_sync, since " in refused["msg"]
        assert "Nothing was changed" in refused["msg"]
        assert not notebook.call(phase="prepare", check=True)["failed"]
        assert notebook.call(phase="assess")["run"], "it changes nothing"
        notebook.call(phase="assess", state="done", summary={"blockers": 0})
        compared = notebook.call("table_compare", barrier=False)
        assert compared["failed"] and compared["failure"]["code"] == "busy", compared
    with notebook.target.connect() as other:
        take_turn(other, "shop", "compare", shared=True)
        beside = notebook.call("table_compare", barrier=False)
        assert not beside["failed"] or "another run" not in beside["msg"], beside
        assert notebook.call(phase="prepare")["failed"]
    after = notebook.call(phase="prepare")
    assert not after["failed"], f"a session that is gone holds nothing: {after}"


def test_a_first_assess_that_fails_leaves_the_control_row_of_another_migration(notebook: Notebook) -> None:
    """The node of one migration can be the source of another."""
    assert not notebook.run("fence", {**notebook.target.login, "name": "onward", "control": True})["failed"]
    notebook.call(phase="assess")
    notebook.call(phase="assess", state="failed", reason="it broke")
    assert notebook.target.sql("SELECT writable FROM crossover.control") == [{"writable": "source"}]
    assert not notebook.call("migration_info")["exists"]


def test_the_ledger_of_one_migration_leaves_that_of_another(notebook: Notebook) -> None:
    """A first assess that fails leaves nothing behind, and that was the whole schema, with every other ledger in it."""
    for name in ("first", "second"):
        assert not notebook.call(name=name, phase="assess")["failed"]
    gone = notebook.call(name="second", phase="assess", state="failed", reason="tried")
    assert not gone["failed"], gone["msg"]
    found = {name: notebook.call("migration_info", name=name)["exists"] for name in ("first", "second")}
    assert found == {"first": True, "second": False}
