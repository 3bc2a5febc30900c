#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: table_copy
short_description: Copy all tables in parallel, for a subscription to go on from there
version_added: "0.1.0"
description:
  - Makes a replication slot together with the snapshot of the very place where it begins, copies all tables from that
    snapshot with several workers, and creates keys, indexes, constraints and triggers as the tables they need are
    complete; then fills materialised views and gathers statistics.
  - Large tables are read in several parts at once. A part comes over in one transaction that also records it in the
    ledger, so that whatever was interrupted goes on with what is left.
  - A process of its own holds the snapshot, on the machine where the module runs. It outlives the module. Where the
    snapshot is gone, everything is copied anew from a new one.
  - Create the subscription afterwards with C(create_slot=false), C(copy_data=false) and this slot. When it exists, this
    module has nothing to do.
  - While it runs, the task shows its progress.
options:
  migration:
    description:
      - Name of the migration, whose ledger must be on the node. By default the name of the source's database.
    type: str
  state:
    description:
      - V(present) copies what is left to be copied.
      - V(absent) gives up a copy that no subscription has taken over, also one that is at work. The holder of its
        snapshot is ended and its slot is dropped; the rows that it brought stay.
      - V(started) begins in the background what V(present) does, without waiting for it, so that several nodes are
        copied to at the same time. Run with V(present) afterwards, which waits for it and goes on where it has failed.
    type: str
    default: present
    choices: [present, started, absent]
  slot:
    description: Name of the slot that is made on the source.
    type: str
    required: true
  subscription:
    description: Name of the node's subscription, which reads the slot once the copy is there.
    type: str
    required: true
  schemas:
    description: The schemas to copy. Empty means all that are not the server's own.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Tables to leave out, as C(schema.table).
    type: list
    elements: str
    default: []
  roles_exclude:
    description: Roles that were left out by the option of the same name of M(crossover.pgedge.schema_sync).
    type: list
    elements: str
    default: []
  extensions_exclude:
    description: Extensions that were left out by the option of the same name of M(crossover.pgedge.schema_sync).
    type: list
    elements: str
    default: []
  jobs:
    description:
      - How many workers copy, or create indexes, at a time. Each has one session on either side and reads the source as
        fast as it can.
    type: int
    default: 2
  part_size:
    description:
      - The size of the parts that large tables are read in, such as V(256M). It counts the table with its TOAST.
      - By default a quarter of what each worker has to copy, but between 64 MiB and 1 GiB.
    type: str
    default: ""
  wal_budget:
    description:
      - How much WAL the slot may hold back on the source, such as V(64G), before the copy is given up and the slot is
        dropped. V(0) means that there is no limit.
    type: str
    default: 64G
  keep:
    description:
      - For how long the snapshot and its slot are kept after a copy was interrupted, in seconds. Then the slot is
        dropped.
    type: int
    default: 86400
  slot_timeout:
    description:
      - How long making the slot may take, in seconds. It waits for all transactions on the source that write.
    type: int
    default: 60
  failover:
    description: Make the slot one that is synchronised to standbys (PostgreSQL 17 and newer).
    type: bool
    default: false
  refresh_materialized_views:
    description: At the end, fill the materialised views that are filled on the source.
    type: bool
    default: true
  analyze:
    description: At the end, gather the statistics of tables that have none.
    type: bool
    default: true
  bin_dir:
    description:
      - Directory with PostgreSQL's client programs C(pg_dump), C(pg_restore) and C(psql). By default they are looked
        for as M(crossover.pgedge.schema_sync) does.
    type: path
    default: ""
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.source
attributes:
  check_mode:
    support: full
    description: Copies nothing, makes no slot, and lists what would be copied.
  diff_mode:
    support: full
    description: Shows how many parts, keys, indexes and constraints are missing, before and after.
author:
  - The Crossover authors (@crossover)
notes:
  - On the source the login needs C(REPLICATION) and C(SELECT) on all tables. A table with row-level security that it
    may not read whole is an error.
  - On the node the login must be a superuser. Triggers of the tables do not fire.
  - A table that is rewritten or truncated on the source meanwhile (C(VACUUM FULL), C(CLUSTER), C(TRUNCATE),
    C(ALTER TABLE)) ends the copy, if it was not yet complete; the next run begins anew.
  - If the module runs while another run of it copies on the same node, it waits until that one has ended.
  - Large objects and unlogged tables are not copied; M(crossover.pgedge.cutover) does that, at the fence, where asked.
seealso:
  - module: crossover.pgedge.schema_sync
  - module: crossover.pgedge.subscription
"""

EXAMPLES = r"""
- name: Copy with four workers
  crossover.pgedge.table_copy:
    slot: crossover_shop_n1
    subscription: crossover_shop_n1
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

- name: Go on from there
  crossover.pgedge.subscription:
    name: crossover_shop_n1
    publications: [crossover_shop]
    connparams: "{{ crossover_source | crossover.pgedge.connparams }}"
    subsparams:
      slot_name: crossover_shop_n1
      create_slot: false
      copy_data: false
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
"""

RETURN = r"""
run:
  description:
    - What kind of run it was. V(begun), V(resumed) with the parts that were left, V(restarted) because the snapshot was
      gone, or V(nothing) because all is there.
  type: str
  returned: state is present
  sample: begun
attached:
  description: Whether another run was copying, and this one waited for it.
  type: bool
  returned: state is present
  sample: false
slot:
  description: The slot.
  type: str
  returned: success
  sample: crossover_shop_n1
lsn:
  description: Where the slot begins, which is what the snapshot sees. Empty when the subscription has taken over.
  type: str
  returned: state is present
  sample: 0/1A2B3C8
summary:
  description:
    - Figures of the whole copy. RV(summary.seconds) is the time of the run that completed it.
  type: dict
  returned: state is present
  contains:
    tables:
      description: Tables that hold rows.
      type: int
      sample: 202
    parts:
      description: Parts they were copied in.
      type: int
      sample: 214
    rows:
      description: Rows.
      type: int
      sample: 12000000
    bytes:
      description: Size of the tables on the source, with TOAST and without indexes.
      type: int
      sample: 5368709120
    seconds:
      description: Time of all.
      type: float
      sample: 93.1
    copy_seconds:
      description: Time until the last row was there.
      type: float
      sample: 61.0
    index_seconds:
      description: Time until the last index was there.
      type: float
      sample: 88.2
copied:
  description: The tables with rows and bytes, in the order in which they were complete.
  type: list
  elements: dict
  returned: state is present
  sample: [{name: shop.orders, bytes: 8192, rows: 10}]
queries:
  description: The statements, the same in check mode.
  type: list
  elements: str
  returned: success
  sample: ["COPY shop.orders (id, total) FROM STDIN (FORMAT binary, FREEZE)"]
"""


from ansible.module_utils.common.text.formatters import human_to_bytes

from ..module_utils._ansible import Outcome, Runner, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_control import read as read_control
from ..module_utils._migration_copy import Copy, Wanted
from ..module_utils._migration_copy_failure import end_worker, give_up
from ..module_utils._migration_copy_ledger import CopyLedger
from ..module_utils._migration_ledger import Ledger
from ..module_utils._migration_schema import Options
from ..module_utils._pg_catalog import Scope
from ..module_utils._replication_lag import slot_state, subscription_state
from ..module_utils._replication_snapshot import Limits, release, sessions


def size(runner: Runner, option: str) -> int:
    """A number of bytes as a person writes it."""
    text = str(runner.params[option] or "0")
    try:
        return int(human_to_bytes(text))
    except ValueError:
        raise CrossoverError(
            f"{option}: {text!r} is no size such as 256M or 64G", code="bad_value", untouched="nothing was changed"
        ) from None


def present(runner: Runner, migration: str) -> Outcome:
    """Copy what is left."""
    params = runner.params
    schema = Options(
        scope=Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"])),
        roles_exclude=tuple(params["roles_exclude"]),
        extensions_exclude=tuple(params["extensions_exclude"]),
        jobs=max(1, params["jobs"]),
        refresh=params["refresh_materialized_views"],
        analyze=params["analyze"],
        bin_dir=params["bin_dir"],
        check=runner.check,
    )
    wanted = Wanted(
        slot=params["slot"],
        subscription=params["subscription"],
        schema=schema,
        limits=Limits(size(runner, "wal_budget"), params["keep"]),
        failover=params["failover"],
        slot_timeout=params["slot_timeout"],
        part_bytes=size(runner, "part_size"),
    )
    control = read_control(runner.connect(runner.login("source")), migration)
    if control and control.switched:
        raise CrossoverError(
            "the node is the writable side: nothing is copied to it",
            code="node_writable",
            server=str(runner.login()),
            untouched="nothing was changed",
        )
    copy = Copy(runner.login("source"), runner.login(), migration, wanted)
    try:
        report = copy.run()
    finally:
        copy.close()
    left = sum(str(s).startswith("COPY ") for s in report.statements)
    missing = sum(map(len, copy.sync.report.added.values()))
    return Outcome(
        changed=bool(report.statements),
        queries=report.statements,
        before={"parts missing": left, "keys, indexes and constraints missing": missing},
        after={"parts missing": 0, "keys, indexes and constraints missing": 0},
        result={
            "run": report.state,
            "attached": report.attached,
            "slot": params["slot"],
            "lsn": report.snapshot.lsn if report.snapshot else "",
            "summary": report.summary,
            "copied": report.copied,
        },
        warnings=report.warnings + copy.sync.report.warnings,
    )


def absent(runner: Runner, migration: str) -> Outcome:
    """Give the copy up."""
    slot, login = runner.params["slot"], runner.login("source")
    source, node = runner.connect(login), runner.connect(runner.login())
    worked = not runner.check and end_worker(source, node, runner.login(), slot)
    ledger = CopyLedger(Ledger(node, migration))
    taken = subscription_state(node, runner.params["subscription"]) is not None
    before = {
        "slot": None if taken else slot if slot_state(source, slot) else None,
        "holder": bool(sessions(source, "snapshot", slot)),
        "copy": ledger.begun() is not None and not taken,
    }
    changed = worked or any(before.values())
    if changed and not runner.check:
        if taken:
            release(source, slot)
        else:
            give_up(source, login, node, ledger, slot)
    after = {"slot": None, "holder": False, "copy": False}
    return Outcome(changed=changed, before=before, after=after, result={"slot": slot})


def work(runner: Runner) -> Outcome:
    """Present or absent."""
    migration = runner.params["migration"] or runner.login("source").database
    return (absent if runner.params["state"] == "absent" else present)(runner, migration)


def main() -> None:
    """Entry point."""
    run_module(
        {
            **source_option(),
            "migration": {"type": "str"},
            "state": {"type": "str", "default": "present", "choices": ["present", "started", "absent"]},
            "slot": {"type": "str", "required": True},
            "subscription": {"type": "str", "required": True},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "roles_exclude": {"type": "list", "elements": "str", "default": []},
            "extensions_exclude": {"type": "list", "elements": "str", "default": []},
            "jobs": {"type": "int", "default": 2},
            "part_size": {"type": "str", "default": ""},
            "wal_budget": {"type": "str", "default": "64G"},
            "keep": {"type": "int", "default": 86400},
            "slot_timeout": {"type": "int", "default": 60},
            "failover": {"type": "bool", "default": False},
            "refresh_materialized_views": {"type": "bool", "default": True},
            "analyze": {"type": "bool", "default": True},
            "bin_dir": {"type": "path", "default": ""},
        },
        work,
    )


if __name__ == "__main__":
    main()
