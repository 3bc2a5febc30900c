#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_wait
short_description: Wait until a subscription is in sync, has caught up, or has passed a barrier
version_added: "0.1.0"
description:
  - Waits for one subscription and shows the progress while it waits.
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
    description: Name of the subscription on the server that subscribes.
    type: str
    required: true
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
    description: Seconds to wait at most. With V(0) it looks once.
    type: int
    default: 3600
  source:
    description:
      - The source, with the same options as the top level has for the node. Needed for V(barrier) and V(lag). For
        V(synced) it makes the percentage go by bytes.
    required: false
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.source
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
"""

RETURN = r"""
met:
  description: Whether the condition is met. False in check mode, if it is not.
  type: bool
  returned: success
  sample: true
measurement:
  description: The last measurement. A failure has it too.
  type: dict
  returned: always
  sample: {tables_total: 112, tables_ready: 41, bytes_total: 526133493760, bytes_done: 195421011968, percent: 37.1}
seconds:
  description: How long it took.
  type: float
  returned: success
  sample: 12.3
tables:
  description: The tables of the subscription.
  type: list
  elements: str
  returned: condition is synced
  sample: [public.orders]
rows:
  description: Rows in them on the server that subscribes, as its statistics have counted.
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
from typing import Any

from ..module_utils._ansible import Outcome, Runner, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._pg_sql import qualified
from ..module_utils._replication_barrier import Barrier
from ..module_utils._replication_lag import subscription_state
from ..module_utils._replication_progress import arrived, published_sizes, sizes_by_conninfo
from ..module_utils._replication_wait import Lag, Synced, wait


class Sides:
    """The two servers, by what they do."""

    def __init__(self, runner: Runner) -> None:
        node = runner.connect(runner.login())
        source = runner.connect(runner.login("source")) if runner.params["source"] else None
        forward = runner.params["direction"] == "forward"
        self.side = "source" if forward else "node"
        self.subscriber: Any = node if forward else source
        self.publisher: Any = source if forward else node


def known(sides: Sides, name: str) -> dict[str, Any]:
    """The subscription as it is now."""
    state = subscription_state(sides.subscriber, name)
    if state is None:
        raise CrossoverError(
            f"there is no subscription {name}",
            code="no_subscription",
            object=name,
            untouched="nothing was changed",
            hint="create it first, with crossover.pgedge.subscription",
        )
    return state


def waiter_for(sides: Sides, state: dict[str, Any], params: dict[str, Any]) -> Synced | Lag:
    """The waiter for the condition."""
    if params["condition"] == "lag":
        slots = params["slots"] or [state["slot"]]
        return Lag(sides.publisher, slots, params["max_lag_bytes"], sides.subscriber, state["name"])
    if sides.publisher is not None:
        sizes = published_sizes(sides.publisher, state["publications"])
    else:
        sizes = sizes_by_conninfo(sides.subscriber, state["name"])
    return Synced(sides.subscriber, state["name"], sizes, sides.publisher)


def in_check_mode(sides: Sides, params: dict[str, Any]) -> Outcome:
    """Tell what would be waited for, without waiting; nothing is wrong with a subscription that is yet to be made."""
    text = {
        "synced": "every table of {subscription} is in sync",
        "barrier": "{subscription} has passed a barrier",
        "lag": "{subscription} has less than {max_lag_bytes} bytes to catch up",
    }[params["condition"]].format(**params)
    measured, met = {}, False
    state = subscription_state(sides.subscriber, params["subscription"])
    if state is None:
        text += " (there is no such subscription yet)"
    elif params["condition"] != "barrier":
        waiter = waiter_for(sides, state, params)
        try:
            measured = waiter.look()
            met = waiter.met(measured)
        except CrossoverError as exc:
            text += f" (now: {exc.message})"
    return Outcome(msg=f"would wait until {text}", result={"met": met, "measurement": measured, "seconds": 0.0})


def work(runner: Runner) -> Outcome:
    """Wait."""
    params = runner.params
    begun = time.monotonic()
    sides = Sides(runner)
    if runner.check:
        return in_check_mode(sides, params)
    state = known(sides, params["subscription"])
    result: dict[str, Any] = {}
    if params["condition"] == "barrier":
        feed = (state["slot"], sides.subscriber, state["name"])
        others = [slot for slot in params["slots"] or [] if slot != state["slot"]]
        measured = Barrier.take(sides.publisher, sides.side).wait(sides.publisher, [feed], params["timeout"], others)
    else:
        measured = wait(waiter_for(sides, state, params), params["timeout"])
    if params["condition"] == "synced":
        tables = known(sides, params["subscription"])["tables"]
        result = {
            "tables": [qualified(t["schema"], t["name"]) for t in tables],
            **arrived(sides.subscriber, state["oid"]),
        }
    seconds = round(time.monotonic() - begun, 3)
    return Outcome(result={"met": True, "measurement": measured, "seconds": seconds, "queries": [], **result})


def main() -> None:
    """Entry point."""
    run_module(
        {
            **source_option(required=False),
            "condition": {"type": "str", "required": True, "choices": ["synced", "barrier", "lag"]},
            "subscription": {"type": "str", "required": True},
            "direction": {"type": "str", "default": "forward", "choices": ["forward", "back"]},
            "slots": {"type": "list", "elements": "str"},
            "max_lag_bytes": {"type": "int", "default": 1048576},
            "timeout": {"type": "int", "default": 3600},
        },
        work,
        required_if=[
            ("condition", "barrier", ["source"]),
            ("condition", "lag", ["source"]),
            ("direction", "back", ["source"]),
        ],
    )


if __name__ == "__main__":
    main()
