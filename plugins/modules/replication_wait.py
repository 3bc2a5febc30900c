#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_wait
short_description: Wait until subscriptions are in sync, have caught up, or have passed a barrier
version_added: "0.1.0"
description:
  - Waits for one subscription, or for those of several nodes to the same source, and shows the progress while it
    waits - a line for every table that has come into sync, for every 5 %, and one a minute.
  - A subscription that will never arrive - because it is disabled, fails again and again, cannot reach its publisher or
    has lost its slot - is told at once, with the reason where the server tells it, and not after O(timeout).
options:
  condition:
    description:
      - V(synced) - every table of the subscription is in sync.
      - V(barrier) - everything that was committed on the publisher before now has been applied and is safe on disk
        where it is subscribed to, and a canary row written now has been seen there.
      - V(lag) - the slots have less than O(max_lag_bytes) to hand over. This is an estimate, and proves nothing.
    type: str
    required: true
    choices: [synced, barrier, lag]
  subscription:
    description: Name of the subscription on the server that subscribes. Needed without O(nodes).
    type: str
  nodes:
    description:
      - Wait for all of these nodes, instead of the one that O(login_host) and the like name. A barrier is taken once on
        O(source), and every node has to pass it. Not with O(direction=back).
      - Each has the login options of the top level, and nothing is taken from there.
  direction:
    description:
      - V(forward) - the node subscribes and O(source) publishes.
      - V(back) - O(source) subscribes and the node publishes.
    type: str
    default: forward
    choices: [forward, back]
  slots:
    description:
      - For V(lag), the slots on the publisher to look at; by default the one that the subscription uses.
      - For V(barrier), slots on the publisher whose readers must have confirmed the barrier too.
    type: list
    elements: str
  max_lag_bytes:
    description: The limit for V(lag).
    type: int
    default: 1048576
  timeout:
    description:
      - Seconds to wait at most. With V(0) it looks once. The failure has the last measurement, and names every node
        that is late and by how much.
    type: int
    default: 3600
  migration:
    description:
      - Name of the migration in whose ledger on the node the progress of V(synced) is told, for
        M(crossover.pgedge.migration_info). By default the only one that there is, if there is one.
    type: str
    default: ""
  source:
    description:
      - The source, with the same options as the top level has for the node. Needed for V(barrier) and V(lag). For
        V(synced) it makes the percentage go by bytes.
    required: false
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.source
  - crossover.pgedge.login.nodes
attributes:
  check_mode:
    support: full
    description: Does not wait. Returns how things stand, and what it would wait for.
  diff_mode:
    support: none
    description: Nothing is changed.
  idempotent:
    support: full
    description: Nothing is changed. V(barrier) writes the canary row of the migration's own schema.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.replication_info
  - module: crossover.pgedge.subscription
"""

EXAMPLES = r"""
- name: Wait until every table is in sync
  crossover.pgedge.replication_wait:
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    condition: synced
    subscription: crossover_shop_n1
    timeout: 86400

- name: See that everything has arrived
  crossover.pgedge.replication_wait:
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    condition: barrier
    subscription: crossover_shop_n1
    source:
      login_host: db.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
    timeout: 60

- name: See that everything has arrived on all nodes
  crossover.pgedge.replication_wait:
    condition: barrier
    nodes:
      - name: n1
        subscription: crossover_shop_n1
        login_host: n1.example.com
        login_user: crossover
        login_password: "{{ node_password }}"
        login_db: shop
      - name: n2
        subscription: crossover_shop_n2
        login_host: n2.example.com
        login_user: crossover
        login_password: "{{ node_password }}"
        login_db: shop
    source:
      login_host: db.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
    timeout: 60
"""

RETURN = r"""
met:
  description: Whether the condition is met. False in check mode, if it is not.
  type: bool
  returned: success
  sample: true
measurement:
  description:
    - The last measurement. A failure has it too. With O(nodes) it has that of each under RV(ignore:nodes), or for
      V(barrier) an entry for each in RV(ignore:subscriptions).
  type: dict
  returned: always
  sample: {tables_total: 112, tables_ready: 41, bytes_total: 526133493760, bytes_done: 195421011968, percent: 37.1}
seconds:
  description: How long it took.
  type: float
  returned: success
  sample: 12.3
tables:
  description: The tables of the subscription; with O(nodes) of all of them, each table once.
  type: list
  elements: str
  returned: condition is synced
  sample: [public.orders]
rows:
  description: Rows in them on the server that subscribes (or on all nodes), as its statistics have counted.
  type: int
  returned: condition is synced
  sample: 1000000
bytes:
  description: What they hold there on disk, without indexes.
  type: int
  returned: condition is synced
  sample: 195421011968
"""

import time
from contextlib import ExitStack
from typing import Any, Mapping

from ..module_utils._ansible import Outcome, Runner, login_spec, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_sync_progress import SyncProgress
from ..module_utils._pg_connect import Login
from ..module_utils._pg_sql import qualified
from ..module_utils._replication_progress import arrived
from ..module_utils._replication_readers import BARRIER, SYNCED, Reader, wait_barrier, wait_for, waiter_for

TEXT = {
    "synced": "every table of {} is in sync",
    "barrier": "{} has passed a barrier",
    "lag": "{} has less than {} bytes to catch up",
}


class Sides:
    """The publisher and who subscribes to it."""

    def __init__(self, runner: Runner) -> None:
        params = runner.params
        forward = params["direction"] == "forward"
        self.logins: dict[str, Login] = {}
        source = runner.connect(runner.login("source")) if params["source"] else None
        if params["nodes"]:
            self.publisher: Any = source
            self.readers = [self._reader(runner, entry) for entry in params["nodes"]]
        else:
            node = runner.connect(runner.login())
            self.publisher = source if forward else node
            conn = node if forward else source
            self.readers = [Reader("", conn, params["subscription"], params["slots"] or ())]
            self.logins[""] = runner.login()
        self.side = "source" if forward else "node"

    def _reader(self, runner: Runner, entry: Mapping[str, Any]) -> Reader:
        name = entry["name"]
        if name in self.logins:
            raise CrossoverError(f"nodes names {name} twice", code="bad_value", object=name)
        login = self.logins[name] = Login.of(entry, name)
        return Reader(name, runner.connect(login), entry["subscription"], entry["slots"] or ())

    @property
    def names(self) -> str:
        """For a sentence."""
        return ", ".join(r.subscription + (f" on {r.node}" if r.node else "") for r in self.readers)

    def progress(self, stack: ExitStack, migration: str) -> Any:
        """What tells each node's ledger how far it is."""
        made = {r.node: SyncProgress(r.conn, self.logins[r.node], migration) for r in self.readers}
        for each in made.values():
            stack.callback(each.close)

        def tell(measured: Mapping[str, Any]) -> None:
            for name, each in made.items():
                each(measured["nodes"][name] if name else measured)

        return tell


def in_check_mode(sides: Sides, params: dict[str, Any]) -> Outcome:
    """Tell what would be waited for, without waiting; nothing is wrong with a subscription that is yet to be made."""
    text = TEXT[params["condition"]].format(sides.names, params["max_lag_bytes"])
    measured, met = {}, False
    try:
        if params["condition"] == BARRIER:
            for reader in sides.readers:
                reader.state()
        else:
            waiter = waiter_for(sides.readers, params["condition"], sides.publisher, params["max_lag_bytes"])
            measured = waiter.look()
            met = waiter.met(measured)
    except CrossoverError as exc:
        missing = exc.code == "no_subscription"
        text += " (there is no such subscription yet)" if missing else f" (now: {exc.message})"
    return Outcome(msg=f"would wait until {text}", result={"met": met, "measurement": measured, "seconds": 0.0})


def synced(readers: list[Reader]) -> dict[str, Any]:
    """What has arrived; tables are those of all nodes, each once."""
    found = [(reader.state(), reader.conn) for reader in readers]
    sums = [arrived(conn, state["oid"]) for state, conn in found]
    names = dict.fromkeys(qualified(t["schema"], t["name"]) for state, _conn in found for t in state["tables"])
    return {"tables": list(names), **{key: sum(one[key] for one in sums) for key in ("rows", "bytes")}}


def work(runner: Runner) -> Outcome:
    """Wait."""
    params = runner.params
    begun = time.monotonic()
    sides = Sides(runner)
    if runner.check:
        return in_check_mode(sides, params)
    condition, timeout = params["condition"], params["timeout"]
    result: dict[str, Any] = {}
    with ExitStack() as stack:
        if condition == BARRIER:
            measured = wait_barrier(sides.readers, sides.publisher, sides.side, timeout)
        else:
            # a single look is not the one that works
            told = condition == SYNCED and timeout > 0 and params["direction"] == "forward"
            tell = sides.progress(stack, params["migration"]) if told else None
            measured = wait_for(sides.readers, condition, sides.publisher, params["max_lag_bytes"], timeout, tell)
    if condition == SYNCED:
        result = synced(sides.readers)
    seconds = round(time.monotonic() - begun, 3)
    return Outcome(result={"met": True, "measurement": measured, "seconds": seconds, "queries": [], **result})


def main() -> None:
    """Entry point."""
    node = {
        **login_spec(),
        "name": {"type": "str", "required": True},
        "subscription": {"type": "str", "required": True},
        "slots": {"type": "list", "elements": "str"},
    }
    run_module(
        {
            **source_option(required=False),
            "condition": {"type": "str", "required": True, "choices": ["synced", "barrier", "lag"]},
            "subscription": {"type": "str"},
            "nodes": {"type": "list", "elements": "dict", "options": node},
            "direction": {"type": "str", "default": "forward", "choices": ["forward", "back"]},
            "slots": {"type": "list", "elements": "str"},
            "max_lag_bytes": {"type": "int", "default": 1048576},
            "timeout": {"type": "int", "default": 3600},
            "migration": {"type": "str", "default": ""},
        },
        work,
        required_if=[
            ("condition", "barrier", ["source"]),
            ("condition", "lag", ["source"]),
            ("direction", "back", ["source", "subscription"]),
        ],
        required_one_of=[("subscription", "nodes")],
        mutually_exclusive=[("subscription", "nodes"), ("slots", "nodes")],
    )


if __name__ == "__main__":
    main()
