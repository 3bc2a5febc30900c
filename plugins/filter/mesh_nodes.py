# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each node is called in Spock, and its subscriptions to the others."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._node_inventory import mesh

DOCUMENTATION = r"""
name: mesh_nodes
short_description: What each node is called in Spock, and its subscriptions to the others
version_added: "0.1.0"
author: The Crossover authors (@crossover)
description:
  - The name is the host's C(crossover_node_name); else C(edge) and its C(zone), as the collection C(pgedge.platform)
    calls it; else the inventory's name, in which everything that Spock does not take is replaced by an underscore.
  - The subscription of one node to another is C(sub_n1_n2), by their zones, where both have one, else C(sub_) and both
    names.
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
- name: Say what the nodes are called
  ansible.builtin.debug:
    msg: "{{ hostvars | crossover.pgedge.mesh_nodes(groups['pgedge']) }}"
"""

RETURN = r"""
_value:
  description:
    - For each host, in the order of the hosts, a dict with C(name), C(zone), and C(subscriptions), which has the name
      of the subscription to each other host.
  type: dict
"""


def mesh_nodes(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> dict[str, Any]:
    """Names, and one error for all that are not names, or are the same."""
    try:
        return mesh({host: hostvars[host] for host in hosts})
    except CrossoverError as exc:
        raise AnsibleFilterError(str(exc)) from None


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"mesh_nodes": mesh_nodes}
