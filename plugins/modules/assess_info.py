#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: assess_info
short_description: Find what stops or endangers a migration
version_added: "0.1.0"
description:
  - Reads the catalogues, settings and activity of source and node, tries the privileges that the migration needs, and
    returns findings.
  - What it tries (a replication connection, C(CREATE SUBSCRIPTION)) is rolled back; nothing is left on either side.
  - Every code is explained in the README of the role C(crossover.pgedge.assess).
options:
  name:
    description: Name of the migration.
    type: str
    required: true
  node:
    description: Name of the landing node.
    type: str
    default: n1
  landing_nodes:
    description: Names of all nodes that subscribe to the source. By default only O(node).
    type: list
    elements: str
    default: []
  further_nodes:
    description:
      - The other nodes, each with the login options of the module and C(name). They are compared with the first one.
  phases:
    description:
      - For a further landing node, the phases that have run. The ledger on the first node knows them.
    type: list
    elements: str
    default: []
  schemas:
    description: The schemas to migrate. Empty means all that are not the server's own.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Tables to leave out, as V(schema.table).
    type: list
    elements: str
    default: []
  waivers:
    description: Findings to accept.
    type: list
    elements: dict
    default: []
    suboptions:
      code:
        description: The finding's code. A code that does not exist is an error.
        type: str
        required: true
      object:
        description: The finding's object, or V(*) for all.
        type: str
        required: true
  way_back:
    description: Whether a rollback after the cutover shall be possible.
    type: bool
    default: true
  large_objects:
    description:
      - Whether large objects stop the migration, are left behind, or are copied at the fence, which takes a share of
        the pause.
    type: str
    choices: [refuse, skip, copy]
    default: refuse
  unlogged:
    description: Whether unlogged tables stop the migration, arrive empty, or are copied at the fence.
    type: str
    choices: [refuse, skip, copy]
    default: refuse
  fence_copy_budget:
    description: How many seconds of the pause copying at the fence may take. More is a warning here.
    type: float
    default: 0.5
  large_table_gb:
    description: A table of this size, in GiB, is worth a note.
    type: int
    default: 100
  route:
    description:
      - How the application's traffic reaches a database, as in O(crossover.pgedge.cutover#module:route).
    type: dict
    default: {}
  source_for_nodes:
    description: What differs in O(source) when a node connects to it.
    type: dict
    default: {}
  width:
    description: Columns of RV(table), at least 60.
    type: int
    default: 80
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.further_nodes
  - crossover.pgedge.login.source
  - crossover.pgedge.sequences
attributes:
  check_mode:
    support: full
    description: Changes nothing.
  diff_mode:
    support: none
    description: Changes nothing.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.migration
"""

EXAMPLES = r"""
- name: What stands in the way?
  crossover.pgedge.assess_info:
    name: shop
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    source:
      login_host: aurora.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
    waivers:
      - code: no_replica_identity
        object: shop.audit_log
  register: assessed

- name: Show it
  ansible.builtin.debug:
    msg: "{{ assessed.table }}"
"""

RETURN = r"""
findings:
  description: All findings, the worst first, the waived ones last.
  type: list
  elements: dict
  returned: success
  contains:
    code:
      description: A stable word.
      type: str
      sample: no_replica_identity
    severity:
      description: C(blocker), C(warning) or C(info).
      type: str
      sample: blocker
    object:
      description: What it is about.
      type: str
      sample: shop.audit_log
    meaning:
      description: What it means.
      type: str
      sample: "No primary key or replica identity: once it is published, UPDATE and DELETE fail on the source."
    action:
      description: What to do. Empty where nothing is to be done.
      type: str
      sample: ALTER TABLE shop.audit_log ADD PRIMARY KEY (...)
    waived:
      description: Whether O(waivers) accepts it.
      type: bool
      sample: false
blockers:
  description: Code and object of every blocker that is not waived.
  type: list
  elements: dict
  returned: success
  sample: [{code: no_replica_identity, object: shop.audit_log}]
summary:
  description: Counts of findings, tables and sequences, bytes, the largest tables, both versions.
  type: dict
  returned: success
  sample: {blockers: 1, warnings: 0, infos: 3, waived: 0, tables: 12, bytes: 104857600, sequences: 7}
table:
  description: The findings as a table.
  type: list
  elements: str
  returned: success
  sample: ["SEVERITY FINDING                 WHAT IT MEANS, WHAT TO DO"]
"""

from ..module_utils._ansible import (
    Outcome,
    Runner,
    further_nodes_option,
    run_module,
    sequences_option,
    source_option,
)
from ..module_utils._migration_assess import assess, open_blockers, sentence, summary, table
from ..module_utils._migration_assess_facts import Wanted
from ..module_utils._migration_assess_finding import waivers_of
from ..module_utils._migration_assess_gather import gather
from ..module_utils._migration_names import Names
from ..module_utils._migration_sequences_choice import Choice
from ..module_utils._migration_sides import further_nodes
from ..module_utils._pg_catalog import Scope
from ..module_utils._pg_connect import Login


def work(runner: Runner) -> Outcome:
    """Gather the facts, apply the rules."""
    params = runner.params
    waivers = waivers_of(params["waivers"])
    wanted = Wanted(
        name=params["name"],
        names=Names.of(params["name"], params["node"]),
        nodes=max(1, len(params["landing_nodes"])),
        slots=frozenset(Names.of(params["name"], name).slot for name in params["landing_nodes"] or [params["node"]]),
        phases=frozenset(params["phases"]),
        way_back=params["way_back"],
        large_objects=params["large_objects"],
        unlogged=params["unlogged"],
        fence_copy_budget=params["fence_copy_budget"],
        route=params["route"].get("type") or "none",
        large_table_bytes=params["large_table_gb"] * 1024**3,
        sequences=Choice.of(params["sequences"], params["landing_nodes"] or [params["node"]]),
    )
    source, node = runner.login("source"), runner.login()
    conns = {"source": runner.connect(source), "node": runner.connect(node)}
    scope = Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"]))
    seen_by_nodes = Login.of({**params["source"], **params["source_for_nodes"]}, "source")
    peers = {one.name: runner.connect(one.login) for one in further_nodes(params)}
    facts = gather(source, node, conns, scope, wanted, params["route"], seen_by_nodes, peers)
    findings = assess(facts, wanted, waivers)
    figures = summary(facts, findings)
    return Outcome(
        msg=sentence(figures),
        result={
            "findings": [finding.as_dict() for finding in findings],
            "blockers": [{"code": f.code, "object": f.object} for f in open_blockers(findings)],
            "summary": figures,
            "table": table(findings, params["width"]),
        },
    )


def main() -> None:
    """Entry point."""
    waiver = {"code": {"type": "str", "required": True}, "object": {"type": "str", "required": True}}
    run_module(
        {
            **source_option(),
            "name": {"type": "str", "required": True},
            "node": {"type": "str", "default": "n1"},
            "landing_nodes": {"type": "list", "elements": "str", "default": []},
            "phases": {"type": "list", "elements": "str", "default": []},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "waivers": {"type": "list", "elements": "dict", "default": [], "options": waiver},
            "way_back": {"type": "bool", "default": True},
            "large_objects": {"type": "str", "choices": ["refuse", "skip", "copy"], "default": "refuse"},
            "unlogged": {"type": "str", "choices": ["refuse", "skip", "copy"], "default": "refuse"},
            "fence_copy_budget": {"type": "float", "default": 0.5},
            "large_table_gb": {"type": "int", "default": 100},
            "route": {"type": "dict", "default": {}},
            "source_for_nodes": {"type": "dict", "default": {}},
            "width": {"type": "int", "default": 80},
            **further_nodes_option(),
            **sequences_option(),
        },
        work,
    )


if __name__ == "__main__":
    main()
