#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: monitor_info
short_description: Watch a migration's replication for a while
version_added: "0.1.0"
description:
  - Looks several times at the direction that carries the application's writes, to the node before the cutover and to
    the source after it, and at what the slots of both hold back.
  - With O(further_nodes) it looks at the subscription of every landing node before the cutover; and at the mesh, once
    there is one - each subscription between two nodes, new exceptions, what the slots of Spock hold back.
  - Returns what is beyond the limits; it does not fail for that. The role C(crossover.pgedge.monitor) does.
options:
  name:
    description: Name of the migration.
    type: str
    required: true
  node:
    description: Name of the landing node.
    type: str
    default: n1
  further_nodes:
    description:
      - The other nodes, each with the login options of the module, C(name) and C(landing). O(node) is the publishing
        node then.
  samples:
    description: How often to look. In check mode it looks once.
    type: int
    default: 6
  interval:
    description: Seconds between two looks.
    type: float
    default: 5
  max_lag_bytes:
    description: A lag above this all the time is a problem. No limit if not given.
    type: int
  max_lag_seconds:
    description: The same in seconds.
    type: float
  wal_budget:
    description: More WAL than this, in bytes, held back by a slot is a problem. No limit if not given.
    type: int
  max_errors:
    description: More new errors of a subscription, or exceptions of Spock on a node, than this are a problem.
    type: int
    default: 0
  max_conflicts:
    description: More new conflicts than this are a problem. Servers before PostgreSQL 18 do not count them.
    type: int
    default: 0
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.further_nodes
  - crossover.pgedge.login.source
attributes:
  check_mode:
    support: full
    description: Changes nothing; looks once.
  diff_mode:
    support: none
    description: Changes nothing.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.replication_info
"""

EXAMPLES = r"""
- name: Watch for half a minute
  crossover.pgedge.monitor_info:
    name: shop
    max_lag_seconds: 10
    wal_budget: 21474836480
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    source:
      login_host: aurora.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
  register: watched
"""

RETURN = r"""
problems:
  description: What is beyond the limits, each as one clause.
  type: list
  elements: str
  returned: success
  sample: []
summary:
  description:
    - Direction, state, lag, new errors and conflicts, WAL held back, slots; the worst where several nodes are fed. With
      O(further_nodes) also RV(ignore:nodes) with their exceptions, and RV(ignore:mesh), the state of each subscription.
  type: dict
  returned: success
  sample: {direction: to the node, state: streaming, lag_bytes: 56, lag_bytes_max: 10240, new_errors: 0, problems: 0}
samples:
  description: Each look at each subscription to a node, or back.
  type: list
  elements: dict
  returned: success
  sample:
    - {subscription: crossover_shop_n1, subscriber: node, at: 1790000000.5, state: streaming, lag_bytes: 56, errors: 0}
writable:
  description: The side that takes the application's writes.
  type: str
  returned: success
  sample: source
screen:
  description: All of it on one screen.
  type: list
  elements: str
  returned: success
  sample: ["migration shop: the source is writable, changes flow to the node"]
textfile:
  description: The last look as Prometheus metrics.
  type: str
  returned: success
  sample: "crossover_problems{migration=\"shop\"} 0"
"""

from dataclasses import asdict

from ..module_utils._ansible import Outcome, Runner, further_nodes_option, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_control import NODE, SOURCE
from ..module_utils._migration_monitor import judge, screen, summary, watch
from ..module_utils._migration_monitor_seen import Limits
from ..module_utils._migration_monitor_textfile import render
from ..module_utils._migration_sides import further_nodes


def work(runner: Runner) -> Outcome:
    """Watch and judge."""
    params = runner.params
    if params["samples"] < 1 or params["interval"] < 0:
        raise CrossoverError(
            f"samples is {params['samples']}, interval is {params['interval']}",
            code="bad_option",
            untouched="nothing was changed",
            hint="give at least one sample, and no negative interval",
        )
    limits = Limits(
        params["max_lag_bytes"],
        params["max_lag_seconds"],
        params["wal_budget"],
        params["max_errors"],
        params["max_conflicts"],
    )
    logins = {SOURCE: runner.login("source"), NODE: runner.login()}
    samples = 1 if runner.check else params["samples"]
    seen = watch(params["name"], params["node"], logins, samples, params["interval"], further_nodes(runner.params))
    problems = judge(seen, limits)
    return Outcome(
        result={
            "problems": problems,
            "summary": summary(seen, problems),
            "samples": [
                {"subscription": feed.subscription, "subscriber": feed.subscriber, **asdict(sample)}
                for feed in seen.feeds
                for sample in feed.samples
            ],
            "writable": seen.writable,
            "screen": screen(seen, limits, problems),
            "textfile": render(seen, len(problems)),
        }
    )


def main() -> None:
    """Entry point."""
    run_module(
        {
            **source_option(),
            **further_nodes_option(),
            "name": {"type": "str", "required": True},
            "node": {"type": "str", "default": "n1"},
            "samples": {"type": "int", "default": 6},
            "interval": {"type": "float", "default": 5},
            "max_lag_bytes": {"type": "int"},
            "max_lag_seconds": {"type": "float"},
            "wal_budget": {"type": "int"},
            "max_errors": {"type": "int", "default": 0},
            "max_conflicts": {"type": "int", "default": 0},
        },
        work,
    )


if __name__ == "__main__":
    main()
