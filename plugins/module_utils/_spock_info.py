# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node of a mesh tells of itself (private to the collection). Reads only."""

from __future__ import annotations

from typing import Any

from . import _replication_conninfo as conninfo
from ._pg_catalog import NOT_MIGRATED
from ._pg_lsn import Lsn
from ._pg_sql import HIDDEN
from ._spock_node import nodes
from ._spock_subscription import copying, subscriptions

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
# what the provider had written when it was last heard of. Spock's own seconds say less than they seem to: in 5.x they
# grow while nothing is written, in 6.x they are how long the last transaction took, also when all has stopped since
_LAG = """
SELECT origin_name AS provider, replication_lag_bytes::int8 AS bytes, commit_timestamp::text AS last_commit,
       extract(epoch FROM replication_lag)::float8 AS seconds
FROM spock.lag_tracker
WHERE receiver_name = (SELECT node_name FROM spock.local_node JOIN spock.node USING (node_id))
"""
_SETS = """
SELECT set_name AS name, replicate_insert AS insert, replicate_update AS update, replicate_delete AS delete,
       replicate_truncate AS truncate
FROM spock.replication_set JOIN spock.local_node ON node_id = set_nodeid ORDER BY 1
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
# settings that are connection strings, or parts of one
_DSNS = ("spock.primary_dsn", "spock.extra_connection_options")


def extensions(conn: Any) -> dict[str, Any]:
    """Spock and its companions: installed in this database, and available on the server."""
    return {
        row["name"]: {"installed": row["installed"], "available": row["available"]} for row in conn.execute(_EXTENSIONS)
    }


def settings(conn: Any) -> dict[str, str]:
    """Those of the server that Spock depends on, and its own, without secrets."""
    found = {row["name"]: row["setting"] for row in conn.execute(_SETTINGS, [list(_SERVER)])}
    return {**found, **{name: without_secrets(found[name]) for name in _DSNS if found.get(name)}}


def without_secrets(dsn: str) -> str:
    """A connection string as it may be shown; all of it is hidden where it cannot be read."""
    parameters = conninfo.read(dsn)
    return HIDDEN if parameters is None else conninfo.write(parameters, hide=True)


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


def mesh_of(conn: Any) -> dict[str, Any]:
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
            "lag_seconds": lag["seconds"] if lag else None,
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
        "sets": {row.pop("name"): row for row in map(dict, conn.execute(_SETS))},
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
