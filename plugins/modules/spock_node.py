#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: spock_node
short_description: Make a database a node of a pgEdge mesh
version_added: "0.1.0"
description:
  - Manages the Spock node of one database, with its interfaces. A database can be one node.
  - Needs the extension C(spock), 5.x or 6.x, in the database, and a superuser.
  - Spock makes a node's number of its name, 16 bits, and replication origins are numbered in the same room. If both are
    the same on a server, changes can be lost after a crash; so such a name is refused.
options:
  name:
    description: Name of the node, C([a-z0-9_]) so that names of slots can be made of it.
    type: str
    required: true
  state:
    description: V(absent) fails while subscriptions from or to the node are left, and names them.
    type: str
    default: present
    choices: [absent, present]
  connparams:
    description:
      - How the other nodes reach this one, as parameters of libpq (C(host), C(port), C(dbname), C(user), C(password),
        C(sslmode), …). Required for a new node. Spock cannot change it later.
    type: dict
  interfaces:
    description:
      - Further ways to reach it, by name, each a dict like O(connparams). One that differs is made anew; one that is
        not named here is left alone.
    type: dict
    default: {}
  location:
    description: Where it is, as a text for people. Spock cannot change it later, as O(country) and O(info).
    type: str
  country:
    description: Its country, as a text for people.
    type: str
  info:
    description: Anything else about it.
    type: dict
extends_documentation_fragment:
  - crossover.pgedge.login
attributes:
  check_mode:
    support: full
    description: Nothing is changed. RV(queries) is what would run.
  diff_mode:
    support: full
    description: The node before and after, without passwords.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.spock_subscription
  - module: crossover.pgedge.spock_repset
  - module: crossover.pgedge.spock_info
"""

EXAMPLES = r"""
- name: The database shop on n1 is node n1
  crossover.pgedge.spock_node:
    name: n1
    connparams:
      host: n1.example.com
      dbname: shop
      user: crossover
      password: "{{ node_password }}"
    location: Frankfurt
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
"""

RETURN = r"""
queries:
  description: The statements, the same in check mode, passwords hidden.
  type: list
  elements: str
  returned: always
  sample: ["SELECT spock.node_create('n1', 'host=n1.example.com dbname=shop')"]
node:
  description: The node as it is now; in check mode as it would be. Empty when it is absent.
  type: dict
  returned: always
  sample: {name: n1, location: Frankfurt, country: null, info: null, interfaces: {n1: {host: n1.example.com}}}
spock:
  description: Version of Spock.
  type: str
  returned: always
  sample: 5.0.11
"""

import re
from dataclasses import replace
from typing import Any

from ..module_utils import _replication_conninfo as conninfo
from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._pg_connect import Login
from ..module_utils._replication_apply import apply, keep_quiet
from ..module_utils._spock_node import Node, drop, hanging, nodes, origin_of_same_number, plan
from ..module_utils._spock_version import require_spock


def refuse(message: str, code: str, login: Login, name: str, hint: str) -> CrossoverError:
    """Nothing has been done yet."""
    return CrossoverError(
        message, code=code, server=str(login), object=name, untouched="nothing was changed", hint=hint
    )


def wanted(params: dict[str, Any], actual: Node | None, login: Login) -> Node:
    """The node as asked for; what is not asked for is as it is."""
    name = params["name"]
    if not re.fullmatch(r"[a-z0-9_]{1,63}", name):
        raise refuse(f"{name!r} is no name of a node", "bad_name", login, name, "use a-z, 0-9 and _ only")
    own = conninfo.wanted(params["connparams"]) if params["connparams"] else None
    if own is None and actual is None:
        raise refuse(f"node {name} is not there", "bad_option", login, name, "give connparams to make it")
    further = {str(key): conninfo.wanted(dsn or {}) for key, dsn in params["interfaces"].items()}
    return Node(
        name, {name: own or (actual.interfaces.get(name) if actual else None), **further},
        params["location"], params["country"], params["info"],
    )  # fmt: skip


def present(runner: Runner, conn: Any, login: Login, there: dict[str, Node]) -> Outcome:
    """Make it, or add and change interfaces."""
    name = runner.params["name"]
    local = next((node for node in there.values() if node.local), None)
    if local and local.name != name:
        raise refuse(
            f"this database is Spock's node {local.name} already, it cannot be {name} too",
            "other_node", login, name, "take that name, or remove that node first (state: absent)",
        )  # fmt: skip
    want = wanted(runner.params, local, login)
    steps = plan(want, local, login)
    secrets = [secret for dsn in want.interfaces.values() for secret in conninfo.secrets(dsn)]
    if steps and not runner.check:
        if secrets:
            keep_quiet(conn)
        with conn.transaction():
            apply(conn, login, steps, f"the node {name} could not be made", secrets=secrets)
            made = nodes(conn)[name]
            if origin := origin_of_same_number(conn, made.id):
                raise refuse(
                    f"the number that Spock makes of the name {name}, {made.id}, is that of the replication origin {origin}",
                    "origin_taken", login, name, "take another name",
                )  # fmt: skip
    after = replace(local or want, interfaces={**(local.interfaces if local else {}), **want.interfaces})
    return Outcome(bool(steps), queries=steps, before=local.shown() if local else {}, after=after.shown())


def absent(runner: Runner, conn: Any, login: Login, there: dict[str, Node]) -> Outcome:
    """Drop it, unless something hangs on it."""
    name = runner.params["name"]
    if name not in there:
        return Outcome(before={}, after={})
    if left := hanging(conn, name):
        raise refuse(
            f"node {name} has {len(left)} subscription(s): {', '.join(left)}",
            "in_use", login, name, "drop them first (spock_subscription, state: absent)",
        )  # fmt: skip
    steps = [drop(name)]
    if not runner.check:
        apply(conn, login, steps, f"the node {name} could not be dropped")
    return Outcome(True, queries=steps, before=there[name].shown(), after={})


def work(runner: Runner) -> Outcome:
    """Read, plan, apply."""
    login = runner.login(label="server")
    conn = runner.connect(login)
    version = require_spock(conn, login)
    there = nodes(conn)
    outcome = {"present": present, "absent": absent}[runner.params["state"]](runner, conn, login, there)
    outcome.result.update(node=outcome.after, spock=version.text)
    return outcome


def main() -> None:
    """Entry point."""
    run_module(
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["absent", "present"]},
            "connparams": {"type": "dict"},
            "interfaces": {"type": "dict", "default": {}},
            "location": {"type": "str"},
            "country": {"type": "str"},
            "info": {"type": "dict"},
        },
        work,
    )


if __name__ == "__main__":
    main()
