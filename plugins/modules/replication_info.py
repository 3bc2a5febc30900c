#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_info
short_description: Show publications, slots and subscriptions
version_added: "0.1.0"
description:
  - Reads the publications and subscriptions of one database and the replication slots of its server - what they hold,
    whether they work, how far behind they are, and what they cost in WAL.
  - Changes nothing. The numbers of bytes are for eyes and alarms; M(crossover.pgedge.replication_wait) with
    C(condition=barrier) is what proves that everything has arrived.
options:
  publications:
    description: Show these publications only. An empty list shows none.
    type: list
    elements: str
  slots:
    description: Show these slots only. An empty list shows none.
    type: list
    elements: str
  subscriptions:
    description: Show these subscriptions only. An empty list shows none.
    type: list
    elements: str
  source:
    description:
      - The server that the subscriptions read from, with the same options as the top level has. With it, each
        subscription shows how far it is behind, and how much WAL its slot keeps there.
    required: false
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.source
attributes:
  check_mode:
    support: full
    description: Nothing is changed in any mode.
  diff_mode:
    support: none
    description: Nothing is changed.
  idempotent:
    support: full
    description: Nothing is changed.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.replication_wait
  - module: crossover.pgedge.migration_info
"""

EXAMPLES = r"""
- name: How the node's subscriptions are doing
  crossover.pgedge.replication_info:
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    source:
      login_host: db.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
  register: replication

- name: Alarm on a slot that is about to be lost
  ansible.builtin.assert:
    that: replication.subscriptions | selectattr('wal_status', 'in', ['unreserved', 'lost']) | length == 0
"""

RETURN = r"""
publications:
  description:
    - The publications of the database, each with the keys of M(crossover.pgedge.publication) and its tables with
      RV(ignore:rows_estimated) and RV(ignore:bytes).
  type: list
  elements: dict
  returned: success
  sample:
    - {name: crossover_shop, owner: crossover, alltables: false,
       tables: [{schema: public, name: orders, rows_estimated: 100000, bytes: 8192000}]}
slots:
  description:
    - The slots of the server. RV(ignore:state) is V(active), V(inactive) or V(lost). RV(ignore:lag_bytes) is what the
      reader has not confirmed, RV(ignore:lag_seconds) how old that is (needs C(pg_monitor); of a slot that nobody
      reads, since when nobody does, PostgreSQL 17), RV(ignore:retained_bytes) the WAL that it keeps,
      RV(ignore:safe_wal_size) the room that is left before it may be lost, RV(ignore:wal_limit_bytes) the server's
      C(max_slot_wal_keep_size) (both null - no limit but the disk).
  type: list
  elements: dict
  returned: success
  sample:
    - {name: crossover_shop_n1, type: logical, plugin: pgoutput, database: shop, state: active, active: true,
       wal_status: reserved, lag_bytes: 56, lag_seconds: 0.001, retained_bytes: 26000, safe_wal_size: null,
       wal_limit_bytes: null}
subscriptions:
  description:
    - The subscriptions of the database. RV(ignore:state) is V(streaming), V(synchronising), V(not working) or
      V(disabled). RV(ignore:errors) is what the server counts - C(apply_error_count) and C(sync_error_count)
      (PostgreSQL 15), each kind of conflict (18). RV(ignore:last_error) is the last one from the server's log, where
      the login may read that; otherwise RV(ignore:last_error_unknown) says why not.
    - With O(source) also RV(ignore:lag_bytes), RV(ignore:lag_seconds), RV(ignore:retained_bytes),
      RV(ignore:safe_wal_size), RV(ignore:wal_limit_bytes) and RV(ignore:wal_status) of its slot.
  type: list
  elements: dict
  returned: success
  sample:
    - {name: crossover_shop_n1, state: streaming, enabled: true, slot: crossover_shop_n1, worker_pid: 4711,
       tables_total: 1, tables_ready: 1, lag_bytes: 56, errors: {apply_error_count: 0, sync_error_count: 0},
       tables: [{schema: public, name: orders, state: r, state_text: ready, lsn: 0/1A2B3C8}]}
"""

from ..module_utils._ansible import Outcome, Runner, run_module, source_option
from ..module_utils._replication_overview import all_publications, all_slots, all_subscriptions


def work(runner: Runner) -> Outcome:
    """Read everything."""
    params = runner.params
    conn = runner.connect(runner.login(label="server"))
    publisher = runner.connect(runner.login("source")) if params["source"] else None
    return Outcome(
        result={
            "publications": all_publications(conn, params["publications"]),
            "slots": all_slots(conn, params["slots"]),
            "subscriptions": all_subscriptions(conn, params["subscriptions"], publisher),
            "queries": [],
        }
    )


def main() -> None:
    """Entry point."""
    names = {"type": "list", "elements": "str"}
    run_module(
        {**source_option(required=False), "publications": names, "slots": names, "subscriptions": names},
        work,
    )


if __name__ == "__main__":
    main()
