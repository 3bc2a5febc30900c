# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spock's nodes: read, plan (private to the collection)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Mapping

from . import _replication_conninfo as conninfo
from ._errors import CrossoverError
from ._pg_connect import Login
from ._pg_sql import Statement, quote_literal

_NODES = """
SELECT n.node_id::int8 AS id, n.node_name AS name, n.location, n.country, n.info,
       n.node_id = (SELECT node_id FROM spock.local_node) AS local,
       (SELECT json_object_agg(if_name, if_dsn) FROM spock.node_interface WHERE if_nodeid = n.node_id) AS interfaces
FROM spock.node n ORDER BY n.node_name
"""
_HANGING = """
SELECT s.sub_name AS name FROM spock.subscription s
WHERE %s IN (SELECT node_name FROM spock.node WHERE node_id IN (s.sub_origin, s.sub_target)) ORDER BY 1
"""
# Spock makes a node's id of its name: 16 bits, in the room of the numbers of replication origins.
_ORIGIN = "SELECT roname AS name FROM pg_replication_origin WHERE roident = %s"
_TRAITS = ("location", "country", "info")


@dataclass(frozen=True)
class Node:
    """A node as it is, or as it is wanted. The interface that has the node's name is its own connection."""

    name: str
    interfaces: Mapping[str, Mapping[str, str] | None]  # None: what is stored cannot be read
    location: str | None = None
    country: str | None = None
    info: Any = None
    local: bool = True
    id: int = 0

    def shown(self) -> dict[str, Any]:
        """For results and diffs, without secrets."""
        return {
            "name": self.name,
            "location": self.location,
            "country": self.country,
            "info": self.info,
            "interfaces": {name: conninfo.shown(dsn) for name, dsn in sorted(self.interfaces.items())},
        }


def nodes(conn: Any) -> dict[str, Node]:
    """Every node that this database knows, by name."""
    found = {}
    for row in conn.execute(_NODES):
        dsns = {name: conninfo.read(dsn) for name, dsn in (row["interfaces"] or {}).items()}
        found[row["name"]] = Node(
            row["name"], dsns, row["location"], row["country"], row["info"], bool(row["local"]), row["id"]
        )
    return found


def local_node(conn: Any) -> str | None:
    """What Spock calls this database; None where it is no node yet."""
    return next((node.name for node in nodes(conn).values() if node.local), None)


def origin_of_same_number(conn: Any, number: int) -> str | None:
    """The replication origin on this server whose number is this node id: a crash could lose changes (see spock_node)."""
    row = conn.execute(_ORIGIN, [number]).fetchone()
    return str(row["name"]) if row else None


def hanging(conn: Any, name: str) -> list[str]:
    """The subscriptions from or to a node."""
    return [row["name"] for row in conn.execute(_HANGING, [name])]


# -- plans -----------------------------------------------------------------------------------------------------------


def plan(want: Node, actual: Node | None, login: Login) -> list[Statement]:
    """The statements from what is there to what is wanted. Interfaces that nobody asked for stay."""
    own = want.interfaces[want.name]
    if actual is None:
        return [_create(want)] + [
            _add(want.name, name, dsn) for name, dsn in want.interfaces.items() if dsn is not own and dsn is not None
        ]
    steps: list[Statement] = []
    for name, dsn in want.interfaces.items():
        there = actual.interfaces.get(name)
        if there == dsn or dsn is None:
            continue
        if name == want.name:
            raise _fixed(want, "its own connection (connparams)", login)
        if name in actual.interfaces:
            steps.append(
                Statement.of(f"SELECT spock.node_drop_interface({quote_literal(want.name)}, {quote_literal(name)})")
            )
        steps.append(_add(want.name, name, dsn))
    for trait in _TRAITS:
        if getattr(want, trait) is not None and getattr(want, trait) != getattr(actual, trait):
            raise _fixed(want, trait, login)
    return steps


def drop(name: str) -> Statement:
    """Forget a node; if it is this database's own, the database is no node any more."""
    return Statement.of(f"SELECT spock.node_drop({quote_literal(name)})")


def _create(want: Node) -> Statement:
    dsn = want.interfaces[want.name] or {}
    arguments = [quote_literal(want.name), quote_literal(conninfo.write(dsn))]
    for trait in ("location", "country"):
        if (value := getattr(want, trait)) is not None:
            arguments.append(f"{trait} := {quote_literal(value)}")
    if want.info is not None:
        arguments.append(f"info := {quote_literal(json.dumps(want.info, sort_keys=True))}::jsonb")
    return Statement.of(f"SELECT spock.node_create({', '.join(arguments)})", tuple(conninfo.secrets(dsn)))


def _add(node: str, name: str, dsn: Mapping[str, str]) -> Statement:
    arguments = ", ".join(quote_literal(value) for value in (node, name, conninfo.write(dsn)))
    return Statement.of(f"SELECT spock.node_add_interface({arguments})", tuple(conninfo.secrets(dsn)))


def _fixed(want: Node, what: str, login: Login) -> CrossoverError:
    return CrossoverError(
        f"node {want.name} is there with another value of {what}, and Spock cannot change that",
        code="cannot_change",
        object=want.name,
        server=str(login),
        untouched="nothing was changed",
        hint="leave it as it is, or drop the node's subscriptions and the node and make them again",
    )
