# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A login as libpq's connection parameters."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login

DOCUMENTATION = r"""
name: connparams
short_description: A login as libpq's connection parameters
version_added: "0.1.0"
author: The Crossover authors (@crossover)
description:
  - Turns a dict with C(login_host), C(login_port) and the other login options into one with libpq's names, as
    O(crossover.pgedge.subscription#module:connparams) takes them.
options:
  _input:
    description: The login.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Subscribe
  crossover.pgedge.subscription:
    name: crossover_shop_n1
    publications: crossover_shop
    connparams: "{{ crossover_source | crossover.pgedge.connparams }}"
"""

RETURN = r"""
_value:
  description: The same by libpq's names.
  type: dict
"""


def connparams(login: Mapping[str, Any]) -> dict[str, str]:
    """What a *server* needs to reach this login; how long the runner waits is not part of it."""
    if not isinstance(login, Mapping):
        raise AnsibleFilterError(f"connparams wants a dict of login options, not {type(login).__name__}")
    aliases = {
        "host": "login_host",
        "port": "login_port",
        "login": "login_user",
        "db": "login_db",
        "database": "login_db",
    }
    known = Login.of({aliases.get(key, key): value for key, value in login.items()}, "publisher")
    return {key: value for key, value in known.parameters().items() if key != "connect_timeout"}


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"connparams": connparams}
