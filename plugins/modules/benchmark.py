#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark
short_description: Measure source and node with the same pgbench script
version_added: "0.1.0"
description:
  - Runs one pgbench script against the source, then against the node, and returns throughput and latency percentiles
    side by side. The percentiles come from pgbench's log of every transaction.
  - The default script reads rows of the largest tables by their primary keys, the same ones on both sides, and writes
    to tables of its own in the schema C(crossover_bench), which is made before on both sides and dropped afterwards,
    also when anything fails.
  - Tables that are migrated are never written to. O(script) is tried before the measurement, in transactions that are
    rolled back. If it runs in read-only transactions, it is measured in such; if not, and it writes anywhere but in
    C(crossover_bench), it is refused.
  - It puts load on the source. Choose O(clients), O(seconds) and O(rate) with the application in mind.
options:
  script:
    description:
      - A pgbench script on the host where the module runs. The default script if not given.
      - With O(writes) it finds C(crossover_bench.scratch), with columns C(id), C(n), C(filler) and the ids 1 to 10000.
      - Transaction control is allowed. C(\shell) and C(\setshell) are not, nor is C(\if) in a script that writes.
    type: path
  writes:
    description:
      - Whether the default script writes to its own tables, and O(script) finds them.
      - Where a publication is for all tables this is refused, since it would send those along.
    type: bool
    default: true
  tables:
    description: How many of the largest tables the default script reads.
    type: int
    default: 3
  schemas:
    description: The schemas to choose them from. Empty means all that are not the server's own.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Tables to leave out, as V(schema.table).
    type: list
    elements: str
    default: []
  clients:
    description: How many sessions work at once.
    type: int
    default: 4
  jobs:
    description: How many threads of pgbench serve them.
    type: int
    default: 2
  seconds:
    description: How long each side is measured.
    type: int
    default: 10
  warm_up:
    description: How long each side is run before that, in seconds.
    type: int
    default: 2
  rate:
    description: Transactions a second at most, all clients together. V(0) means as many as it can do.
    type: float
    default: 0
  protocol:
    description: How queries are sent.
    type: str
    choices: [simple, extended, prepared]
    default: prepared
  bin_dir:
    description: Where C(pgbench) is. Empty means that it is looked for.
    type: str
    default: ""
  previous:
    description: What an earlier run returned in RV(result).
    type: dict
    default: {}
  max_age:
    description: O(previous) is returned again if it is of the same setup and not older than this many seconds.
    type: int
    default: 0
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.source
attributes:
  check_mode:
    support: full
    description: Makes nothing and measures nothing; RV(script) is what would be run.
  diff_mode:
    support: none
    description: Leaves nothing behind.
author:
  - The Crossover authors (@crossover)
"""

EXAMPLES = r"""
- name: Measure both sides
  crossover.pgedge.benchmark:
    clients: 8
    seconds: 30
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    source:
      login_host: aurora.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
  register: measured

- name: Show the figures
  ansible.builtin.debug:
    msg: "{{ measured.table }}"
"""

RETURN = r"""
ran:
  description: Whether anything was measured, and not O(previous) returned.
  type: bool
  returned: success
  sample: true
result:
  description: The measurement; empty in check mode.
  type: dict
  returned: success
  contains:
    source:
      description:
        - Figures of the source, C(tps), C(transactions), C(failed), C(seconds), C(average_ms), C(p50_ms), C(p95_ms),
          C(p99_ms), C(max_ms).
      type: dict
      sample: {tps: 1480.2, p50_ms: 2.511, p95_ms: 4.02, p99_ms: 6.67, max_ms: 21.3}
    node:
      description: The same of the node.
      type: dict
      sample: {tps: 1630.9, p50_ms: 2.201, p95_ms: 3.91, p99_ms: 6.02, max_ms: 19.8}
    setup:
      description: What was run.
      type: dict
      sample: {clients: 4, jobs: 2, seconds: 10, rate: 0, protocol: prepared, script: "default, 3 tables, writes"}
    read_only:
      description: Whether it was measured in read-only transactions.
      type: bool
      sample: false
    at:
      description: When, in seconds since 1970 by the clock of the host where the module ran.
      type: float
      sample: 1790000000.5
summary:
  description: RV(result) as the ledger keeps it, with both throughputs at the top.
  type: dict
  returned: success
  sample: {source_tps: 1480.2, node_tps: 1630.9, source: {}, node: {}}
script:
  description: The script.
  type: str
  returned: success
  sample: "\\set n1 random(1, 1000)\nSELECT …"
table:
  description: The figures side by side.
  type: list
  elements: str
  returned: success
  sample: ["transactions a second             1480.2          1630.9          1.10"]
"""

import signal
import time
from typing import Any

from ..module_utils._ansible import Outcome, Runner, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_benchmark import Benchmark, Setup, fresh
from ..module_utils._migration_benchmark_figures import summary, table
from ..module_utils._migration_benchmark_scratch import choose
from ..module_utils._pg_catalog import Scope, server_version
from ..module_utils._pg_programs import for_servers


def setup_of(params: dict[str, Any]) -> Setup:
    """The options; a script is read here."""
    script = None
    if params["script"]:
        try:
            with open(params["script"], encoding="utf-8") as handle:
                script = handle.read()
        except (OSError, UnicodeDecodeError) as exc:
            raise CrossoverError(
                f"the script {params['script']} cannot be read: {exc}",
                code="bad_script",
                untouched="nothing was changed",
                hint="it must be on the host where the module runs, the runner",
            ) from None
    for name, least in (("clients", 1), ("jobs", 1), ("seconds", 1), ("warm_up", 0), ("tables", 0), ("rate", 0)):
        if params[name] < least:
            raise CrossoverError(
                f"{name} is {params[name]}",
                code="bad_option",
                untouched="nothing was changed",
                hint=f"give at least {least}",
            )
    names = ("clients", "jobs", "seconds", "warm_up", "rate", "protocol", "tables", "writes")
    return Setup(**{name: params[name] for name in names}, script=script)


def interrupted(*_: object) -> None:
    """Told to end, it drops its schemas on the way out."""
    raise CrossoverError("the benchmark was told to end", code="interrupted", untouched="what it had made is dropped")


def work(runner: Runner) -> Outcome:
    """Measure, unless it was done lately."""
    params = runner.params
    setup = setup_of(params)
    logins = {"source": runner.login("source"), "node": runner.login()}
    conns = {side: runner.connect(login) for side, login in logins.items()}
    versions = {side: conn.execute("SHOW server_version").fetchone()["server_version"] for side, conn in conns.items()}
    pair = (versions["source"].split()[0], versions["node"].split()[0])
    previous = params["previous"]
    if fresh(previous, setup, params["max_age"], time.time()):
        age = time.time() - float(previous["at"])
        return Outcome(
            msg=f"measured {age:.0f} s ago with the same setup, not measured again",
            result={
                "ran": False,
                "result": previous,
                "summary": summary(previous),
                "script": "",
                "table": table(previous["source"], previous["node"], pair),
            },
        )
    scope = Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"]))
    targets = choose(conns["source"], scope, setup.tables) if setup.script is None else []
    programs = for_servers(
        ["pgbench"], [server_version(conn) for conn in conns.values()], list(logins.values()), params["bin_dir"]
    )
    benchmark = Benchmark(setup, programs, logins, targets)
    if runner.check:
        return Outcome(
            msg=f"would measure each side for {setup.seconds} s with {setup.clients} clients",
            result={"ran": False, "result": {}, "summary": {}, "script": benchmark.text, "table": []},
        )
    signal.signal(signal.SIGTERM, interrupted)
    figures = benchmark.run()
    result = {**figures, "setup": setup.fingerprint(), "read_only": benchmark.read_only, "at": time.time()}
    return Outcome(
        msg="{:.0f} transactions a second on the source, {:.0f} on the node".format(
            figures["source"]["tps"], figures["node"]["tps"]
        ),
        result={
            "ran": True,
            "result": result,
            "summary": summary(result),
            "script": benchmark.text,
            "table": table(figures["source"], figures["node"], pair),
        },
    )


def main() -> None:
    """Entry point."""
    run_module(
        {
            **source_option(),
            "script": {"type": "path"},
            "writes": {"type": "bool", "default": True},
            "tables": {"type": "int", "default": 3},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "clients": {"type": "int", "default": 4},
            "jobs": {"type": "int", "default": 2},
            "seconds": {"type": "int", "default": 10},
            "warm_up": {"type": "int", "default": 2},
            "rate": {"type": "float", "default": 0},
            "protocol": {"type": "str", "choices": ["simple", "extended", "prepared"], "default": "prepared"},
            "bin_dir": {"type": "str", "default": ""},
            "previous": {"type": "dict", "default": {}},
            "max_age": {"type": "int", "default": 0},
        },
        work,
    )


if __name__ == "__main__":
    main()
