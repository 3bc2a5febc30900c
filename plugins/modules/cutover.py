#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cutover
short_description: Switch the application from the source to the node, or back
version_added: "0.1.0"
description:
  - Does the whole switch in one process, with a deadline on each step and an automatic way back. Holds the
    route, fences every table with locks, waits until everything has been applied on the other side, carries the
    sequences over, swaps the control row and turns the durable fence on in one transaction (the point of no
    return), points the route and releases it. Afterwards replication turns round, so that nothing is lost on the
    way back.
  - Before the point of no return any failure, deadline or death of the process leaves the old side writable, within
    seconds. After it, run the module again, it goes forward.
options:
  name:
    description: Name of the migration.
    type: str
    required: true
  direction:
    description: V(forward) switches to the node, V(back) to the source.
    type: str
    default: forward
    choices: [forward, back]
  node:
    description:
      - Name of the landing node that C(login_*) lead to. Where there are several nodes it is the publishing one, from
        which the way back leads.
    type: str
    default: n1
  further_nodes:
    description:
      - The other nodes of the mesh. All nodes are switched together. After a switch to them the application may write
        on any; what was written on any of them is on the source after the switch back.
      - Each has the login options of the module, C(name), and C(landing) (default V(true)), which says whether it has a
        subscription of its own to the source. Without one it can only have joined the mesh after the switch.
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
  route:
    description: How the application's traffic reaches a database.
    type: dict
    default: {}
    suboptions:
      type:
        description:
          - V(pgbouncer) holds, points and releases poolers.
          - V(libpq) sets C(default_transaction_read_only) for the application's roles on the fenced side, for clients
            with several hosts and C(target_session_attrs=read-write).
          - V(none) leaves the traffic to the operator; only the fences act.
        type: str
        default: none
        choices: [pgbouncer, libpq, none]
      poolers:
        description:
          - For V(pgbouncer). Each has C(login_host), C(login_port), C(login_user) and C(login_password) for the admin
            console, C(database) (the name that clients connect to) and C(databases_file) (the file with that
            database's line, included by pgbouncer.ini, that the runner can rewrite).
        type: list
        elements: dict
        default: []
      application_roles:
        description: For V(libpq). The roles that the application logs in as.
        type: list
        elements: str
        default: []
      addresses:
        description:
          - Where the route finds the sides, if not where the runner does. C(source) and C(node), each a dict with
            C(host), C(port) and C(database).
        type: dict
        default: {}
  way_back:
    description:
      - Keep the source in step after the switch, so that a rollback loses nothing.
    type: bool
    default: true
  large_objects:
    description:
      - V(copy) copies large objects, which nothing replicates, before anything is held, and again behind the fence what
        has changed since. They keep OID, owner, grants and comment. V(refuse) and V(skip) leave them alone; refusing is
        M(crossover.pgedge.assess_info)'s.
      - Tables are fenced, large objects cannot be. A session that goes past the route can still write them while the
        sides are switched; what it wrote is found afterwards and told as a warning.
    type: str
    default: refuse
    choices: [refuse, skip, copy]
  unlogged:
    description:
      - V(copy) does the same with the rows of unlogged tables. To the source (O(direction=back)) that wants a login
        that may set C(session_replication_role).
    type: str
    default: refuse
    choices: [refuse, skip, copy]
  fence_copy_budget:
    description:
      - How many seconds of the pause the two may take. What they will take is measured in a rehearsal before anything
        is held; if that is more, nothing is. Behind the fence they are given this long, then everything goes back.
    type: float
    default: 0.5
  only_agree:
    description:
      - Switch nothing; only make fences and route agree with the control row, and release what is held.
    type: bool
    default: false
  only_leave:
    description:
      - Switch nothing; only take away what the route V(libpq) has set for the application's roles, on both sides. For
        the end of a migration.
    type: bool
    default: false
  hold_timeout:
    description: How long to wait in the pooler for transactions that are running, in seconds.
    type: float
    default: 2.0
  fence_timeout:
    description: How long to wait for the locks on all tables, in seconds.
    type: float
    default: 1.0
  drain_timeout:
    description: How long to wait until the other side has applied everything, in seconds.
    type: float
    default: 2.0
  window_timeout:
    description: How long the application may be held in all before everything goes back, in seconds.
    type: float
    default: 4.0
  lease:
    description: After how many seconds without a word the server ends the session that holds the locks.
    type: float
    default: 3.0
  catch_up_timeout:
    description: How long the other side may be behind before anything is held, in seconds.
    type: float
    default: 60.0
  verify_timeout:
    description: How long a canary row may take to the old side after the switch, in seconds.
    type: float
    default: 30.0
  long_transaction:
    description: A transaction that is open for longer than this many seconds stops the cutover before it begins.
    type: float
    default: 5.0
  clock_skew:
    description:
      - By how many seconds the clock of a Spock node may be behind the source's, or another node's. More stops the
        cutover before it begins, less is waited out while the application is held.
    type: float
    default: 0.5
  sequence_gap:
    description: Calls of C(nextval) to leave free beyond what the old side has handed out, besides the measured rate.
    type: int
    default: 0
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.further_nodes
  - crossover.pgedge.login.source
  - crossover.pgedge.sequences
attributes:
  check_mode:
    support: full
    description: Checks all that can be checked without holding or writing anything.
  diff_mode:
    support: full
    description: The writable side before and after.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.migration_info
"""

EXAMPLES = r"""
- name: Cut over
  crossover.pgedge.cutover:
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
    route:
      type: pgbouncer
      poolers:
        - login_host: 127.0.0.1
          login_port: 6432
          login_user: crossover_admin
          login_password: "{{ pooler_password }}"
          database: shop
          databases_file: /etc/pgbouncer/databases.ini
"""

RETURN = r"""
writable:
  description: The side that is writable now; V(unknown) in a failure where the source could not be asked.
  type: str
  returned: not O(only_leave)
  sample: node
hold_ms:
  description: How long the route was held, in milliseconds, as the module saw it.
  type: float
  returned: success
  sample: 61.4
table:
  description: The steps as a table of 80 columns.
  type: list
  elements: str
  returned: not O(only_leave)
  sample: ["* hold           4.1 ms"]
problems:
  description: What would stop the switch now, each one sentence.
  type: list
  elements: str
  returned: in check mode
  sample: []
lag_bytes:
  description: How far the other side is behind, in bytes of WAL.
  type: int
  returned: in check mode
  sample: 176
fence_copy:
  description: What copying at the fence (O(large_objects), O(unlogged)) will take of the pause; null where not asked.
  type: dict
  returned: in check mode
  sample: {what: "12 large object(s) (3.1 MiB)", predicted_seconds: 0.041, budget_seconds: 0.5}
steps:
  description: Every step with its begin (RV(ignore:at_ms)) and duration (RV(ignore:ms)) in milliseconds.
  type: list
  elements: dict
  returned: always
  sample: [{name: hold, at_ms: 812.0, ms: 4.1, held: true}]
"""

from typing import Any

from ..module_utils._ansible import (
    Outcome,
    Runner,
    further_nodes_option,
    run_module,
    sequences_option,
    source_option,
)
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_control import NODE, SOURCE
from ..module_utils._migration_cutover import Switch
from ..module_utils._migration_fence_share import Wish
from ..module_utils._migration_journal import Journal
from ..module_utils._migration_ledger import Ledger
from ..module_utils._migration_mesh_ready import away, only_members
from ..module_utils._migration_names import Names
from ..module_utils._migration_rehearsal import rehearse
from ..module_utils._migration_route import make_route
from ..module_utils._migration_sequences_choice import Choice
from ..module_utils._migration_sides import Limits, Migration, further_nodes
from ..module_utils._migration_turn import take_turn
from ..module_utils._pg_catalog import Scope

# option: the deadline that it sets
SECONDS = {
    "hold_timeout": "hold",
    "fence_timeout": "fence",
    "drain_timeout": "drain",
    "window_timeout": "window",
    "lease": "lease",
    "catch_up_timeout": "catch_up",
    "verify_timeout": "verify",
    "long_transaction": "long_transaction",
    "clock_skew": "clock_skew",
}


def migration_of(runner: Runner) -> Migration:
    """The options as the domain wants them."""
    p: dict[str, Any] = runner.params
    further = further_nodes(p)
    logins = {SOURCE: runner.login("source"), NODE: runner.login(label=p["node"])}
    return Migration(
        name=p["name"],
        direction=p["direction"],
        logins=logins,
        make_route=lambda: make_route(p["route"], logins[SOURCE], logins[NODE], [one.login for one in further]),
        names=Names.of(p["name"], p["node"]),
        scope=Scope(tuple(p["schemas"]) or None, tuple(p["exclude_tables"])),
        limits=Limits(
            **{field: p[option] for option, field in SECONDS.items()},
            sequence_gap=p["sequence_gap"],
        ),
        sequences=Choice.of(p["sequences"], [p["node"], *(one["name"] for one in p["further_nodes"])]),
        way_back=p["way_back"],
        copies=Wish(p["large_objects"] == "copy", p["unlogged"] == "copy", p["fence_copy_budget"]),
        further=further,
    )


def _check_limits(migration: Migration) -> None:
    """The session with the locks says nothing while the route is held, the other side drains, copies are made, or a
    clock is waited for."""
    limits, copies = migration.limits, migration.copies
    if limits.lease <= max(limits.hold, limits.drain, limits.clock_skew, copies.budget if copies.any else 0):
        budget = f" and fence_copy_budget ({copies.budget:g} s)" if copies.any else ""
        raise CrossoverError(
            f"lease ({limits.lease:g} s) must be longer than hold_timeout ({limits.hold:g} s), drain_timeout "
            f"({limits.drain:g} s) and clock_skew ({limits.clock_skew:g} s){budget}: the server would end the session "
            "that holds the locks",
            code="bad_option",
            untouched="nothing was changed",
            hint="raise crossover_lease too",
        )
    if copies.any and migration.further:
        raise CrossoverError(
            f"large objects and unlogged tables are copied to one node, and there are {len(migration.further) + 1}: "
            "no mesh would carry them to the others",
            code="bad_option",
            untouched="nothing was changed",
            hint="do without crossover_large_objects: copy and crossover_unlogged: copy, or switch to one node",
        )


def work(runner: Runner) -> Outcome:
    """Switch, or go forward from a switch that was begun, or find that there is nothing to do."""
    params = runner.params
    migration = migration_of(runner)
    _check_limits(migration)
    only_members(migration)
    if params["only_leave"]:
        return Outcome(changed=migration.make_route().leave(runner.check))
    conn = runner.connect(migration.logins[SOURCE])
    if runner.check:
        before = migration.control(conn)
        found = rehearse(migration, before)
        return Outcome(
            changed=bool(found["steps"]),
            before={"writable": before.writable},
            after={"writable": migration.new},
            result={"writable": before.writable, "table": [f"would do: {step}" for step in found["steps"]], **found},
            warnings=[f"would not switch now: {problem}" for problem in found["problems"]],
        )
    try:
        notebook = runner.connect(migration.logins[NODE], settings={"synchronous_commit": "off"})
    except CrossoverError as exc:
        raise away(migration, NODE, exc) from None
    phase = "cutover" if migration.direction == "forward" else "rollback"
    take_turn(notebook, migration.name, phase)
    before = migration.control(conn)  # only now: a run that was at work may have changed it
    journal = Journal(Ledger(notebook, migration.name), phase)
    switch = Switch(migration, journal)
    changed = before.writable != migration.new
    try:
        if params["only_agree"]:
            with journal.step("agree"):
                changed = switch.agree(before)
        elif changed:
            switch.run()
        else:
            with journal.step("agree"):
                changed = switch.agree(before)
            switch.finish()
            changed |= any(step.detail.get("changed") for step in journal.steps)
    except CrossoverError as exc:
        exc.data.update(steps=journal.as_list(), table=journal.as_table(), writable=_writable(migration, conn))
        raise
    after = migration.control(conn)
    if changed:
        _remember(journal, migration)
    return Outcome(
        changed=changed,
        before={"writable": before.writable},
        after={"writable": after.writable},
        result={
            "writable": after.writable,
            "hold_ms": round(journal.hold_ms, 1),
            "steps": journal.as_list(),
            "table": journal.as_table(),
        },
        warnings=[*switch.turn.warnings, *switch.copy.warnings],
    )


def _writable(migration: Migration, conn: Any) -> str:
    """For a failure: what the control row says, if it can be read."""
    try:
        return migration.control(conn).writable
    except Exception:  # pylint: disable=broad-except
        return "unknown"  # the failure on its way out says more


def _remember(journal: Journal, migration: Migration) -> None:
    """The last switch in each direction, for the report."""
    if journal.hold_ms:
        journal.ledger.put(f"switch.{migration.direction}", {"hold_ms": journal.hold_ms, "steps": journal.as_list()})


def main() -> None:
    """Entry point."""
    route = {
        "type": {"type": "str", "default": "none", "choices": ["pgbouncer", "libpq", "none"]},
        "poolers": {"type": "list", "elements": "dict", "default": []},
        "application_roles": {"type": "list", "elements": "str", "default": []},
        "addresses": {"type": "dict", "default": {}},
    }
    run_module(
        {
            **source_option(),
            "name": {"type": "str", "required": True},
            "direction": {"type": "str", "default": "forward", "choices": ["forward", "back"]},
            "node": {"type": "str", "default": "n1"},
            **further_nodes_option(),
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "route": {"type": "dict", "default": {}, "options": route},
            "way_back": {"type": "bool", "default": True},
            "large_objects": {"type": "str", "default": "refuse", "choices": ["refuse", "skip", "copy"]},
            "unlogged": {"type": "str", "default": "refuse", "choices": ["refuse", "skip", "copy"]},
            "fence_copy_budget": {"type": "float", "default": Wish.budget},
            "only_agree": {"type": "bool", "default": False},
            "only_leave": {"type": "bool", "default": False},
            **{option: {"type": "float", "default": getattr(Limits, field)} for option, field in SECONDS.items()},
            "sequence_gap": {"type": "int", "default": 0},
            **sequences_option(),
        },
        work,
        mutually_exclusive=[("only_agree", "only_leave")],
    )


if __name__ == "__main__":
    main()
