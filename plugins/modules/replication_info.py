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
    - RV(ignore:slots) are those whose readers take this publication now, as their sessions show (needs C(pg_monitor));
      of a slot that nobody reads PostgreSQL does not know what its reader took. RV(ignore:state) is V(read),
      V(not read), or V(unknown) where a session does not show it.
    - RV(ignore:lag_bytes), RV(ignore:lag_seconds) and RV(ignore:retained_bytes) are the largest of these slots,
      RV(ignore:safe_wal_size) the smallest. A table of the publication is as far behind as that; RV(subscriptions) on
      the other side tells it for each table.
  type: list
  elements: dict
  returned: success
  sample:
    - {name: crossover_shop, owner: crossover, alltables: false, state: read, slots: [crossover_shop_n1], lag_bytes: 56,
       lag_seconds: 0.001, retained_bytes: 26000, safe_wal_size: null,
       tables: [{schema: public, name: orders, rows_estimated: 100000, bytes: 8192000}]}
slots:
  description:
    - The slots of the server. RV(ignore:state) is V(active), V(inactive) or V(lost). RV(ignore:lag_bytes) is what the
      reader has not confirmed, RV(ignore:lag_seconds) how old that is (needs C(pg_monitor); of a slot that nobody
      reads, since when nobody does, PostgreSQL 17), RV(ignore:retained_bytes) the WAL that it keeps,
      RV(ignore:safe_wal_size) the room that is left before it may be lost, RV(ignore:wal_limit_bytes) the server's
      C(max_slot_wal_keep_size) (both null - no limit but the disk). RV(ignore:invalidation_reason) says why it was lost
      (PostgreSQL 17).
  type: list
  elements: dict
  returned: success
  sample:
    - {name: crossover_shop_n1, type: logical, plugin: pgoutput, database: shop, state: active, active: true,
       wal_status: reserved, lag_bytes: 56, lag_seconds: 0.001, retained_bytes: 26000, safe_wal_size: null,
       wal_limit_bytes: null, invalidation_reason: null}
subscriptions:
  description:
    - The subscriptions of the database. RV(ignore:state) is V(streaming), V(synchronising), V(not working) or
      V(disabled). RV(ignore:errors) is what the server counts - C(apply_error_count) and C(sync_error_count)
      (PostgreSQL 15), each kind of conflict (18); RV(ignore:conflicts) is the sum of those, null before 18.
    - RV(ignore:last_error) is the last one from the server's log, where the login may read that; PostgreSQL keeps the
      text nowhere else. Otherwise RV(ignore:last_error_unknown) says why not. RV(ignore:disabled_by_error) is true for
      a subscription with C(disable_on_error) that is disabled and has errors.
    - With O(source) also RV(ignore:lag_bytes), RV(ignore:lag_seconds), RV(ignore:retained_bytes),
      RV(ignore:safe_wal_size), RV(ignore:wal_limit_bytes) and RV(ignore:wal_status) of its slot.
    - A table has RV(ignore:state_text), RV(ignore:bytes_copied) and RV(ignore:rows_copied) while it is copied, and its
      own RV(ignore:last_error). With O(source) also RV(ignore:bytes_left) to copy, an estimate, and how far behind it
      is, with RV(ignore:slot), from which that is taken - the slot of its own synchronisation while it is copied and
      catches up, then that of the subscription. Before it is copied there is none, and it is null.
    - Conflicts are counted by PostgreSQL for the subscription, not for its tables.
  type: list
  elements: dict
  returned: success
  sample:
    - {name: crossover_shop_n1, state: streaming, enabled: true, slot: crossover_shop_n1, worker_pid: 4711,
       tables_total: 1, tables_ready: 1, lag_bytes: 56, errors: {apply_error_count: 0, sync_error_count: 0},
       conflicts: null, disable_on_error: true, disabled_by_error: false, last_error: null,
       tables: [{schema: public, name: orders, state: r, state_text: ready, lsn: 0/1A2B3C8, bytes_left: 0,
                 slot: crossover_shop_n1, lag_bytes: 56, lag_seconds: 0.001, retained_bytes: 26000, safe_wal_size: null,
                 last_error: null}]}
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
