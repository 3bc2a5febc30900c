# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""inventory_check as every playbook begins with it: what is wrong is told in one sentence, and no host is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.play import Inventory

SECRET = "S3cret-of-the-source"
# nobody listens there: whoever tried to reach it would fail
LOGIN = {"login_host": "192.0.2.1", "login_user": "crossover", "login_password": SECRET, "login_db": "shop"}


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return Inventory(tmp_path, dict(LOGIN), dict(LOGIN))


def refused(inventory: Inventory, *words: str) -> None:
    play = inventory.play("inventory_check")
    assert play.rc != 0 and "Traceback" not in play.output, play.output
    for word in words:
        assert word in play.failure, play.output
    assert play.failure.endswith("Nothing was reached and nothing was changed."), play.failure
    assert SECRET not in play.output


def test_what_is_right_passes_and_changes_nothing(inventory: Inventory) -> None:
    for args in (("--check", "--diff"), (), ("-vvv",)):
        play = inventory.play("inventory_check", *args)
        assert play.rc == 0 and play.changed == 0, play.output
        assert SECRET not in play.output


def test_all_that_is_wrong_is_told_at_once(inventory: Inventory) -> None:
    inventory.set(
        crossover_sorce={}, crossover_jbs=3, crossover_source={"login_hots": "192.0.2.1", "login_password": SECRET}
    )
    inventory.data["pgedge"]["hosts"] = {"n1": {}, "n2": {"crossover_node": SECRET}}
    inventory.write()
    refused(
        inventory,
        "unknown variable crossover_sorce (did you mean crossover_source?)",
        "unknown variable crossover_jbs (did you mean crossover_jobs?)",
        "crossover_source has an unknown option: login_hots (did you mean login_host?)",
        "crossover_source has no login_db",
        "crossover_node of n1 is not set: it is a dict with login_host",
        "crossover_node of n2 is not a dict with login_host",
    )


def test_variables_of_a_node(inventory: Inventory) -> None:
    inventory.data["pgedge"]["hosts"]["n1"]["crossover_nod"] = {}
    inventory.write()
    refused(inventory, "unknown variable of n1: crossover_nod (did you mean crossover_node?)")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"pgedge": {"hosts": {"n1": {}}}}, "the inventory group crossover_runner has 0 hosts and needs exactly one"),
        (
            {"crossover_runner": {"hosts": {"a": {}, "b": {}}}, "pgedge": {"hosts": {"n1": {}}}},
            "the inventory group crossover_runner has 2 hosts and needs exactly one",
        ),
        ({"crossover_runner": {"hosts": {"a": {}}}}, "the inventory group pgedge is empty"),
    ],
)
def test_groups(inventory: Inventory, data: dict[str, Any], words: str) -> None:
    inventory.data = data
    inventory.write()
    refused(inventory, words)


def test_a_variable_that_cannot_be_templated(inventory: Inventory) -> None:
    inventory.set(crossover_source={**LOGIN, "login_db": "{{ nowhere_defined }}"})
    refused(inventory, "crossover_source cannot be read", "nowhere_defined")


def test_limit(inventory: Inventory) -> None:
    play = inventory.play("inventory_check", "--limit", "runner")
    assert play.rc != 0 and "--limit leaves out n1: a phase needs the runner and every node" in play.failure


def test_it_takes_no_options(inventory: Inventory, tmp_path: Path) -> None:
    book = tmp_path / "book.yml"
    book.write_text(
        "- hosts: all:localhost\n  gather_facts: false\n  tasks:\n"
        "    - crossover.pgedge.inventory_check: {strict: true}\n      run_once: true\n"
    )
    play = inventory.play(str(book))
    assert play.rc != 0 and "Unsupported parameters" in play.output and "strict" in play.output, play.output
