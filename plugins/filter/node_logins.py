# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the runner reaches each node."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.crossover.pgedge.plugins.module_utils._node_inventory import login

DOCUMENTATION = r"""
name: node_logins
short_description: How the runner reaches each node
version_added: "0.1.0"
author: The Crossover authors (@crossover)
description:
  - The login of each node, a dict with C(login_host), C(login_port) and the other login options.
  - It is the host's C(crossover_node), where that is set. Else it is made of the variables of the collection
    C(pgedge.platform) - C(ansible_host), C(pg_port), C(pgedge_user), C(pgedge_password) and the first of C(db_names) -
    with its defaults, as long as C(pgedge_password) is set.
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
  for_nodes:
    description: How the other nodes reach each node, which differs by the host's C(crossover_node_for_nodes).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Look at every node
  crossover.pgedge.replication_info:
  module_defaults:
    group/crossover.pgedge.postgres: "{{ (hostvars | crossover.pgedge.node_logins(groups['pgedge']))[item] }}"
  loop: "{{ groups['pgedge'] }}"
"""

RETURN = r"""
_value:
  description: The login of each host, in the order of the hosts.
  type: dict
"""


def node_logins(hostvars: Mapping[str, Any], hosts: Iterable[str], for_nodes: bool = False) -> dict[str, Any]:
    """Each host's login; a host that has none is an error, for whoever asks needs it."""
    found: dict[str, Any] = {}
    for host in hosts:
        found[host] = login(host, hostvars[host])
        if found[host] is None:
            raise AnsibleFilterError(f"crossover_node of {host} is not set, nor is pgedge_password")
        if for_nodes:
            found[host] = {**found[host], **(hostvars[host].get("crossover_node_for_nodes") or {})}
    return found


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"node_logins": node_logins}
