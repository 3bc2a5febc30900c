#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: table_compare
short_description: Compare the tables of source and node, while they are written
version_added: "0.1.0"
description:
  - Compares every table of the scope by hash sums that both servers compute at the same time; rows do not leave the
    servers. Ranges of the key whose sums differ are narrowed down until the differing keys are known.
  - A key that differs is looked at again, several times, each time after both sides have passed a barrier. What turns
    out equal was in flight; what stays different is a difference.
  - Partitions are compared one by one. A table without a primary key (or a unique index on columns that cannot be null)
    is compared as a set with repetitions.
  - The order of columns may differ. A table or a column that only one side has is a difference.
  - Unlogged tables are not replicated and are left out, see RV(left_out).
options:
  name:
    description:
      - Name of the migration, from which the names of its subscriptions follow and under which progress is written.
      - If not given, the name of the source's database.
    type: str
  landing_node:
    description: Name of the landing node, as the migration's objects have it.
    type: str
    default: n1
  schemas:
    description: The schemas to compare. Empty means all that are not the server's own.
    type: list
    elements: str
    default: []
  tables:
    description: Compare only these tables, as C(schema.table). A partitioned table stands for its partitions.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Leave these tables out, as C(schema.table). A partitioned table stands for its partitions.
    type: list
    elements: str
    default: []
  publication:
    description:
      - Compare only what this publication of the source holds, with its column lists and row filters.
    type: str
    default: ""
  mode:
    description:
      - V(semantic) compares values as PostgreSQL does, so 1.0 is 1.00 and the order of keys in a jsonb does not count.
        Text is always compared by its bytes, also where a collation ignores case.
      - V(exact) compares the text of every value, so 1.0 is not 1.00.
    type: str
    default: semantic
    choices: [semantic, exact]
  partitions:
    description:
      - V(each) compares every partition with the partition of the same name, V(whole) each partitioned table as one,
        for sides that are partitioned differently. A table that is partitioned on one side only is compared as one
        in any case.
    type: str
    default: each
    choices: [each, whole]
  jobs:
    description: How many ranges are compared at a time. Each takes one connection on either side.
    type: int
    default: 2
  chunk_rows:
    description: How many rows a range should have.
    type: int
    default: 100000
  barrier:
    description:
      - Look at differences again behind a barrier. Turn it off where nothing replicates and nothing writes.
    type: bool
    default: true
  subscription:
    description:
      - The subscription that carries the canary table, if it is not the migration's own.
    type: str
    default: ""
  recheck_attempts:
    description: How often a key is looked at again while its row changes.
    type: int
    default: 10
  recheck_timeout:
    description: How long to wait for a barrier, and for keys to settle, in seconds.
    type: int
    default: 60
  max_differences:
    description:
      - How many differences are named in RV(differences). All are counted, up to 10000 in one table.
    type: int
    default: 100
  mask_columns:
    description:
      - Columns whose values must not be shown where they are part of a key, or of a row without one, as C(column) or
        C(schema.table.column). Values of other columns are never shown.
    type: list
    elements: str
    default: []
  max_age:
    description:
      - A comparison of the same scope that the ledger remembers is returned instead of a new one if it said V(equal),
        began no longer ago than this, in seconds, and no tables were copied and no sides switched since.
      - V(0) compares in any case, but for RV(attached).
    type: int
    default: 0
  fail_on_difference:
    description: Whether the task fails when RV(verdict) is not V(equal).
    type: bool
    default: true
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.source
  - crossover.pgedge.login.publishing_node
attributes:
  check_mode:
    support: full
    description: Lists the tables with their estimated rows and reads none of them.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
notes:
  - Reads only, but for what is in schema C(crossover), a canary row on the side that publishes, and progress and result
    in the ledger on the node.
  - One comparison at a time works on a migration. A second one shows the progress of the first and waits for it.
  - The login needs SELECT on every table, and C(BYPASSRLS) where row-level security would hide rows. A table that
    cannot be read is never taken for equal.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.migration
"""

EXAMPLES = r"""
- name: Compare everything, under load
  crossover.pgedge.table_compare:
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
  register: compared

- name: Compare two tables of databases at rest, bit for bit
  crossover.pgedge.table_compare:
    tables: [public.orders, public.customers]
    mode: exact
    barrier: false
    mask_columns: [email]
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    source:
      login_host: restored.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
"""

RETURN = r"""
state:
  description:
    - A name for the copy that was compared. It changes when tables are copied or sides are switched.
    - Empty where nothing is replicated.
  type: str
  returned: success
  sample: 0 16432 5f1c3ac1e0b9b4a4b1cf1b1a4f2c7a55
verdict:
  description:
    - V(equal), V(different) or V(could not compare); the last also where nothing was in the scope.
    - In check mode V(not compared).
  type: str
  returned: always
  sample: equal
ran:
  description: Whether anything was compared now; V(false) in check mode and where O(max_age) let the last result stand.
  type: bool
  returned: always
  sample: true
attached:
  description:
    - Whether another comparison of the migration was running, and this one waited for it. If that one had the same
      scope, its result is returned.
  type: bool
  returned: always
  sample: false
age:
  description: How long ago the comparison began, in seconds; V(0) if it ran now.
  type: float
  returned: always
  sample: 0
tables:
  description: Every table, in the order of its name.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The table.
      type: str
      sample: public.orders
    rows:
      description: Rows on the source; in check mode an estimate.
      type: int
      sample: 1000000
    rows_node:
      description: Rows on the node.
      type: int
      sample: 1000000
    differences:
      description: How many rows and columns differ.
      type: int
      sample: 0
    in_flight:
      description: How many keys differed and were equal behind a barrier.
      type: int
      sample: 3
    seconds:
      description: How long it took.
      type: float
      sample: 1.5
    verdict:
      description: As RV(verdict), for the table.
      type: str
      sample: equal
    reason:
      description: Why, in one sentence; empty for a table that is simply equal.
      type: str
      sample: ""
differences:
  description: The first O(max_differences) differences, from every table in turn.
  type: list
  elements: dict
  returned: always
  contains:
    table:
      description: The table.
      type: str
      sample: public.orders
    key:
      description:
        - The key's columns and their values as text. For a row without a key the beginning of its values.
        - Null for a table or column that is missing.
      type: dict
      sample: {"id": "4711"}
    kind:
      description: V(missing) in the node, V(extra) in the node, or V(different).
      type: str
      sample: different
    columns:
      description: The columns that differ.
      type: list
      elements: str
      sample: [amount]
    count:
      description: How many copies of the row are missing or extra; 1 where there is a key.
      type: int
      sample: 1
left_out:
  description: Tables that were left out, with RV(ignore:name) and RV(ignore:reason).
  type: list
  elements: dict
  returned: always
  sample: []
totals:
  description:
    - RV(ignore:tables), RV(ignore:rows), RV(ignore:differences), RV(ignore:in_flight), RV(ignore:bytes) (of the
      tables on the source), RV(ignore:seconds) and RV(ignore:rows_per_second).
  type: dict
  returned: always
  sample: {"tables": 41, "rows": 1000000, "differences": 0, "in_flight": 3, "seconds": 1.5, "rows_per_second": 666667}
screen:
  description: The result for people, at 80 columns.
  type: list
  elements: str
  returned: always
  sample: ["table                                 rows    differ in flight  verdict"]
msg:
  description: The verdict in one sentence.
  type: str
  returned: always
  sample: "equal: 41 table(s), 1000000 rows, 3 in flight, 1.5 s"
"""

from contextlib import ExitStack
from typing import Any

from ..module_utils._ansible import Outcome, Runner, login_spec, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_compare import Comparison, Options
from ..module_utils._migration_compare_barrier import CompareBarrier
from ..module_utils._migration_compare_ledger import attach, now, recall, remember, scope_of
from ..module_utils._migration_compare_mesh import MeshBarrier
from ..module_utils._migration_compare_report import EQUAL, message, screen
from ..module_utils._migration_compare_scope import NODE, Wanted
from ..module_utils._migration_control import read
from ..module_utils._migration_copied import copied_state
from ..module_utils._migration_ledger import Ledger
from ..module_utils._migration_names import Names
from ..module_utils._migration_progress import COMPARE, Progress
from ..module_utils._migration_turn import take_turn

# option -> the least value that makes sense
LEAST = {"jobs": 1, "chunk_rows": 1, "recheck_attempts": 1, "recheck_timeout": 1, "max_differences": 0}


def options(params: dict[str, Any]) -> Options:
    """The domain's options from the module's."""
    for name, least in LEAST.items():
        if params[name] < least:
            what = f"{name} is {params[name]}, and the least is {least}"
            raise CrossoverError(what, code="bad_value", object=name, untouched="nothing was compared")
    wanted = Wanted(
        schemas=tuple(params["schemas"]),
        tables=tuple(params["tables"]),
        exclude_tables=tuple(params["exclude_tables"]),
        publication=params["publication"],
        whole_partitioned=params["partitions"] == "whole",
        exact=params["mode"] == "exact",
    )
    return Options(
        wanted, params["jobs"], params["chunk_rows"], params["recheck_attempts"], params["recheck_timeout"],
        params["max_differences"], tuple(params["mask_columns"]),
    )  # fmt: skip


def work(runner: Runner) -> Outcome:
    """Compare, or in check mode list."""
    params, source, node = runner.params, runner.login("source"), runner.login()
    mesh = params["publishing_node"] is not None
    first = runner.login("publishing_node").at(label="publishing node") if mesh else source
    wanted = options(params)
    name = params["name"] or source.database
    ledger, scope = Ledger(runner.connect(node), name), scope_of(params)
    state = copied_state(runner.connect(source), ledger.conn, name, params["landing_node"])
    if mesh:
        state, scope = _crossings(runner.connect(source), name), {**scope, "mesh": first.host + str(first.port)}
    if last := recall(ledger, scope, params["max_age"], state):
        text = f"{message(last)}; compared {last['age']:.0f} s ago"
        return Outcome(msg=text, result={**last, "ran": False, "attached": False, "screen": screen(last)})
    if runner.check:
        listed = Comparison(first, node, wanted, None).listed()
        text = f"would compare {listed['totals']['tables']} table(s), about {listed['totals']['rows']} rows"
        listed = {**listed, "ran": False, "attached": False, "age": 0.0, "state": state, "screen": screen(listed)}
        return Outcome(msg=text, result=listed)
    take_turn(ledger.conn, name, "compare", shared=True)
    attached, last = attach(ledger, scope, state)
    if last:
        return told(params, last, ran=False, attached=True)
    begun = now(ledger)
    with ExitStack() as stack:
        barrier: CompareBarrier | MeshBarrier | None = None
        follower = NODE
        if params["barrier"]:
            names, seconds = Names.of(name, params["landing_node"]), params["recheck_timeout"]
            if mesh:
                barrier = MeshBarrier(first, node, seconds)
            else:
                barrier = CompareBarrier(source, node, names, params["subscription"], seconds)
            stack.callback(barrier.close)
            follower = barrier.subscriber
        progress = Progress(node, name, COMPARE, "rows")
        stack.callback(progress.close)
        result = Comparison(first, node, wanted, barrier, progress, follower).run()
    result = {**result, "state": state}
    remember(ledger, scope, begun, result)
    return told(params, {**result, "age": 0.0}, ran=True, attached=attached)


def _crossings(source: Any, name: str) -> str:
    """What is compared between nodes: it counts until the next switch."""
    control = read(source, name)
    return f"{control.crossings if control else 0} mesh"


def told(params: dict[str, Any], result: dict[str, Any], ran: bool, attached: bool) -> Outcome:
    """What was found now, by this run or by the one that it has waited for."""
    return Outcome(
        msg=message(result) + ("" if ran else f"; compared by another run, begun {result['age']:.0f} s ago"),
        failed=params["fail_on_difference"] and result["verdict"] != EQUAL,
        result={**result, "ran": ran, "attached": attached, "screen": screen(result)},
    )


def main() -> None:
    """Entry point."""
    names = {"type": "list", "elements": "str", "default": []}
    run_module(
        {
            **source_option(),
            "name": {"type": "str"},
            "landing_node": {"type": "str", "default": "n1"},
            "publishing_node": {"type": "dict", "options": login_spec()},
            "schemas": names,
            "tables": names,
            "exclude_tables": names,
            "publication": {"type": "str", "default": ""},
            "mode": {"type": "str", "default": "semantic", "choices": ["semantic", "exact"]},
            "partitions": {"type": "str", "default": "each", "choices": ["each", "whole"]},
            "jobs": {"type": "int", "default": 2},
            "chunk_rows": {"type": "int", "default": 100000},
            "barrier": {"type": "bool", "default": True},
            "subscription": {"type": "str", "default": ""},
            "recheck_attempts": {"type": "int", "default": 10},
            "recheck_timeout": {"type": "int", "default": 60},
            "max_differences": {"type": "int", "default": 100},
            "mask_columns": names,
            "max_age": {"type": "int", "default": 0},
            "fail_on_difference": {"type": "bool", "default": True},
        },
        work,
    )


if __name__ == "__main__":
    main()
