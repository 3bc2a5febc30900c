# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a switch does with the two directions of replication (private to the collection)."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Any, Callable, Mapping, Sequence

from ._errors import CrossoverError
from ._migration_control import NODE, SOURCE
from ._migration_deadline import together
from ._migration_fence import triggers
from ._migration_sides import Link, Migration
from ._pg_connect import driver, sql_error
from ._pg_sql import qualified, quote_ident
from ._replication_barrier import Barrier
from ._replication_lag import slot_state, subscription_state


def check_feed(subscriber: Any, publisher: Any, link: Link, nodes: Mapping[str, Any]) -> None:
    """The subscription that feeds the new side is enabled, works, and every table is in sync.

    ``nodes`` are all of them, as a sentence names them: another one may be the publishing node.
    """
    state = subscription_state(subscriber, link.subscription)
    slot = slot_state(publisher, link.slot)
    problem = hint = None
    if state is None:
        problem = "does not exist"
    elif not state["enabled"] and slot is None:
        problem = "is disabled and has no slot: the way back was given up at the cutover"
    elif not state["enabled"]:
        problem = "is disabled"
    elif not state["worker_pid"]:
        problem = "has no running apply worker"
    elif waiting := [f"{t['schema']}.{t['name']}" for t in state["tables"] if t["state"] != "r"]:
        problem = f"has {len(waiting)} table(s) that are not in sync: {', '.join(waiting[:3])}"
    elif slot is None and (feeding := next((n for n, c in nodes.items() if slot_state(c, link.slot)), None)):
        problem = f"is fed by {feeding}, which is not the first of the nodes in the inventory"
        hint = f"put {feeding} first in the group pgedge again: it is the publishing node until the next switch"
    elif slot is None:
        problem = f"has lost its slot {link.slot}"
    elif not slot["active"]:
        problem = f"does not read its slot {link.slot}"
    if problem:
        raise CrossoverError(
            f"the subscription {link.subscription} {problem}",
            code="feed_unhealthy",
            object=link.subscription,
            untouched="nothing was changed",
            hint=hint
            or "run crossover.pgedge.status to see it, and "
            + ("crossover.pgedge.cutover again" if link.publisher == NODE else "crossover.pgedge.replicate")
            + " to mend it",
        )


def feed_checks(migration: Migration, conn: Mapping[str, Any]) -> list[Callable[[], None]]:
    """One for each that feeds the new side."""
    nodes = {migration.named(node): conn[node] for node in migration.places(NODE)}
    return [partial(check_feed, conn[f.subscriber], conn[f.publisher], f, nodes) for f in migration.feeds]


def check_tables(migration: Migration, conn: Mapping[str, Any]) -> None:
    """All servers have the same tables, all of them fenced, and what is published is what there is.

    A table or partition that was made since ``replicate`` would stay behind without a word.
    """
    for place in conn:
        migration.read_tables(place, conn[place])
    again = "run crossover.pgedge.replicate again, it takes new tables in"
    permanent = {place: {t.full_name for t in migration.tables[place] if t.persistence == "p"} for place in conn}
    pairs = [(SOURCE, node) for node in migration.places(NODE)]
    for old, new in pairs if migration.old == SOURCE else [(node, source) for source, node in pairs]:
        for place, other in ((old, new), (new, old)):
            if missing := sorted(permanent[place] - permanent[other]):
                first = (
                    "make them on the source too (pg_dump --schema-only --table of the node) or drop them, then "
                    if place != SOURCE and migration.direction == "back"
                    else ""
                )
                what = (
                    f"{len(missing)} table(s) of the {migration.named(place)} are missing on the "
                    f"{migration.named(other)}"
                )
                raise _drift(what, missing, first + again)
    for place in conn:
        fenced = triggers(conn[place])
        if bare := [t.full_name for t in migration.tables[place] if t.oid not in fenced]:
            raise _drift(f"{len(bare)} table(s) on the {migration.named(place)} have no fence", bare, again)
    feed = migration.feeds[0]  # the landing nodes have one publication
    rows = conn[feed.publisher].execute(
        "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = %s", [feed.publication]
    )
    published = {qualified(row["schemaname"], row["tablename"]) for row in rows}
    leaves = {t.full_name for t in migration.tables[feed.publisher] if t.persistence == "p" and not t.partitioned}
    if unpublished := sorted(leaves - published):
        raise _drift(f"{len(unpublished)} table(s) are not published by {feed.publication}", unpublished, again)
    for link in (*migration.feeds, *migration.opposites):
        state = subscription_state(conn[link.subscriber], link.subscription)
        known = {qualified(t["schema"], t["name"]) for t in state["tables"]} if state else set()
        if unknown := sorted(leaves - known):
            raise _drift(f"{len(unknown)} table(s) are not part of subscription {link.subscription}", unknown, again)


def _drift(what: str, names: list[str], hint: str) -> CrossoverError:
    return CrossoverError(
        f"{what}: {', '.join(names[:5])}",
        code="catalogue_changed",
        object=names[0],
        untouched="nothing was changed",
        hint=hint,
    )


def no_long_transactions(conn: Any, limit: float) -> None:
    """Nothing that would hold up PAUSE and fence: no old transaction that writes, no prepared one."""
    rows = conn.execute(
        """SELECT 'pid ' || pid || ' (' || coalesce(usename, '?') || ')' AS who,
                  extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age
           FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
             AND xact_start < clock_timestamp() - make_interval(secs => %(limit)s)
             AND (backend_xid IS NOT NULL OR state LIKE 'idle in transaction%%')
           UNION ALL
           SELECT 'prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared)::float8
           FROM pg_prepared_xacts WHERE database = current_database()
           ORDER BY age DESC""",
        {"limit": limit},
    ).fetchall()
    if rows:
        raise CrossoverError(
            f"{len(rows)} transaction(s) would hold up the cutover: "
            + ", ".join(f"{r['who']}, open for {r['age']:.0f} s" for r in rows[:3]),
            code="long_transactions",
            untouched="nothing was changed",
            hint="end them or wait, then run the playbook again",
        )


def ensure_opposite_slot(publisher: Any, link: Link) -> dict[str, Any]:
    """The slot for the other direction exists and is not lost; made while writes go on, advanced in the window."""
    state = slot_state(publisher, link.slot)
    made = False
    try:
        if state is not None and state["wal_status"] == "lost":
            publisher.execute("SELECT pg_drop_replication_slot(%s)", [link.slot])
            state = None
        if state is None:
            # waits for every transaction that is open now: a deadline, so that it tells instead of hanging
            with publisher.transaction():
                publisher.execute("SET LOCAL statement_timeout = '30s'")
                publisher.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [link.slot])
            made = True
    except driver().Error as exc:
        raise sql_error(
            exc,
            f"{link.publisher}",
            f"the slot {link.slot} for the way back could not be made",
            code="no_way_back",
            untouched="the application was not held and nothing has been switched",
        ) from None
    return {"slot": link.slot, "made": made}


def advance_slots(publisher: Any, links: Sequence[Link]) -> dict[str, Any]:
    """Move the other direction's slots past all that was applied here, so that none of it is sent back as an echo.

    In the window nothing can write on the publisher and its apply is drained, so "now" is exactly the boundary.
    The transactional message makes a commit that flushes all WAL before it: an apply worker commits asynchronously, and
    a slot advances no further than what is flushed.
    """
    begun = time.monotonic()
    publisher.execute("SELECT pg_logical_emit_message(true, 'crossover', 'advance')")
    rows = publisher.execute(
        """SELECT w.slot, a.end_lsn::text AS lsn
           FROM unnest(%s::name[]) AS w(slot), pg_replication_slot_advance(w.slot, pg_current_wal_flush_lsn()) AS a""",
        [[link.slot for link in links]],
    ).fetchall()
    return {
        "slots": {row["slot"]: row["lsn"] for row in rows},
        "ms": round((time.monotonic() - begun) * 1000, 1),
    }


def stop_link(migration: Migration, link: Link, timeout: float = 30.0) -> bool:
    """Disable a subscription, wait until its worker is gone, drop its slot; says whether there was anything to do."""
    with migration.open(link.subscriber) as conn, migration.open(link.publisher) as publisher:
        state = subscription_state(conn, link.subscription)
        if state is None:
            return False
        if state["enabled"]:
            conn.execute(f"ALTER SUBSCRIPTION {quote_ident(link.subscription)} DISABLE")
        until = time.monotonic() + timeout
        while True:
            now, slot = subscription_state(conn, link.subscription), slot_state(publisher, link.slot)
            if not (now and now["worker_pid"]) and not (slot and slot["active"]):
                # It would hold WAL back and is of no further use: the next switch makes a new one ahead of its window.
                if slot:
                    publisher.execute("SELECT pg_drop_replication_slot(%s)", [link.slot])
                return bool(state["enabled"] or slot)
            if time.monotonic() > until:
                raise CrossoverError(
                    f"the worker of subscription {link.subscription} did not end within {timeout:g} s",
                    code="worker_stays",
                    hint="run the playbook again: it goes forward from here",
                )
            time.sleep(0.02)


def start_link(migration: Migration, link: Link) -> bool:
    """Enable a subscription; says whether it was disabled."""
    with migration.open(link.subscriber) as conn:
        state = subscription_state(conn, link.subscription)
        if state is None:
            raise CrossoverError(
                f"the subscription {link.subscription} for the way back is not there",
                code="no_way_back",
                server=str(migration.logins[link.subscriber]),
                hint="run crossover.pgedge.status",
            )
        if not state["enabled"]:
            conn.execute(f"ALTER SUBSCRIPTION {quote_ident(link.subscription)} ENABLE")
        return not state["enabled"]


def drop_slot(migration: Migration, link: Link) -> None:
    """The subscriber is away and its slot of no further use: should it come back, it must not be sent anything more."""
    with migration.open(link.publisher) as publisher:
        publisher.execute(
            "SELECT pg_terminate_backend(active_pid, 2000) FROM pg_replication_slots WHERE slot_name = %s AND active",
            [link.slot],
        )
        publisher.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [link.slot]
        )


def drop_made(migration: Migration, links: Sequence[Link]) -> None:
    """Slots that a run made for a switch that did not happen would hold WAL back."""

    def drop(link: Link) -> None:
        with migration.open(link.publisher) as conn:
            conn.execute("SELECT pg_drop_replication_slot(%s)", [link.slot])

    # where that fails, the next run uses it; finish and rollback drop it
    together({link.slot: partial(drop, link) for link in links}, 3.0)


def verify_links(migration: Migration, links: Sequence[Link], timeout: float) -> dict[str, Any]:
    """A canary row goes through each: the direction really flows. All have one publisher."""
    with contextlib.ExitStack() as stack:
        publisher = stack.enter_context(migration.open(links[0].publisher))
        feeds = [(link, stack.enter_context(migration.open(link.subscriber))) for link in links]
        return Barrier.take(publisher, migration.side(links[0].publisher)).wait(
            publisher, [barrier_feed(migration, link, conn) for link, conn in feeds], timeout
        )


def barrier_feed(migration: Migration, link: Link, subscriber: Any) -> tuple[str, Any, str, str]:
    """A link as the barrier wants it; the node is named where there are several."""
    name = migration.logins[link.subscriber].label if len(migration.further) and link.subscriber != SOURCE else ""
    return (link.slot, subscriber, link.subscription, name)
