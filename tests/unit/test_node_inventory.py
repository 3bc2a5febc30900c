# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins and names of nodes, of this collection's inventories and of pgedge.platform's."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.crossover.pgedge.plugins.action.inventory_check import problems
from ansible_collections.crossover.pgedge.plugins.filter.mesh_nodes import mesh_nodes
from ansible_collections.crossover.pgedge.plugins.filter.node_logins import node_logins

PLATFORM: dict[str, dict[str, Any]] = {
    "192.168.6.10": {"zone": 1, "pgedge_password": "s3cret"},
    "n2": {"zone": 2, "pgedge_password": "s3cret", "ansible_host": "10.0.0.2", "pg_port": "5433",
           "pgedge_user": "replicator", "db_names": ["shop", "other"]},
}  # fmt: skip


def test_a_login_that_is_given_is_the_login() -> None:
    given = {"login_host": "a", "login_db": "shop"}
    assert node_logins({"n1": {"crossover_node": given, "pgedge_password": "x"}}, ["n1"]) == {"n1": given}


def test_logins_of_the_platform() -> None:
    assert node_logins(PLATFORM, list(PLATFORM)) == {
        "192.168.6.10": {"login_host": "192.168.6.10", "login_port": 5432, "login_user": "pgedge",
                         "login_password": "s3cret", "login_db": "demo"},
        "n2": {"login_host": "10.0.0.2", "login_port": 5433, "login_user": "replicator",
               "login_password": "s3cret", "login_db": "shop"},
    }  # fmt: skip


def test_no_login_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="crossover_node of n1 is not set"):
        node_logins({"n1": {}}, ["n1"])


def test_names_of_the_platform() -> None:
    found = mesh_nodes(PLATFORM, list(PLATFORM))
    assert {host: node["name"] for host, node in found.items()} == {"192.168.6.10": "edge1", "n2": "edge2"}
    assert found["192.168.6.10"]["subscriptions"] == {"n2": "sub_n1_n2"}
    assert found["n2"]["subscriptions"] == {"192.168.6.10": "sub_n2_n1"}


def test_names_by_the_inventory() -> None:
    found = mesh_nodes({"N1.example.com": {}, "n2": {"crossover_node_name": "second"}}, ["N1.example.com", "n2"])
    assert found["N1.example.com"]["subscriptions"] == {"n2": "sub_n1_example_com_second"}
    assert found["n2"]["name"] == "second"


def test_long_names_are_cut_and_stay_apart() -> None:
    hosts = ["a" * 70 + "1", "a" * 70 + "2", "b" * 70]
    found = mesh_nodes({host: {} for host in hosts}, hosts)
    names = [node["name"] for node in found.values()]
    names += [name for node in found.values() for name in node["subscriptions"].values()]
    assert len(set(names)) == 9 and max(map(len, names)) <= 63


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ({"n1": {"zone": 1}, "n2": {"zone": 1}}, "n1 and n2 are both called edge1 in Spock"),
        ({"n-1": {}, "n.1": {}}, "n-1 and n.1 are both called n_1"),
        ({"n1": {"crossover_node_name": "One"}}, "n1 would be called 'One' in Spock"),
    ],
)
def test_names_that_cannot_be(hosts: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        mesh_nodes(hosts, list(hosts))
    login = {"login_host": "a", "login_db": "shop"}
    variables = {host: {"crossover_node": login, **its} for host, its in hosts.items()}
    found = problems({"crossover_runner": ["r"], "pgedge": list(hosts)}, {"r": {}, **variables}, ["r", *hosts], False)
    assert len(found) == 1 and words in found[0], found


def test_the_platforms_inventory_passes_as_it_is() -> None:
    groups = {"crossover_runner": ["r"], "pgedge": list(PLATFORM)}
    runner = {"crossover_source": {"login_host": "a", "login_db": "shop"}}
    assert problems(groups, {"r": runner, **PLATFORM}, ["r", *PLATFORM]) == []
