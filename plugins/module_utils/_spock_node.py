# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spock's nodes: read, plan (private to the collection)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import _replication_conninfo as conninfo
from ._errors import CrossoverError
from ._pg_connect import Login
from ._pg_sql import Statement, quote_literal

Dsn = Mapping[str, str]

_NODES = """
SELECT n.node_id::int8 AS id, n.node_name AS name, n.location, n.country, n.info,
       n.node_id = (SELECT node_id FROM spock.local_node) AS local,
       (SELECT json_object_agg(if_name, if_dsn) FROM spock.node_interface WHERE if_nodeid = n.node_id) AS interfaces
FROM spock.node n ORDER BY n.node_name
"""
_SUBSCRIPTIONS = """
SELECT s.sub_name AS name FROM spock.subscription s JOIN spock.node n ON n.node_id IN (s.sub_origin, s.sub_target)
WHERE n.node_name = %s ORDER BY 1
"""
# node_drop drops every one of these that nobody reads at the moment: a subscriber that is down would miss what it has
# not got yet
_SLOTS = """
SELECT slot_name AS name FROM pg_replication_slots WHERE plugin = 'spock_output' AND database = current_database()
ORDER BY 1
"""
# Spock makes a node's number of its name: the lower 16 bits of PostgreSQL's hash. Origins are numbered from 1.
_SAME_NUMBER = """
SELECT w.node, w.id, w.node = %(name)s AS own, o.roname AS origin
FROM (SELECT node_name::text AS node, node_id::int8 AS id FROM spock.node
      UNION SELECT %(name)s::text, (hashtext(%(name)s::text) & 65535)::int8) w
JOIN pg_replication_origin o ON o.roident::int8 = w.id ORDER BY own DESC, 1
"""
_TRAITS = ("location", "country", "info")


@dataclass(frozen=True)
class Node:
    """A node as it is, or as it is wanted. None: as it is, or, of a DSN that is there, what cannot be read."""

    name: str
    dsn: Dsn | None = None  # its own interface, which has the node's name
    interfaces: Mapping[str, Dsn | None] = field(default_factory=dict)  # the further ones
    location: str | None = None
    country: str | None = None
    info: Any = None
    local: bool = True
    id: int = 0

    def shown(self) -> dict[str, Any]:
        """For results and diffs, without secrets."""
        return {
            "name": self.name,
            "dsn": conninfo.shown(self.dsn),
            "interfaces": {name: conninfo.shown(dsn) for name, dsn in sorted(self.interfaces.items())},
            **{trait: getattr(self, trait) for trait in _TRAITS},
        }

    def secrets(self) -> list[str]:
        """The passwords in it."""
        return conninfo.secrets(self.dsn, *self.interfaces.values())


def nodes(conn: Any) -> dict[str, Node]:
    """Every node that this database knows, by name."""
    found = {}
    for row in conn.execute(_NODES):
        dsns = {name: conninfo.read(dsn) for name, dsn in (row["interfaces"] or {}).items()}
        own = dsns.pop(row["name"], None)
        traits = {trait: row[trait] for trait in _TRAITS}
        found[row["name"]] = Node(row["name"], own, dsns, **traits, local=bool(row["local"]), id=row["id"])
    return found


def local_node(conn: Any) -> str | None:
    """What Spock calls this database; None where it is no node yet."""
    return next((node.name for node in nodes(conn).values() if node.local), None)


def require_node(conn: Any, login: Login, what: str) -> str:
    """The same; ``what`` belongs to a node, so without one it cannot be."""
    name = local_node(conn)
    if name is None:
        raise CrossoverError(
            f"this database is no Spock node yet, and {what} belongs to a node",
            code="no_node",
            server=str(login),
            untouched="nothing was changed",
            hint="run crossover.pgedge.spock_node first, or the playbook crossover.pgedge.mesh",
        )
    return name


def known_secrets(conn: Any) -> list[str]:
    """Every password that Spock has stored here: its errors may quote a DSN."""
    return [secret for node in nodes(conn).values() for secret in node.secrets()]


def refuse_same_number(conn: Any, name: str, login: Login) -> None:
    """No node that this database knows, nor ``name``, may have the number of a replication origin of this server.

    A crash would move that origin's position, and later changes would never arrive, with every status "replicating".
    """
    for row in conn.execute(_SAME_NUMBER, {"name": name}):
        raise CrossoverError(
            f"the number that Spock makes of the name {row['node']}, {row['id']}, is also that of the replication "
            f"origin {row['origin']}: after a crash changes could be missing",
            code="node_id_taken",
            object=row["node"],
            server=str(login),
            untouched="nothing was changed",
            hint="give the node another name, or drop that origin if nothing needs it",
        )


def hanging(conn: Any, node: Node) -> str:
    """What keeps a node from being dropped, as a clause; empty: nothing."""
    found = []
    if subscriptions := [row["name"] for row in conn.execute(_SUBSCRIPTIONS, [node.name])]:
        found.append(f"the subscription(s) {', '.join(subscriptions)}")
    if slots := [row["name"] for row in conn.execute(_SLOTS)] if node.local else []:
        found.append(f"what other nodes read, by the slot(s) {', '.join(slots)}")
    return " and ".join(found)


# -- plans -----------------------------------------------------------------------------------------------------------


def plan(want: Node, actual: Node | None, login: Login) -> list[Statement]:
    """From what is there to what is wanted, in one transaction. Interfaces that nobody asked for stay."""
    if actual is None:
        return [_create(want), *(_add(want.name, name, dsn) for name, dsn in want.interfaces.items())]
    fixed = [trait for trait in _TRAITS if getattr(want, trait) not in (None, getattr(actual, trait))]
    if want.dsn is not None and want.dsn != actual.dsn:
        fixed.append("dsn")
    if fixed:
        raise CrossoverError(
            f"node {want.name} is there with other {' and '.join(fixed)}, which Spock cannot change",
            code="cannot_change",
            object=want.name,
            server=str(login),
            untouched="nothing was changed",
            hint="leave it as it is, or drop the node's subscriptions and the node, and make them anew",
        )
    steps: list[Statement] = []
    for name, dsn in want.interfaces.items():
        if name in actual.interfaces and actual.interfaces[name] == dsn:
            continue
        steps += [drop_interface(want.name, name)] if name in actual.interfaces else []
        steps.append(_add(want.name, name, dsn))
    return steps


def predicted(want: Node, actual: Node | None) -> Node:
    """What the plan leads to."""
    return replace(actual, interfaces={**actual.interfaces, **want.interfaces}) if actual else want


def drop(name: str) -> Statement:
    """Forget a node; if it is this database's own, the database is no node any more."""
    return Statement.of(f"SELECT spock.node_drop({quote_literal(name)})")


def add_interface(node: str, name: str, dsn: Dsn) -> Statement:
    """A further way to reach a node."""
    start = f"SELECT spock.node_add_interface({quote_literal(node)}, {quote_literal(name)}, "
    return Statement(*(f"{start}{text})" for text in literals(dsn)))


def drop_interface(node: str, name: str) -> Statement:
    """One way less."""
    return Statement.of(f"SELECT spock.node_drop_interface({quote_literal(node)}, {quote_literal(name)})")


def literals(dsn: Dsn | None) -> tuple[str, str]:
    """A DSN as SQL has it, and as it may be shown."""
    text, shown = (quote_literal(conninfo.write(dsn or {}, hide)) for hide in (False, True))
    return text, shown


def _add(node: str, name: str, dsn: Dsn | None) -> Statement:
    return add_interface(node, name, dsn or {})


def _create(want: Node) -> Statement:
    rest = "".join(
        f", {trait} := {quote_literal(value)}" for trait in ("location", "country") if (value := getattr(want, trait))
    )
    if want.info is not None:
        rest += f", info := {quote_literal(json.dumps(want.info, sort_keys=True))}::jsonb"
    start = f"SELECT spock.node_create({quote_literal(want.name)}, "
    return Statement(*(f"{start}{text}{rest})" for text in literals(want.dsn)))
