#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: spock_info
short_description: Tell what a pgEdge node knows of itself and its mesh
version_added: "0.1.0"
description:
  - Reads versions, nodes, subscriptions with their status and lag, tables and their replication sets, exceptions,
    conflicts, and the settings on which a mesh depends. Changes nothing.
  - Where Spock is not there it says so and does not fail.
extends_documentation_fragment:
  - crossover.pgedge.login
attributes:
  check_mode:
    support: full
    description: Changes nothing.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.mesh_wait
  - module: crossover.pgedge.spock_node
"""

EXAMPLES = r"""
- name: Look at a node
  crossover.pgedge.spock_info:
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
  register: n1

- name: Nothing may be left out of the mesh
  ansible.builtin.assert:
    that: n1.tables_in_no_set == []
"""

RETURN = r"""
installed:
  description: Whether Spock is in this database and loaded, in a version that the collection knows (5.x, 6.x).
  type: bool
  returned: always
  sample: true
why:
  description: Where it is not, one sentence that says what is missing.
  type: str
  returned: always
  sample: ""
versions:
  description: C(postgresql), and of C(spock), C(snowflake) and C(lolor) what is in this database (null if nothing is).
  type: dict
  returned: always
  sample: {postgresql: "17.11", spock: 5.0.11, snowflake: 2.6.0, lolor: null}
available:
  description: The versions of these extensions that the server offers.
  type: dict
  returned: always
  sample: {spock: 5.0.11, snowflake: 2.6.0}
settings:
  description: The server's settings on which a mesh depends, and all of Spock and snowflake. Passwords are hidden.
  type: dict
  returned: always
  sample: {wal_level: logical, spock.exception_behaviour: sub_disable}
problems:
  description: A sentence for every setting, and for every clash of numbers, with which something can be lost.
  type: list
  elements: str
  returned: always
  sample: []
local:
  description: What Spock calls this node; null while it is none.
  type: str
  returned: if installed
  sample: n1
nodes:
  description: The nodes that it knows, with id, interfaces (without passwords), location, country and info.
  type: dict
  returned: if installed
  sample: {n1: {id: 49708, interfaces: {}, location: Frankfurt}}
subscriptions:
  description:
    - Its subscriptions, each with status, provider, slot, sets, the tables that are still copied, bytes of WAL behind
      (RV(ignore:lag_bytes); null where not known) and conflicts.
    - Bytes are as of when the provider was last heard of. M(crossover.pgedge.mesh_wait) asks the provider.
    - RV(ignore:lag_seconds) is Spock's own figure. In Spock 5 it is how long ago the last transaction was committed, and
      grows while nothing is written. In Spock 6 it is how long the last transaction took to arrive, and stands still
      while nothing arrives. So neither says by itself that a node is behind.
  type: dict
  returned: if installed
  sample: {sub_n1_n2: {status: replicating, provider: n2, lag_bytes: 0, lag_seconds: 0.0013, conflicts: 0}}
sets:
  description: This node's replication sets, each with the operations that it replicates.
  type: dict
  returned: if installed
  sample: {default_insert_only: {insert: true, update: false, delete: false, truncate: true}}
slots:
  description: The slots from which other nodes read, with bytes behind and bytes of WAL that are kept for them.
  type: list
  elements: dict
  returned: if installed
  sample: [{name: spk_shop_n1_sub_n2_n1, active: true, wal_status: reserved, behind: 0, retained: 56}]
tables:
  description: The tables and the sets that each is in.
  type: dict
  returned: if installed
  sample: {shop.orders: [default]}
tables_in_no_set:
  description: The tables whose changes stay on this node.
  type: list
  elements: str
  returned: if installed
  sample: []
exceptions:
  description: How many changes could not be applied, when the newest, and the last five.
  type: dict
  returned: if installed
  sample: {count: 0, newest: null, last: []}
resolutions:
  description: The conflicts that were resolved, by type and resolution (only with C(spock.save_resolutions)).
  type: list
  elements: dict
  returned: if installed
  sample: [{type: insert_exists, resolution: apply_remote, count: 3}]
lsn:
  description: Where this node writes its WAL.
  type: str
  returned: if installed
  sample: 0/1A2B3C8
"""

from typing import Any

from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._pg_connect import Login, driver
from ..module_utils._replication_apply import denied
from ..module_utils._spock_info import extensions, mesh_of, settings, wal_position, wrong
from ..module_utils._spock_version import require_spock


def server(conn: Any) -> dict[str, Any]:
    """What can be told without Spock too."""
    offered = extensions(conn)
    postgresql = conn.execute("SELECT current_setting('server_version') AS v").fetchone()["v"].split()[0]
    return {
        "versions": {
            "postgresql": postgresql,
            **{name: offered.get(name, {}).get("installed") for name in ("spock", "snowflake", "lolor")},
        },
        "available": {name: one["available"] for name, one in offered.items()},
        "settings": settings(conn),
    }


def read(conn: Any, login: Login) -> dict[str, Any]:
    """All of it."""
    result = server(conn)
    try:
        require_spock(conn, login)
    except CrossoverError as exc:
        return {"installed": False, "why": str(exc), "problems": [], **result}
    mesh = mesh_of(conn)
    clashes = [
        f"the id of node {c['node']}, {c['id']}, is the number of the replication origin {c['origin']} too: after a "
        "crash changes can be lost; give the node another name"
        for c in mesh.pop("clashes")
    ]
    problems = wrong(result["settings"]) + clashes
    return {"installed": True, "why": "", "problems": problems, "lsn": wal_position(conn), **result, **mesh}


def work(runner: Runner) -> Outcome:
    """Read."""
    login = runner.login(label="server")
    conn = runner.connect(login)
    try:
        return Outcome(result={"queries": [], **read(conn, login)})
    except driver().Error as exc:
        raise denied(exc, login, "what Spock knows could not be read") from None


def main() -> None:
    """Entry point."""
    run_module({}, work)


if __name__ == "__main__":
    main()
