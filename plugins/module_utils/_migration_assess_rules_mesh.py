# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about a mesh: its nodes beside each other, and what an application meets there (private to the collection)."""

from __future__ import annotations

from typing import Iterator

from ._migration_assess_facts import Facts, Server, Wanted
from ._migration_assess_finding import BLOCKER, INFO, WARNING, Finding, rule, shorten

ROOMY = 10  # places for slots and origins beyond what is used: a crash leaves origins behind


def on_a_mesh(facts: Facts, wanted: Wanted) -> bool:
    """Whether what is written on one node can be changed on another."""
    return facts.node.spock is not None or wanted.nodes > 1


def nodes(facts: Facts) -> list[Server]:
    """Those that were read."""
    return [facts.node, *facts.peers]


@rule("node_versions", "spock_versions")
def versions(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Nodes may differ while they are upgraded one by one, not for good."""
    for code, what, found in (
        ("node_versions", "PostgreSQL", {n.name: str(n.version // 10000) for n in nodes(facts)}),
        ("spock_versions", "Spock", {n.name: n.spock or "none" for n in nodes(facts)}),
    ):
        if len(set(found.values())) > 1:
            each = shorten([f"{name} {version}" for name, version in found.items()])
            yield Finding(
                code,
                WARNING,
                facts.node.database,
                f"The nodes have different versions of {what}: {each}.",
                "Bring all to the newest of them; differing versions are for an upgrade node by node only.",
            )


@rule("peer_settings", "peer_encoding", "peer_clock")
def peers(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """What is asked of the first node is asked of the others, and they must be alike."""
    needed = {"wal_level": "logical", "track_commit_timestamp": "on"}
    for peer in facts.peers:
        wrong = [f"{name} = {now}" for name, want in needed.items() if (now := peer.settings.get(name, want)) != want]
        libraries = peer.settings.get("shared_preload_libraries")
        if peer.spock and libraries is not None and "spock" not in [name.strip() for name in libraries.split(",")]:
            wrong.append("shared_preload_libraries lacks spock")
        plugins = peer.settings.get("output_plugin_libraries")
        if plugins is not None and not {"pgoutput", "spock_output"} <= {name.strip() for name in plugins.split(",")}:
            wrong.append(f"output_plugin_libraries = {plugins}")
        if wrong:
            yield Finding(
                "peer_settings",
                BLOCKER,
                peer.name,
                f"The node {peer.name} cannot be part of a mesh: {'; '.join(wrong)}.",
                "Run the role node on it, or set wal_level = logical, track_commit_timestamp = on, "
                "shared_preload_libraries with spock, output_plugin_libraries with pgoutput and spock_output.",
            )
        if peer.encoding and peer.encoding != facts.node.encoding:
            yield Finding(
                "peer_encoding",
                BLOCKER,
                peer.name,
                f"The database on {peer.name} has the encoding {peer.encoding}, the first node's has "
                f"{facts.node.encoding}.",
                "Make it again with the same encoding.",
            )
        error = peer.clock_error + facts.node.clock_error
        skew = peer.clock - facts.node.clock
        if abs(skew) - error > 0.5:
            yield Finding(
                "peer_clock",
                WARNING,
                peer.name,
                f"The clock of {peer.name} is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the first "
                "node's: a later write there can lose against an earlier one.",
                "Let every server follow the same time source (chrony, NTP); the cutover wants less than "
                "crossover_clock_skew.",
            )


@rule("mesh_places")
def places(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """A slot and an origin for each other node, the migration's, and room."""
    if wanted.nodes < 2:
        return
    for node in nodes(facts):
        origins = "max_active_replication_origins" if node.version >= 180000 else "max_replication_slots"
        for setting, used in (("max_replication_slots", len(node.slots)), (origins, node.origins)):
            value = node.number(setting)
            need = used + wanted.nodes + ROOMY
            if value is not None and value < need:
                yield Finding(
                    "mesh_places",
                    WARNING,
                    f"{node.name} {setting}",
                    f"{setting} of {node.name} is {value}, and {used} are used: a mesh of {wanted.nodes} takes one for "
                    "each other node, and a tight value can keep a node from starting after a crash.",
                    f"Set {setting} to {need} or more (needs a restart).",
                )


@rule("exception_behaviour", "no_spock_node", "node_id_taken")
def spock_state(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """How Spock stands on each node."""
    for node in nodes(facts):
        behaviour = node.settings.get("spock.exception_behaviour")
        if behaviour not in (None, "sub_disable"):
            yield Finding(
                "exception_behaviour",
                INFO,
                node.name,
                f"spock.exception_behaviour is {behaviour} on {node.name}: a change that cannot be applied is thrown "
                "away, and the subscription goes on.",
                "prepare sets it to sub_disable while the migration lasts; think of keeping that.",
            )
        if node.extensions.get("spock") and node.extensions["spock"].installed and node.spock_node is None:
            if wanted.nodes > 1:
                yield Finding(
                    "no_spock_node",
                    INFO,
                    node.name,
                    f"Spock has no node in the database {node.database} of {node.name}; a database has one.",
                    "Run the playbook crossover.pgedge.mesh, or prepare with crossover_mesh_form=true.",
                )
        for name, number, origin in node.same_ids:
            yield Finding(
                "node_id_taken",
                BLOCKER,
                name,
                f"Spock's id of node {name}, {number}, is also the number of the replication origin {origin} on "
                f"{node.name}: after a crash changes could be missing.",
                "Spock makes the id of the node's name: give the node another name (crossover_node_name).",
            )


@rule("truncate_cascade", "counter_column", "lolor")
def application(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """What two nodes that write at once make of it."""
    if not on_a_mesh(facts, wanted):
        return
    if referenced := sorted({refers for _name, _table, refers in facts.foreign_keys}):
        yield Finding(
            "truncate_cascade",
            INFO,
            "source",
            f"{len(referenced)} table(s) are referred to by foreign keys ({shorten(referenced, 3)}): TRUNCATE "
            "CASCADE of one "
            "truncates the others here, and on the other nodes only what is in a replication set.",
            "Name every table in TRUNCATE, and look that each is in a set.",
        )
    for table, column in facts.counters:
        yield Finding(
            "counter_column",
            INFO,
            f"{table}.{column}",
            "It looks like a running total in rows that are updated: of two nodes that change it at the same time "
            "one is lost, "
            "since the last update wins.",
            f"If nodes add to it: ALTER TABLE {table} ALTER COLUMN {column} SET (log_old_value=true, "
            "delta_apply_function=spock.delta_apply) on every node; the column must be NOT NULL.",
        )
    if facts.large_objects:
        yield Finding(
            "lolor",
            INFO,
            facts.source.database,
            f"{facts.large_objects} large object(s): a mesh does not replicate them.",
            "The extension lolor keeps large objects in tables that are replicated; lolor.migrate_from_native() "
            "moves them, "
            "after finish, when no native slot is left.",
        )


@rule("not_cluster_wide", "mesh_ddl", "one_database_per_mesh")
def everyday(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """What is different for people and applications on several nodes."""
    if wanted.nodes < 2:
        return
    notify = f" {len(facts.notifying)} function(s) notify: {shorten(facts.notifying, 3)}." if facts.notifying else ""
    yield Finding(
        "not_cluster_wide",
        INFO,
        facts.source.database,
        "LISTEN and NOTIFY, advisory locks, SERIALIZABLE, SELECT FOR UPDATE and two-phase commit hold on one node, "
        "not on the "
        f"mesh.{notify}",
        "Let what needs them work on one node.",
    )
    yield Finding(
        "mesh_ddl",
        INFO,
        facts.source.database,
        "CREATE TABLE AS, CREATE INDEX CONCURRENTLY and ALTER SYSTEM are not replicated by a mesh, and updates of a "
        "primary key "
        "are delete and insert to the others.",
        "Run such DDL on every node; keep primary keys as they are.",
    )
    if facts.other_databases:
        yield Finding(
            "one_database_per_mesh",
            INFO,
            facts.source.database,
            f"A mesh is of one database: {shorten(facts.other_databases)} would each need a mesh of its own, with "
            "slots and "
            "workers of its own.",
            "Count them in max_replication_slots and max_worker_processes.",
        )
