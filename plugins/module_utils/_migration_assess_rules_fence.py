# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about what is copied at the fence: large objects and unlogged tables (private to the collection)."""

from __future__ import annotations

from typing import Iterator

from ._migration_assess_facts import Facts, Wanted
from ._migration_assess_finding import BLOCKER, INFO, WARNING, Finding, rule, shorten
from ._migration_fence_share import Load, estimate

COPY, SKIP = "copy", "skip"
_SEVERITY = {COPY: INFO, SKIP: WARNING}


def _load(facts: Facts, wanted: Wanted) -> Load:
    tables = [t.table for t in facts.tables if t.table.persistence == "u" and not t.table.partitioned]
    large = wanted.large_objects == COPY
    return Load(
        facts.large_objects if large else 0,
        facts.large_object_bytes if large and facts.large_objects else 0,
        len(tables) if wanted.unlogged == COPY else 0,
        sum(table.bytes for table in tables) if wanted.unlogged == COPY else 0,
    )


@rule("large_objects")
def large_objects(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """They are not replicated."""
    if facts.large_objects:
        share = estimate(Load(facts.large_objects, facts.large_object_bytes))
        yield Finding(
            "large_objects",
            _SEVERITY.get(wanted.large_objects, BLOCKER),
            facts.source.database,
            f"{facts.large_objects} large object(s), {facts.large_object_bytes / 1024**2:.1f} MiB: they are not "
            "replicated"
            + (
                f", and copied at the fence, for about {share:.2f} s of the pause."
                if wanted.large_objects == COPY
                else "."
            ),
            {
                COPY: "See that nothing writes large objects past the route: the fence cannot refuse it.",
                SKIP: "They stay behind, as crossover_large_objects: skip says.",
            }.get(
                wanted.large_objects,
                "Move them to bytea columns, or set crossover_large_objects: copy to have them copied at the fence, or "
                "skip to leave them behind.",
            ),
        )


@rule("unlogged_table")
def unlogged_tables(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Nor are these."""
    for table in facts.tables:
        if table.table.persistence != "u":
            continue
        share = estimate(Load(tables=1, table_bytes=table.table.bytes))
        yield Finding(
            "unlogged_table",
            _SEVERITY.get(wanted.unlogged, BLOCKER),
            table.name,
            f"Unlogged: it is not replicated, and copied at the fence, for about {share:.2f} s of the pause."
            if wanted.unlogged == COPY
            else "Unlogged: it is not replicated, and arrives empty.",
            {COPY: "", SKIP: "Its rows stay behind, as crossover_unlogged: skip says."}.get(
                wanted.unlogged,
                f"ALTER TABLE {table.name} SET LOGGED, or set crossover_unlogged: copy to have its rows copied at the "
                "fence, or skip to leave them behind.",
            ),
        )


@rule("fence_copy_share")
def share_of_the_pause(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """From sizes; the cutover measures, and does not begin over its budget."""
    load = _load(facts, wanted)
    seconds = estimate(load)
    if seconds > wanted.fence_copy_budget:
        yield Finding(
            "fence_copy_share",
            WARNING,
            facts.source.database,
            f"Copying {load} at the fence may take {seconds:.2f} s of the pause, allowed are "
            f"{wanted.fence_copy_budget:g} s.",
            "Raise crossover_fence_copy_budget, make them smaller, or leave them behind. The cutover measures it in a "
            "rehearsal, and does not begin where it is too long.",
        )


@rule("large_object_unreadable")
def readable(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Each has an owner and grants of its own."""
    hidden = facts.unreadable_large_objects
    if hidden and wanted.large_objects == COPY:
        owners = sorted({owner for _oid, owner in hidden})
        yield Finding(
            "large_object_unreadable",
            BLOCKER,
            facts.source.database,
            f"{len(hidden)} large object(s) cannot be read: {shorten([str(oid) for oid, _owner in hidden])}.",
            f"Grant {facts.source.user} the role(s) that own them: {shorten(owners)}.",
        )


@rule("fence_copy_mesh")
def mesh(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Spock's own limits."""
    load = _load(facts, wanted)
    if facts.node.spock is not None and (load.large_objects or load.tables):
        yield Finding(
            "fence_copy_mesh",
            WARNING,
            "node",
            f"Spock replicates neither large objects nor unlogged tables: {load} come to the landing node, and to no "
            "other.",
            "Use bytea columns or the extension lolor, and logged tables, where other nodes need them.",
        )


@rule("unlogged_way_back")
def way_back(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """The source's own fence must be passed on the way back."""
    if facts.probes.replica_role and _load(facts, wanted).tables:
        yield Finding(
            "unlogged_way_back",
            WARNING,
            facts.source.user,
            "The way back cannot bring unlogged tables' rows to the source: this login may not set "
            f"session_replication_role ({facts.probes.replica_role}). The rollback would be refused.",
            f"GRANT SET ON PARAMETER session_replication_role TO {facts.source.user} (PostgreSQL 15 and newer), or "
            "roll back with crossover_unlogged: skip.",
        )
