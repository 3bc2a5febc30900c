# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the source's tables (private to the collection)."""

from __future__ import annotations

from typing import Callable, Iterable, Iterator

from ._migration_assess_facts import Facts, TableFacts, Wanted, version_key
from ._migration_assess_finding import BLOCKER, INFO, WARNING, Finding, rule, shorten

# Up to this version Spock does not replicate tables with stored generated columns.
SPOCK_WITHOUT_GENERATED = "5.0.11"


def topmost(facts: Facts, tables: Iterable[TableFacts]) -> dict[str, list[TableFacts]]:
    """Group partitions under the highest ancestor that has the same fault: a thousand partitions are one finding."""
    by_oid = {t.table.oid: t for t in facts.tables}
    faulty = {t.table.oid for t in tables}
    groups: dict[str, list[TableFacts]] = {}
    for table in tables:
        top = table
        while top.table.parent in faulty:
            top = by_oid[top.table.parent]
        groups.setdefault(top.name, []).append(table)
    return groups


def _permanent(facts: Facts, fault: Callable[[TableFacts], bool]) -> dict[str, list[TableFacts]]:
    return topmost(facts, [t for t in facts.tables if t.table.persistence == "p" and fault(t)])


@rule("nothing_to_migrate")
def something(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """An empty scope is hardly meant."""
    if not facts.tables:
        yield Finding(
            "nothing_to_migrate",
            WARNING,
            facts.source.database,
            "There is no table to migrate.",
            "Check login_db of crossover_source, crossover_schemas and crossover_exclude_tables.",
        )


@rule("no_replica_identity", "replica_identity_full")
def replica_identity(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """A change is applied by the row's identity; the source itself refuses to update published tables without."""
    for name, group in _permanent(facts, lambda t: not t.table.has_identity).items():
        leaves = [t for t in group if not t.table.partitioned]
        if not leaves:
            continue  # every partition has an identity of its own, and that is what counts
        updates, deletes = sum(t.updates for t in leaves), sum(t.deletes for t in leaves)
        busy = bool(updates or deletes)
        seen = f"It has seen {updates} updates and {deletes} deletes" if busy else "It has seen none"
        why = "REPLICA IDENTITY NOTHING" if leaves[0].table.identity == "n" else "No primary key or replica identity"
        yield Finding(
            "no_replica_identity",
            BLOCKER if busy else WARNING,
            name,
            f"{why}: once it is published, UPDATE and DELETE fail on the source. {seen} since its statistics were "
            "reset.",
            _identity_action(name, leaves[0]),
        )
    for name, group in _permanent(facts, lambda t: t.table.identity == "f").items():
        keyed = all(t.table.has_key for t in group)
        yield Finding(
            "replica_identity_full",
            WARNING if keyed else BLOCKER,
            name,
            "REPLICA IDENTITY FULL: every change scans the node's table, and "
            + (
                "Spock leaves the table out of its sets."
                if keyed
                else "without a primary key Spock loses updates and deletes."
            ),
            f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT" if keyed else _identity_action(name, group[0]),
        )


def _identity_action(name: str, table: TableFacts) -> str:
    if table.table.has_key and any(i.primary and i.immediate for i in table.indexes):
        return f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT"
    usable = next((i.name for i in table.indexes if i.identifies), None)
    if usable:
        return f"ALTER TABLE {table.name} REPLICA IDENTITY USING INDEX {usable}, or add a primary key."
    return f"ALTER TABLE {name} ADD PRIMARY KEY (...), or put it in crossover_exclude_tables."


@rule("foreign_table", "materialised_view", "temporary_tables", "partitioned_table", "inheritance")
def kinds(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """What logical replication does not carry, or carries in its own way."""
    for name in facts.foreign_tables:
        yield Finding(
            "foreign_table",
            WARNING,
            name,
            "A foreign table: its rows live elsewhere and are not copied.",
            "See that the node reaches that server, and set its user mappings' passwords.",
        )
    if facts.materialised_views:
        yield Finding(
            "materialised_view",
            INFO,
            "source",
            f"{len(facts.materialised_views)} materialised view(s) are not replicated "
            f"({shorten(facts.materialised_views, 3)}).",
            "Refresh them on the node before and after the cutover.",
        )
    if facts.temporary_tables:
        yield Finding(
            "temporary_tables",
            INFO,
            "source",
            f"{facts.temporary_tables} temporary table(s) are in use: sessions lose them at the switch.",
            "",
        )
    if roots := [t.name for t in facts.tables if t.table.partitioned and t.table.parent is None]:
        yield Finding(
            "partitioned_table",
            INFO,
            "source",
            f"{len(roots)} partitioned table(s) ({shorten(roots, 3)}): partitions that are made later do not "
            "arrive by themselves.",
            "Run the playbook crossover.pgedge.replicate again after making some.",
        )
    if facts.inherited:
        yield Finding(
            "inheritance",
            INFO,
            "source",
            f"{len(facts.inherited)} table(s) inherit from another ({shorten(facts.inherited, 3)}).",
            "",
        )


@rule("deferrable_key", "several_unique_indexes", "weak_unique_index", "exclusion_constraint")
def uniqueness(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """On a mesh a conflict is found by one key; other constraints can be violated from two nodes."""
    for name, group in _permanent(facts, lambda t: any(not i.immediate and not i.exclusion for i in t.indexes)).items():
        keys = sorted({i.name for t in group for i in t.indexes if not i.immediate and not i.exclusion})
        yield Finding(
            "deferrable_key",
            WARNING,
            name,
            f"Deferrable keys ({shorten(keys, 2)}) are skipped when conflicts are looked for.",
            "Make the key that identifies rows NOT DEFERRABLE.",
        )
    several = _permanent(facts, lambda t: sum(i.identifies or i.primary for i in t.indexes) > 1)
    for name, group in several.items():
        count = max(sum(i.identifies or i.primary for i in t.indexes) for t in group)
        yield Finding(
            "several_unique_indexes",
            WARNING,
            name,
            f"{count} unique keys: two nodes can insert rows that collide on the second one, and apply stops.",
            "See to it that one node alone draws these values, or write to one node.",
        )
    weak = _permanent(
        facts, lambda t: any(i.partial or i.expression or i.nullable for i in t.indexes if not i.exclusion)
    )
    for name, group in weak.items():
        names = sorted(
            {i.name for t in group for i in t.indexes if (i.partial or i.expression or i.nullable) and not i.exclusion}
        )
        yield Finding(
            "weak_unique_index",
            WARNING,
            name,
            f"Partial, expression or nullable unique indexes ({shorten(names, 2)}) play no part in conflict detection.",
            "Write these rows on one node only.",
        )
    for name in _permanent(facts, lambda t: any(i.exclusion for i in t.indexes)):
        yield Finding(
            "exclusion_constraint",
            WARNING,
            name,
            "Exclusion constraints hold on each node for itself only.",
            "Write these rows on one node only.",
        )


@rule("trigger_fires_on_apply", "generated_column", "int4_key")
def columns(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Triggers that fire under apply, generated columns, narrow keys."""
    for name, group in topmost(facts, [t for t in facts.tables if t.replica_triggers]).items():
        triggers = sorted({trigger for t in group for trigger in t.replica_triggers})
        yield Finding(
            "trigger_fires_on_apply",
            WARNING,
            name,
            f"ENABLE REPLICA/ALWAYS triggers ({shorten(triggers, 3)}) fire on the node for every change that is "
            "applied.",
            "Disable them on the node until the cutover, unless they are meant to.",
        )
    spock = facts.node.spock
    refused = spock is not None and version_key(spock) <= version_key(SPOCK_WITHOUT_GENERATED)
    for name, group in _permanent(facts, lambda t: bool(t.generated)).items():
        yield Finding(
            "generated_column",
            BLOCKER if refused else INFO,
            name,
            f"Stored generated columns ({shorten(group[0].generated, 3)}) "
            + (f"are not replicated by Spock {spock}." if refused else "are computed anew on the node."),
            "Use a newer Spock, or turn them into ordinary columns with a trigger." if refused else "",
        )
    if narrow := _permanent(facts, lambda t: bool(t.narrow_key)):
        yield Finding(
            "int4_key",
            INFO,
            "source",
            f"{len(narrow)} table(s) have keys of 32 bits or less ({shorten(narrow, 3)}): snowflake sequences do "
            "not fit them.",
            "Per-node offset and increment, the default, does.",
        )


@rule("large_table", "access_method_missing")
def storage(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """What takes long to copy, or cannot be stored on the node."""
    for table in facts.tables:
        if table.table.bytes >= wanted.large_table_bytes:
            yield Finding(
                "large_table",
                INFO,
                table.name,
                f"{table.table.bytes / 1024**3:.1f} GiB with indexes and TOAST: its copy decides how long "
                "replicate takes.",
                "",
            )
    for method in sorted({t.access_method for t in facts.tables} - facts.node.access_methods):
        users = [t.name for t in facts.tables if t.access_method == method]
        yield Finding(
            "access_method_missing",
            BLOCKER,
            method,
            f"The node has no table access method {method}, which {shorten(users, 3)} use(s).",
            "Install the extension that brings it, or move the tables to heap.",
        )


@rule("foreign_keys", "foreign_key_to_excluded")
def references(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Apply does not check foreign keys."""
    here = {t.name for t in facts.tables}
    inside = [key for key in facts.foreign_keys if key[1] in here]
    for name, table, refers in inside:
        if refers in facts.excluded:
            yield Finding(
                "foreign_key_to_excluded",
                BLOCKER,
                f"{table} {name}",
                f"It refers to {refers}, which is excluded: the key cannot be made on the node.",
                f"Take {refers} out of crossover_exclude_tables, or drop the key.",
            )
    if inside:
        yield Finding(
            "foreign_keys",
            INFO,
            "source",
            f"{len(inside)} foreign key(s) are not checked while changes are applied; the constraints are "
            "validated before the cutover.",
            "",
        )
