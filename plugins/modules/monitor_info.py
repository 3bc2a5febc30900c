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
    description: More new errors than this are a problem.
    type: int
    default: 0
  max_conflicts:
    description: More new conflicts than this are a problem. Servers before PostgreSQL 18 do not count them.
    type: int
    default: 0
extends_documentation_fragment:
  - crossover.pgedge.login
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
  description: Direction, state, lag, new errors and conflicts, WAL held back, slots.
  type: dict
  returned: success
  sample: {direction: to the node, state: streaming, lag_bytes: 56, lag_bytes_max: 10240, new_errors: 0, problems: 0}
samples:
  description: Each look.
  type: list
  elements: dict
  returned: success
  sample: [{at: 1790000000.5, state: streaming, lag_bytes: 56, lag_seconds: 0.001, errors: 0, conflicts: 0}]
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

from ..module_utils._ansible import Outcome, Runner, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_control import NODE, SOURCE
from ..module_utils._migration_monitor import Limits, judge, screen, summary, watch
from ..module_utils._migration_monitor_textfile import render


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
    seen = watch(params["name"], params["node"], logins, 1 if runner.check else params["samples"], params["interval"])
    problems = judge(seen, limits)
    return Outcome(
        result={
            "problems": problems,
            "summary": summary(seen, problems),
            "samples": [asdict(sample) for sample in seen.samples],
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
