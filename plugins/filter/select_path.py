# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a JMESPath expression selects from a result."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: select_path
short_description: What a JMESPath expression selects from a result
version_added: "0.1.0"
author: The Crossover authors (@crossover)
description:
  - Evaluates an expression of JMESPath (U(https://jmespath.org)) over a result, and returns what it selects.
positional: expression
options:
  _input:
    description: The result of a module of this collection, or a part of it.
    type: raw
    required: true
  expression:
    description: The JMESPath expression.
    type: str
    required: true
requirements:
  - jmespath on the control node
"""

EXAMPLES = r"""
- name: Every finding that is not waived, as code and object
  ansible.builtin.debug:
    msg: "{{ assessed | crossover.pgedge.select_path('findings[?!waived].[code, object]') }}"
  vars:
    assessed:
      findings:
        - {code: large_objects, object: shop, waived: true}
        - {code: no_replica_identity, object: shop.audit_log, waived: false}
"""

RETURN = r"""
_value:
  description: What was selected. V(null) where the path leads nowhere.
  type: raw
"""


def _plain(value: Any) -> Any:
    """Without Ansible's own types: jmespath knows a value's kind by the exact name of its type."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    for kind in (bool, int, float, str):  # a bool is an int
        if isinstance(value, kind):
            return kind(value)
    return value


def select_path(data: Any, expression: str) -> Any:
    """Evaluate the expression over the data."""
    try:
        import jmespath
    except ImportError:
        raise AnsibleFilterError(
            f"crossover.pgedge.select_path needs jmespath for {sys.executable} on the control node: "
            f"run {sys.executable} -m pip install jmespath"
        ) from None
    try:
        return jmespath.search(str(expression), _plain(data))
    except jmespath.exceptions.JMESPathError as exc:
        reason = " ".join(str(exc).split())[:200]  # it quotes the data
        raise AnsibleFilterError(f"{expression!r} is not a JMESPath expression that fits here: {reason}") from None


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"select_path": select_path}
