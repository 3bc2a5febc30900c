#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fence
short_description: Keep application writes out of one side of a migration
version_added: "0.1.0"
description:
  - Manages what a migration needs on one server, the schema C(crossover) with a canary table and a statement trigger on
    every table that refuses writes, for owners and superusers too. Apply workers of logical replication pass it.
  - Triggers are made with a short lock timeout and retries, so that no writer waits behind them for long.
options:
  name:
    description: Name of the migration.
    type: str
    required: true
  state:
    description: V(absent) drops the triggers, and the schema C(crossover) where O(drop_schema) says so.
    type: str
    default: present
    choices: [present, absent]
  enabled:
    description:
      - Whether the fence is on. If not given, a new trigger is off and an existing one is left as it is.
    type: bool
  control:
    description: Make the control row too. For the source only.
    type: bool
    default: false
  drop_schema:
    description: With O(state=absent), drop the schema C(crossover) and all in it, the ledger included.
    type: bool
    default: false
  expect:
    description:
      - With O(state=absent) on the source, fail unless the control row names this side as the writable one, or there is
        no control row.
    type: str
    choices: [source, node]
  schemas:
    description: The schemas of the migration. Empty means all.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Tables that are not part of the migration, as C(schema.table).
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - crossover.pgedge.login
attributes:
  check_mode:
    support: full
    description: Nothing is changed. RV(queries) is what would run.
  diff_mode:
    support: full
    description: Shows the fence before and after.
author:
  - The Crossover authors (@crossover)
"""

EXAMPLES = r"""
- name: Prepare the source, with the fence off
  crossover.pgedge.fence:
    name: shop
    control: true
    enabled: false
    login_host: aurora.example.com
    login_user: crossover
    login_password: "{{ source_password }}"
    login_db: shop
"""

RETURN = r"""
queries:
  description: The statements, the same in check mode.
  type: list
  elements: str
  returned: always
  sample: ["CREATE SCHEMA IF NOT EXISTS crossover"]
fenced:
  description: How many tables have an enabled fence now.
  type: int
  returned: always
  sample: 42
tables:
  description: How many tables there are.
  type: int
  returned: always
  sample: 42
"""

from typing import Any

from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_control import create, read
from ..module_utils._migration_fence import apply_gently, base_plan, plan, removal, triggers
from ..module_utils._pg_catalog import Scope, tables
from ..module_utils._pg_connect import driver, sql_error
from ..module_utils._pg_sql import Statement


def statements(conn: Any, params: dict[str, Any], found: list[Any]) -> list[Statement]:
    """The plan."""
    existing = triggers(conn)
    if params["state"] == "absent":
        steps = removal(found, existing)
        there = conn.execute("SELECT to_regnamespace('crossover') IS NOT NULL AS there").fetchone()["there"]
        return steps + ([Statement.of("DROP SCHEMA crossover CASCADE")] if there and params["drop_schema"] else [])
    wanted = params["enabled"]
    new = [t for t in found if t.oid not in existing]
    kept = [t for t in found if t.oid in existing] if wanted is not None else []
    steps = base_plan(conn, params["control"])
    return steps + plan(new, existing, bool(wanted)) + plan(kept, existing, bool(wanted))


def work(runner: Runner) -> Outcome:
    """Plan, apply, and tell what is there."""
    params = runner.params
    login = runner.login(label="server")
    conn = runner.connect(login)
    control = read(conn, params["name"])
    if params["state"] == "absent" and params["expect"] and control and control.writable != params["expect"]:
        raise CrossoverError(
            f"by the control row the {control.writable} is the writable side, expected was the {params['expect']}",
            code="epoch_taken",
            server=str(login),
            untouched="the fence and the control row stay",
            hint="the sides were switched meanwhile: see crossover.pgedge.status",
        )
    found = tables(conn, Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"])))
    before = {t.full_name: triggers(conn).get(t.oid) for t in found}
    steps = statements(conn, params, found)
    row_missing = params["control"] and params["state"] == "present" and control is None
    changed = bool(steps) or row_missing
    if not runner.check:
        try:
            conn.execute("SET client_min_messages = warning")
            apply_gently(conn, steps)
            if row_missing:
                create(conn, params["name"])
        except driver().Error as exc:
            hint = f"grant {login.user} what the documentation lists under privileges"
            raise sql_error(exc, login, "the fence could not be prepared", code="fence_failed", hint=hint) from None
    now = triggers(conn)
    return Outcome(
        changed=changed,
        queries=steps,
        before={"fence": before},
        after={"fence": _after(params, found, before, now, runner.check)},
        result={"tables": len(found), "fenced": sum(bool(now.get(t.oid)) for t in found)},
    )


def _after(params: dict[str, Any], found: list[Any], before: dict[str, Any], now: dict[int, bool], check: bool) -> Any:
    if not check:
        return {t.full_name: now.get(t.oid) for t in found}
    if params["state"] == "absent":
        return dict.fromkeys(before)
    return {
        name: state if state is not None and params["enabled"] is None else bool(params["enabled"])
        for name, state in before.items()
    }


def main() -> None:
    """Entry point."""
    run_module(
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "enabled": {"type": "bool"},
            "control": {"type": "bool", "default": False},
            "drop_schema": {"type": "bool", "default": False},
            "expect": {"type": "str", "choices": ["source", "node"]},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
        },
        work,
    )


if __name__ == "__main__":
    main()
