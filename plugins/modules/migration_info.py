#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_info
short_description: Tell where a migration stands
version_added: "0.1.0"
description:
  - Reads the ledger on the first node and the control row on the source. Changes nothing.
options:
  name:
    description: Name of the migration.
    type: str
    required: true
  node:
    description: Name of the landing node, for RV(names).
    type: str
    default: n1
  further_nodes:
    description:
      - The other nodes of the mesh, for RV(nodes), each with the login options of the module, C(name) and C(landing).
        O(node) is the publishing node then, from which the way back leads.
  landing_nodes:
    description: Names of all landing nodes, for RV(names_of). By default only O(node).
    type: list
    elements: str
    default: []
  steps:
    description: Return the recorded steps too.
    type: bool
    default: false
  width:
    description: Columns of RV(screen).
    type: int
    default: 80
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.further_nodes
  - crossover.pgedge.login.source
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
- name: Where does it stand?
  crossover.pgedge.migration_info:
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
"""

RETURN = r"""
exists:
  description: Whether there is a migration of this name.
  type: bool
  returned: always
  sample: true
reachable:
  description: Whether the node could be reached. Where not, only the source's part is told.
  type: bool
  returned: always
  sample: true
writable:
  description: The side that is writable according to the control row; empty where there is none.
  type: str
  returned: always
  sample: source
epoch:
  description: The control row's epoch.
  type: int
  returned: always
  sample: 1
phases:
  description: Every phase that has run.
  type: dict
  returned: always
  sample: {}
facts:
  description: The facts of the ledger.
  type: dict
  returned: always
  sample: {}
names:
  description: What the migration's objects are called.
  type: dict
  returned: always
  sample: {publication: crossover_shop}
names_of:
  description: The same for each of O(landing_nodes).
  type: dict
  returned: always
  sample: {n1: {publication: crossover_shop}}
live:
  description: The lines of RV(screen) that tell of replication and of long tasks.
  type: list
  elements: str
  returned: always
  sample: ["  to the node  : flowing, 41/41 tables in sync, 0.0 MiB behind"]
steps:
  description: The recorded steps, if asked for.
  type: list
  elements: dict
  returned: always
  sample: []
links:
  description: Both directions of replication, each with its subscription and slot as they are now.
  type: dict
  returned: always
  sample: {}
progress:
  description:
    - How far the long tasks are that run now - V(copy) (M(crossover.pgedge.table_copy)), V(compare)
      (M(crossover.pgedge.table_compare)) and V(sync) (M(crossover.pgedge.replication_wait)). These are the figures that
      the tasks themselves print. RV(ignore:rate) is in units a second, over the last half minute.
  type: list
  elements: dict
  returned: always
  sample:
    - {task: compare, done: 12000, total: 48000, unit: rows, percent: 25, tables_done: 3, tables_total: 41,
       rate: 3000.0, eta_seconds: 12.0, message: ""}
copied:
  description: While M(crossover.pgedge.table_copy) runs, the tables that are complete, in that order.
  type: list
  elements: dict
  returned: always
  sample: [{"name": "shop.orders", "bytes": 8192, "rows": 10}]
finished:
  description: The same for V(compare) and V(sync), by task, with a word to each table.
  type: dict
  returned: always
  sample: {compare: [{name: shop.orders, rows: 10, bytes: 8192, note: equal}]}
nodes:
  description:
    - Each node by its name, with O(further_nodes). RV(ignore:fenced) says whether it refuses the application's writes,
      RV(ignore:mesh) in what state its subscriptions to the other nodes are, by Spock's names. Empty where O(node) is
      the only one.
  type: dict
  returned: always
  sample:
    n1: {publishing: true, reachable: true, problem: "", fenced: false, spock_node: n1, mesh: {n2: replicating}}
screen:
  description: All of it on one screen.
  type: list
  elements: str
  returned: always
  sample: ["migration shop: the source is writable, epoch 1"]
"""

from typing import Any

from ..module_utils._ansible import Outcome, Runner, further_nodes_option, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_control import read
from ..module_utils._migration_copy_ledger import finished_tables
from ..module_utils._migration_ledger import Ledger
from ..module_utils._migration_names import Names
from ..module_utils._migration_progress import COPY, done_tables, running
from ..module_utils._migration_sides import further_nodes
from ..module_utils._migration_status import screen
from ..module_utils._migration_status_nodes import look_at_nodes, node_lines
from ..module_utils._pg_sql import qualified
from ..module_utils._progress_words import line
from ..module_utils._replication_lag import slot_state, subscription_state
from ..module_utils._replication_snapshot import sessions


def look(publisher: Any, subscriber: Any, slot: str, subscription: str) -> dict[str, Any]:
    """One direction as it is now."""
    sub, place = subscription_state(subscriber, subscription), slot_state(publisher, slot)
    tables = sub["tables"] if sub else []
    return {
        "subscription": subscription if sub else None,
        "enabled": bool(sub and sub["enabled"]),
        "working": bool(sub and sub["worker_pid"]),
        "tables": len(tables),
        "table_names": sorted(qualified(t["schema"], t["name"]) for t in tables),
        "tables_in_sync": sum(t["state"] == "r" for t in tables),
        "slot": slot if place else None,
        "slot_active": bool(place and place["active"]),
        "wal_status": place["wal_status"] if place else None,
        "lag_bytes": place["lag_bytes"] if place else None,
        "retained_bytes": place["retained_bytes"] if place else None,
        "slot_held": bool(place and sessions(publisher, "snapshot", slot)),  # by a copy that is not complete
    }


def describe(label: str, link: dict[str, Any]) -> str:
    """One line of the screen."""
    if not link["subscription"]:
        if link["slot"] and not link["slot_active"] and not link["slot_held"]:
            kept = (link["retained_bytes"] or 0) / 1048576
            return f"  {label}: none, and its slot keeps {kept:.1f} MiB of WAL for nobody: replicate, or rollback"
        return f"  {label}: none"
    flowing = link["working"] and link["slot_active"]
    state = "flowing" if flowing else "enabled, not flowing" if link["enabled"] else "ready"
    known = link["lag_bytes"] is not None and link["enabled"]
    behind = f", {link['lag_bytes'] / 1048576:.1f} MiB behind" if known else ""
    return f"  {label}: {state}, {link['tables_in_sync']}/{link['tables']} tables in sync{behind}"


def names_of(params: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What each landing node's objects are called."""
    return {node: Names.of(params["name"], node).as_dict() for node in params["landing_nodes"] or [params["node"]]}


def all_nodes(runner: Runner) -> dict[str, dict[str, Any]]:
    """Every node of a mesh as it is now; one that joins later is not there yet."""
    name = runner.params["node"]
    further = {node.name: node for node in further_nodes(runner.params)}
    if not further:
        return {}
    found = look_at_nodes({name: runner.login(label=name), **{node.name: node.login for node in further.values()}})
    later = {
        n for n, node in further.items() if not node.landing and found[n]["reachable"] and found[n]["fenced"] is None
    }
    return {n: state for n, state in found.items() if n not in later}


def without_node(runner: Runner, problem: CrossoverError) -> Outcome:
    """What the source alone tells."""
    params = runner.params
    source = runner.connect(runner.login("source"))
    control, names = read(source, params["name"]), Names.of(params["name"], params["node"])
    place, sub = slot_state(source, names.slot), subscription_state(source, names.back_subscription)
    side = control.writable if control else "source"
    kept = (
        f", its slot {names.slot} holds {place['retained_bytes'] / 1048576:.1f} MiB of WAL on the source"
        if place
        else ""
    )
    nodes = all_nodes(runner)
    lines = [
        f"migration {params['name']}: the {side} is writable",
        f"  the {'publishing node ' + params['node'] if nodes else 'node'} cannot be reached{kept}",
        f"  {problem}",
        *node_lines(nodes, side == "node"),
    ]
    if place and side == "source":
        lines.append("  a node that is gone for good: crossover.pgedge.rollback -e crossover_rollback_source_only=true")
    return Outcome(
        result={
            "exists": bool(control or place or sub),
            "reachable": False,
            "writable": control.writable if control else "",
            "epoch": control.epoch if control else 0,
            "names": names.as_dict(),
            "names_of": names_of(params),
            "live": lines[1:],
            "screen": lines,
            "phases": {},
            "facts": {},
            "steps": [],
            "links": {},
            "progress": [],
            "copied": [],
            "finished": {},
            "nodes": nodes,
        },
        warnings=[str(problem)],
    )


def work(runner: Runner) -> Outcome:
    """Read everything, or what the source tells while the node is away."""
    try:
        node = runner.connect(runner.login())
    except CrossoverError as exc:
        if exc.code not in ("unreachable", "no_answer"):  # a wrong name or password says nothing of the node
            raise
        return without_node(runner, exc)
    return with_node(runner, node)


def with_node(runner: Runner, node: Any) -> Outcome:
    """Read everything."""
    params = runner.params
    source = runner.connect(runner.login("source"))
    ledger, control = Ledger(node, params["name"]), read(source, params["name"])
    names = Names.of(params["name"], params["node"])
    phases, facts = ledger.phases(), ledger.facts()
    links = {
        "forward": look(source, node, names.slot, names.subscription),
        "back": look(node, source, names.back_slot, names.back_subscription),
    }
    live = [describe("to the node  ", links["forward"]), describe("to the source", links["back"])]
    progress = running(node, params["name"])
    tasks = [task["task"] for task in progress]
    copied = finished_tables(node, params["name"]) if COPY in tasks else []
    for task in progress:
        if task["task"] == COPY:  # what is in the ledger is newer than what was told a second ago
            task["tables_done"] = max(task["tables_done"], len(copied))
    doing = [f"  now: {line(task, params['width'] - 7)}" for task in progress]
    nodes = all_nodes(runner)
    live = (live + node_lines(nodes, bool(control and control.switched)) if control else []) + doing
    return Outcome(
        result={
            "exists": ledger.exists,
            "reachable": True,
            "writable": control.writable if control else "",
            "epoch": control.epoch if control else 0,
            "phases": phases,
            "facts": facts,
            "names": names.as_dict(),
            "names_of": names_of(params),
            "live": live,
            "steps": ledger.steps() if params["steps"] else [],
            "links": links,
            "progress": progress,
            "copied": copied,
            "nodes": nodes,
            "finished": {t: done_tables(node, params["name"], t) for t in tasks if t != COPY},
            "screen": screen(params["name"], phases, control, live, params["width"], source.info.dbname),
        }
    )


def main() -> None:
    """Entry point."""
    run_module(
        {
            **source_option(),
            "name": {"type": "str", "required": True},
            "node": {"type": "str", "default": "n1"},
            **further_nodes_option(),
            "landing_nodes": {"type": "list", "elements": "str", "default": []},
            "steps": {"type": "bool", "default": False},
            "width": {"type": "int", "default": 80},
        },
        work,
    )


if __name__ == "__main__":
    main()
