#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slot
short_description: Create or drop a replication slot
version_added: "0.1.0"
description:
  - Manages one physical or logical replication slot.
  - Takes the options of M(community.postgresql.postgresql_slot) with the same meaning. A slot of that name which is of
    another type, output plugin or database is an error.
options:
  name:
    description: Name of the slot.
    type: str
    required: true
    aliases: [slot_name]
  slot_type:
    description: Type of the slot.
    type: str
    default: physical
    choices: [logical, physical]
  state:
    description: Whether the slot is there.
    type: str
    default: present
    choices: [absent, present]
  immediately_reserve:
    description: With O(slot_type=physical), keep WAL from now on instead of from the first connection on.
    type: bool
    default: false
  output_plugin:
    description: With O(slot_type=logical), the output plugin. Native subscriptions need V(pgoutput).
    type: str
    default: test_decoding
  two_phase:
    description:
      - With O(slot_type=logical), decode prepared transactions when they are prepared (PostgreSQL 14; PostgreSQL 18
        can change it later).
    type: bool
  failover:
    description: With O(slot_type=logical), keep a copy of the slot on standbys (PostgreSQL 17).
    type: bool
  timeout:
    description:
      - Seconds that creating the slot may take. A logical slot waits for every transaction that is open.
      - V(0) leaves it to the server's C(statement_timeout).
    type: int
    default: 60
  trust_input:
    description: With V(false), an O(session_role) that looks like SQL is refused, as in community.postgresql.
    type: bool
    default: true
extends_documentation_fragment:
  - crossover.pgedge.login
attributes:
  check_mode:
    support: full
    description:
      - Nothing is changed. RV(planned) is what would run.
      - RV(queries) is empty then, as in M(community.postgresql.postgresql_slot).
  diff_mode:
    support: full
    description: Shows the slot before and after.
  idempotent:
    support: full
    description: The same input twice changes nothing.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.subscription
  - module: crossover.pgedge.replication_info
  - name: pg_replication_slots
    description: PostgreSQL's documentation of the view.
    link: https://www.postgresql.org/docs/current/view-pg-replication-slots.html
"""

EXAMPLES = r"""
- name: A slot for a subscription that is made without one
  crossover.pgedge.slot:
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    name: crossover_shop_back
    slot_type: logical
    output_plugin: pgoutput

- name: Drop it
  crossover.pgedge.slot:
    login_db: shop
    name: crossover_shop_back
    state: absent
"""

RETURN = r"""
name:
  description: Name of the slot.
  type: str
  returned: success
  sample: physical_one
exists:
  description: Whether the slot is there in the end.
  type: bool
  returned: success
  sample: true
queries:
  description: The statements that were run. None in check mode.
  type: list
  elements: str
  returned: success
  sample: ["SELECT pg_create_physical_replication_slot('physical_one', false)"]
planned:
  description: The same statements, in check mode too.
  type: list
  elements: str
  returned: success
  sample: ["SELECT pg_create_physical_replication_slot('physical_one', false)"]
slot:
  description: The slot in the end; empty if there is none.
  type: dict
  returned: success
  sample: {name: crossover_shop_back, type: logical, plugin: pgoutput, active: false, wal_status: reserved}
"""

from ..module_utils import _replication_slot as slots
from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._replication_apply import check_input
from ..module_utils._replication_lag import slot_state


def work(runner: Runner) -> Outcome:
    """Read, plan, apply."""
    params, name, present = runner.params, runner.params["name"], runner.params["state"] == "present"
    if not params["trust_input"]:
        check_input(params["session_role"])
    login = runner.login(label="server")
    conn = runner.connect(login)
    if params["timeout"]:
        conn.execute("SELECT set_config('statement_timeout', %s, false)", [f"{params['timeout']}s"])
    want = slots.Wanted(
        name=name,
        logical=params["slot_type"] == "logical",
        reserve=params["immediately_reserve"],
        plugin=params["output_plugin"],
        database=login.database,
        two_phase=params["two_phase"],
        failover=params["failover"],
    )
    actual = slot_state(conn, name)
    warnings = []
    if present:
        queries, doing = slots.plan(want, actual, conn.info.server_version), "created or changed"
        if actual and actual["wal_status"] == "lost":
            warnings.append(
                f"the slot {name} is lost: WAL that it needs is gone. Drop it, and copy what reads it again"
            )
    else:
        queries, doing = slots.drop(name) if actual else [], "dropped"
    if not runner.check:
        slots.run(conn, login, queries, f"the slot {name} could not be {doing}")
    final = actual if runner.check else slot_state(conn, name)
    after = (slots.predicted(want, actual) if present else None) if runner.check else slots.settled(final)
    return Outcome(
        bool(queries),
        queries=[] if runner.check else queries,
        before=slots.settled(actual),
        after=after,
        result={
            "name": name,
            "exists": final is not None,
            "slot": slots.shown(final),
            "planned": [str(statement) for statement in queries],
        },
        warnings=warnings,
    )


def main() -> None:
    """Entry point."""
    run_module(
        {
            "name": {"type": "str", "required": True, "aliases": ["slot_name"]},
            "slot_type": {"type": "str", "default": "physical", "choices": ["logical", "physical"]},
            "state": {"type": "str", "default": "present", "choices": ["absent", "present"]},
            "immediately_reserve": {"type": "bool", "default": False},
            "output_plugin": {"type": "str", "default": "test_decoding"},
            "two_phase": {"type": "bool"},
            "failover": {"type": "bool"},
            "timeout": {"type": "int", "default": 60},
        },
        work,
    )


if __name__ == "__main__":
    main()
