#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mesh_guard
short_description: Make one node of a mesh fit for a migration, for as long as it lasts
version_added: "0.1.0"
description:
  - Looks whether the node is in a mesh with its O(peers), sets C(spock.exception_behaviour) to V(sub_disable), puts
    every migrated table into a replication set, and sees that no node's id is the number of a replication origin.
  - With Spock's own C(transdiscard), a transaction that cannot be applied is thrown away, and nothing stops.
  - A table goes into the set C(default); one without a replica identity index goes into C(default_insert_only), which
    carries no updates and deletes, and RV(insert_only) names it. A table that is in a set already stays there.
  - A table with a primary key and C(REPLICA IDENTITY FULL), which Spock does not take, gets
    C(REPLICA IDENTITY DEFAULT).
  - On a server without Spock the module does nothing, unless O(peers) asks for a mesh.
options:
  name:
    description: Name of the migration.
    type: str
    required: true
  state:
    description:
      - V(absent) puts C(spock.exception_behaviour) back to what it was. Tables stay in their sets.
    type: str
    default: present
    choices: [present, absent]
  peers:
    description:
      - What Spock calls the nodes that have to be a mesh, this one among them. It has to have a subscription to each of
        the others, and each has to be replicating.
    type: list
    elements: str
    default: []
  patience:
    description: For how many seconds to wait for subscriptions that are not replicating yet.
    type: float
    default: 30
  remember:
    description:
      - Whether the node's ledger remembers what C(spock.exception_behaviour) was. V(false) is for a node that is about
        to join, whose ledger comes with the structure; RV(was) has it then.
    type: bool
    default: true
  was:
    description: What RV(was) had when the node was not in the mesh yet, for its ledger.
    type: dict
    default: {}
  sets:
    description: Whether to put the tables into replication sets.
    type: bool
    default: false
  text_transfer:
    description:
      - Instead of all else, with V(true) have the node's subscriptions ask for values as text, so that a column may
        have another integer type on another node for a while; with V(false) as they were before. Their workers begin
        anew.
    type: bool
  schemas:
    description: The schemas of the migration. Empty means all that are not the server's own.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Tables that are not part of the migration, as C(schema.table).
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - crossover.pgedge.login
attributes:
  check_mode:
    support: full
    description: Nothing is changed. RV(queries) is what would run, and what the mesh lacks is in RV(problems).
  diff_mode:
    support: full
    description: Shows the setting and the tables' sets before and after.
seealso:
  - module: crossover.pgedge.fence
author:
  - The Crossover authors (@crossover)
"""

EXAMPLES = r"""
- name: Look after one of three nodes
  crossover.pgedge.mesh_guard:
    name: shop
    peers: [n1, n2, n3]
    sets: true
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
"""

RETURN = r"""
spock:
  description: What Spock calls this node; empty where there is no Spock.
  type: str
  returned: always
  sample: n1
problems:
  description: What the mesh lacks, in check mode. Else it is the error.
  type: list
  elements: str
  returned: always
  sample: []
insert_only:
  description: The tables of which updates and deletes do not travel through the mesh.
  type: list
  elements: str
  returned: always
  sample: [shop.audit_log]
was:
  description: What C(spock.exception_behaviour) was, where this run has set it; else empty.
  type: dict
  returned: always
  sample: {was: transdiscard, by_alter_system: false}
queries:
  description: The statements, the same in check mode.
  type: list
  elements: str
  returned: always
  sample: ["ALTER SYSTEM SET spock.exception_behaviour = sub_disable", "SELECT pg_reload_conf()"]
"""

from typing import Any

from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_ledger import Ledger
from ..module_utils._migration_mesh import (
    FACT,
    Guard,
    apply_sets,
    apply_setting,
    mesh_problems,
    plan_own,
    plan_restore,
    plan_sets,
    plan_stop,
    refuse_same_ids,
    spock_node,
)
from ..module_utils._migration_mesh_text import FACT as TEXT
from ..module_utils._migration_mesh_text import apply_text, plan_text
from ..module_utils._pg_catalog import Scope, exists
from ..module_utils._pg_connect import Login
from ..module_utils._spock_forgiving import STRICT


def present(runner: Runner, conn: Any, login: Login, guard: Guard) -> None:
    """Look, plan, and do it."""
    params, ledger = runner.params, Ledger(conn, runner.params["name"])
    if params["peers"]:
        patience = 0 if runner.check else params["patience"]
        guard.problems = mesh_problems(conn, params["peers"], patience)
    if guard.problems and not runner.check:
        raise CrossoverError(
            f"the {len(params['peers'])} nodes are no mesh yet: {'; '.join(guard.problems)}",
            code="no_mesh",
            server=str(login),
            untouched="nothing was changed",
            hint="run the playbook crossover.pgedge.mesh, or set crossover_mesh_form=true, which forms it here",
        )
    if not exists(conn, "spock.node"):
        return
    refuse_same_ids(conn, login)
    guard.statements += plan_own(conn)
    if not runner.check:
        apply_sets(conn, guard.statements, login)  # before the first line is written into the ledger
    begun = len(guard.statements)
    fact = plan_stop(conn, ledger, guard, login) or params["was"]
    setting, at = guard.statements[begun:], len(guard.statements)
    if fact and not runner.check:
        if params["remember"]:
            ledger.create()
            ledger.put(FACT, fact)
        apply_setting(conn, setting, STRICT, login)
    guard.was = fact if setting else {}
    if params["sets"] and spock_node(conn) is not None:
        plan_sets(conn, Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"])), guard)
        if not runner.check:
            apply_sets(conn, guard.statements[at:], login)


def transfer(runner: Runner, conn: Any, login: Login, guard: Guard) -> None:
    """Values as text, or as before."""
    if not exists(conn, "spock.node"):
        return
    ledger, text = Ledger(conn, runner.params["name"]), runner.params["text_transfer"]
    names = plan_text(conn, ledger, guard, text)
    if runner.check:
        return
    if names and guard.statements:
        ledger.put(TEXT, names)
    if guard.statements:
        apply_text(conn, guard, login, runner.params["patience"])
    if not text:
        ledger.forget(TEXT)


def absent(runner: Runner, conn: Any, login: Login, guard: Guard) -> None:
    """Put back what was there before the migration."""
    ledger = Ledger(conn, runner.params["name"])
    if plan_restore(conn, ledger, guard) and not runner.check:
        if guard.statements:
            apply_setting(conn, guard.statements, guard.after["spock.exception_behaviour"], login)
        ledger.forget(FACT)


def work(runner: Runner) -> Outcome:
    """Present or absent."""
    login, guard = runner.login(), Guard()
    conn = runner.connect(login)
    steps = {"present": present, "absent": absent}[runner.params["state"]]
    (steps if runner.params["text_transfer"] is None else transfer)(runner, conn, login, guard)
    return Outcome(
        changed=bool(guard.statements),
        queries=guard.statements,
        before=guard.before,
        after=guard.after,
        result={
            "spock": spock_node(conn) or "",
            "problems": guard.problems,
            "was": guard.was,
            "insert_only": guard.insert_only,
        },
    )


def main() -> None:
    """Entry point."""
    run_module(
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "peers": {"type": "list", "elements": "str", "default": []},
            "patience": {"type": "float", "default": 30.0},
            "remember": {"type": "bool", "default": True},
            "was": {"type": "dict", "default": {}},
            "sets": {"type": "bool", "default": False},
            "text_transfer": {"type": "bool"},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
        },
        work,
    )


if __name__ == "__main__":
    main()
