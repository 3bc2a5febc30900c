# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about what else a database holds, who uses it, and what is on the node (private to the collection)."""

from __future__ import annotations

from typing import Iterator

from ._migration_assess_facts import Extension, Facts, Wanted, version_key
from ._migration_assess_finding import BLOCKER, INFO, WARNING, Finding, rule, shorten

OLD = 60.0  # seconds after which a transaction is long
NEAR_END = 0.8
# Extensions that only exist on the managed service.
_SERVICE_ONLY = ("aws_", "rds_", "apg_", "aurora_", "google_", "azure")


@rule("sequence_near_end")
def sequences(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Little room left; a mesh takes bigger steps."""
    for sequence in facts.sequences:
        if sequence.used >= NEAR_END:
            column = f" (column {sequence.column}, {sequence.column_type})" if sequence.column else ""
            yield Finding(
                "sequence_near_end",
                WARNING,
                sequence.name,
                f"{int(sequence.used * 1000) / 10} % of its range is used up{column}, at {sequence.last_value}. "
                "Per-node increments use it up faster.",
                "Widen column and sequence to bigint, on the source before replicate.",
            )


@rule("extension_missing", "extension_older")
def extensions(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Every extension of the source must be on the node, no older."""
    for name, extension in sorted(facts.source.extensions.items()):
        if extension.installed is None or name == "plpgsql":
            continue
        there = facts.node.extensions.get(name)
        if there is None:
            service = name.startswith(_SERVICE_ONLY)
            yield Finding(
                "extension_missing",
                BLOCKER,
                name,
                f"The node has no extension {name} {extension.installed}.",
                "It exists on the managed service only: drop it with what depends on it, or exclude that."
                if service
                else "Install its package on the nodes, or drop it on the source if it is not used.",
            )
        elif (newest := _newest(there, extension.installed)) is not None:
            yield Finding(
                "extension_older",
                WARNING,
                name,
                f"The node has {name} {newest}, the source {extension.installed}.",
                "Install the same version or a newer one on the nodes.",
            )


def _newest(there: Extension, wanted: str) -> str | None:
    """The version that the node would use, if it is older than the wanted one."""
    if there.installed is None and wanted in there.versions:
        return None
    newest = there.installed or max(there.versions, key=version_key)
    return newest if version_key(newest) < version_key(wanted) else None


@rule("encoding", "locale", "collation_version", "collation_missing")
def text(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """How text is stored and sorted."""
    source, node = facts.source, facts.node
    if source.encoding != node.encoding:
        yield Finding(
            "encoding",
            BLOCKER,
            "node",
            f"The source's database is encoded in {source.encoding}, the node's in {node.encoding}.",
            f"Create the node's database with ENCODING '{source.encoding}' TEMPLATE template0.",
        )
    if source.locale != node.locale:
        yield Finding(
            "locale",
            WARNING,
            "node",
            f"Provider, collation and character type differ: {_locale(source.locale)} and {_locale(node.locale)}.",
            "Create the node's database with the source's, unless another order of text is wanted.",
        )
    elif source.collation_actual != node.collation_actual:
        yield Finding(
            "collation_version",
            INFO,
            "node",
            f"The libraries that sort text differ ({source.collation_actual} and {node.collation_actual}): order "
            "can differ a little.",
            "",
        )
    for server in (source, node):
        if server.collation_version != server.collation_actual and server.collation_version is not None:
            yield Finding(
                "collation_version",
                WARNING,
                server.side,
                f"The {server.side}'s database was made with collation version {server.collation_version}, its "
                "library has "
                f"{server.collation_actual}: indexes on text may be out of order.",
                "REINDEX what sorts text, then ALTER DATABASE ... REFRESH COLLATION VERSION.",
            )
    for name in sorted(facts.used_collations - set(node.collations)):
        yield Finding(
            "collation_missing",
            BLOCKER,
            name,
            "Columns use this collation, and the node does not have it.",
            "Install the locale on the node and run SELECT pg_import_system_collations('pg_catalog').",
        )


def _locale(locale: tuple[str, ...]) -> str:
    provider = {"c": "libc", "i": "icu", "b": "builtin"}.get(locale[0], locale[0]) if locale else "?"
    return "/".join([provider, *(part for part in locale[1:] if part)])


@rule("target_not_empty", "leftover_object")
def node_state(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Nothing of somebody else's is on the node, and nothing of an earlier run on either side."""
    if facts.node_objects and not facts.node_is_ours:
        yield Finding(
            "target_not_empty",
            BLOCKER,
            facts.node.database,
            f"The node's database has {len(facts.node_objects)} object(s) of its own "
            f"({shorten(facts.node_objects, 3)}).",
            "Use an empty database: nothing that exists is overwritten.",
        )
    if "replicate" in facts.phases:
        return
    names = wanted.names
    for side, kind, name, there in (
        ("source", "publication", names.publication, names.publication in facts.source.publications),
        ("source", "subscription", names.back_subscription, names.back_subscription in facts.source.subscriptions),
        ("source", "slot", names.slot, any(slot.name == names.slot for slot in facts.source.slots)),
        ("source", "control row", wanted.name, facts.control_row),
        ("node", "publication", names.back_publication, names.back_publication in facts.node.publications),
        ("node", "subscription", names.subscription, names.subscription in facts.node.subscriptions),
        ("node", "slot", names.back_slot, any(slot.name == names.back_slot for slot in facts.node.slots)),
    ):
        if there:
            yield Finding(
                "leftover_object",
                BLOCKER,
                f"{side} {kind} {name}",
                f"The {side} has the {kind} {name} of a migration that this node's ledger does not know.",
                "If nothing else uses it, drop it, or run crossover.pgedge.rollback; else choose another "
                "crossover_name.",
            )


@rule("other_databases", "other_publication", "source_subscribes", "event_trigger")
def surroundings(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """What else is on the source."""
    names = wanted.names
    if facts.other_databases:
        yield Finding(
            "other_databases",
            INFO,
            "source",
            f"Other databases are not part of this migration: {shorten(facts.other_databases)}.",
            "",
        )
    if others := sorted(set(facts.source.publications) - {names.publication}):
        yield Finding(
            "other_publication",
            INFO,
            "source",
            f"Publications of the source are not carried over: {shorten(others)}. Their subscribers get nothing "
            "after the cutover.",
            "Plan how they follow.",
        )
    for name in facts.source.subscriptions:
        if name != names.back_subscription:
            yield Finding(
                "source_subscribes",
                WARNING,
                name,
                "The source receives changes by this subscription: apply passes the fence, so they would be lost "
                "at the cutover.",
                f"ALTER SUBSCRIPTION {name} DISABLE before the cutover, and set it up on the node.",
            )
    for name in facts.event_triggers:
        yield Finding(
            "event_trigger",
            WARNING,
            name,
            "An event trigger: it fires on our DDL, and only a superuser can create it on the node.",
            "See that it lets schema crossover pass.",
        )


@rule("long_transaction", "prepared_transaction", "advisory_locks")
def activity(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """A slot is only made once every transaction that is open has ended."""
    for session in facts.transactions:
        if session.has_xid and session.age >= OLD:
            yield Finding(
                "long_transaction",
                WARNING,
                f"pid {session.pid}",
                f"{session.name} has had a transaction open for {session.age:.0f} s: replicate waits for its end "
                "to make the slot.",
                f"Let it end, or SELECT pg_terminate_backend({session.pid}).",
            )
    for prepared in facts.prepared:
        yield Finding(
            "prepared_transaction",
            BLOCKER if prepared.age >= OLD else WARNING,
            prepared.gid,
            f"{prepared.owner} prepared it {prepared.age:.0f} s ago: no slot can be made and no cutover done until "
            "it ends.",
            f"COMMIT PREPARED or ROLLBACK PREPARED '{prepared.gid}'.",
        )
    if facts.advisory_locks:
        yield Finding(
            "advisory_locks",
            INFO,
            "source",
            f"{facts.advisory_locks} advisory lock(s) are held: they do not survive the switch, and on a mesh hold "
            "on one node only.",
            "",
        )


@rule("session_pooling", "route_not_ready", "client_bypasses_route", "clients")
def route(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Whether the switch can hold and turn the application's traffic."""
    for fault in facts.route_faults:
        code = "session_pooling" if fault.code == "session_pooling" else "route_not_ready"
        yield Finding(code, BLOCKER, fault.name, f"{fault.message[:1].upper()}{fault.message[1:]}.", fault.hint)
    if wanted.route != "pgbouncer":
        if facts.clients:
            names = sorted({session.name for session in facts.clients})
            yield Finding(
                "clients", INFO, "source", f"{len(facts.clients)} session(s) are connected now: {shorten(names)}.", ""
            )
        return
    bypassing = sorted({s.name for s in facts.clients if s.pid not in facts.pooled_pids})
    for name in bypassing:
        yield Finding(
            "client_bypasses_route",
            WARNING,
            name,
            "This client is connected to the source without the pooler: the switch does not turn it, it meets the "
            "fence.",
            "Send it through the pooler, or end it before the cutover.",
        )
