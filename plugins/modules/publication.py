#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: publication
short_description: Create, change or drop a publication
version_added: "0.1.0"
description:
  - Manages one publication of one database.
  - Takes the options of M(community.postgresql.postgresql_publication) with the same meaning, and compares every
    parameter, column list and row filter with what is there, so that the same input twice changes nothing.
  - The whole change is one transaction.
options:
  name:
    description: Name of the publication.
    type: str
    required: true
  state:
    description: Whether the publication is there.
    type: str
    default: present
    choices: [absent, present]
  tables:
    description:
      - The tables to publish, each C(table) (in schema C(public)) or C(schema.table). Names keep their case; parts that
        hold dots, quotes or spaces are written in double quotes.
      - Tables that the publication has beyond these are taken out of it.
      - Without this, O(columns) and O(tables_in_schema), a new publication is C(FOR ALL TABLES), and an existing one
        keeps its tables.
    type: list
    elements: str
  columns:
    description: Like O(tables), with the columns to publish for each; an empty value publishes the whole table.
    type: dict
  rowfilters:
    description:
      - Row filters, an SQL condition for a table of O(tables) or O(columns), with or without C(WHERE).
      - A filter that PostgreSQL would show in the same way as the one that is there is no change.
    type: dict
  tables_in_schema:
    description: Schemas that are published with all their tables. An empty list takes all schemas out.
    type: list
    elements: str
  parameters:
    description:
      - The parameters C(publish), C(publish_via_partition_root) (PostgreSQL 13) and C(publish_generated_columns)
        (PostgreSQL 18).
    type: dict
  owner:
    description: Owner of the publication.
    type: str
  cascade:
    description: With O(state=absent), drop what depends on it too.
    type: bool
    default: false
  comment:
    description: Comment on the publication; an empty string removes it.
    type: str
  trust_input:
    description:
      - With V(false), values that look like SQL are refused, as in community.postgresql. Names and values are quoted
        whatever this says; row filters are SQL.
    type: bool
    default: true
extends_documentation_fragment:
  - crossover.pgedge.login
attributes:
  check_mode:
    support: full
    description: Nothing is changed. RV(queries) is what would run.
  diff_mode:
    support: full
    description: Shows the publication before and after.
  idempotent:
    support: full
    description: The same input twice changes nothing.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.subscription
  - module: crossover.pgedge.replication_info
  - name: CREATE PUBLICATION
    description: PostgreSQL's documentation of the statement.
    link: https://www.postgresql.org/docs/current/sql-createpublication.html
"""

EXAMPLES = r"""
- name: Publish two tables
  crossover.pgedge.publication:
    login_host: db.example.com
    login_user: crossover
    login_password: "{{ source_password }}"
    login_db: shop
    name: crossover_shop
    tables:
      - orders
      - billing.Invoices

- name: Publish some columns and rows, partitions under the name of their root
  crossover.pgedge.publication:
    login_db: shop
    name: reporting
    columns:
      customers: [id, country]
      orders:
    rowfilters:
      orders: total > 100
    parameters:
      publish: insert, update
      publish_via_partition_root: true

- name: Drop it
  crossover.pgedge.publication:
    login_db: shop
    name: reporting
    state: absent
"""

RETURN = r"""
exists:
  description: Whether the publication is there in the end.
  type: bool
  returned: success
  sample: true
queries:
  description: The statements that were run, or in check mode would be.
  type: list
  elements: str
  returned: success
  sample: ['CREATE PUBLICATION "acme" FOR TABLE "public"."prices"']
owner:
  description: Its owner.
  type: str
  returned: unless it was dropped
  sample: alice
tables:
  description: Its tables, quoted; empty when all tables are published.
  type: list
  elements: str
  returned: unless it was dropped
  sample: ['"public"."prices"']
alltables:
  description: Whether it publishes all tables.
  type: bool
  returned: unless it was dropped
  sample: false
schemas:
  description: The schemas that it publishes as a whole.
  type: list
  elements: str
  returned: unless it was dropped
  sample: []
columns:
  description: The columns that it publishes of each table (PostgreSQL 15 and newer).
  type: dict
  returned: unless it was dropped
  sample: {'"public"."prices"': [id, amount]}
rowfilters:
  description: The row filter of each table that has one, as PostgreSQL shows it.
  type: dict
  returned: unless it was dropped
  sample: {'"public"."prices"': '(amount > 10)'}
parameters:
  description: Its parameters.
  type: dict
  returned: unless it was dropped
  sample: {publish: {insert: true, update: true, delete: true, truncate: true}, publish_via_partition_root: false}
comment:
  description: The comment on it, empty if there is none.
  type: str
  returned: unless it was dropped
  sample: ""
"""

from typing import Any

from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._replication_apply import apply, check_input, ignored
from ..module_utils._replication_publication import drop, plan, predicted, read, settle_filters, shown
from ..module_utils._replication_publication_wanted import (
    PARAMETERS,
    Member,
    Wanted,
    parameter_text,
    row_filter,
    table_name,
)


def wanted(params: dict[str, Any]) -> tuple[Wanted, list[str]]:
    """The options as the domain wants them, and warnings."""
    filters = {table_name(t): row_filter(str(f)) for t, f in (params["rowfilters"] or {}).items()}
    lists = params["columns"] or dict.fromkeys(params["tables"] or [])
    members = {
        table_name(t): Member(
            tuple(str(c).strip() for c in columns) if columns else None, filters.pop(table_name(t), None)
        )
        for t, columns in lists.items()
    }
    warnings = [
        f"rowfilters of {'.'.join(name)} is ignored: the table is not among those to publish" for name in filters
    ]
    schemas = params["tables_in_schema"]
    return Wanted(
        name=params["name"],
        members=members or None,
        by_columns=bool(params["columns"]),
        schemas=None if schemas is None else tuple(schemas),
        parameters={name: parameter_text(name, value) for name, value in (params["parameters"] or {}).items()},
        owner=params["owner"],
        comment=params["comment"],
    ), warnings


def check_version(params: dict[str, Any], version: int, server: str) -> None:
    """What this server's version does not have is an error before anything runs."""
    needs = {"Publication of tables in schema": "tables_in_schema", "Publication of columns": "columns"}
    needs["Row filtering"] = "rowfilters"
    late = [
        f"{what} is supported by PostgreSQL 15 or greater"
        for what, option in needs.items()
        if params[option] is not None
    ]
    if version >= 150000:
        late = []
    for name in params["parameters"] or {}:
        if version < PARAMETERS[name][1]:
            late.append(f"{name} is supported by PostgreSQL {PARAMETERS[name][1] // 10000} or greater")
    if late:
        raise CrossoverError(late[0], code="too_old", server=server, untouched="nothing was changed")


def work(runner: Runner) -> Outcome:
    """Read, plan, apply."""
    params, name = runner.params, runner.params["name"]
    present = params["state"] == "present"
    if not params["trust_input"]:
        check_input(*(params[o] for o in ("name", "tables", "owner", "session_role", "parameters", "comment")))
    want, warnings = wanted(params)
    warnings += ignored(params["state"], params, ("tables", "columns", "parameters", "owner"), "present")
    warnings += ignored(params["state"], params, ("cascade",), "absent")

    login = runner.login(label="server")
    conn = runner.connect(login)
    check_version(params, conn.info.server_version, str(login))
    actual = read(conn, name)
    if present:
        want = settle_filters(conn, want, actual)
        queries = plan(want, actual)
    else:
        queries = drop(name, params["cascade"]) if actual else []
    doing = f"the publication {name} could not be {'dropped' if not present else 'changed' if actual else 'created'}"
    if not runner.check:
        apply(conn, login, queries, doing, together=True)

    before = shown(actual) if actual else None
    after = (predicted(want, before) if queries else before) if present else None
    if not runner.check:
        actual = read(conn, name)
        after = shown(actual) if actual else None
    result = {"exists": actual is not None, **(shown(actual) if actual or present or runner.check else {})}
    return Outcome(bool(queries), queries=queries, before=before, after=after, result=result, warnings=warnings)


def main() -> None:
    """Entry point."""
    run_module(
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["absent", "present"]},
            "tables": {"type": "list", "elements": "str"},
            "columns": {"type": "dict"},
            "rowfilters": {"type": "dict"},
            "tables_in_schema": {"type": "list", "elements": "str"},
            "parameters": {"type": "dict"},
            "owner": {"type": "str"},
            "cascade": {"type": "bool", "default": False},
            "comment": {"type": "str"},
        },
        work,
        mutually_exclusive=[("tables", "tables_in_schema", "columns"), ("rowfilters", "tables_in_schema")],
    )


if __name__ == "__main__":
    main()
