# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node of a mesh tells of itself (private to the collection). Reads only."""

from __future__ import annotations

from typing import Any

from ._pg_catalog import NOT_MIGRATED
from ._pg_lsn import Lsn
from ._spock_node import nodes
from ._spock_subscription import copying, subscriptions
from ._spock_version import SpockVersion

_EXTENSIONS = """
SELECT name, installed_version AS installed, default_version AS available
FROM pg_available_extensions WHERE name IN ('spock', 'snowflake', 'lolor')
"""
_TABLES = """
SELECT t.nspname AS schema, t.relname AS name,
       array_agg(t.set_name ORDER BY t.set_name) FILTER (WHERE t.set_name IS NOT NULL) AS sets
FROM spock.tables t WHERE t.nspname <> ALL (%s) GROUP BY 1, 2 ORDER BY 1, 2
"""
_EXCEPTIONS = """
SELECT count(*)::int8 AS count, max(retry_errored_at)::text AS newest,
       (SELECT json_agg(e) FROM (SELECT table_schema AS schema, table_name AS table, operation, error_message AS error,
                                        retry_errored_at::text AS at
                                 FROM spock.exception_log ORDER BY retry_errored_at DESC LIMIT 5) e) AS last
FROM spock.exception_log
"""
_RESOLUTIONS = """
SELECT conflict_type AS type, conflict_resolution AS resolution, count(*)::int8 AS count, max(log_time)::text AS newest
FROM spock.resolutions GROUP BY 1, 2 ORDER BY 1, 2
"""
_CONFLICTS = """
SELECT sub_name AS subscription, n_conflict::int8 AS conflicts, n_dca::int8 AS delta_applied
FROM spock.channel_summary_stats
"""
# what the provider had written when it was last heard of; the row says when that was
_LAG = """
SELECT origin_name AS provider, replication_lag_bytes::int8 AS bytes, commit_timestamp::text AS last_commit
FROM spock.lag_tracker
WHERE receiver_name = (SELECT node_name FROM spock.local_node JOIN spock.node USING (node_id))
"""
_SLOTS = """
SELECT slot_name AS name, active, wal_status,
       pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::int8 AS behind,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 AS retained
FROM pg_replication_slots WHERE database = current_database() AND plugin = 'spock_output' ORDER BY 1
"""
_CLASHES = """
SELECT n.node_name AS node, n.node_id::int8 AS id, o.roname AS origin
FROM spock.node n JOIN pg_replication_origin o ON o.roident = n.node_id ORDER BY 1
"""
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s) OR name ~ '^(spock|snowflake)\\.' ORDER BY 1"
_SERVER = (
    "wal_level", "track_commit_timestamp", "output_plugin_libraries", "max_worker_processes", "max_replication_slots",
    "max_wal_senders", "max_active_replication_origins", "shared_preload_libraries",
)  # fmt: skip
_PLUGINS = {"pgoutput", "spock_output"}


def extensions(conn: Any) -> dict[str, Any]:
    """Spock and its companions: installed in this database, and available on the server."""
    return {
        row["name"]: {"installed": row["installed"], "available": row["available"]} for row in conn.execute(_EXTENSIONS)
    }


def settings(conn: Any) -> dict[str, str]:
    """Those of the server that Spock depends on, and its own."""
    return {row["name"]: row["setting"] for row in conn.execute(_SETTINGS, [list(_SERVER)])}


def wrong(found: dict[str, str]) -> list[str]:
    """A sentence for every setting with which a mesh loses something, or does not work."""
    said = []
    if found.get("wal_level") != "logical":
        said.append(f"wal_level is {found.get('wal_level')}: it must be logical (a restart)")
    if found.get("track_commit_timestamp") != "on":
        said.append("track_commit_timestamp is off: conflicts cannot be resolved by time (a restart)")
    if "spock.conflict_resolution" not in found:
        said.append("spock is not in shared_preload_libraries: nothing is replicated (a restart)")
    if (behaviour := found.get("spock.exception_behaviour")) not in (None, "sub_disable"):
        said.append(
            f"spock.exception_behaviour is {behaviour}: what cannot be applied is thrown away (sub_disable stops)"
        )
    if found.get("spock.save_resolutions") == "off":
        said.append("spock.save_resolutions is off: conflicts leave no trace in spock.resolutions")
    if (listed := found.get("output_plugin_libraries")) is not None:
        if missing := _PLUGINS - {name.strip().strip('"') for name in listed.split(",")}:
            said.append(
                f"output_plugin_libraries lacks {', '.join(sorted(missing))}: such slots do not work (a reload)"
            )
    return said


def mesh_of(conn: Any, version: SpockVersion) -> dict[str, Any]:
    """Nodes, subscriptions, sets, lag, exceptions and conflicts of this database."""
    known = nodes(conn)
    lags = {row["provider"]: row for row in conn.execute(_LAG)}
    counters = {row["subscription"]: row for row in conn.execute(_CONFLICTS)}
    subs = {}
    for name, subscription in subscriptions(conn).items():
        lag, counted = lags.get(subscription.provider), counters.get(name)
        subs[name] = {
            **subscription.shown(),
            "status": subscription.status,
            "copying": copying(conn, subscription),
            "lag_bytes": max(0, lag["bytes"]) if lag and lag["bytes"] is not None else None,
            "last_commit": lag["last_commit"] if lag else None,
            "conflicts": counted["conflicts"] if counted else 0,
            "delta_applied": counted["delta_applied"] if counted else 0,
        }
    tables = [dict(row) for row in conn.execute(_TABLES, [list(NOT_MIGRATED)])]
    exceptions = dict(conn.execute(_EXCEPTIONS).fetchone())
    return {
        "local": next((node.name for node in known.values() if node.local), None),
        "nodes": {name: {**node.shown(), "id": node.id} for name, node in known.items()},
        "subscriptions": subs,
        "slots": [dict(row) for row in conn.execute(_SLOTS)],
        "tables": {f"{t['schema']}.{t['name']}": t["sets"] or [] for t in tables},
        "tables_in_no_set": [f"{t['schema']}.{t['name']}" for t in tables if not t["sets"]],
        "exceptions": {**exceptions, "last": exceptions["last"] or []},
        "resolutions": [dict(row) for row in conn.execute(_RESOLUTIONS)],
        "clashes": [dict(row) for row in conn.execute(_CLASHES)],
    }


def wal_position(conn: Any) -> str:
    """Where this node writes, so that others' positions can be compared with it."""
    return str(Lsn.parse(conn.execute("SELECT pg_current_wal_insert_lsn()::text AS lsn").fetchone()["lsn"]))
