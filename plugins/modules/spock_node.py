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
    the same on a server, changes can be lost after a crash, so such a name is refused, of this node and of those that
    it knows.
options:
  name:
    description: Name of the node, of C(a-z), C(0-9) and C(_), so that slots can be named after it.
    type: str
    required: true
  state:
    description:
      - V(present) makes this database the node, or changes its interfaces.
      - V(absent) drops the node, this database's own or what is left of another one. While subscriptions hang on it,
        here or, by their slots, on other nodes, the module fails and names them.
    type: str
    default: present
    choices: [absent, present]
  dsn:
    description:
      - How this node is reached, by itself and by other nodes, as parameters of libpq (C(host), C(port), C(dbname),
        C(user), C(password), C(sslmode), …). Needed for a new node.
      - Spock stores it as it is, with the password, in the database, and writes it into the server's log when it cannot
        connect. A password file of the server's own (C(passfile), C(~/.pgpass)) keeps the password out of both.
      - Spock cannot change it later; another value is an error, as with O(location), O(country) and O(info).
    type: dict
  interfaces:
    description: Further ways to reach it. One that differs is made anew, one that is not named here is left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the interface.
        type: str
        required: true
      dsn:
        description: As O(dsn).
        type: dict
        required: true
  location:
    description: Where it is, as a text for people.
    type: str
  country:
    description: Its country, as a text for people.
    type: str
  info:
    description:
      - Anything else about it. Spock itself reads C(tiebreaker), a whole number that decides between changes with the
        same time.
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
  idempotent:
    support: full
    description: The same input twice changes nothing.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.spock_subscription
  - module: crossover.pgedge.spock_repset
  - module: crossover.pgedge.mesh
"""

EXAMPLES = r"""
- name: The database shop on n1 is node n1
  crossover.pgedge.spock_node:
    name: n1
    dsn:
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
  sample: {name: n1, dsn: {host: n1.example.com}, interfaces: {}, location: Frankfurt, country: null, info: null}
spock:
  description: Version of Spock.
  type: str
  returned: always
  sample: 5.0.11
"""

import re
from typing import Any

from ..module_utils import _replication_conninfo as conninfo
from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._pg_connect import Login
from ..module_utils._replication_apply import apply, keep_quiet
from ..module_utils._spock_node import Node, drop, hanging, nodes, plan, predicted, refuse_same_number
from ..module_utils._spock_version import require_spock

INTERFACE = {"name": {"type": "str", "required": True}, "dsn": {"type": "dict", "required": True}}


def refuse(message: str, code: str, login: Login, name: str, hint: str) -> CrossoverError:
    """Nothing has been done yet."""
    return CrossoverError(
        message, code=code, server=str(login), object=name, untouched="nothing was changed", hint=hint
    )


def wanted(params: dict[str, Any], actual: Node | None, login: Login) -> Node:
    """The node as asked for."""
    name = params["name"]
    if not re.fullmatch(r"[a-z0-9_]{1,63}", name):
        raise refuse(f"{name!r} is no name for a node", "bad_name", login, name, "use a-z, 0-9 and _, 63 at most")
    if actual is None and not params["dsn"]:
        raise refuse(f"there is no node {name} yet", "bad_option", login, name, "give its dsn, so that it can be made")
    if any(interface["name"] == name for interface in params["interfaces"]):
        raise refuse(f"the interface {name} is the node's own", "bad_option", login, name, "give it as dsn")
    return Node(
        name=name,
        dsn=conninfo.wanted(params["dsn"]) if params["dsn"] else None,
        interfaces={interface["name"]: conninfo.wanted(interface["dsn"]) for interface in params["interfaces"]},
        **{trait: params[trait] for trait in ("location", "country", "info")},
    )


def present(runner: Runner, conn: Any, login: Login, there: dict[str, Node]) -> Outcome:
    """Make it, or add and change interfaces."""
    name = runner.params["name"]
    local = next((node for node in there.values() if node.local), None)
    if local and local.name != name:
        raise refuse(
            f"this database is Spock's node {local.name} already, and a database can be one node only",
            "other_node", login, name, "give that name, or drop that node first (state: absent)",
        )  # fmt: skip
    want = wanted(runner.params, local, login)
    refuse_same_number(conn, name, login)
    steps = plan(want, local, login)
    if steps and not runner.check:
        keep_quiet(conn)
        secrets = [*want.secrets(), *(local.secrets() if local else [])]
        apply(conn, login, steps, f"the node {name} could not be set up", together=True, secrets=secrets)
    after = predicted(want, local) if runner.check else nodes(conn)[name]
    return Outcome(bool(steps), queries=steps, before=local.shown() if local else {}, after=after.shown())


def absent(runner: Runner, conn: Any, login: Login, there: dict[str, Node]) -> Outcome:
    """Drop it, unless something hangs on it."""
    name = runner.params["name"]
    if name not in there:
        return Outcome(before={}, after={})
    if left := hanging(conn, there[name]):
        raise refuse(
            f"node {name} still has {left}", "in_use", login, name,
            "drop the subscriptions, here and on the other nodes (spock_subscription, state: absent), and the slot of "
            "a node that is gone for good (slot, state: absent)",
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
            "dsn": {"type": "dict"},
            "interfaces": {"type": "list", "elements": "dict", "default": [], "options": INTERFACE},
            "location": {"type": "str"},
            "country": {"type": "str"},
            "info": {"type": "dict"},
        },
        work,
    )


if __name__ == "__main__":
    main()
