# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All nodes, as mesh_wait wants them."""

from __future__ import annotations

from typing import Any, Callable, Mapping

DOCUMENTATION = r"""
name: named_logins
short_description: All nodes, as mesh_wait wants them
version_added: "0.1.0"
author: The Crossover authors (@crossover)
description:
  - Makes the option C(nodes) of P(crossover.pgedge.mesh_wait#module) of the logins of all nodes.
options:
  _input:
    description: The login of each node, by its name, as P(crossover.pgedge.node_logins#filter) returns them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Wait until every node has what the others have
  crossover.pgedge.mesh_wait:
    nodes: "{{ hostvars | crossover.pgedge.node_logins(groups['pgedge']) | crossover.pgedge.named_logins }}"
"""

RETURN = r"""
_value:
  description: For each node its login with C(name).
  type: list
  elements: dict
"""


def named_logins(logins: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """In the order of the nodes."""
    return [{**login, "name": name} for name, login in logins.items()]


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"named_logins": named_logins}
