#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mesh
short_description: Make nodes a full mesh of Spock, add one to it, remove one from it
version_added: "0.1.0"
description:
  - Every node subscribes to every other one and forwards nothing that came from elsewhere.
  - A node without tables comes to a mesh that has some with a copy of one node's rows, while the application writes.
    For the time of making one slot that node stands still; no change is lost and none arrives twice.
  - A node that does not answer keeps the others from nothing, but that no further node comes in with a copy
    meanwhile. It is told in RV(left_out).
  - A run that was interrupted is taken up by the next one. The new node remembers in its own C(info) (C(spock.node))
    whose rows it gets, until it is in.
  - A subscription that Spock has disabled after an exception is enabled again. Where the same change fails once more,
    the error has the last line of C(spock.exception_log).
options:
  nodes:
    description:
      - The nodes that are to be the mesh.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What Spock calls it.
        type: str
        required: true
      login:
        description: How it is reached from here, by the options with which every module logs in.
        type: dict
        required: true
        suboptions: &login
          login_host:
            description: Host of the node. Empty means the local socket.
            type: str
            default: ""
            aliases: [host]
          login_port:
            description: Port of the node.
            type: int
            default: 5432
            aliases: [port]
          login_user:
            description: User to log in as, a superuser.
            type: str
            default: postgres
            aliases: [login]
          login_password:
            description: Password of that user. It never appears in results.
            type: str
            default: ""
          login_unix_socket:
            description: Directory of a local socket.
            type: str
            default: ""
            aliases: [unix_socket]
          login_db:
            description: Database of the node. V(postgres) if not given.
            type: str
            aliases: [db, database]
          ssl_mode:
            description: How TLS is used, as libpq's C(sslmode).
            type: str
            default: prefer
            choices: [allow, disable, prefer, require, verify-ca, verify-full]
          ca_cert:
            description: File with the certificate of the authority.
            type: str
            aliases: [ssl_rootcert]
          ssl_cert:
            description: File with the client's certificate.
            type: path
          ssl_key:
            description: File with the client's key.
            type: path
          connect_params:
            description: Further parameters of libpq.
            type: dict
            default: {}
          session_role:
            description: Role to switch to after logging in.
            type: str
          trust_input:
            description: As in every module.
            type: bool
            default: true
      peer:
        description: The same as the other nodes reach it. By default O(nodes[].login).
        type: dict
        suboptions: *login
      subscriptions:
        description:
          - The name of its subscription to each other node, by their names. By default C(sub_) and both names.
        type: dict
        default: {}
  remove:
    description:
      - Names of nodes that are not to be in it any more. One that is also in O(nodes) and answers is waited for until
        all that was written there has arrived on every node that stays. Nothing may be written there any more.
      - It is refused where one of those does not follow it or does not answer, where a migration with that node is not
        finished, and for a name that nobody knows.
      - A node that is dead is forgotten, and its slots are dropped.
    type: list
    elements: str
    default: []
  remove_force:
    description:
      - Remove a node also where one that stays does not have all that was written there. That is lost, and told in a
        warning.
    type: bool
    default: false
  migration:
    description: The migration whose nodes O(remove) may remove before it is finished. The role C(rollback) does that.
    type: str
    default: ""
  data:
    description:
      - V(auto) copies rows to a new node whose database is empty, and makes no subscription between nodes in the mesh
        where one has rows, as what was written until then would be missing. V(same) takes it that all nodes have the
        same rows and nothing is being written, and copies none.
    type: str
    default: auto
    choices: [auto, same]
  exception_behaviour:
    description:
      - What C(spock.exception_behaviour) must be on every node. Only V(sub_disable) loses no transaction. Empty means
        that it is not looked at.
    type: str
    default: sub_disable
  timeout:
    description: How long each step may take, in seconds, but for the copy.
    type: int
    default: 60
  copy_timeout:
    description: How long the copy of a node's rows may take, in seconds.
    type: int
    default: 86400
  clock_skew:
    description:
      - By how many seconds the clock of a node may be behind another's where a node comes in with a copy. What is
        written on such a node would lose against rows that are older.
    type: float
    default: 0.5
  passwords_in_dsn:
    description:
      - Write passwords into Spock's catalogue. Without them the servers need a C(.pgpass) or another way of logging in.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Nothing is changed. RV(queries) has what would run first of each part.
  diff_mode:
    support: full
    description: Shows every node's subscriptions.
  idempotent:
    support: full
    description:
      - A mesh that is whole is left alone. What O(remove) has removed already is no change as long as it is in
        O(nodes).
author:
  - The Crossover authors (@crossover)
"""

EXAMPLES = r"""
- name: Make a mesh of two nodes
  crossover.pgedge.mesh:
    nodes:
      - name: n1
        login: {login_host: n1.example.com, login_user: crossover, login_password: "{{ password }}", login_db: shop}
      - name: n2
        login: {login_host: n2.example.com, login_user: crossover, login_password: "{{ password }}", login_db: shop}

- name: Take one out, which is not written to any more
  crossover.pgedge.mesh:
    nodes: "{{ hostvars | crossover.pgedge.mesh_members(groups['pgedge']) }}"
    remove: [n3]
"""

RETURN = r"""
left_out:
  description: What could not be done, each as one clause.
  type: list
  elements: str
  returned: success
  sample: []
joined:
  description: Nodes that came in with a copy of another one's rows.
  type: list
  elements: str
  returned: success
  sample: [n3]
removed:
  description: Nodes that were removed.
  type: list
  elements: str
  returned: success
  sample: []
nodes:
  description: For each node that answers, its subscriptions, by the node that they follow, with their status.
  type: dict
  returned: success
  sample: {n1: {n2: replicating}, n2: {n1: replicating}}
queries:
  description: The statements, each after the node that it runs on. Passwords are hidden.
  type: list
  elements: str
  returned: success
  sample: ["n1: SELECT spock.sub_enable('sub_n1_n2', true)"]
"""

from typing import Any

from ..module_utils._ansible import Outcome, Runner, login_spec, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._spock_mesh_run import MeshRun, Wanted


def work(runner: Runner) -> Outcome:
    """Look at all nodes, plan, do."""
    params = runner.params
    if without := [node["name"] for node in params["nodes"] if node["login"] is None]:
        raise CrossoverError(
            f"node {without[0]} has no login",
            code="bad_option",
            object=without[0],
            untouched="nothing was changed",
            hint="give every node of the option nodes a login",
        )
    run = MeshRun(
        Wanted(
            nodes=params["nodes"],
            remove=params["remove"],
            remove_force=params["remove_force"],
            migration=params["migration"],
            data=params["data"],
            exception_behaviour=params["exception_behaviour"],
            timeout=params["timeout"],
            copy_timeout=params["copy_timeout"],
            passwords_in_dsn=params["passwords_in_dsn"],
            clock_skew=params["clock_skew"],
        ),
        runner.check,
    )
    try:
        before = run.look()
        run.run()
        after = before if runner.check else run.look()
    finally:
        run.close()
    result: dict[str, Any] = {"left_out": run.left_out, "joined": run.joined, "removed": run.removed, "nodes": after}
    return Outcome(bool(run.done), None, run.done, before, after, result, run.warnings)


def main() -> None:
    """Entry point."""
    node = {
        "name": {"type": "str", "required": True},
        "login": {"type": "dict", "required": True, "options": login_spec()},
        "peer": {"type": "dict", "options": login_spec()},
        "subscriptions": {"type": "dict", "default": {}},
    }
    run_module(
        {
            "nodes": {"type": "list", "elements": "dict", "required": True, "options": node},
            "remove": {"type": "list", "elements": "str", "default": []},
            "remove_force": {"type": "bool", "default": False},
            "migration": {"type": "str", "default": ""},
            "data": {"type": "str", "default": "auto", "choices": ["auto", "same"]},
            "exception_behaviour": {"type": "str", "default": "sub_disable"},
            "timeout": {"type": "int", "default": 60},
            "copy_timeout": {"type": "int", "default": 86400},
            "clock_skew": {"type": "float", "default": 0.5},
            "passwords_in_dsn": {"type": "bool", "default": True, "no_log": False},
        },
        work,
        login=False,
    )


if __name__ == "__main__":
    main()
