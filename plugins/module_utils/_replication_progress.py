# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the initial copy of a subscription is (private to the collection). Read only."""

from __future__ import annotations

from typing import Any, Mapping

from ._pg_connect import driver
from ._pg_sql import qualified
from ._progress_words import size
from ._replication_lag import subscription_state

Name = tuple[str, str]

_COPYING = """
SELECT n.nspname AS schema, c.relname AS name, p.bytes_processed AS bytes, p.tuples_processed AS rows
FROM pg_stat_subscription w JOIN pg_stat_progress_copy p ON p.pid = w.pid
     JOIN pg_class c ON c.oid = w.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE w.subid = %s::int8::oid
"""

# A partitioned table that is published under its own name has no rows itself: its partitions have.
_SIZES = """
SELECT p.schemaname AS schema, p.tablename AS name,
       CASE c.relkind WHEN 'p' THEN (SELECT sum(pg_table_size(t.relid)) FROM pg_partition_tree(c.oid) t WHERE t.isleaf)
                      ELSE pg_table_size(c.oid) END::int8 AS bytes
FROM (SELECT DISTINCT schemaname, tablename FROM pg_publication_tables WHERE pubname = ANY (%s)) p
     JOIN pg_namespace n ON n.nspname = p.schemaname
     JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
"""

_ARRIVED = """
SELECT coalesce(sum(pg_table_size(t.relid)), 0)::int8 AS bytes,
       coalesce(sum(pg_stat_get_live_tuples(t.relid)), 0)::int8 AS rows
FROM pg_subscription_rel r
     CROSS JOIN LATERAL (SELECT r.srrelid AS relid WHERE NOT EXISTS (SELECT 1 FROM pg_partition_tree(r.srrelid))
                         UNION SELECT p.relid FROM pg_partition_tree(r.srrelid) p WHERE p.isleaf) t
WHERE r.srsubid = %s::int8::oid
"""


def published_sizes(publisher: Any, publications: list[str]) -> dict[Name, int]:
    """What each published table holds on the publisher, in bytes."""
    rows = publisher.execute(_SIZES, [publications])
    return {(row["schema"], row["name"]): row["bytes"] or 0 for row in rows}


def sizes_by_conninfo(conn: Any, name: str) -> dict[Name, int]:
    """The same over the subscription's own connection; empty where it is not readable, or not reachable from here."""
    may = conn.execute("SELECT has_column_privilege('pg_subscription', 'subconninfo', 'SELECT') AS may").fetchone()[
        "may"
    ]
    if not may:
        return {}
    row = conn.execute(
        """SELECT subconninfo AS text, subpublications::text[] AS publications FROM pg_subscription
           WHERE subname = %s AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
        [name],
    ).fetchone()
    psycopg = driver()
    from psycopg.conninfo import make_conninfo
    from psycopg.rows import dict_row

    try:
        text = make_conninfo(row["text"], connect_timeout=3) if row else ""
        with psycopg.connect(text, autocommit=True, row_factory=dict_row) as publisher:
            return published_sizes(publisher, row["publications"]) if row else {}
    except psycopg.Error:
        return {}  # only the percentage is less fine for it


def measure(conn: Any, name: str, sizes: Mapping[Name, int]) -> dict[str, Any] | None:
    """How the initial copy of a subscription stands; None when there is no such subscription."""
    state = subscription_state(conn, name)
    if state is None:
        return None
    copying = conn.execute(_COPYING, [state["oid"]]).fetchall()
    return {
        "subscription": name,
        "slot": state["slot"],
        "enabled": state["enabled"],
        "worker_pid": state["worker_pid"],
        "heard_seconds_ago": state["heard_seconds_ago"],
        "errors": state["errors"],
        "copying": [
            {"table": qualified(row["schema"], row["name"]), "bytes": row["bytes"], "rows": row["rows"]}
            for row in copying
        ],
        "waiting": [qualified(t["schema"], t["name"]) for t in state["tables"] if t["state"] != "r"],
        **share(
            {(t["schema"], t["name"]): t["state"] for t in state["tables"]},
            {(row["schema"], row["name"]): row["bytes"] for row in copying},
            sizes,
        ),
    }


def share(states: Mapping[Name, str], copied: Mapping[Name, int], sizes: Mapping[Name, int]) -> dict[str, Any]:
    """Counts, bytes and the percentage that is done: by bytes where the sizes are known, else by tables.

    COPY's text is not as large as the table, so the bytes of a copy that runs count up to the table's size at most.
    """
    copied_states = ("f", "s", "r")
    total = sum(sizes.get(name, 0) for name in states)
    done = sum(
        sizes.get(name, 0) if state in copied_states else min(copied.get(name, 0), sizes.get(name, 0))
        for name, state in states.items()
    )
    ready = sum(state == "r" for state in states.values())
    behind = [name for name in states if name not in sizes]
    if not states:
        percent = 0.0
    elif total and not behind:
        percent = 100.0 * done / total
    else:
        percent = 100.0 * sum(state in copied_states for state in states.values()) / len(states)
    return {
        "tables_total": len(states),
        "tables_ready": ready,
        "bytes_total": total or None,
        "bytes_done": done if total else None,
        # not before every table is in sync
        "percent": 100.0 if states and ready == len(states) else round(min(percent, 99.9), 1),
    }


def as_task(measured: Mapping[str, Any]) -> dict[str, Any]:
    """A measurement in the terms in which progress is told: by bytes where they are known, else by tables."""
    counts = {"tables_done": measured["tables_ready"], "tables_total": measured["tables_total"]}
    lag = measured.get("lag_bytes")
    told = {"task": "sync", "message": "" if lag is None else f"lag {size(max(0, lag))}", "rate": None, **counts}
    if measured.get("bytes_total"):
        return {**told, "unit": "bytes", "done": measured["bytes_done"], "total": measured["bytes_total"]}
    return {**told, "unit": "tables", "done": measured["tables_ready"], "total": measured["tables_total"]}


def arrived(conn: Any, oid: int) -> dict[str, int]:
    """What the subscription's tables hold here: bytes on disk, and rows as the statistics have counted them."""
    row = conn.execute(_ARRIVED, [oid]).fetchone()
    return {"bytes": row["bytes"], "rows": row["rows"]}
