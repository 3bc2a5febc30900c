# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the two servers: settings, WAL, clocks, Spock (private to the collection)."""

from __future__ import annotations

from typing import Iterator

from ._migration_assess_facts import Facts, Wanted
from ._migration_assess_finding import BLOCKER, INFO, WARNING, Finding, rule


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
            BLOCKER if wanted.nodes > 1 else INFO,
            "node",
            "The node has no extension spock: it is plain PostgreSQL, and no mesh can be made of it.",
            "Install pgEdge's packages (the role node does), or leave one node in the group pgedge."
            if wanted.nodes > 1
            else "",
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
