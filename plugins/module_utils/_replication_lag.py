# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a subscription and its slot are (private to the collection). Read only.

The numbers of bytes here are for eyes and alarms. Nothing may be gated on them: on an idle server they drift, and they
do not see what is not yet written. Gate on a barrier (_replication_barrier.py).
"""

from __future__ import annotations

from typing import Any

from ._pg_lsn import Lsn

# pg_subscription_rel.srsubstate -> what it means
TABLE_STATES = {"i": "initialize", "d": "copying", "f": "copied", "s": "synchronised", "r": "ready"}

# The leading apply worker is the row without a table; parallel apply workers (PostgreSQL 16) carry leader_pid.
_SUBSCRIPTION = """
SELECT s.oid::int8 AS oid, s.subname AS name, 'pg_' || s.oid AS origin, s.subenabled AS enabled,
       s.subslotname AS slot, s.subpublications::text[] AS publications, pg_get_userbyid(s.subowner) AS owner,
       w.pid AS worker_pid, w.received_lsn::text AS received_lsn, w.latest_end_lsn::text AS reported_lsn,
       extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time)::float8 AS heard_seconds_ago
FROM pg_subscription s
     LEFT JOIN (SELECT * FROM pg_stat_subscription t
                WHERE t.relid IS NULL AND to_jsonb(t) ->> 'leader_pid' IS NULL) w ON w.subid = s.oid
WHERE s.subname = %s AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_TABLES = """
SELECT n.nspname AS schema, c.relname AS name, c.oid::int8 AS relid, r.srsubstate AS state,
       r.srsublsn::text AS lsn, w.pid AS sync_pid
FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_stat_subscription w ON w.subid = r.srsubid AND w.relid = r.srrelid
WHERE r.srsubid = %s::int8::oid
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""


def subscription_state(conn: Any, name: str) -> dict[str, Any] | None:
    """One subscription of this database as it is now, or None where there is none of that name.

    ``tables`` is a list of schema, name, state (a letter, see TABLE_STATES), lsn and sync_pid; ``worker_pid`` is None
    when no apply worker runs; ``errors`` is what pg_stat_subscription_stats counts (empty before PostgreSQL 15).
    """
    row = conn.execute(_SUBSCRIPTION, [name]).fetchone()
    if row is None:
        return None
    tables = [{**t, "lsn": Lsn.maybe(t["lsn"])} for t in conn.execute(_TABLES, [row["oid"]])]
    lsns = {key: Lsn.maybe(row[key]) for key in ("received_lsn", "reported_lsn")}
    return {**row, **lsns, "tables": tables, "errors": error_counts(conn, row["oid"])}


def error_counts(conn: Any, oid: int) -> dict[str, int]:
    """What the statistics count against a subscription: apply and sync errors (15+), each kind of conflict (18+)."""
    if conn.info.server_version < 150000:
        return {}
    row = conn.execute(
        "SELECT to_jsonb(t) AS found FROM pg_stat_subscription_stats t WHERE subid = %s::int8::oid", [oid]
    ).fetchone()
    found = row["found"] if row else {}
    return {name: int(n) for name, n in found.items() if name.endswith("_count") or name.startswith("confl_")}


# to_jsonb reads columns that only some versions have (failover: 17, conflicting: 16, two_phase: 14).
# A walsender that has caught up is 'streaming'; when its reader has confirmed all that was sent, replay_lag is empty a
# moment later, and that is no lag. While it has not, replay_lag stays what it was at the last answer, however long ago
# that came (reply_time, by the reader's clock): a network that swallows packets would look like no lag at all. A slot that nobody reads shows since when from PostgreSQL 17 on.
_SLOT = """
SELECT to_jsonb(s) AS found, pg_wal_lsn_diff(now.lsn, s.confirmed_flush_lsn)::int8 AS lag_bytes,
       pg_wal_lsn_diff(now.lsn, s.restart_lsn)::int8 AS retained_bytes,
       CASE WHEN r.replay_lsn < r.sent_lsn
            THEN extract(epoch FROM greatest(r.replay_lag, clock_timestamp() - r.reply_time, interval '0'))
            WHEN r.replay_lag IS NOT NULL THEN extract(epoch FROM r.replay_lag)
            WHEN r.state = 'streaming' AND r.replay_lsn >= r.sent_lsn THEN 0
            WHEN NOT s.active AND now.lsn > s.confirmed_flush_lsn
            THEN extract(epoch FROM clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz)
       END::float8 AS lag_seconds,
       CASE WHEN k.mb >= 0 THEN k.mb * 1024 * 1024 END AS wal_limit_bytes
FROM pg_replication_slots s
     CROSS JOIN (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                             ELSE pg_current_wal_lsn() END AS lsn) now
     CROSS JOIN (SELECT setting::int8 AS mb FROM pg_settings WHERE name = 'max_slot_wal_keep_size') k
     LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
WHERE s.slot_name = %s
"""


def slot_state(conn: Any, name: str) -> dict[str, Any] | None:
    """One slot of this server as it is now, or None.

    ``lag_bytes`` is what its reader has not confirmed, ``retained_bytes`` the WAL that it holds back, ``safe_wal_size``
    how much more can be written before it may be lost (None: no limit is set), ``wal_limit_bytes`` that limit.
    ``lag_seconds`` needs pg_monitor; of a slot that nobody reads it is known from PostgreSQL 17 on.
    """
    row = conn.execute(_SLOT, [name]).fetchone()
    if row is None:
        return None
    found = row.pop("found")
    return {
        **row,
        "name": found["slot_name"],
        "type": found["slot_type"],
        "plugin": found["plugin"],
        "database": found["database"],
        "temporary": found["temporary"],
        "active": found["active"],
        "active_pid": found["active_pid"],
        "confirmed_flush_lsn": Lsn.maybe(found["confirmed_flush_lsn"]),
        "restart_lsn": Lsn.maybe(found["restart_lsn"]),
        "wal_status": found["wal_status"],
        "safe_wal_size": found["safe_wal_size"],
        "two_phase": bool(found.get("two_phase")),
        "failover": bool(found.get("failover")),
        "invalidation_reason": found.get("invalidation_reason"),
    }


def progress_denied(conn: Any) -> str | None:
    """Why this login cannot read how far an origin has been applied, or None when it can."""
    row = conn.execute(
        """SELECT current_user AS who,
                  has_function_privilege('pg_replication_origin_progress(text, boolean)', 'EXECUTE') AS may"""
    ).fetchone()
    if row["may"]:
        return None
    return f"{row['who']} has no EXECUTE on pg_replication_origin_progress(text, boolean)"


def applied_lsn(conn_subscriber: Any, subscription: str) -> Lsn | None:
    """Up to where the publisher's commits are applied *and flushed* here.

    None when the subscription does not exist, has applied nothing yet, or this login may not ask
    (:func:`progress_denied` tells why).
    """
    if progress_denied(conn_subscriber):
        return None
    row = conn_subscriber.execute(
        """SELECT pg_replication_origin_progress('pg_' || s.oid, true)::text AS lsn
           FROM pg_subscription s JOIN pg_replication_origin o ON o.roname = 'pg_' || s.oid
           WHERE s.subname = %s AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
        [subscription],
    ).fetchone()
    return Lsn.maybe(row["lsn"]) if row else None
