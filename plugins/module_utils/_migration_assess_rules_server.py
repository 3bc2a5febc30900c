# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the two servers: versions, what decodes and applies, free places (private to the collection)."""

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
            needed = server.side == "source" or wanted.way_back or wanted.nodes > 1
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
        (facts.source, wanted.nodes, wanted.slots | {names.slot}),
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


@rule("copy_cost")
def cost(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Every node that is fed by the source reads it once."""
    if wanted.nodes > 1 and "replicate" not in facts.phases:
        size = sum(table.table.bytes for table in facts.tables) / 1024**3
        yield Finding(
            "copy_cost",
            INFO,
            facts.source.database,
            f"{wanted.nodes} nodes are fed by the source: each reads its tables ({size:.1f} GiB) once for the copy, "
            f"all at the same time, and then holds a slot and a WAL sender of its own, {wanted.nodes} of each.",
            "Lower crossover_jobs if the source cannot bear that: it counts for each node.",
        )


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
