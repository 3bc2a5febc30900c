# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All nodes but the first, as the switch wants them."""

from __future__ import annotations

from typing import Any, Callable, Collection, Mapping

DOCUMENTATION = r"""
name: further_nodes
short_description: All nodes but the first, as the switch wants them
version_added: "0.1.0"
author: The Crossover authors (@crossover)
description:
  - Makes the option C(further_nodes) of P(crossover.pgedge.cutover#module) of the logins of all nodes.
options:
  _input:
    description: The login of each node, by its name, as P(crossover.pgedge.node_logins#filter) returns them.
    type: dict
    required: true
  landing:
    description: The names of the nodes that have a subscription of their own to the source.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Where does it stand?
  crossover.pgedge.migration_info:
    name: shop
    node: "{{ groups['pgedge'][0] }}"
    further_nodes: >-
      {{ hostvars | crossover.pgedge.node_logins(groups['pgedge']) | crossover.pgedge.further_nodes(groups['pgedge']) }}
"""

RETURN = r"""
_value:
  description: For each node but the first its login with C(name) and C(landing).
  type: list
  elements: dict
"""


def further_nodes(logins: Mapping[str, Mapping[str, Any]], landing: Collection[str]) -> list[dict[str, Any]]:
    """In the order of the nodes."""
    return [{**login, "name": name, "landing": name in landing} for name, login in list(logins.items())[1:]]


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"further_nodes": further_nodes}
