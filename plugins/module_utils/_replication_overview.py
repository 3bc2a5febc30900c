# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publications, slots and subscriptions as they are, for people and alarms (private to the collection). Read only."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from . import _replication_publication as publications
from ._pg_lsn import Lsn
from ._replication_lag import TABLE_STATES, slot_state, subscription_state
from ._replication_last_error import last_error
from ._replication_progress import measure

SLOT_KEYS = (
    "lag_bytes", "lag_seconds", "retained_bytes", "safe_wal_size", "wal_limit_bytes", "wal_status", "active",
)  # fmt: skip


def _text(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Lsn) else value for key, value in found.items()}


def _chosen(rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None) -> list[str]:
    found = [str(row["name"]) for row in rows]
    return [name for name in found if names is None or name in names]


def all_publications(conn: Any, names: Sequence[str] | None) -> list[dict[str, Any]]:
    """Each publication of the database with its tables, by name."""
    rows = conn.execute("SELECT pubname AS name FROM pg_publication ORDER BY 1").fetchall()
    result = []
    for name in _chosen(rows, names):
        found = publications.shown(publications.read(conn, name))
        tables = conn.execute(
            """SELECT p.schemaname AS schema, p.tablename AS name, greatest(c.reltuples, 0)::int8 AS rows_estimated,
                      pg_table_size(c.oid) AS bytes
               FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname
                    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
               WHERE p.pubname = %s ORDER BY p.schemaname COLLATE "C", p.tablename COLLATE "C" """,
            [name],
        ).fetchall()
        result.append({"name": name, **found, "tables": tables})
    return result


def all_slots(conn: Any, names: Sequence[str] | None) -> list[dict[str, Any]]:
    """Each slot of the server."""
    rows = conn.execute("SELECT slot_name AS name FROM pg_replication_slots ORDER BY 1").fetchall()
    states = [slot_state(conn, name) for name in _chosen(rows, names)]
    return [{**_text(state), "state": _slot_word(state)} for state in states if state]


def _slot_word(state: Mapping[str, Any]) -> str:
    if state["wal_status"] == "lost":
        return "lost"
    return "active" if state["active"] else "inactive"


def all_subscriptions(conn: Any, names: Sequence[str] | None, publisher: Any | None) -> list[dict[str, Any]]:
    """Each subscription of the database with its tables; with a session on the publisher also how far it is behind."""
    rows = conn.execute(
        """SELECT subname AS name FROM pg_subscription
           WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1"""
    ).fetchall()
    found = [subscription_state(conn, name) for name in _chosen(rows, names)]
    return [_subscription(conn, state, publisher) for state in found if state]


def _subscription(conn: Any, state: dict[str, Any], publisher: Any | None) -> dict[str, Any]:
    progress = measure(conn, state["name"], {}) or {}
    copying = {c["table"]: c for c in progress.get("copying", ())}
    tables = []
    for table in state.pop("tables"):
        copy = copying.get(f"{table['schema']}.{table['name']}", {})
        known = {"state_text": TABLE_STATES.get(table["state"], "unknown")}
        tables.append({**_text(table), **known, "bytes_copied": copy.get("bytes"), "rows_copied": copy.get("rows")})
    slot = slot_state(publisher, state["slot"]) if publisher and state["slot"] else None
    error, unknown = (None, "")
    if any(n for key, n in state["errors"].items() if key.endswith("error_count")) or not state["worker_pid"]:
        error, unknown = last_error(conn, state["name"], state["oid"])
    return {
        **_text(state),
        "state": _subscription_word(state, tables),
        "tables": tables,
        "tables_total": len(tables),
        "tables_ready": sum(table["state"] == "r" for table in tables),
        **{key: slot[key] if slot else None for key in SLOT_KEYS},
        "last_error": error,
        "last_error_unknown": unknown or None,
    }


def _subscription_word(state: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]) -> str:
    if not state["enabled"]:
        return "disabled"
    if not state["worker_pid"]:
        return "not working"
    return "streaming" if all(table["state"] == "r" for table in tables) else "synchronising"
