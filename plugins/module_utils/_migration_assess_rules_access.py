# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about what the logins may do (private to the collection)."""

from __future__ import annotations

from typing import Iterator

from ._migration_assess_facts import Facts, Wanted, grant
from ._migration_assess_finding import BLOCKER, INFO, WARNING, Finding, rule, shorten
from ._pg_sql import quote_ident


@rule("login_cannot_replicate")
def replication(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Tried by opening a replication connection."""
    failure = facts.probes.replication
    if failure is None:
        return
    user = quote_ident(facts.source.user)
    action = f"GRANT rds_replication TO {user}" if facts.source.service else f"ALTER ROLE {user} REPLICATION"
    if "max_wal_senders" in failure:
        action = "Free a WAL sender or raise max_wal_senders (needs a restart)."
    elif "pg_hba" in failure:
        action = "Allow this login and address in pg_hba.conf."
    yield Finding(
        "login_cannot_replicate",
        BLOCKER,
        facts.source.user,
        f"A replication connection was refused: {failure}.",
        action,
    )


@rule("login_not_owner", "login_cannot_use_schema", "login_cannot_read", "login_cannot_read_sequence")
def objects(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Publishing and fencing a table needs its owner's privileges; reading needs SELECT."""
    user = facts.source.user
    foreign: dict[str, list[str]] = {}
    for table in facts.tables:
        if not table.owned:
            foreign.setdefault(table.table.owner, []).append(table.name)
        elif not table.readable:
            yield Finding(
                "login_cannot_read",
                BLOCKER,
                table.name,
                f"{user} may not read the table: it cannot be copied.",
                f"GRANT SELECT ON {table.name} TO {quote_ident(user)}",
            )
    for owner, names in foreign.items():
        yield Finding(
            "login_not_owner",
            BLOCKER,
            owner,
            f"{user} is no member of {owner}, which owns {len(names)} table(s) ({shorten(names, 3)}): "
            "they can be neither published nor fenced.",
            grant(owner, user),
        )
    for schema in facts.unusable_schemas:
        yield Finding(
            "login_cannot_use_schema",
            BLOCKER,
            schema,
            f"{user} may not use the schema {schema}.",
            f"GRANT USAGE ON SCHEMA {quote_ident(schema)} TO {quote_ident(user)}",
        )
    for sequence in facts.sequences:
        needed = "SELECT, UPDATE" if wanted.way_back else "SELECT"
        if sequence.owner not in foreign and not (sequence.readable and (sequence.settable or not wanted.way_back)):
            yield Finding(
                "login_cannot_read_sequence",
                BLOCKER,
                sequence.name,
                f"{user} lacks {needed} on the sequence: its value reads as never called, and new rows would draw "
                "used numbers.",
                f"GRANT {needed} ON SEQUENCE {sequence.name} TO {quote_ident(user)}",
            )


@rule("login_cannot_create", "login_cannot_see_activity")
def database(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """What the logins need on the whole database."""
    for server in (facts.source, facts.node):
        user, name = quote_ident(server.user), quote_ident(server.database)
        if not server.may_create:
            yield Finding(
                "login_cannot_create",
                BLOCKER,
                server.side,
                f"{server.user} may not create in the database {server.database}: the migration needs a schema of "
                "its own there" + (", and a publication." if server.side == "source" else "."),
                f"GRANT CREATE ON DATABASE {name} TO {user}",
            )
        if not server.sees_activity:
            yield Finding(
                "login_cannot_see_activity",
                BLOCKER,
                server.side,
                f"{server.user} cannot see other sessions' transactions on the {server.side}: open ones would look "
                "like none.",
                grant("pg_read_all_stats", server.user),
            )


@rule("row_security")
def row_security(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Rows that a policy hides are neither copied nor compared, without an error."""
    for table in facts.tables:
        if table.rows_hidden:
            owner = table.owned and table.forced_security
            yield Finding(
                "row_security",
                BLOCKER,
                table.name,
                f"Row-level security hides rows from {facts.source.user}"
                + (" (FORCE binds the owner too)." if owner else "."),
                f"ALTER ROLE {quote_ident(facts.source.user)} BYPASSRLS"
                + (
                    f", or ALTER TABLE {table.name} NO FORCE ROW LEVEL SECURITY"
                    if owner
                    else f", or {grant(table.table.owner, facts.source.user)}"
                ),
            )
        elif table.table.row_security and table.forced_security and not (facts.node.superuser or facts.node.bypassrls):
            yield Finding(
                "row_security",
                BLOCKER,
                table.name,
                f"Row-level security is forced, and {facts.node.user} on the node does not bypass it: apply stops "
                "at this table.",
                f"ALTER ROLE {quote_ident(facts.node.user)} BYPASSRLS on the node",
            )


@rule("no_way_back")
def way_back(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """After the cutover the source subscribes to the node; tried by CREATE SUBSCRIPTION, rolled back."""
    if not wanted.way_back:
        yield Finding(
            "no_way_back",
            WARNING,
            "source",
            "crossover_way_back is false: after the cutover nothing written on the node can be kept by going back.",
            "",
        )
        return
    source = facts.source
    if failure := facts.probes.subscribe_source:
        action = grant("pg_create_subscription", source.user)
        if source.version < 160000:
            action = (
                "Before PostgreSQL 16 only a superuser (on RDS: rds_superuser) may; give one, "
                "or set crossover_way_back: false."
            )
        yield Finding(
            "no_way_back",
            BLOCKER,
            "source",
            f"The source cannot subscribe to the node after the cutover: {failure}.",
            action,
        )
    if source.superuser:
        return
    owners = sorted({t.table.owner for t in facts.tables if t.owned and not t.becomes_owner})
    for owner in owners:
        yield Finding(
            "no_way_back",
            BLOCKER,
            owner,
            f"{source.user} may not SET ROLE to {owner}: changes of its tables cannot be applied on the way back.",
            f"{grant(owner, source.user)} WITH SET TRUE",
        )


@rule(
    "node_login_cannot_subscribe",
    "node_login_cannot_create_roles",
    "node_cannot_reach_source",
    "reachability_unchecked",
)
def node(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """What the node's login must be able to do."""
    login, probes = facts.node, facts.probes
    user = quote_ident(login.user)
    if probes.subscribe_node:
        action = (
            grant("pg_create_subscription", login.user) if login.version >= 160000 else f"ALTER ROLE {user} SUPERUSER"
        )
        yield Finding(
            "node_login_cannot_subscribe",
            BLOCKER,
            login.user,
            f"The node cannot subscribe: {probes.subscribe_node}.",
            action,
        )
    if not (login.superuser or login.createrole):
        yield Finding(
            "node_login_cannot_create_roles",
            WARNING,
            login.user,
            f"{login.user} cannot create the source's roles on the node.",
            f"ALTER ROLE {user} CREATEROLE, or create the roles yourself.",
        )
    if probes.node_to_source:
        yield Finding(
            "node_cannot_reach_source",
            BLOCKER,
            "node",
            f"The node's own connection to the source failed: {probes.node_to_source}.",
            "Open the way from node to source (firewall, pg_hba.conf), or say in crossover_source_for_nodes how "
            "nodes reach it.",
        )
    elif not probes.node_to_source_tried and not probes.subscribe_node:
        yield Finding(
            "reachability_unchecked",
            INFO,
            "node",
            "Whether the node reaches the source was not tried: only a superuser can keep the password out of the "
            "server's log. "
            "replicate will tell.",
            "",
        )


@rule("role_passwords")
def roles(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Password hashes are for superusers only."""
    if facts.login_roles and not facts.source.reads_passwords:
        yield Finding(
            "role_passwords",
            INFO,
            "source",
            f"{facts.source.user} cannot read password hashes: {len(facts.login_roles)} role(s) come to the node "
            "without a password "
            f"({shorten(facts.login_roles, 3)}).",
            "Set their passwords on the node before the cutover.",
        )
