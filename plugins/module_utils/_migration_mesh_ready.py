# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a switch wants of the mesh before anything is held (private to the collection)."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Mapping

from ._errors import CrossoverError
from ._migration_compare_ledger import last_equal
from ._migration_control import NODE
from ._migration_ledger import Ledger
from ._migration_route import UNREACHABLE
from ._migration_sides import FurtherNode, Migration
from ._pg_catalog import leaves, table_oids
from ._pg_connect import driver, sql_error
from ._pg_sql import qualified
from ._spock_wait import Hop

_THERE = """
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'spock') AS spock,
       coalesce(current_setting('spock.exception_behaviour', true), '') AS behaviour,
       has_function_privilege('pg_show_replication_origin_status()', 'EXECUTE') AS may_ask
"""
_NODE = """
SELECT (SELECT node_name FROM spock.local_node JOIN spock.node USING (node_id)) AS name,
       (SELECT string_agg(DISTINCT n.node_name || ' (' || n.node_id || ')', ', ')
        FROM spock.node n JOIN pg_replication_origin o ON o.roident = n.node_id) AS taken
"""
# With Spock 5 also a deadlock, and with sub_disable too. What is tried again with discard (_spock_forgiving), and
# applied, is logged with these words; what fails again, with its error.
_DISCARDED = """
SELECT count(DISTINCT (remote_origin, remote_xid)) AS n,
       coalesce(min(error_message) FILTER (WHERE error_message !~ 'tuple discarded'), min(error_message)) AS why
FROM spock.exception_log
WHERE retry_errored_at > to_timestamp(%s) AND error_message !~ '^discard: .*root cause not captured'
"""
SKEW = 2.0  # seconds: a comparison's beginning is by the clock of the node that was compared
_SUBSCRIPTIONS = """
SELECT s.sub_name AS name, n.node_name AS provider, s.sub_slot_name AS origin, s.sub_replication_sets AS sets,
       coalesce(array_length(s.sub_forward_origins, 1), 0) > 0 AS forwards,
       (SELECT status FROM spock.sub_show_status(s.sub_name)) AS status
FROM spock.subscription s JOIN spock.node n ON n.node_id = s.sub_origin
"""
_SETS = """
SELECT nspname AS schema, relname AS name, array_agg(set_name) FILTER (WHERE set_name IS NOT NULL) AS sets
FROM spock.tables GROUP BY 1, 2
"""


def mesh_state(conn: Any) -> dict[str, Any] | None:
    """This node's name in Spock and its subscriptions, by provider; None without Spock."""
    if not conn.execute(_THERE).fetchone()["spock"]:
        return None
    found = dict(conn.execute(_NODE).fetchone())
    found["subscriptions"] = {row["provider"]: dict(row) for row in conn.execute(_SUBSCRIPTIONS)}
    return found


def has_spock(conn: Any) -> bool:
    """Whether rows are replicated by Spock there, or will be once other nodes join."""
    return bool(conn.execute(_THERE).fetchone()["spock"])


def only_members(migration: Migration) -> None:
    """Leave out the nodes that will join the mesh after the switch: none of the migration's tables are there yet."""

    def member(node: FurtherNode) -> bool:
        if node.landing:
            return True
        try:
            with migration.open(node.name) as conn:
                return bool(table_oids(conn, migration.scope))
        except CrossoverError as exc:
            if exc.code not in UNREACHABLE:
                raise
            return True  # nobody knows

    migration.further = [node for node in migration.further if member(node)]


def check_landing(migration: Migration) -> None:
    """Forward, every node of the mesh must be fed by the source: what native apply writes is not forwarded."""
    if migration.direction == "forward" and (others := [n.name for n in migration.further if not n.landing]):
        raise CrossoverError(
            f"{', '.join(others)} would get nothing of what is written on the source: it has no subscription to it",
            code="not_landing",
            untouched="nothing was changed: the source is writable",
            hint="take it out of the mesh, or make it a landing node with crossover.pgedge.replicate",
        )


def check_mesh(migration: Migration, conn: Mapping[str, Any], tables: bool = True) -> list[Hop]:
    """Everything that is written on one node reaches every other one. Returns the mesh's hops, of every pair."""
    places = migration.places(NODE)
    states: dict[str, dict[str, Any]] = {}
    equal = min(last_equal(Ledger(conn[place], migration.name)) for place in places) - SKEW
    for place in places:
        try:
            states[place] = _node(migration, place, conn[place])
            _discarded(migration, place, conn[place], equal)
        except driver().Error as exc:
            raise sql_error(exc, migration.logins[place], "the mesh could not be read", code="mesh_unhealthy") from None
    hops = [_hop(migration, states, there, here) for there, here in permutations(places, 2)]
    for place in places if tables else ():
        _covered(migration, place, conn[place], states)
    return hops


def _node(migration: Migration, place: str, conn: Any) -> dict[str, Any]:
    state = mesh_state(conn)
    if state is None or state["name"] is None:
        missing = "no Spock" if state is None else "no Spock node"
        raise _refuse(
            migration, place, f"there is {missing} on it, and nothing would replicate between the nodes", "no_spock"
        )
    there = conn.execute(_THERE).fetchone()
    if there["behaviour"] != "sub_disable":
        raise _refuse(
            migration,
            place,
            f"spock.exception_behaviour is {there['behaviour']} there: a transaction that fails would be thrown away",
            hint="set it to sub_disable (ALTER SYSTEM, reload), at least while the migration lasts",
        )
    if not there["may_ask"]:
        raise _refuse(
            migration,
            place,
            "its login may not see how far replication is",
            hint=f"GRANT EXECUTE ON FUNCTION pg_show_replication_origin_status() TO {conn.info.user}",
        )
    if state["taken"]:
        raise _refuse(
            migration,
            place,
            f"the id of Spock's node {state['taken']} is that of a replication origin there too",
            hint="give that node another name: Spock makes the id of the name",
        )
    return state


def _discarded(migration: Migration, place: str, conn: Any, equal: float) -> None:
    found = conn.execute(_DISCARDED, [equal]).fetchone()
    if found["n"]:
        raise _refuse(
            migration,
            place,
            f"{found['n']} transaction(s) of other nodes were discarded there since the nodes last compared equal "
            f"({found['why']})",
            hint="run crossover.pgedge.validate and repair what it finds; once it says equal, run this again",
        )


def _hop(migration: Migration, states: Mapping[str, dict[str, Any]], there: str, here: str) -> Hop:
    subscription = states[here]["subscriptions"].get(states[there]["name"])
    if subscription is None:
        raise _refuse(migration, here, f"it has no subscription to {states[there]['name']}")
    if subscription["status"] != "replicating":
        raise _refuse(migration, here, f"its subscription {subscription['name']} is {subscription['status']}")
    if subscription["forwards"]:
        raise _refuse(
            migration,
            here,
            f"its subscription {subscription['name']} takes what other nodes forward, and rows would come twice",
            hint="make it again with forward_origins '{}'",
        )
    return Hop(there, here, subscription["origin"])


def _covered(migration: Migration, place: str, conn: Any, states: Mapping[str, dict[str, Any]]) -> None:
    """Every table is in a set that every other node subscribes to; our own schema is in none."""
    sets = {(row["schema"], row["name"]): set(row["sets"] or ()) for row in conn.execute(_SETS)}
    own = [qualified(*name) for name, found in sets.items() if name[0] == "crossover" and found]
    if own:
        raise _refuse(migration, place, f"{own[0]} is in a replication set: it must stay on its node")
    name = states[place]["name"]
    for other in (state for at, state in states.items() if at != place):
        taken = set(other["subscriptions"][name]["sets"])
        bare = [t.full_name for t in leaves(migration.tables[place]) if not sets.get((t.schema, t.name), set()) & taken]
        if bare:
            raise _refuse(
                migration,
                place,
                f"{len(bare)} table(s) are in no replication set that {other['name']} subscribes to: "
                f"{', '.join(bare[:5])}",
                hint="run crossover.pgedge.replicate again, it takes new tables in",
            )


def _refuse(
    migration: Migration, place: str, why: str, code: str = "mesh_unhealthy", hint: str | None = None
) -> CrossoverError:
    lost = ""
    if migration.direction == "back":
        lost = (
            f". What was written on a node since may not have reached {migration.logins[NODE].label}, from which it "
            "goes to the source"
        )
    return CrossoverError(
        f"the mesh does not replicate as the switch needs it: {why}{lost}",
        code=code,
        server=str(migration.logins[place]),
        untouched=f"nothing was changed: the {migration.old} is writable",
        hint=hint or "mend it with crossover.pgedge.mesh, then run the playbook again",
    )


def away(migration: Migration, place: str, exc: CrossoverError) -> CrossoverError:
    """A node that cannot be reached, as a refusal of the switch back; anything else as it is."""
    if migration.direction != "back" or exc.code not in UNREACHABLE or place not in migration.places(NODE):
        return exc
    reason = exc.message
    name, first = migration.logins[place].label, migration.logins[NODE].label
    if place == NODE:
        what = f"what was written on the nodes goes to the source through {name}, which cannot be reached"
        hint = (
            f"bring {name} back, then run crossover.pgedge.rollback: nothing that was written meanwhile is lost. "
            "One that is lost for good: docs/cutover.md says how the migration is closed without it, and at what cost"
        )
    else:
        what = f"what was written on {name} may not have reached {first}, from which it goes to the source"
        hint = f"bring {name} back, then run crossover.pgedge.rollback"
    going_on = "the application goes on on the others" if migration.further else "the application's writes belong there"
    return CrossoverError(
        f"the source would lack writes: {what} ({reason})",
        code="node_away",
        server=str(migration.logins[place]),
        untouched=f"nothing was changed: the nodes are writable, {going_on}",
        hint=hint,
    )
