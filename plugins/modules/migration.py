#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration
short_description: Keep the ledger of a migration
version_added: "0.1.0"
description:
  - Records in the ledger (schema C(crossover) on the first node) that a phase starts, is done or has failed, and
    remembers facts.
  - With O(state=started) it checks the gates of the phase first and fails with what to do next, also while another
    run is at work on the same migration.
options:
  name:
    description: Name of the migration, by default the name of the source's database.
    type: str
    required: true
  phase:
    description: The phase.
    type: str
    required: true
    choices: [assess, prepare, replicate, validate, benchmark, cutover, expand, monitor, finish, rollback]
  state:
    description:
      - V(started) checks the gates and records the start, V(done) and V(failed) record the end.
      - V(present) records nothing but O(facts).
      - V(joined) makes a ledger on a further landing node, for what the migration puts there. The phases are recorded
        on the first node only.
    type: str
    default: started
    choices: [started, done, failed, present, joined]
  summary:
    description: A small dict that tells what the phase found or did.
    type: dict
    default: {}
  reason:
    description: Why the phase failed.
    type: str
  facts:
    description: Facts to remember, by key. A value of V(null) forgets the key.
    type: dict
    default: {}
  node:
    description: Name of the landing node, for RV(names).
    type: str
    default: n1
  landing_nodes:
    description: Names of all landing nodes, for RV(names_of). By default only O(node).
    type: list
    elements: str
    default: []
  schemas:
    description: The schemas of the migration. Empty means all.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Tables that are not part of the migration, as C(schema.table).
    type: list
    elements: str
    default: []
  validate_max_age:
    description: How old the last validation may be for a cutover, in seconds.
    type: int
    default: 3600
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.source
attributes:
  check_mode:
    support: full
    description: Writes nothing. A gate that is not met is told in RV(why) and is no failure.
  diff_mode:
    support: none
    description: The ledger is not the state of a database.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.migration_info
"""

EXAMPLES = r"""
- name: Begin a phase
  crossover.pgedge.migration:
    name: shop
    phase: replicate
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    source:
      login_host: aurora.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
  register: begun
"""

RETURN = r"""
run:
  description: Whether the phase has anything to do.
  type: bool
  returned: state is started
  sample: true
why:
  description: The reason for RV(run), in one sentence.
  type: str
  returned: state is started
  sample: every gate is met
names:
  description: What the migration's publications, slots and subscriptions are called.
  type: dict
  returned: always
  sample: {publication: crossover_shop, slot: crossover_shop_n1, subscription: crossover_shop_n1}
names_of:
  description: The same for each of O(landing_nodes).
  type: dict
  returned: always
  sample: {n1: {publication: crossover_shop, slot: crossover_shop_n1, subscription: crossover_shop_n1}}
facts:
  description: The facts of the ledger.
  type: dict
  returned: always
  sample: {}
phases:
  description: Every phase that has run, with RV(ignore:status), RV(ignore:age) in seconds and RV(ignore:summary).
  type: dict
  returned: always
  sample: {}
tables:
  description: The source's tables that a publication names, quoted where needed; partitions come with their table.
  type: list
  elements: str
  returned: state is started
  sample: [shop.orders]
writable:
  description: The side that is writable according to the control row; empty before C(replicate).
  type: str
  returned: state is started
  sample: source
epoch:
  description: The control row's epoch, which every change of sides raises; 0 before C(replicate).
  type: int
  returned: state is started
  sample: 1
switched_back:
  description: Whether the application has been on the node and is on the source again.
  type: bool
  returned: state is started
  sample: false
"""

from ..module_utils import _migration_catalogue as catalogue
from ..module_utils._ansible import Outcome, Runner, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_control import NODE, read
from ..module_utils._migration_copied import copied_state
from ..module_utils._migration_gates import BESIDE, PHASES, Known, decide
from ..module_utils._migration_ledger import Ledger
from ..module_utils._migration_names import Names
from ..module_utils._migration_route import UNREACHABLE
from ..module_utils._migration_turn import take_turn
from ..module_utils._pg_catalog import Scope, published_roots, tables


def begin(runner: Runner, ledger: Ledger) -> Outcome:
    """Check the gates, then record the start."""
    params = runner.params
    if not runner.check and params["phase"] not in BESIDE:  # before anything is read that another run could change
        take_turn(ledger.conn, params["name"], f"begin {params['phase']}")
    source = runner.connect(runner.login("source"))
    control = read(source, params["name"])
    state = copied_state(source, ledger.conn, params["name"], params["node"])
    known = Known(ledger.phases(), ledger.facts(), control, params["validate_max_age"], ledger.exists, state)
    scope = Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"]))
    decision = decide(params["phase"], known, runner.check)
    decision = catalogue.gate(decision, params["phase"], known, (source, ledger.conn), scope, runner.check)
    if decision.failures and not runner.check:
        raise CrossoverError(
            decision.why,
            code="gate",
            object=params["phase"],
            untouched="nothing was changed",
            server=str(runner.login()),
        )
    if decision.run and not runner.check and (ledger.exists or params["phase"] != "rollback"):
        ledger.create()
        ledger.begin(params["phase"])
        catalogue.begun(ledger, params["phase"], source, scope)
    return Outcome(
        changed=decision.run,
        result={
            "run": decision.run,
            "why": decision.why,
            "writable": control.writable if control else "",
            "epoch": control.epoch if control else 0,
            "switched_back": bool(control and control.switched_back),
            "tables": [table.full_name for table in published_roots(tables(source, scope))],
        },
    )


def lost(runner: Runner, exc: CrossoverError) -> CrossoverError:
    """The publishing node of several, from which alone the way back leads, does not answer."""
    params = runner.params
    closing = params["state"] == "started" and params["phase"] == "finish"  # rollback asks by itself
    if not closing or exc.code not in UNREACHABLE or len(params["landing_nodes"]) < 2:
        return exc
    try:
        control = read(runner.connect(runner.login("source")), params["name"])
    except CrossoverError:
        return exc
    if not control or control.writable != NODE:
        return exc
    return CrossoverError(
        f"{params['node']} cannot be reached ({exc.message}); it is the publishing node, and what was written on the "
        "nodes goes to the source through it",
        code=exc.code,
        server=exc.server,
        untouched="nothing was changed: the nodes are writable, the application goes on on the others",
        hint=f"bring {params['node']} back, then run crossover.pgedge.finish again. One that is lost for good: "
        "docs/cutover.md says how the migration is closed without it, and what that gives up",
    )


def work(runner: Runner) -> Outcome:
    """Record what is asked and return the ledger's state."""
    params, state = runner.params, runner.params["state"]
    try:
        conn = runner.connect(runner.login())
    except CrossoverError as exc:
        raise lost(runner, exc) from None
    ledger = Ledger(conn, params["name"])
    outcome = begin(runner, ledger) if state == "started" else Outcome(changed=ledger.exists)
    if state == "joined" and not runner.check:
        ledger.create()
    if not runner.check and ledger.exists:
        for key, value in params["facts"].items():
            if value is None:
                ledger.forget(key)
            else:
                ledger.put(key, value)
        if state == "done" and params["phase"] == "replicate":
            catalogue.ended(ledger, runner.connect(runner.login("source")))
        if state in ("done", "failed"):
            ledger.end(params["phase"], state, params["summary"], params["reason"])
        if state == "failed" and params["phase"] == "assess" and set(ledger.phases()) == {"assess"}:
            ledger.remove()  # nothing has begun: nothing is left behind
    outcome.changed = False  # the ledger is our own notebook: writing in it changes nothing that the user owns
    outcome.result.update(
        facts=ledger.facts(),
        phases=ledger.phases(),
        names=Names.of(params["name"], params["node"]).as_dict(),
        names_of={n: Names.of(params["name"], n).as_dict() for n in params["landing_nodes"] or [params["node"]]},
    )
    return outcome


def main() -> None:
    """Entry point."""
    run_module(
        {
            **source_option(),
            "name": {"type": "str", "required": True},
            "phase": {"type": "str", "required": True, "choices": list(PHASES)},
            "state": {
                "type": "str",
                "default": "started",
                "choices": ["started", "done", "failed", "present", "joined"],
            },
            "summary": {"type": "dict", "default": {}},
            "reason": {"type": "str"},
            "facts": {"type": "dict", "default": {}},
            "node": {"type": "str", "default": "n1"},
            "landing_nodes": {"type": "list", "elements": "str", "default": []},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "validate_max_age": {"type": "int", "default": 3600},
        },
        work,
    )


if __name__ == "__main__":
    main()
