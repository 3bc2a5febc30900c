# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook node with a host that is away, and one that does not come back. It installs in molecule/hosts."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from support.play import Inventory, Play

LOGIN = {"login_host": "127.0.0.1", "login_db": "shop"}
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
# no SSH server is on port 1
AWAY = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"}


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    made = Inventory(tmp_path, {}, {})
    del made.data["crossover_runner"]["hosts"]["runner"]["crossover_source"]
    nodes: dict[str, Any] = {
        name: {**HERE, "crossover_node": LOGIN, "crossover_node_install": False} for name in ("n1", "n2", "n3")
    }
    made.data["pgedge"] = {"hosts": nodes}
    made.write()
    return made


def change(inventory: Inventory, host: str, **variables: Any) -> None:
    inventory.data["pgedge"]["hosts"][host].update(variables)
    inventory.write()


def hosts_of(play: Play, task: str) -> list[str]:
    """The hosts that have done a task."""
    return sorted(
        host
        for part in re.split(r"^(?=TASK|PLAY)", play.output, flags=re.M)
        if f": {task}]" in part.splitlines()[0] or f"[{task}]" in part.splitlines()[0]
        for host in re.findall(r"^(?:ok|changed): \[(\w+)", part, re.M)
    )


def test_all_of_them(inventory: Inventory) -> None:
    play = inventory.play("node")
    assert play.rc == 0 and play.changed == 0, play.output
    assert hosts_of(play, "Remember that it is complete") == ["n1", "n2", "n3"]


@pytest.mark.parametrize("dead", ["n1", "n2"])
def test_a_node_that_is_away_does_not_stop_the_others(inventory: Inventory, dead: str) -> None:
    change(inventory, dead, **AWAY, crossover_node_install=True)
    play = inventory.play("node")
    assert play.rc != 0 and f"{dead} could not be reached, or failed above; all else was done" in play.failure, (
        play.output
    )
    assert hosts_of(play, "Remember that it is complete") == sorted({"n1", "n2", "n3"} - {dead})


def test_a_node_that_fails_does_not_stop_the_others(inventory: Inventory) -> None:
    change(inventory, "n2", crossover_node_packages="none")  # no choice of it
    play = inventory.play("node")
    assert play.rc != 0 and "n2 could not be reached, or failed above; all else was done" in play.failure, play.output
    assert hosts_of(play, "Remember that it is complete") == ["n1", "n3"]


def test_a_node_that_does_not_come_back_holds_up_the_next_restarts_only(inventory: Inventory) -> None:
    """As if a setting of n1 and n2 waited for a restart; that of n1 fails: there is no such service."""
    for host in ("n1", "n2", "n3"):
        change(inventory, host, waits=[] if host == "n3" else ["wal_level"])
    play = inventory.play(
        "node",
        crossover_node_running="{{ waits != [] }}",
        crossover_node_pending="{{ waits }}",
        crossover_node_layout={"service": "crossover-has-no-such-service"},
    )
    assert play.rc != 0, play.output
    assert "n1 has not come back from its restart (" in play.failure
    assert "n2 was not restarted, since n1 has not come back; all else was done" in play.failure
    assert hosts_of(play, "Remember that it is complete") == ["n3"]
    tried = re.findall(r"^\w+: \[(\w+)\]", play.output.split("Restart it, if a setting waits for that", 1)[1], re.M)
    assert tried[0] == "n1" and "n2" not in re.findall(r"fatal: \[(\w+)\]", play.output)
