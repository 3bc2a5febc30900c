# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publications, slots and subscriptions as they are, for people and alarms (private to the collection). Read only."""

from __future__ import annotations

import re
from typing import Any, Callable, Mapping, Sequence

from . import _replication_publication as publications
from ._pg_lsn import Lsn
from ._pg_sql import qualified
from ._replication_lag import TABLE_STATES, slot_state, subscription_state
from ._replication_last_error import NOTHING, by_table, find, read_log
from ._replication_progress import measure, published_sizes

COPIED = ("f", "s", "r")  # states in which a table's rows are all there
BEHIND = ("lag_bytes", "lag_seconds", "retained_bytes", "safe_wal_size")  # of a slot, for each of its tables
SLOT_KEYS = (
    "lag_bytes", "lag_seconds", "retained_bytes", "safe_wal_size", "wal_limit_bytes", "wal_status", "active",
)  # fmt: skip


def _text(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Lsn) else value for key, value in found.items()}


def _chosen(rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None) -> list[str]:
    found = [str(row["name"]) for row in rows]
    return [name for name in found if names is None or name in names]


def all_publications(conn: Any, names: Sequence[str] | None) -> list[dict[str, Any]]:
    """Each publication of the database with its tables, by name, and how far its readers are."""
    rows = conn.execute("SELECT pubname AS name FROM pg_publication ORDER BY 1").fetchall()
    read_by, known = readers(conn)
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
        slots = sorted(slot for slot, read in read_by.items() if name in read)
        behind = worst([state for slot in slots if (state := slot_state(conn, slot))])
        word = "read" if slots else "not read" if known else "unknown"
        result.append({"name": name, **found, "state": word, "slots": slots, **behind, "tables": tables})
    return result


# A walsender shows the command that it was given: START_REPLICATION SLOT "s" LOGICAL 0/0 (…, publication_names '"p"').
_ASKED = """
SELECT s.slot_name AS slot, a.query
FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.active AND s.slot_type = 'logical' AND s.database = current_database()
"""
_NAMES = re.compile(r"publication_names '((?:[^']|'')*)'")
_NAME = re.compile(r'"((?:[^"]|"")*)"')


def asked_for(query: str | None) -> set[str] | None:
    """The publications that a walsender was asked for; None where that does not show."""
    match = _NAMES.search(query or "")
    return {name.replace('""', '"') for name in _NAME.findall(match[1].replace("''", "'"))} if match else None


def readers(conn: Any) -> tuple[dict[str, set[str]], bool]:
    """(slot that is read now -> the publications that its reader takes, whether that shows of all of them).

    PostgreSQL remembers it nowhere on this side: of a slot that nobody reads it is not known.
    """
    found = {row["slot"]: asked_for(row["query"]) for row in conn.execute(_ASKED)}
    return {slot: names for slot, names in found.items() if names is not None}, None not in found.values()


def worst(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The farthest behind, and the least room, of some slots; what is not known is null."""

    def of(key: str, pick: Callable[[list[Any]], Any]) -> Any:
        values = [state[key] for state in states if state[key] is not None]
        return pick(values) if values else None

    most = {key: of(key, max) for key in ("lag_bytes", "lag_seconds", "retained_bytes")}
    return {**most, "safe_wal_size": of("safe_wal_size", min)}


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
    failed = any(n for key, n in state["errors"].items() if key.endswith("error_count"))
    log, unknown = read_log(conn) if failed or not state["worker_pid"] else (None, "")
    error = find(log, state["name"], state["oid"]) if log is not None else None
    if log is not None and error is None:
        unknown = NOTHING
    slot = slot_state(publisher, state["slot"]) if publisher and state["slot"] else None
    tables = _tables(conn, state, publisher, slot, by_table(log, state["name"], state["oid"]) if log else {})
    gives_up = _disable_on_error(conn, state["oid"])
    conflicts = [n for key, n in state["errors"].items() if key.startswith("confl_")]
    return {
        **_text({key: value for key, value in state.items() if key != "tables"}),
        "state": _subscription_word(state, tables),
        "tables": tables,
        "tables_total": len(tables),
        "tables_ready": sum(table["state"] == "r" for table in tables),
        **{key: slot[key] if slot else None for key in SLOT_KEYS},
        "conflicts": sum(conflicts) if conflicts else None,
        "disable_on_error": gives_up,
        # the server does not say who disabled it: it does so itself only after an error that it has counted
        "disabled_by_error": bool(gives_up and failed and not state["enabled"]),
        "last_error": error,
        "last_error_unknown": unknown or None,
    }


def _disable_on_error(conn: Any, oid: int) -> bool:
    if conn.info.server_version < 150000:
        return False
    found = conn.execute("SELECT subdisableonerr AS yes FROM pg_subscription WHERE oid = %s::int8::oid", [oid])
    return bool(found.fetchone()["yes"])


def _tables(
    conn: Any,
    state: Mapping[str, Any],
    publisher: Any | None,
    slot: Mapping[str, Any] | None,
    errors: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The tables of a subscription, each with what is left to copy and how far behind the slot is that brings it."""
    progress = measure(conn, state["name"], {}) or {}
    copying = {c["table"]: c for c in progress.get("copying", ())}
    sizes = published_sizes(publisher, state["publications"]) if publisher else {}
    syncing = _sync_slots(publisher, state["oid"]) if publisher else {}
    result = []
    for table in state["tables"]:
        copy = copying.get(qualified(table["schema"], table["name"]), {})
        size = sizes.get((table["schema"], table["name"]))
        done = table["state"] in COPIED
        # until its own worker has caught up, a table's changes come through a slot of its own
        own = syncing.get(table["relid"]) if table["state"] in ("d", "f") else None
        via = own or (slot if table["state"] in ("s", "r") else None)
        result.append(
            {
                **_text(table),
                "state_text": TABLE_STATES.get(table["state"], "unknown"),
                "bytes_copied": copy.get("bytes"),
                "rows_copied": copy.get("rows"),
                "bytes_left": 0 if done else None if size is None else max(0, size - (copy.get("bytes") or 0)),
                "slot": via["name"] if via else None,
                **{key: via[key] if via else None for key in BEHIND},
                "last_error": errors.get(f"{table['schema']}.{table['name']}") or errors.get(table["name"]),
            }
        )
    return result


def _sync_slots(publisher: Any, oid: int) -> dict[int, dict[str, Any]]:
    """table's OID where it is subscribed to -> the slot of its own synchronisation."""
    rows = publisher.execute(
        "SELECT slot_name AS name FROM pg_replication_slots WHERE slot_name ~ %s AND database = current_database()",
        [rf"^pg_{oid}_sync_\d+_\d+$"],
    ).fetchall()
    found = {int(row["name"].split("_")[3]): slot_state(publisher, row["name"]) for row in rows}
    return {relid: state for relid, state in found.items() if state}


def _subscription_word(state: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]) -> str:
    if not state["enabled"]:
        return "disabled"
    if not state["worker_pid"]:
        return "not working"
    return "streaming" if all(table["state"] == "r" for table in tables) else "synchronising"
