# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes as the module mesh takes them."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping

from ansible_collections.crossover.pgedge.plugins.filter.mesh_nodes import mesh_nodes
from ansible_collections.crossover.pgedge.plugins.filter.node_logins import node_logins

DOCUMENTATION = r"""
name: mesh_members
short_description: The nodes as the module mesh takes them
version_added: "0.1.0"
author: The Crossover authors (@crossover)
description:
  - Puts together what P(crossover.pgedge.mesh_nodes#filter) and P(crossover.pgedge.node_logins#filter) say of each
    host.
options:
  _input:
    description: C(hostvars).
    type: dict
    required: true
  hosts:
    description: The hosts that are nodes.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Make the nodes a mesh
  crossover.pgedge.mesh:
    nodes: "{{ hostvars | crossover.pgedge.mesh_members(groups['pgedge']) }}"
"""

RETURN = r"""
_value:
  description: The option O(crossover.pgedge.mesh#module:nodes).
  type: list
  elements: dict
"""


def mesh_members(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> list[dict[str, Any]]:
    """One dict for each host."""
    hosts = list(hosts)
    named, logins = mesh_nodes(hostvars, hosts), node_logins(hostvars, hosts)
    peers = node_logins(hostvars, hosts, for_nodes=True)
    return [
        {
            "name": named[host]["name"],
            "login": logins[host],
            "peer": peers[host],
            "subscriptions": {named[other]["name"]: sub for other, sub in named[host]["subscriptions"].items()},
        }
        for host in hosts
    ]


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"mesh_members": mesh_members}
