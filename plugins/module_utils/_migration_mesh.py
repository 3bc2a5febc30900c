# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a migration asks of one node of a mesh, for as long as it lasts (private to the collection).

* exception_behaviour = sub_disable: with Spock's default a transaction that fails is thrown away whole, and the
  subscription goes on saying that it replicates.
* Every migrated table in a replication set, one by one: spock.repset_add_all_tables() stops at the first one that has
  no replica identity index.
* No table of our own schema is in one: where Spock is set to put new tables into a set (include_ddl_repset), those that
  came with a copy of the structure are.
* No node's id is the number of a replication origin: a crash would then move an origin that is another one's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Sequence

from ._errors import CrossoverError
from ._migration_ledger import Ledger
from ._pg_catalog import OWN_SCHEMA, Scope, Table, exists, tables
from ._pg_connect import Login, driver, sql_error
from ._pg_sql import Statement, quote_literal
from ._spock_forgiving import MEANWHILE, RELOAD, SETTING, STRICT
from ._spock_repset import assign
from ._spock_strays import end_strays

FACT = "mesh.exception_behaviour"
INSERT_ONLY = "default_insert_only"


@dataclass
class Guard:
    """One node. ``problems`` are what the mesh lacks, each one clause."""

    statements: list[Statement] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    was: dict[str, Any] = field(default_factory=dict)
    insert_only: list[str] = field(default_factory=list)


# -- is there a mesh ---------------------------------------------------------------------------------------------------

_THERE = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'spock') AS there"
_ME = "SELECT node_name FROM spock.local_node JOIN spock.node USING (node_id)"
_TO = "SELECT provider_node AS node, subscription_name AS name, status FROM spock.sub_show_status()"


def spock_node(conn: Any) -> str | None:
    """What Spock calls this node; None where there is no Spock, or no node yet."""
    row = conn.execute(_ME).fetchone() if conn.execute(_THERE).fetchone()["there"] else None
    return row["node_name"] if row else None


def alone(conn: Any) -> bool:
    """Whether nothing is replicated to this node through a mesh."""
    return exists(conn, "spock.subscription") and conn.execute("SELECT FROM spock.subscription").fetchone() is None


def mesh_problems(conn: Any, peers: Sequence[str], patience: float) -> list[str]:
    """What keeps this node from being in a mesh with its peers. A subscription may need a moment, or a push."""
    until = time.monotonic() + patience
    while True:
        found, passing = _mesh_problems(conn, peers)
        if not passing or time.monotonic() > until:
            return found
        end_strays(conn)
        time.sleep(0.25)


def _mesh_problems(conn: Any, peers: Sequence[str]) -> tuple[list[str], bool]:
    if not conn.execute(_THERE).fetchone()["there"]:
        return [f"the extension spock is not in the database {conn.info.dbname}"], False
    if not conn.execute(_NOW).fetchone():
        return ["the server has not loaded Spock (shared_preload_libraries)"], False
    me = spock_node(conn)
    if me is None:
        return ["Spock has no node in this database"], False
    if me not in peers:
        return [f"Spock calls this node {me}, by the inventory the nodes are {', '.join(peers)}"], False
    subscriptions = {row["node"]: row for row in conn.execute(_TO)}
    found, passing = [], True
    for peer in peers:
        there = subscriptions.get(peer)
        if peer != me and not there:
            found.append(f"{me} has no subscription to {peer}")
            passing = False
        elif peer != me and there and there["status"] != "replicating":
            found.append(f"the subscription {there['name']} of {me} to {peer} is {there['status']}")
    return found, passing and bool(found)


# -- node ids ----------------------------------------------------------------------------------------------------------

SAME_IDS = """
SELECT n.node_name AS node, n.node_id AS id, o.roname AS origin
FROM spock.node n JOIN pg_replication_origin o ON o.roident = n.node_id ORDER BY 1
"""


def refuse_same_ids(conn: Any, login: Login) -> None:
    """A node's id must not be the number of a replication origin on any node."""
    for row in conn.execute(SAME_IDS):
        raise CrossoverError(
            f"Spock's id of node {row['node']}, {row['id']}, is also the number of the replication origin "
            f"{row['origin']}: after a crash changes could be missing",
            code="node_id_taken",
            server=str(login),
            object=row["node"],
            untouched="nothing was changed",
            hint="Spock makes the id of the node's name: give the node another name (crossover_node_name)",
        )


# -- exception_behaviour -----------------------------------------------------------------------------------------------

_NOW = "SELECT setting, sourcefile FROM pg_settings WHERE name = 'spock.exception_behaviour'"


def plan_stop(conn: Any, ledger: Ledger, guard: Guard, login: Login) -> dict[str, Any] | None:
    """Stop at an exception. Returns what is to be remembered, None where nothing has to be set."""
    now = conn.execute(_NOW).fetchone()
    if not now:
        raise CrossoverError(
            "Spock is in the database, but the server has not loaded it",
            code="no_spock",
            server=str(login),
            untouched="nothing was changed",
            hint="put spock into shared_preload_libraries and restart the node",
        )
    guard.before[SETTING] = now["setting"]
    guard.after[SETTING] = STRICT
    if now["setting"] == STRICT:
        return None
    guard.statements += [Statement.of(f"ALTER SYSTEM SET {SETTING} = {STRICT}"), Statement.of(RELOAD)]
    ours = (now["sourcefile"] or "").endswith("postgresql.auto.conf")
    return ledger.facts().get(FACT) or {"was": now["setting"], "by_alter_system": ours}


def plan_restore(conn: Any, ledger: Ledger, guard: Guard) -> bool:
    """Put back what was there; False where nothing of ours is."""
    fact = ledger.facts().get(FACT)
    now = conn.execute(_NOW).fetchone()
    if not fact or not now:
        return False
    guard.before[SETTING], guard.after[SETTING] = now["setting"], fact["was"]
    if now["setting"] in (STRICT, MEANWHILE):  # else the operator has set something else meanwhile
        back = f"SET {SETTING} = {quote_literal(fact['was'])}" if fact["by_alter_system"] else f"RESET {SETTING}"
        guard.statements += [Statement.of(f"ALTER SYSTEM {back}"), Statement.of(RELOAD)]
    return True


def apply_setting(conn: Any, statements: Sequence[Statement], wanted: str, login: Login) -> None:
    """ALTER SYSTEM and a reload, and see that it has come about."""
    try:
        for statement in statements:
            conn.execute(statement.sql.encode())
        for _try in range(50):
            if conn.execute(_NOW).fetchone()["setting"] == wanted:
                return
            time.sleep(0.1)
    except driver().Error as exc:
        raise sql_error(
            exc,
            login,
            f"{SETTING} could not be set to {wanted}",
            code="setting_refused",
            object=SETTING,
            untouched="it is what it was",
            hint=f"set {SETTING} = {wanted} in the node's configuration, reload it, and run this phase again",
        ) from None
    raise CrossoverError(
        f"{SETTING} is not {wanted} after a reload",
        code="setting_refused",
        server=str(login),
        object=SETTING,
        hint="see whether a command line or a role's own setting overrides it, and the server's log",
    )


# -- replication sets --------------------------------------------------------------------------------------------------

_SETS = """
SELECT t.set_reloid::oid::int8 AS oid, array_agg(s.set_name::text ORDER BY 1) AS sets
FROM spock.replication_set_table t JOIN spock.replication_set s USING (set_id)
JOIN spock.local_node l ON l.node_id = s.set_nodeid GROUP BY 1
"""


_OWN = """
SELECT format('SELECT spock.repset_remove_table(%%L, %%L::regclass)', s.set_name, t.set_reloid) AS sql
FROM spock.replication_set_table t JOIN spock.replication_set s USING (set_id)
JOIN pg_class c ON c.oid = t.set_reloid WHERE c.relnamespace = to_regnamespace(%s) ORDER BY 1
"""


def plan_own(conn: Any) -> list[Statement]:
    """Take our own tables out of the sets."""
    return [Statement.of(row["sql"]) for row in conn.execute(_OWN, [OWN_SCHEMA])]


def plan_sets(conn: Any, scope: Scope, guard: Guard) -> None:
    """Every permanent table into a set."""
    found = [table for table in tables(conn, scope) if table.persistence == "p"]
    sets = {row["oid"]: row["sets"] for row in conn.execute(_SETS)}
    guard.before["sets"] = {t.full_name: sets.get(t.oid, []) for t in found}
    mended = [t for t in found if t.identity == "f" and t.has_key]
    # Spock knows rows by a key: with FULL a table that has one is in no set that replicates updates
    guard.statements += [Statement.of(f"ALTER TABLE {t.full_name} REPLICA IDENTITY DEFAULT") for t in mended]
    steps = assign(conn, [t.full_name for t in found], {t.full_name for t in mended})
    guard.statements += steps
    guard.insert_only = [t.full_name for t in found if not _has_index(t)]
    guard.after["sets"] = {
        t.full_name: sets.get(t.oid) or [INSERT_ONLY if t.full_name in guard.insert_only else "default"] for t in found
    }


def apply_sets(conn: Any, statements: Sequence[Statement], login: Login) -> None:
    """One at a time, each on its own: with locks on several tables this would deadlock with an apply worker."""
    for statement in statements:
        try:
            conn.execute(statement.sql.encode())
        except driver().Error as exc:
            doing = f"a table could not be put into a replication set by {statement}"
            untouched = "those before it are in their sets"
            raise sql_error(exc, login, doing, untouched=untouched, hint="run this phase again") from None


def _has_index(table: Table) -> bool:
    return table.has_key if table.identity == "f" else table.has_identity
