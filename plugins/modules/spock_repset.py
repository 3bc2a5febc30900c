#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: spock_repset
short_description: Manage a replication set of a pgEdge node
version_added: "0.1.0"
description:
  - Manages one replication set of the Spock node of a database, which operations it replicates, and its tables and
    sequences. A set belongs to its node, so each node of a mesh has one of that name of its own.
  - A set that replicates updates or deletes takes only tables with an index as replica identity. Others belong into
    C(default_insert_only), whose updates and deletes stay on their node without an error.
  - The data is not copied; that is O(ignore:synchronize_data) of M(crossover.pgedge.spock_subscription).
options:
  name:
    description: Name of the set.
    type: str
    required: true
  state:
    description: V(absent) drops the set. The sets that Spock itself makes cannot be dropped.
    type: str
    default: present
    choices: [absent, present]
  replicate_insert:
    description: Whether inserts are replicated. A new set replicates them; an existing one is left as it is.
    type: bool
  replicate_update:
    description: The same for updates.
    type: bool
  replicate_delete:
    description: The same for deletes.
    type: bool
  replicate_truncate:
    description: The same for TRUNCATE.
    type: bool
  tables:
    description:
      - Tables that shall be in the set, each a name or a dict with C(name), C(columns) (a list), C(row_filter) (an SQL
        condition) and C(include_partitions) (whether a partitioned table brings its partitions; V(true) by default).
      - Names as in M(crossover.pgedge.publication). C(orders) is C(public.orders), and double quotes are needed around
        a part with a dot in it only.
      - A table that is there with other columns or another filter is taken out and put in again, in one transaction. A
        filter that means the same to PostgreSQL, however written, is no change.
      - A partition that was made since comes in when the module runs again. To give one a column list or a filter of
        its own, name it as well.
    type: list
    elements: raw
  sequences:
    description: Sequences that shall be in the set. Spock sends their positions only when it is told to.
    type: list
    elements: str
  exact:
    description:
      - Without it, tables and sequences are added and changed, and none leaves the set. With it, those that are not
        named leave it, as from a publication - tables if O(tables) is given, sequences if O(sequences) is.
    type: bool
    default: false
extends_documentation_fragment:
  - crossover.pgedge.login
attributes:
  check_mode:
    support: full
    description: Nothing is changed. RV(queries) is what would run.
  diff_mode:
    support: full
    description: The set before and after.
  idempotent:
    support: full
    description: The same input twice changes nothing.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.spock_node
  - module: crossover.pgedge.spock_subscription
"""

EXAMPLES = r"""
- name: Orders of the region are replicated
  crossover.pgedge.spock_repset:
    name: default
    tables:
      - shop.customer
      - name: shop.orders
        columns: [id, customer, total, region]
        row_filter: region = 'EU'
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
"""

RETURN = r"""
queries:
  description: The statements, the same in check mode.
  type: list
  elements: str
  returned: always
  sample: ["SELECT spock.repset_drop('eu')"]
repset:
  description: The set as it is now; in check mode as it would be. Empty when it is absent.
  type: dict
  returned: always
  sample:
    name: default
    replicate_insert: true
    replicate_update: true
    replicate_delete: true
    replicate_truncate: true
    tables: {shop.customer: {columns: null, row_filter: null}}
    sequences: []
spock:
  description: Version of Spock.
  type: str
  returned: always
  sample: 5.0.11
"""

from typing import Any

from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._pg_connect import Login
from ..module_utils._replication_apply import apply
from ..module_utils._spock_node import require_node
from ..module_utils._spock_repset import (
    OPERATIONS,
    OWN_SETS,
    Member,
    Repset,
    drop,
    plan,
    predicted,
    read,
    refuse_without_index,
    resolve,
    settle_filters,
    with_partitions,
)
from ..module_utils._spock_version import require_spock

KEYS = {"name", "columns", "row_filter", "include_partitions"}


def entry(given: Any) -> dict[str, Any]:
    """One entry of O(tables) as a dict."""
    table = dict(given) if isinstance(given, dict) else {"name": given}
    wrong = sorted(set(table) - KEYS)
    if wrong or not table.get("name"):
        raise CrossoverError(
            f"an entry of tables {'has ' + ', '.join(wrong) if wrong else 'has no name'}",
            code="bad_option",
            untouched="nothing was changed",
            hint=f"an entry is a name, or a dict with {', '.join(sorted(KEYS))}",
        )
    return table


def members(conn: Any, given: list[Any], login: Login) -> dict[str, Member]:
    """The tables as asked for, with their partitions."""
    entries = {str(table["name"]): table for table in map(entry, given)}
    shown = resolve(conn, entries, login)
    found, parents = {}, []
    for name, table in entries.items():
        columns = tuple(str(column) for column in table.get("columns") or ())
        found[shown[name]] = Member(columns or None, table.get("row_filter") or None)
        if table.get("include_partitions") is not False:
            parents.append(shown[name])
    return with_partitions(conn, found, parents)


def present(runner: Runner, conn: Any, login: Login, actual: Repset | None) -> Outcome:
    """Create or change it."""
    params = runner.params
    want = Repset(
        params["name"],
        {operation: params[f"replicate_{operation}"] for operation in OPERATIONS},
        members(conn, params["tables"], login) if params["tables"] is not None else None,
        list(resolve(conn, params["sequences"], login, "sequence", "S").values())
        if params["sequences"] is not None
        else None,
    )
    want = settle_filters(conn, want, actual)
    after = predicted(want, actual, params["exact"])
    warnings = refuse_without_index(conn, want, actual, after, login)
    steps = plan(want, actual, params["exact"])
    if steps and not runner.check:
        apply(conn, login, steps, f"the set {params['name']} could not be changed", together=True)
        after = read(conn, params["name"]) or after
    before = actual.shown() if actual else {}
    return Outcome(bool(steps), queries=steps, before=before, after=after.shown(), warnings=warnings)


def absent(runner: Runner, conn: Any, login: Login, actual: Repset | None) -> Outcome:
    """Drop it."""
    name = runner.params["name"]
    if actual is None:
        return Outcome(before={}, after={})
    if name in OWN_SETS:
        raise CrossoverError(
            f"{name} is one of the sets that Spock itself makes, and is not dropped",
            code="bad_option",
            object=name,
            server=str(login),
            untouched="nothing was changed",
            hint="empty it with tables: [], sequences: [] and exact: true",
        )
    steps = [drop(name)]
    if not runner.check:
        apply(conn, login, steps, f"the set {name} could not be dropped")
    return Outcome(True, queries=steps, before=actual.shown(), after={})


def work(runner: Runner) -> Outcome:
    """Read, plan, apply."""
    login = runner.login(label="server")
    conn = runner.connect(login)
    version = require_spock(conn, login)
    require_node(conn, login, "a replication set")
    actual = read(conn, runner.params["name"])
    outcome = {"present": present, "absent": absent}[runner.params["state"]](runner, conn, login, actual)
    outcome.result.update(repset=outcome.after, spock=version.text)
    return outcome


def main() -> None:
    """Entry point."""
    run_module(
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["absent", "present"]},
            **{f"replicate_{operation}": {"type": "bool"} for operation in OPERATIONS},
            "tables": {"type": "list", "elements": "raw"},
            "sequences": {"type": "list", "elements": "str"},
            "exact": {"type": "bool", "default": False},
        },
        work,
    )


if __name__ == "__main__":
    main()
