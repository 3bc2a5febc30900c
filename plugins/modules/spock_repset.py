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
        condition) and C(include_partitions) (a partitioned table's partitions too; V(true) by default).
      - Names are written as in SQL, with their schema, quoted where PostgreSQL would quote them.
      - A filter that PostgreSQL shows in the same way as the one that is there is no change.
      - To give a partition a column list or filter of its own, name it as a table.
    type: list
    elements: raw
  sequences:
    description: Sequences that shall be in the set. Spock sends their positions only when it is told to.
    type: list
    elements: str
  exact:
    description:
      - Take out tables (if O(tables) is given) and sequences (if O(sequences) is given) that are not named. Partitions of
        a named table stay.
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
  sample: ["SELECT spock.repset_add_table('default', 'shop.customer'::regclass, synchronize_data := false)"]
repset:
  description: The set as it is now; in check mode as it would be. Empty when it is absent.
  type: dict
  returned: always
  sample: {name: default, replicate_insert: true, tables: {shop.customer: {columns: null, row_filter: null}}, sequences: []}
spock:
  description: Version of Spock.
  type: str
  returned: always
  sample: 5.0.11
"""

from dataclasses import replace
from typing import Any

from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._pg_connect import Login
from ..module_utils._pg_sql import Statement, quote_literal
from ..module_utils._replication_apply import apply
from ..module_utils._spock_node import local_node
from ..module_utils._spock_repset import (
    OPERATIONS,
    Member,
    Repset,
    plan,
    predicted,
    read,
    refuse_without_index,
    resolve,
    settle_filters,
)
from ..module_utils._spock_version import require_spock

KEYS = {"name", "columns", "row_filter", "include_partitions"}
OURS = ("default", "default_insert_only", "ddl_sql")
# every partition below the given tables
_PARTITIONS = (
    "SELECT relid::regclass::text AS name FROM unnest(%s::text[]) w, pg_partition_tree(w::regclass) WHERE level > 0"
)


def members(conn: Any, entries: list[Any], login: Login) -> dict[str, Member]:
    """The tables as asked for, by the name that PostgreSQL shows."""
    found: dict[str, Member] = {}
    for entry in entries:
        table = entry if isinstance(entry, dict) else {"name": str(entry)}
        if (wrong := set(table) - KEYS) or not table.get("name"):
            what = f"has {', '.join(sorted(wrong))}" if wrong else "lacks a name"
            raise CrossoverError(
                f"an entry of tables {what}",
                code="bad_option",
                untouched="nothing was changed",
                hint=f"an entry is a name, or a dict with {', '.join(sorted(KEYS))}",
            )
        columns = table.get("columns")
        found[str(table["name"])] = Member(
            tuple(str(column) for column in columns) if columns else None,
            table.get("row_filter") or None,
            table.get("include_partitions") is not False,
        )
    shown = resolve(conn, found, "table(s) are", login)
    return {shown[name]: member for name, member in found.items()}


def with_partitions(conn: Any, want: Repset, there: Repset | None) -> Repset:
    """What is in the set because its parent is wanted is wanted too: exact does not take it out."""
    parents = [name for name, member in want.tables.items() if member.partitions]
    rows = conn.execute(_PARTITIONS, [parents]) if parents else []
    known = there.tables if there else {}
    kept = {row["name"]: known[row["name"]] for row in rows if row["name"] in known}
    return replace(want, tables={**kept, **want.tables})


def present(runner: Runner, conn: Any, login: Login, actual: Repset | None) -> Outcome:
    """Create or change it."""
    params = runner.params
    tables = members(conn, params["tables"] or [], login)
    sequences = tuple(resolve(conn, params["sequences"] or [], "sequence(s) are", login).values())
    operations = {operation: params[f"replicate_{operation}"] for operation in OPERATIONS}
    want = settle_filters(conn, Repset(params["name"], operations, tables, sequences), actual)
    if params["exact"]:
        want = with_partitions(conn, want, actual)
        if actual and params["tables"] is None:
            want = replace(want, tables=actual.tables)
        if actual and params["sequences"] is None:
            want = replace(want, sequences=actual.sequences)
    after = predicted(want, actual, params["exact"])
    refuse_without_index(conn, want, after.operations, login)
    steps = plan(want, actual, params["exact"])
    if steps and not runner.check:
        apply(conn, login, steps, f"the set {params['name']} could not be changed", together=True)
        after = read(conn, params["name"]) or after
    return Outcome(bool(steps), queries=steps, before=actual.shown() if actual else {}, after=after.shown())


def absent(runner: Runner, conn: Any, login: Login, actual: Repset | None) -> Outcome:
    """Drop it."""
    name = runner.params["name"]
    if actual is None:
        return Outcome(before={}, after={})
    if name in OURS:
        raise CrossoverError(
            f"{name} is one of Spock's own sets, which cannot be dropped",
            code="bad_option",
            server=str(login),
            untouched="nothing was changed",
            hint="empty it: tables: [], exact: true",
        )
    steps = [Statement.of(f"SELECT spock.repset_drop({quote_literal(name)})")]
    if not runner.check:
        apply(conn, login, steps, f"the set {name} could not be dropped")
    return Outcome(True, queries=steps, before=actual.shown(), after={})


def work(runner: Runner) -> Outcome:
    """Read, plan, apply."""
    login = runner.login(label="server")
    conn = runner.connect(login)
    version = require_spock(conn, login)
    if local_node(conn) is None:
        raise CrossoverError(
            "this database is no Spock node yet, and sets belong to a node",
            code="no_node",
            server=str(login),
            untouched="nothing was changed",
            hint="run crossover.pgedge.spock_node, or the playbook crossover.pgedge.mesh, first",
        )
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
