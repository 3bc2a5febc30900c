# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role node has to set and to create on a server."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ansible_collections.crossover.pgedge.plugins.module_utils._node_objects import (
    database_statements,
    server_statements,
    shown,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._node_settings import node_settings

DOCUMENTATION = r"""
name: node_plan
short_description: What has to be set and created on a node's server
version_added: "0.1.0"
author: The Crossover authors (@crossover)
description:
  - Serves the role P(crossover.pgedge.node#role), which reads a server's state with C(psql) and carries out what this
    returns.
options:
  _input:
    description: What was read of the server.
    type: raw
    required: true
  wanted:
    description: What is wanted of it.
    type: dict
    required: true
  what:
    description:
      - V(settings), the lines of the managed configuration file.
      - V(server), statements for roles and the database.
      - V(database), statements for extensions.
      - V(shown), the statements that are the input, without secrets.
    type: str
    required: true
    choices: [settings, server, database, shown]
"""

EXAMPLES = r"""
- name: Show what would be set
  ansible.builtin.debug:
    msg: "{{ server | crossover.pgedge.node_plan(wanted, 'settings') }}"
"""

RETURN = r"""
_value:
  description: Settings by name, or statements.
  type: raw
"""


def node_plan(state: Any, wanted: Mapping[str, Any], what: str) -> dict[str, str] | list[str]:
    """Settings, or statements."""
    if what == "settings":
        return node_settings(state, wanted)
    if what == "server":
        return server_statements(state, wanted)
    if what == "shown":
        return shown(state)
    return database_statements(state["installed"], state["available"], wanted["extensions"])


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"node_plan": node_plan}
