# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The barrier: the proof that everything committed on one side has arrived on the other (private to the collection).

Why it is a proof, and not another way to read lag:

* ``floor`` is the end of the WAL at the moment the barrier is taken. With the fence up, every commit of the application
  lies before it. (Without a fence it still covers everything that was committed before that moment.)
* Then a canary row is written. Its commit lies behind ``floor``.
* Logical decoding hands transactions over in the order of their commits, and a subscription applies them in that order
  (parallel apply keeps it). So when the canary, or any commit behind ``floor``, has been applied by a subscription, all
  that was committed before ``floor`` has been applied by it too.
* This holds for a table only when its initial synchronisation is over: until then a worker of its own brings its rows.
  So every table of the subscription must be ready.
* An apply worker commits asynchronously: what one sees on the subscriber can still be lost in a crash there. So the
  barrier also wants it flushed: pg_replication_origin_progress(…, true) flushes up to the last applied commit before it
  answers; where the login may not call it, a small synchronous commit of our own flushes all WAL before it, the apply
  worker's commit included.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ._errors import CrossoverError
from ._pg_lsn import Lsn
from ._pg_sql import quote_literal
from ._progress_words import size
from ._replication_lag import error_counts, slot_state

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02  # seconds between two looks; the application may be waiting for us
HEALTH_FIRST, HEALTH_EVERY = 0.2, 0.5  # seconds to and between the checks that the subscription can arrive at all


def write_canary(conn_publisher: Any, side: str, token: str) -> Lsn:
    """Commit the canary row of this side and return the end of the WAL after it."""
    return _write(conn_publisher, side, token)[1]


def _write(conn: Any, side: str, token: str) -> tuple[Lsn, Lsn]:
    """(end of WAL before the canary, end of WAL after its commit), in one round trip."""
    if conn.info.transaction_status:
        raise CrossoverError("a barrier was asked for inside an open transaction", code="defect")
    # insert_lsn, not flush_lsn: that one leaves out commits acknowledged under synchronous_commit=off
    cursor = conn.execute(
        "SELECT pg_current_wal_insert_lsn()::text AS lsn; BEGIN; SET LOCAL synchronous_commit = on; "
        "INSERT INTO crossover.canary AS c (side, token, at) "
        f"VALUES ({quote_literal(side)}, {quote_literal(token)}, clock_timestamp()) "
        "ON CONFLICT (side) DO UPDATE SET token = excluded.token, at = excluded.at; COMMIT; "
        "SELECT pg_current_wal_insert_lsn()::text AS lsn",
        prepare=False,
    )
    floor = Lsn.parse(cursor.fetchone()["lsn"])
    while cursor.nextset():
        pass
    return floor, Lsn.parse(cursor.fetchone()["lsn"])


def canary_seen(conn_subscriber: Any, side: str, token: str) -> bool:
    """Whether the subscriber shows this very canary."""
    row = conn_subscriber.execute("SELECT token FROM crossover.canary WHERE side = %s", [side]).fetchone()
    return bool(row) and row["token"] == token


_FEED = """
SELECT s.oid::int8 AS oid,
       has_function_privilege('pg_replication_origin_progress(text, boolean)', 'EXECUTE') AS may_ask,
       (SELECT array_agg(r.srsubid = s.oid) FROM pg_subscription_rel r
        WHERE r.srrelid = to_regclass('crossover.canary')) AS carriers
FROM pg_subscription s
WHERE s.subname = %s AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class _Feed:
    """One subscription on its way to a barrier."""

    def __init__(self, slot: str, conn: Any, subscription: str, node: str = "") -> None:
        self.slot, self.conn, self.subscription = slot, conn, subscription
        self.name = f"{node}: {subscription}" if node else subscription
        self.node = node
        row = conn.execute(_FEED, [subscription]).fetchone()
        if row is None:
            raise CrossoverError(
                f"there is no subscription {self.name}",
                code="no_subscription",
                object=subscription,
            )
        self.oid: int = row["oid"]
        self.may_ask: bool = row["may_ask"]
        self.sole_carrier = row["carriers"] == [True]  # no other subscription brings the canary to this database
        self.errors = error_counts(conn, self.oid)
        self.seen = self.passed = False
        self.way = ""
        self.seen_ms: float | None = None
        self.applied: Lsn | None = None
        self.waiting: int | None = None

    def look(self, barrier: Barrier, publisher: Any) -> bool:
        """Whether this subscription is past the barrier."""
        if not self.seen and canary_seen(self.conn, barrier.side, barrier.token):
            self.seen, self.seen_ms = True, barrier.age_ms()
        if not self.seen:
            return False
        self.waiting = self.conn.execute(
            "SELECT count(*) AS n FROM pg_subscription_rel WHERE srsubid = %s::int8::oid AND srsubstate <> 'r'",
            [self.oid],
        ).fetchone()["n"]
        if self.waiting:
            return False
        if self.may_ask:
            self.way = "origin"
            # read after the canary was seen: the flush covers the commit that brought it
            row = self.conn.execute(
                "SELECT pg_replication_origin_progress('pg_' || %s::int8, true)::text AS lsn", [self.oid]
            )
            self.applied = Lsn.maybe(row.fetchone()["lsn"])
            return self.applied is not None and self.applied > barrier.floor
        if self.sole_carrier:
            self.way = "flush"
            self.conn.execute(
                "BEGIN; SET LOCAL synchronous_commit = on; "
                "SELECT pg_logical_emit_message(true, 'crossover', 'barrier'); COMMIT",
                prepare=False,
            )
            return True
        self.way = "slot"
        return barrier.confirmed(publisher, self.slot)

    def check(self, publisher: Any) -> None:
        """Raise when waiting longer is no use."""
        row = self.conn.execute(
            """SELECT subenabled AS enabled,
                      EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.pid IS NOT NULL) AS works
               FROM pg_subscription s WHERE oid = %s::int8::oid""",
            [self.oid],
        ).fetchone()
        reason = None
        if row is None:
            reason = "was dropped while the barrier was waited for"
        elif not row["enabled"]:
            reason = "is disabled"
        elif risen := [k for k, n in error_counts(self.conn, self.oid).items() if n > self.errors.get(k, 0)]:
            reason = f"fails again and again ({', '.join(sorted(risen))} rises)"
            if "apply_error_count" not in risen and row["works"]:
                reason = None  # a conflict that was resolved, or an error of another kind, stops nothing
        elif slot_state(publisher, self.slot) is None:
            reason = f"has no slot {self.slot} on the publisher"
        if reason:
            raise CrossoverError(
                f"the barrier cannot be passed: subscription {self.name} {reason}",
                code="feed_broken",
                object=self.subscription,
                hint="the log of the server that subscribes says why; mend it, then run this again",
            )

    def measured(self, publisher: Any) -> dict[str, Any]:
        """For results and for the message of a failure."""
        state = slot_state(publisher, self.slot) if self.way == "slot" or not self.passed else None
        confirmed = state["confirmed_flush_lsn"] if state else None
        return {
            **({"node": self.node} if self.node else {}),
            "subscription": self.subscription,
            "slot": self.slot,
            "passed": self.passed,
            "canary_ms": self.seen_ms,
            "proof": self.way or None,
            "applied_lsn": str(self.applied) if self.applied is not None else None,
            "confirmed_flush_lsn": str(confirmed) if confirmed is not None else None,
            "lag_bytes": state["lag_bytes"] if state else None,
            "tables_not_ready": self.waiting,
        }


@dataclass(frozen=True)
class Barrier:
    """An LSN that every subscription must have applied, and the canary that shows it end to end."""

    side: str
    token: str
    floor: Lsn
    lsn: Lsn
    taken: float  # time.monotonic()

    @classmethod
    def take(cls, conn_publisher: Any, side: str) -> Barrier:
        """Take it now. To prove that nothing is left behind, the fence must be up already."""
        begun, token = time.monotonic(), secrets.token_hex(16)
        floor, lsn = _write(conn_publisher, side, token)
        return cls(side, token, floor, lsn, begun)

    def age_ms(self) -> float:
        """Milliseconds since the barrier was taken."""
        return round((time.monotonic() - self.taken) * 1000, 1)

    def wait(
        self,
        conn_publisher: Any,
        feeds: Sequence[tuple[str, Any, str] | tuple[str, Any, str, str]],
        deadline_seconds: float,
        slots: Sequence[str] = (),
        on_look: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """Wait until every feed (slot, connection to the subscriber, subscription, maybe the node) is past it.

        Returns the measurements; raises CrossoverError with the last ones when the deadline passes, and at once when a
        subscription cannot arrive (disabled, failing, its slot gone). ``slots`` are further slots whose readers must
        have confirmed the barrier. ``on_look`` is called between two looks.
        """
        until = time.monotonic() + deadline_seconds
        found = [_Feed(*feed) for feed in feeds]
        pause, next_check = FIRST_PAUSE, time.monotonic() + HEALTH_FIRST
        while True:
            for feed in found:
                feed.passed = feed.passed or feed.look(self, conn_publisher)
            now = time.monotonic()
            late = [slot for slot in slots if not self.confirmed(conn_publisher, slot)]
            if all(feed.passed for feed in found) and not late:
                return self._measured(found, conn_publisher)
            if now >= until:
                raise self._late(found, late, conn_publisher, deadline_seconds)
            if now >= next_check:
                next_check = now + HEALTH_EVERY
                for feed in found:
                    feed.check(conn_publisher)
            if on_look:
                on_look()
            time.sleep(min(pause, max(0.0, until - now)))
            pause = min(pause * 1.05, LONGEST_PAUSE)

    def confirmed(self, publisher: Any, slot: str) -> bool:
        """Whether a slot's reader has confirmed the barrier."""
        state = slot_state(publisher, slot)
        if state is None:
            raise CrossoverError(f"the slot {slot} does not exist on the publisher", code="no_slot", object=slot)
        return state["confirmed_flush_lsn"] is not None and state["confirmed_flush_lsn"] >= self.lsn

    def _measured(self, found: list[_Feed], publisher: Any) -> dict[str, Any]:
        return {
            "barrier_lsn": str(self.lsn),
            "barrier_ms": self.age_ms(),
            "subscriptions": [feed.measured(publisher) for feed in found],
        }

    def _late(self, found: list[_Feed], late: list[str], publisher: Any, deadline: float) -> CrossoverError:
        last = self._measured(found, publisher)
        open_ = [feed for feed in found if not feed.passed]
        lags = {id(feed): seen["lag_bytes"] for feed, seen in zip(found, last["subscriptions"])}
        what = "; ".join(
            [
                f"{feed.name}: "
                + (
                    f"{feed.waiting} table(s) not ready"
                    if feed.waiting
                    else f"canary {'' if feed.seen else 'not '}seen"
                )
                + (f", {size(max(0, lags[id(feed)]))} behind" if lags[id(feed)] is not None else "")
                for feed in open_
            ]
            + [f"slot {slot}: not confirmed" for slot in late]
        )
        return CrossoverError(
            f"the barrier {self.lsn} was not passed within {deadline:g} s ({what})",
            code="barrier_timeout",
            object=open_[0].subscription if open_ else late[0],
            hint="see crossover.pgedge.status for the lag; try again when it is small, or raise the deadline",
            data={"measurement": last},
        )
