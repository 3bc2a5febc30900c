# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes as they are, and what keeps them from being a mesh (private to the collection)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from . import _replication_conninfo as conninfo
from ._errors import CrossoverError
from ._pg_connect import Login, connect, driver, sql_error
from ._pg_sql import hide
from ._replication_apply import HINTS
from ._spock_node import known_secrets
from ._spock_session import quietly

SETS = ("default", "default_insert_only")
OWN_SCHEMAS = ("spock", "snowflake", "lolor", "crossover", "pgedge_ace")
_SETTINGS = (
    "wal_level", "track_commit_timestamp", "spock.exception_behaviour", "output_plugin_libraries",
    "max_replication_slots", "max_wal_senders", "max_worker_processes",
)  # fmt: skip


@dataclass(frozen=True)
class Subscription:
    """A node's subscription to another, as Spock shows it."""

    name: str
    provider: str
    status: str
    enabled: bool
    slot: str
    sync: str  # of the subscription as a whole: i, s, d, c, w, u, y or r (include/spock_sync.h)


@dataclass
class Member:
    """One node that is wanted in the mesh: how it is reached, and what was found there."""

    name: str  # in Spock
    login: Login
    peer: Login  # as the other nodes reach it
    subscriptions: Mapping[str, str]  # other node's name -> name of the subscription to it
    conn: Any = None
    unreachable: str = ""
    version: str = ""
    node: str = ""  # what the database is called already
    begun: Mapping[str, Any] = field(default_factory=dict)  # of a join under way (_spock_join_begun)
    node_ids: dict[str, int] = field(default_factory=dict)
    future_id: int = 0  # what its name makes
    have: dict[str, Subscription] = field(default_factory=dict)  # by provider
    settings: dict[str, str] = field(default_factory=dict)
    origins: dict[int, str] = field(default_factory=dict)
    tables: int = 0
    identity: str = ""
    free_slots: int = 0
    forgiving: str = ""  # see _spock_forgiving
    secrets: set[str] = field(default_factory=set, repr=False)  # what a message may quote: also other nodes' passwords

    def __post_init__(self) -> None:
        self.learn(self)

    @property
    def dead(self) -> bool:
        """Whether it could not be looked at."""
        return bool(self.unreachable)

    def learn(self, other: Member) -> None:
        """Its passwords may be quoted by this node's messages."""
        self.secrets.update(conninfo.secrets(other.login.parameters(), other.peer.parameters()))

    def open(self) -> None:
        """Connect and look. A node that does not answer is remembered as such; it is no error."""
        try:
            self.conn = connect(self.login)
        except CrossoverError as exc:
            self.unreachable = exc.message
            return
        try:
            quietly(self.conn)
            self.look()
        except driver().Error as exc:
            raise sql_error(
                exc, self.login, "the node could not be looked at", untouched="nothing was changed"
            ) from None

    def look(self) -> None:
        """Read everything again. Nothing that this session does is replicated as DDL."""
        one = self.conn.execute(_LOOK, [self.name, list(_SETTINGS), list(OWN_SCHEMAS)]).fetchone()
        self.settings, self.tables, self.identity = one["settings"], one["tables"], one["identity"]
        self.forgiving = one["forgiving"] or ""
        self.version, self.free_slots, self.future_id = one["version"] or "", one["free_slots"], one["future_id"]
        self.origins = {
            row["roident"]: row["roname"] for row in self.conn.execute("SELECT * FROM pg_replication_origin")
        }
        if not self.version:
            return
        self.conn.execute("SELECT set_config('spock.enable_ddl_replication', 'off', false)")
        self.secrets.update(known_secrets(self.conn))
        self.node_ids = {
            row["node_name"]: row["node_id"] for row in self.conn.execute("SELECT node_id, node_name FROM spock.node")
        }
        local = self.conn.execute(_LOCAL).fetchone()
        self.node, self.begun = (local["node_name"], local["begun"]) if local else ("", {})
        self.have = {row["provider"]: Subscription(**row) for row in self.conn.execute(_SUBSCRIPTIONS)} if local else {}

    def do(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement of a change; its error names the node, and no password."""
        try:
            return self.conn.execute(sql, list(params) or None)
        except driver().Error as exc:
            error = sql_error(
                exc,
                self.login,
                _doing(sql),
                untouched="what was done before stays",
                hint=HINTS.get(getattr(exc, "sqlstate", None) or "", "see the log of this server")
                + "; then run crossover.pgedge.mesh again",
            )
            error.message = hide(error.message, self.secrets)
            raise error from None


_FAILURES = {
    "spock.node_create": "the node {} could not be made",
    "spock.node_drop": "the node {} could not be dropped",
    "spock.sub_create": "the subscription {} could not be made",
    "spock.sub_drop": "the subscription {} could not be dropped",
    "spock.sub_enable": "the subscription {} could not be enabled",
    "spock.sub_disable": "the subscription {} could not be disabled",
    "pg_create_logical_replication_slot": "the slot {} could not be made",
    "pg_drop_replication_slot": "the slot {} could not be dropped",
    "pg_replication_slot_advance": "the slot {} could not be advanced",
    "pg_replication_origin_advance": "the replication origin {} could not be advanced",
}


def _doing(sql: str) -> str:
    """What failed, in the words of crossover.pgedge.spock_subscription."""
    called = re.search(r"([a-z_.]+)\('([^']*)'", sql)
    known = called and _FAILURES.get(called[1])
    return known.format(called[2]) if called and known else "a statement of the mesh failed"


_LOOK = """
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'spock') AS version,
       hashtext(%s) & 65535 AS future_id, -- as spock_node.c makes it
       (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name = ANY (%s)) AS settings,
       (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p') AND relpersistence <> 't' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
          AND nspname <> ALL (%s)) AS tables,
       (SELECT system_identifier::text FROM pg_control_system()) || '/' || current_database() AS identity,
       (SELECT substr(note, 21) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase,
               unnest(setconfig) note
        WHERE datname = current_database() AND setrole = 0 AND note ^@ 'crossover.forgiving=') AS forgiving,
       current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots)::int AS free_slots
"""
_LOCAL = """SELECT node_name, coalesce(info -> 'crossover', '{}') AS begun
            FROM spock.local_node JOIN spock.node USING (node_id)"""
_SUBSCRIPTIONS = """
SELECT sub_name AS name, n.node_name AS provider, shown.status, sub_enabled AS enabled, sub_slot_name AS slot,
       coalesce((SELECT sync_status::text FROM spock.local_sync_status
                 WHERE sync_subid = sub_id AND sync_nspname IS NULL), '') AS sync
FROM spock.subscription JOIN spock.node n ON n.node_id = sub_origin
     LEFT JOIN spock.sub_show_status() shown ON shown.subscription_name = sub_name
"""


def problems(members: Sequence[Member], exception_behaviour: str = "") -> list[str]:
    """What has to be mended before anything is joined, each as one clause. Dead nodes are not judged."""
    found: list[str] = []
    alive = [member for member in members if not member.dead]
    for member in alive:
        behaviour = "" if member.forgiving else exception_behaviour  # it is put back at the end
        found += [f"{member.name} {what}" for what in _wrong(member, behaviour, len(members))]
    by_identity: dict[str, str] = {}
    for member in alive:
        if same := by_identity.get(member.identity):
            found.append(f"{same} and {member.name} are the same database")
        by_identity.setdefault(member.identity, member.name)
    return found + collisions(members)


def _wrong(member: Member, exception_behaviour: str, nodes: int) -> list[str]:
    settings = member.settings
    if not member.version:
        return ["has no extension spock in its database (CREATE EXTENSION spock, or run crossover.pgedge.node)"]
    found = []
    if member.version.split(".")[0] not in ("5", "6"):
        found.append(f"has Spock {member.version}; supported are 5 and 6")
    if settings.get("wal_level") != "logical":
        found.append("has wal_level " + settings.get("wal_level", "?") + " instead of logical")
    if settings.get("track_commit_timestamp") != "on":
        found.append("has track_commit_timestamp off")
    libraries = settings.get("output_plugin_libraries")
    if libraries is not None and "spock_output" not in libraries:
        found.append("does not list spock_output in output_plugin_libraries, so every subscription to it would be down")
    behaviour = settings.get("spock.exception_behaviour", "")
    if exception_behaviour and behaviour.lower() != exception_behaviour:
        found.append(
            f"has spock.exception_behaviour {behaviour or 'not set'} instead of {exception_behaviour}: "
            "a transaction that fails there would be lost without a word"
        )
    if member.node and member.node != member.name:
        found.append(f"is called {member.node} in Spock already: set crossover_node_name to that, or drop that node")
    missing = len([other for other in member.subscriptions if other not in member.have])
    if member.free_slots < min(missing, nodes):
        found.append(f"has {member.free_slots} free replication slots and needs {missing}: raise max_replication_slots")
    return found


def collisions(members: Sequence[Member]) -> list[str]:
    """Spock's node ids are numbers of 16 bits made of the name; native origins are numbered from 1.

    Where a node's id is the number of another origin on a node, a crash of that node moves the other origin's position,
    and changes never arrive with everything "replicating" (reproduced on 17.11 with 5.0.11).
    """
    found = []
    ids = {m.name: m.future_id for m in members if not m.dead}
    ids.update({name: number for m in members for name, number in m.node_ids.items()})
    for name, number in ids.items():
        for member in members:
            if number in member.origins:
                found.append(
                    f"the id {number} of node {name} is also that of the replication origin "
                    f"{member.origins[number]} on {member.name}: give {name} another crossover_node_name, or "
                    "drop that origin if nothing needs it"
                )
    return found
