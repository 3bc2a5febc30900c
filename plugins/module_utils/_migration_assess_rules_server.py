# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the two servers: versions, settings, free places, clocks (private to the collection)."""

from __future__ import annotations

from typing import Iterator

from ._migration_assess_facts import Facts, Server, Wanted
from ._migration_assess_finding import BLOCKER, INFO, WARNING, Finding, rule, shorten

OLDEST_SOURCE, OLDEST_NODE = 14, 15


@rule("source_too_old", "node_too_old", "node_older_than_source")
def versions(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Which versions can be migrated."""
    source, node = facts.source, facts.node
    if source.version // 10000 < OLDEST_SOURCE:
        yield Finding(
            "source_too_old",
            BLOCKER,
            "source",
            f"The source is PostgreSQL {source.version_text}, supported is {OLDEST_SOURCE} and newer.",
            "Upgrade the source first.",
        )
    if node.version // 10000 < OLDEST_NODE:
        yield Finding(
            "node_too_old",
            BLOCKER,
            "node",
            f"The node is PostgreSQL {node.version_text}, supported is {OLDEST_NODE} and newer.",
            "Install a newer PostgreSQL on the nodes.",
        )
    if node.version // 10000 < source.version // 10000:
        yield Finding(
            "node_older_than_source",
            BLOCKER,
            "node",
            f"The node ({node.version_text}) is older than the source ({source.version_text}): its schema may not "
            "load there.",
            "Install the source's major version or a newer one on the nodes.",
        )


@rule("standby", "through_pooler", "same_database")
def reached(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Whether the logins reach what they should."""
    for server in (facts.source, facts.node):
        if server.in_recovery:
            yield Finding(
                "standby",
                BLOCKER,
                server.side,
                f"The {server.side} is a standby: nothing can be written or published there.",
                "Use the primary; on a managed service the writer's endpoint.",
            )
        if server.pooled:
            yield Finding(
                "through_pooler",
                BLOCKER,
                server.side,
                f"The login of the {server.side} goes through a pooler: replication and session settings do not "
                "pass it.",
                f"Give the server's own address as login_host and login_port of the {server.side}.",
            )
    if facts.source.identity and facts.source.identity == facts.node.identity:
        yield Finding(
            "same_database",
            BLOCKER,
            facts.source.database,
            "Source and node are the same database.",
            "Correct crossover_source or crossover_node.",
        )


@rule("wal_level", "output_plugin")
def decoding(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Logical decoding with pgoutput must be possible."""
    for server in (facts.source, facts.node):
        level = server.settings.get("wal_level")
        if level not in (None, "logical"):
            needed = server.side == "source" or wanted.way_back
            setting = "rds.logical_replication = 1 in the parameter group" if server.service else "wal_level = logical"
            yield Finding(
                "wal_level",
                BLOCKER if needed else WARNING,
                server.side,
                f"wal_level is {level} on the {server.side}: "
                + (
                    "no changes can be read from it."
                    if server.side == "source"
                    else "there is no way back, and no mesh."
                ),
                f"Set {setting} and restart it.",
            )
        # Since 15.19, 16.15, 17.11 and 18.6 a plugin has to be listed; older minors do not know the setting.
        libraries = server.settings.get("output_plugin_libraries")
        if libraries is not None:
            needed_plugins = {"pgoutput"} | ({"spock_output"} if server.spock else set())
            if missing := needed_plugins - {name.strip() for name in libraries.split(",")}:
                yield Finding(
                    "output_plugin",
                    BLOCKER,
                    server.side,
                    f"output_plugin_libraries of the {server.side} is {libraries!r}: it lacks "
                    f"{shorten(sorted(missing))}.",
                    "Add what is missing and reload the server.",
                )


def _short_of(
    code: str, server: Server, what: str, setting: str, free: int, least: int, wish: int
) -> Iterator[Finding]:
    """A blocker where not even ``least`` are free, a warning below ``wish``."""
    if free >= wish:
        return
    meaning = f"{max(free, 0)} of {server.number(setting)} {what} are free on the {server.side}; {wish} are wanted"
    if free < least:
        meaning += f", without {least} nothing starts."
    else:
        meaning += " so that every table copy that runs at once has one."
    need = (server.number(setting) or 0) - free + wish
    yield Finding(
        code,
        BLOCKER if free < least else WARNING,
        server.side,
        meaning,
        f"Free some, or set {setting} to {need} or more (needs a restart).",
    )


@rule("replication_slots", "wal_senders")
def senders(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """One slot and one sender for each node, and as many again for each table that is copied at once."""
    names = wanted.names
    copying = facts.node.number("max_sync_workers_per_subscription") or 0
    for server, streams, ours in (
        (facts.source, wanted.nodes, {names.slot}),
        (facts.node, 1 if wanted.way_back else 0, {names.back_slot}),
    ):
        mine = sum(slot.name in ours for slot in server.slots)
        wish = streams * (1 + copying) if server.side == "source" and "replicate" not in facts.phases else streams
        slots, walsenders = server.number("max_replication_slots"), server.number("max_wal_senders")
        if slots is not None:
            free = slots - len(server.slots) + mine
            for finding in _short_of(
                "replication_slots", server, "replication slots", "max_replication_slots", free, streams, wish
            ):
                idle = [slot.name for slot in server.slots if not slot.active and slot.name not in ours]
                extra = f" Inactive slots: {shorten(idle)}." if idle else ""
                yield Finding(finding.code, finding.severity, finding.object, finding.meaning, finding.action + extra)
        if walsenders is not None:
            free = walsenders - server.wal_senders + mine
            yield from _short_of("wal_senders", server, "WAL senders", "max_wal_senders", free, streams, wish)


@rule("logical_workers", "worker_processes", "replication_origins")
def appliers(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """A worker and an origin for the subscription, and as many again for each table that is copied at once."""
    if "replicate" in facts.phases:
        return  # they run already, and are counted as used
    for server in (facts.node, facts.source) if wanted.way_back else (facts.node,):
        copying = (server.number("max_sync_workers_per_subscription") or 0) if server.side == "node" else 0
        logical, processes = server.number("max_logical_replication_workers"), server.number("max_worker_processes")
        # Before 18 the origins' places are those of the slots.
        places = "max_active_replication_origins" if server.version >= 180000 else "max_replication_slots"
        origins = server.number(places)
        if logical is not None:
            free = logical - server.logical_workers
            yield from _short_of(
                "logical_workers",
                server,
                "logical replication workers",
                "max_logical_replication_workers",
                free,
                1,
                1 + copying,
            )
        if processes is not None:
            free = processes - server.background_workers
            yield from _short_of(
                "worker_processes", server, "background workers", "max_worker_processes", free, 1, 1 + copying
            )
        if origins is not None:
            free = origins - server.origins
            yield from _short_of("replication_origins", server, "replication origins", places, free, 1, 1 + copying)


@rule("read_only_default", "session_timeout", "replication_timeout", "serializable_default")
def session_settings(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Settings that end our sessions, or the apply worker's."""
    for server in (facts.source, facts.node):
        settings, side = server.settings, server.side
        if settings.get("default_transaction_read_only") == "on":
            yield Finding(
                "read_only_default",
                BLOCKER,
                side,
                f"default_transaction_read_only is on for the {side}: apply workers and this login cannot write.",
                "Turn it off for the server and the database; take writes away from the application's roles instead.",
            )
        timeouts = [
            "statement_timeout",
            "transaction_timeout",
            "idle_session_timeout",
            "idle_in_transaction_session_timeout",
        ]
        if side == "node":
            timeouts = ["transaction_timeout"]  # apply workers heed no other
        for name in timeouts:
            if value := int(settings.get(name) or 0):
                yield Finding(
                    "session_timeout",
                    WARNING,
                    f"{side} {name}",
                    f"{name} is {value / 1000:g} s for {server.user} on the {side}: a copy that takes longer is "
                    "cut off and begins again.",
                    f"ALTER ROLE {server.user} IN DATABASE {server.database} SET {name} = 0",
                )
        name = "wal_sender_timeout" if side == "source" else "wal_receiver_timeout"
        limit = server.number(name)
        if limit is not None and limit < 10000:
            said = (
                "0: a connection that died is never noticed"
                if limit == 0
                else f"{limit / 1000:g} s: a short stall ends the stream"
            )
            yield Finding(
                "replication_timeout",
                WARNING,
                side,
                f"{name} of the {side} is {said}.",
                f"Set {name} to 60s (a reload is enough).",
            )
        if settings.get("default_transaction_isolation") == "serializable":
            yield Finding(
                "serializable_default",
                WARNING,
                side,
                f"default_transaction_isolation is serializable on the {side}: on a mesh it holds on each node for "
                "itself only.",
                "Look for invariants that need it across nodes.",
            )


@rule("synchronous_commit_off", "synchronous_standby", "two_phase_commit")
def durability(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Settings that decide when a commit counts."""
    settings = facts.source.settings
    if settings.get("synchronous_commit") == "off":
        yield Finding(
            "synchronous_commit_off",
            WARNING,
            "source",
            "Commits are acknowledged before they are on disk: a crash of the source loses some.",
            "Set synchronous_commit = on at least for the day of the cutover.",
        )
    for server in (facts.source, facts.node):
        standbys = server.settings.get("synchronous_standby_names", "")
        if "*" in standbys or "crossover" in standbys:
            yield Finding(
                "synchronous_standby",
                WARNING,
                server.side,
                f"synchronous_standby_names is {standbys!r}: our subscription counts as a standby, and commits on "
                f"the {server.side} wait for it.",
                "Name the real standbys instead of *.",
            )
    if (facts.source.number("max_prepared_transactions") or 0) > 0:
        yield Finding(
            "two_phase_commit",
            INFO,
            "source",
            "max_prepared_transactions is above 0: a transaction that stays prepared holds up replicate and cutover; "
            "a mesh does not replicate PREPARE TRANSACTION.",
            "",
        )


@rule("wal_unbounded", "wal_budget_small")
def wal_budget(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """What a slot may keep on the source."""
    keep = facts.source.number("max_slot_wal_keep_size")
    if keep is None:
        return
    if keep < 0:
        yield Finding(
            "wal_unbounded",
            INFO,
            "source",
            "max_slot_wal_keep_size is -1: a node that stops keeps WAL on the source until its disk is full.",
            "Watch it with the playbook crossover.pgedge.monitor (crossover_monitor_wal_budget), or set a bound.",
        )
    elif keep < 1024:
        yield Finding(
            "wal_budget_small",
            WARNING,
            "source",
            f"max_slot_wal_keep_size is {keep} MB: a node that is further behind loses its slot, and the copy "
            "begins again.",
            "Set it to what the disk has room for (a reload is enough).",
        )


@rule("clock_skew")
def clocks(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Last-update-wins compares the clocks of source and nodes."""
    skew = facts.node.clock - facts.source.clock
    error = facts.node.clock_error + facts.source.clock_error
    if abs(skew) - error > 0.5:
        ahead = "ahead of" if skew > 0 else "behind"
        yield Finding(
            "clock_skew",
            WARNING,
            "node",
            f"The node's clock is {abs(skew):.1f} s {ahead} the source's: last-update-wins on a mesh decides by it.",
            "Let every server follow the same time source (chrony, NTP).",
        )


@rule("no_spock", "spock_not_loaded", "track_commit_timestamp")
def spock(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Whether the node can be part of a mesh."""
    node = facts.node
    if node.spock is None:
        yield Finding(
            "no_spock",
            WARNING if wanted.nodes > 1 else INFO,
            "node",
            "The node has no extension spock: it is plain PostgreSQL, and no mesh can be made of it.",
            "Install pgEdge's packages if it is to become one." if wanted.nodes > 1 else "",
        )
        return
    loaded = node.settings.get("shared_preload_libraries")
    if loaded is not None and "spock" not in [name.strip() for name in loaded.split(",")]:
        yield Finding(
            "spock_not_loaded",
            BLOCKER,
            "node",
            "shared_preload_libraries of the node does not name spock.",
            "Add spock to shared_preload_libraries and restart the node.",
        )
    if node.settings.get("track_commit_timestamp") == "off":
        yield Finding(
            "track_commit_timestamp",
            BLOCKER,
            "node",
            "track_commit_timestamp is off on the node: Spock resolves conflicts by it.",
            "Set track_commit_timestamp = on and restart the node.",
        )
