#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: inventory_check
short_description: Check inventory, limit and variables before anything is reached
version_added: "0.1.0"
description:
  - Checks that the groups C(crossover_runner) and C(pgedge) are there, that C(--limit) leaves out none of their
    hosts, that C(crossover_source) and every C(crossover_node) are described, that no two nodes have the same name in
    Spock, and that every variable that begins with C(crossover_) is one that a role knows.
  - Runs on the controller and reaches no host. Every playbook of the collection begins with it.
options:
  source:
    description: Whether a source has to be described. The playbooks that only install and join nodes need none.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Changes nothing.
  diff_mode:
    support: none
    description: Changes nothing.
author:
  - The Crossover authors (@crossover)
"""

EXAMPLES = r"""
- name: Check the inventory
  hosts: all:localhost
  gather_facts: false
  tasks:
    - name: Check inventory, limit and variables
      crossover.pgedge.inventory_check:
      run_once: true
"""

RETURN = r"""
problems:
  description: What is wrong, each as one clause.
  type: list
  elements: str
  returned: always
  sample: []
"""
