#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mesh_wait
short_description: Wait until the nodes of a mesh have what was written on the others
version_added: "0.1.0"
description:
  - Takes a sync event of Spock on every node and waits until it has arrived on every other one. Then all that was
    committed on any of them before has been applied on the others.
  - A node that cannot be reached, or goes away meanwhile, does not keep the others from being looked at; it fails the
    module at the end, which names every pair that is late, and how late.
  - The login must be allowed to call C(pg_show_replication_origin_status()) and Spock's functions.
  - Prints how far it is while it waits.
options:
  nodes:
    description: The nodes, at least two, each with the options by which every module logs in.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the node, for messages. Spock's own name for it is read from it.
        type: str
        required: true
      login_host:
        description: Host of the node. If empty, O(nodes[].login_unix_socket) is used.
        type: str
        default: ""
        aliases: [host]
      login_port:
        description: Port of the node.
        type: int
        default: 5432
        aliases: [port]
      login_user:
        description: User to log in as.
        type: str
        default: postgres
        aliases: [login]
      login_password:
        description: Password of that user.
        type: str
        default: ""
      login_unix_socket:
        description: Directory of a local socket.
        type: str
        default: ""
        aliases: [unix_socket]
      login_db:
        description: Database of the node.
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
  from_nodes:
    description: Wait only for what was written on these. All by default.
    type: list
    elements: str
    default: []
  to_nodes:
    description: Wait only until it has arrived on these. All by default.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait. V(0) looks once.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    description: Takes no event and does not wait; tells the pairs and their state now.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.replication_wait
  - module: crossover.pgedge.spock_info
"""

EXAMPLES = r"""
- name: Wait until every node has what the others have
  crossover.pgedge.mesh_wait:
    nodes:
      - name: n1
        login_host: n1.example.com
        login_user: crossover
        login_password: "{{ node_password }}"
        login_db: shop
      - name: n2
        login_host: n2.example.com
        login_user: crossover
        login_password: "{{ node_password }}"
        login_db: shop
    timeout: 120
"""

RETURN = r"""
met:
  description: Whether everything has arrived. False in check mode.
  type: bool
  returned: success
  sample: true
pairs:
  description:
    - For each pair RV(ignore:from), RV(ignore:to), the subscription and its status, whether the event has arrived
      (RV(ignore:passed)), after how many milliseconds (RV(ignore:ms)), and how many bytes of WAL are left
      (RV(ignore:behind)); null where that is not known. A failure has it too.
  type: list
  elements: dict
  returned: always
  sample: [{from: n1, to: n2, subscription: sub_n2_n1, status: replicating, passed: true, ms: 12.4, behind: 0}]
unreachable:
  description: The nodes that could not be reached, or went away while they were waited for, each with the reason.
  type: dict
  returned: always
  sample: {}
seconds:
  description: How long it took.
  type: float
  returned: success
  sample: 0.031
"""

import contextlib
import time
from collections.abc import Iterator
from itertools import permutations
from typing import Any

from ..module_utils._ansible import Outcome, Runner, login_spec, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._pg_connect import Login, driver, sql_error
from ..module_utils._progress_words import size
from ..module_utils._replication_apply import denied
from ..module_utils._spock_node import require_node
from ..module_utils._spock_version import require_spock
from ..module_utils._spock_wait import Crossing, Hop, subscriptions_of

HINT = (
    "grant login_user EXECUTE on pg_show_replication_origin_status() and on spock's functions, or log in as a superuser"
)
AWAY = ("unreachable", "no_answer", "unknown_host", "no_connections_left", "connect_failed")


class Mesh:
    """The nodes that answer, and the subscriptions between them."""

    def __init__(self, runner: Runner) -> None:
        self.params = runner.params
        self.names = [entry["name"] for entry in self.params["nodes"]]
        self.conn: dict[str, Any] = {}
        self.logins: dict[str, Login] = {}
        self.unreachable: dict[str, str] = {}
        spock: dict[str, str] = {}  # our name of a node -> Spock's
        self._check()
        for entry in self.params["nodes"]:
            login = Login.of(entry, entry["name"])
            try:
                conn = runner.connect(login)
            except CrossoverError as exc:
                if exc.code not in AWAY:
                    raise
                self.unreachable[entry["name"]] = exc.message
                continue
            self.logins[entry["name"]] = login
            with self.reading(entry["name"]):
                require_spock(conn, login)
                spock[entry["name"]] = require_node(conn, login, "replication")
                self.conn[entry["name"]] = conn
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}  # (from, to)
        for name, conn in self.conn.items():
            with self.reading(name):
                known = {row["provider"]: row for row in subscriptions_of(conn)}
                self.rows.update({(other, name): known[spock[other]] for other in spock if spock[other] in known})

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """A node that goes away meanwhile is one that cannot be reached; one that refuses is told."""
        try:
            yield
        except driver().OperationalError as exc:
            self.lost(name, exc)
        except driver().Error as exc:
            raise denied(exc, self.logins[name], "what Spock knows could not be read") from None

    def lost(self, name: str, exc: Exception) -> None:
        """A node has gone away."""
        self.unreachable[name] = " ".join(str(exc).split())

    def _check(self) -> None:
        chosen = [*self.params["from_nodes"], *self.params["to_nodes"]]
        if len(self.names) < 2 or len(set(self.names)) < len(self.names) or set(chosen) - set(self.names):
            unknown = ", ".join(sorted(set(chosen) - set(self.names)))
            raise CrossoverError(
                f"from_nodes and to_nodes have {unknown}, which nodes has not"
                if unknown
                else "nodes wants two or more, each once",
                code="bad_option",
                hint="name each node of the mesh once, with its login",
            )

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Who is waited for."""
        sources, targets = self.params["from_nodes"] or self.names, self.params["to_nodes"] or self.names
        return [(one, other) for one, other in permutations(self.names, 2) if one in sources and other in targets]

    @property
    def hops(self) -> list[Hop]:
        """Of those pairs that have a subscription."""
        return [Hop(*pair, self.rows[pair]["origin"]) for pair in self.pairs if pair in self.rows]

    def table(self, crossing: Crossing | None) -> list[dict[str, Any]]:
        """Every pair, as far as it got."""
        found = []
        for pair in self.pairs:
            row = self.rows.get(pair)
            hop = Hop(*pair, row["origin"]) if row else None
            found.append(
                {
                    "from": pair[0],
                    "to": pair[1],
                    "subscription": row["subscription"] if row else None,
                    "status": row["status"] if row else None,
                    "passed": bool(crossing and hop in crossing.passed),
                    "ms": crossing.passed.get(hop) if crossing and hop else None,
                    "behind": crossing.behind.get(hop) if crossing and hop else None,
                }
            )
        return found

    def refresh(self) -> None:
        """The subscriptions' status now."""
        for name, conn in self.conn.items():
            if name in self.unreachable:
                continue
            with self.reading(name):
                status = {row["subscription"]: row["status"] for row in subscriptions_of(conn)}
                for pair, row in self.rows.items():
                    if pair[1] == name:
                        row["status"] = status.get(row["subscription"])


def told(pair: dict[str, Any], unreachable: dict[str, str]) -> str:
    """Why a pair is late."""
    name = f"{pair['from']} to {pair['to']}"
    if away := [node for node in (pair["from"], pair["to"]) if node in unreachable]:
        return f"{name}: {away[0]} cannot be reached"
    if pair["subscription"] is None:
        return f"{name}: there is no subscription"
    behind = f", {size(pair['behind'])} behind" if pair["behind"] else ""
    return f"{name}: {pair['subscription']} is {pair['status']}{behind}"


def work(runner: Runner) -> Outcome:
    """Wait."""
    begun = time.monotonic()
    mesh = Mesh(runner)
    if runner.check:
        pairs = mesh.table(None)
        text = f"would wait until {len(pairs)} pair(s) of nodes have each other's writes"
        return Outcome(msg=text, result={"met": False, "pairs": pairs, "unreachable": mesh.unreachable, "seconds": 0.0})
    try:
        crossing = Crossing(mesh.hops, mesh.conn, mesh.lost)
        crossing.wait(runner.params["timeout"])
    except driver().Error as exc:
        raise sql_error(
            exc, "the mesh", "it could not be seen how far the nodes are", hint=HINT, untouched="nothing was changed"
        ) from None
    mesh.refresh()
    pairs = mesh.table(crossing)
    result = {"pairs": pairs, "unreachable": mesh.unreachable}
    if late := [pair for pair in pairs if not pair["passed"]]:
        why = "; ".join(told(pair, mesh.unreachable) for pair in late[:6])
        more = f"; and {len(late) - 6} more" if len(late) > 6 else ""
        raise CrossoverError(
            f"{len(late)} of {len(pairs)} pair(s) of nodes have not got everything within "
            f"{runner.params['timeout']:g} s ({why}{more})",
            code="mesh_behind",
            object=late[0]["subscription"],
            untouched="nothing was changed",
            hint="see crossover.pgedge.spock_info of the nodes that are late, and their logs",
            data=result,
        )
    return Outcome(result={"met": True, "seconds": round(time.monotonic() - begun, 3), "queries": [], **result})


def main() -> None:
    """Entry point."""
    node = {**login_spec(), "name": {"type": "str", "required": True}}
    run_module(
        {
            "nodes": {"type": "list", "elements": "dict", "required": True, "options": node},
            "from_nodes": {"type": "list", "elements": "str", "default": []},
            "to_nodes": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 60},
        },
        work,
        login=False,
    )


if __name__ == "__main__":
    main()
