# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a subscription beyond running statements (private to the collection)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from . import _replication_subscription as subscriptions
from ._errors import CrossoverError
from ._pg_connect import Login, driver
from ._pg_sql import Statement, qualified, quote_literal
from ._replication_apply import apply
from ._replication_lag import applied_lsn
from ._replication_subscription_options import skip_lsn

UNREACHABLE, CANCELLED, BAD_VALUE = "08006", "57014", "22023"


def workers_ended(conn: Any, oid: int, seconds: float = 15.0) -> None:
    """Wait until a disabled subscription has no worker left: until then some of its parameters cannot be changed."""
    until = time.monotonic() + seconds
    while conn.execute(
        "SELECT 1 FROM pg_stat_subscription WHERE subid = %s::int8::oid AND pid IS NOT NULL", [oid]
    ).fetchone():
        if time.monotonic() > until:
            raise CrossoverError(
                f"the worker of a disabled subscription did not end within {seconds:g} s",
                code="worker_stays",
                untouched="the subscription is disabled",
                hint="run this again: it goes on from here",
            )
        time.sleep(0.02)


def change(
    conn: Any,
    server: Login,
    wanted: subscriptions.Wanted,
    actual: subscriptions.Subscription | None,
    hidden: Sequence[str],
) -> list[Statement]:
    """Apply the plan and return it, without a SKIP that PostgreSQL says is over already."""
    plan = subscriptions.plan(wanted, actual, conn.info.server_version)
    doing = f"the subscription {wanted.name} could not be {'changed' if actual else 'created'}"

    def after(statement: Statement) -> None:
        if actual and statement.sql.endswith(" DISABLE") and statement is not plan[-1]:
            workers_ended(conn, actual.oid)

    done: list[Statement] = []
    for statement in plan:
        try:
            apply(conn, server, [statement], doing, secrets=hidden, after=after)
        except CrossoverError as exc:
            if " SKIP (lsn = " in statement.sql and exc.sqlstate == BAD_VALUE:
                continue  # "must be greater than origin LSN": that transaction has been passed already
            if done:
                exc.untouched = f"{len(done)} of {len(plan)} statements were applied"
                if _was_disabled_by_us(done, plan) and _enabled_again(conn, wanted.name):
                    exc.untouched += "; the subscription is enabled again"
            raise
        done.append(statement)
    return done


def _was_disabled_by_us(done: Sequence[Statement], plan: Sequence[Statement]) -> bool:
    """Whether the plan had disabled it only to change something, and did not come to enable it again."""
    left = plan[len(done) :]
    return any(s.sql.endswith(" DISABLE") for s in done) and any(s.sql.endswith(" ENABLE") for s in left)


def _enabled_again(conn: Any, name: str) -> bool:
    try:
        conn.execute(subscriptions.enable(name).sql, prepare=False)
    except driver().Error:
        return False
    return True


def skip_is_over(conn: Any, name: str, text: str | None) -> bool:
    """Whether the transaction to skip lies behind already, as far as this login can see."""
    lsn, applied = skip_lsn(text) if text else None, applied_lsn(conn, name)
    return lsn is not None and applied is not None and applied >= lsn


# -- dropping --------------------------------------------------------------------------------------------------------


@dataclass
class Removed:
    """How a subscription went. ``remaining`` are slots that it left on the publisher."""

    queries: list[Statement]
    remaining: list[str] = field(default_factory=list)
    why: str = ""


def remove(conn: Any, server: Login, name: str, actual: subscriptions.Subscription, cascade: bool) -> Removed:
    """Drop it; when the publisher cannot be reached to drop the slot there, drop it without, and say what remains."""
    queries = subscriptions.drop(name, cascade)
    doing = f"the subscription {name} could not be dropped"
    try:
        apply(conn, server, queries, doing)
        return Removed(queries)
    except CrossoverError as exc:
        if exc.sqlstate not in (UNREACHABLE, CANCELLED):
            raise
        why = exc.message.split(": ", 1)[-1]
    gone = "does not exist" in why and "could not drop replication slot" in why
    if "could not drop replication slot" in why and not gone:
        raise CrossoverError(
            f"{doing}: {why}",
            code="slot_stays",
            server=str(server),
            object=name,
            untouched="nothing was changed",
            hint="the publisher answers, but does not drop the slot: see what uses it there",
        )
    remaining = [] if gone else [str(actual.options["slot_name"]), *_sync_slots(conn, actual.oid)]
    queries = subscriptions.detach(name, cascade)

    def after(statement: Statement) -> None:
        if statement is queries[0]:
            workers_ended(conn, actual.oid)

    apply(conn, server, queries, doing, after=after)
    return Removed(queries, remaining, why)


def _sync_slots(conn: Any, oid: int) -> list[str]:
    """Slots of table synchronisations that were not over (ReplicationSlotNameForTablesync in PostgreSQL's source)."""
    try:
        rows = conn.execute(
            """SELECT format('pg_%%s_sync_%%s_%%s', srsubid, srrelid, c.system_identifier) AS slot
               FROM pg_subscription_rel, pg_control_system() c
               WHERE srsubid = %s::int8::oid AND srsubstate IN ('d', 'f') ORDER BY 1""",
            [oid],
        )
        return [row["slot"] for row in rows]
    except driver().Error:
        return []  # pg_control_system() is not for this login


def told(name: str, removed: Removed) -> str:
    """Word the warning about what remains."""
    if not removed.why:
        return ""
    if not removed.remaining:
        return f"subscription {name} was dropped; its slot was gone from the publisher already"
    drops = "; ".join(f"SELECT pg_drop_replication_slot({quote_literal(slot)})" for slot in removed.remaining)
    return (
        f"subscription {name} was dropped, but its publisher could not be reached ({removed.why}): there the slot "
        f"{', '.join(removed.remaining)} remains and keeps WAL until somebody runs: {drops}"
    )


# -- refreshing ------------------------------------------------------------------------------------------------------


def relations(conn: Any, oid: int) -> set[str]:
    """The tables that it replicates now."""
    rows = conn.execute(
        """SELECT n.nspname AS schema, c.relname AS name
           FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE r.srsubid = %s::int8::oid""",
        [oid],
    )
    return {qualified(row["schema"], row["name"]) for row in rows}


def published(connection: Mapping[str, str] | None, publications: Sequence[str]) -> set[str] | None:
    """The tables that the publisher offers, as REFRESH would see them.

    None when this login may not read the connection, or the runner does not reach the publisher with it.
    """
    if not connection:
        return None
    psycopg = driver()
    try:
        with psycopg.connect("", **{"connect_timeout": "3", **connection}, autocommit=True) as conn:
            rows = conn.execute(
                "SELECT DISTINCT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = ANY (%s)",
                [list(publications)],
            ).fetchall()
    except psycopg.Error:
        return None
    return {qualified(schema, name) for schema, name in rows}
