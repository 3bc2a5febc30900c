# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the assessment has to know of one server (private to the collection)."""

from __future__ import annotations

import time
from typing import Any

from ._migration_assess_facts import Collation, Extension, Server, Slot
from ._migration_mesh import SAME_IDS, spock_node
from ._pg_catalog import server_version

OLDEST_READABLE = 140000  # older catalogues lack columns that are read here; the version is the finding then

_SETTINGS = (
    "wal_level max_replication_slots max_wal_senders max_logical_replication_workers "
    "max_sync_workers_per_subscription "
    "max_worker_processes max_active_replication_origins max_slot_wal_keep_size wal_sender_timeout "
    "wal_receiver_timeout "
    "statement_timeout transaction_timeout idle_session_timeout idle_in_transaction_session_timeout "
    "default_transaction_read_only default_transaction_isolation synchronous_commit synchronous_standby_names "
    "max_prepared_transactions track_commit_timestamp shared_preload_libraries output_plugin_libraries "
    "rds.logical_replication server_encoding spock.exception_behaviour snowflake.node"
).split()

_SERVER = """
SELECT current_database() AS database, current_user AS "user", r.rolsuper AS superuser, r.rolbypassrls AS bypassrls,
       r.rolcreaterole AS createrole, pg_is_in_recovery() AS in_recovery, pg_backend_pid() AS backend_pid,
       has_database_privilege(d.oid, 'CREATE') AS may_create,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_activity,
       has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS reads_passwords,
       pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS "collate", d.datctype AS ctype, d.oid::text AS oid,
       {provider} AS provider, {recorded} AS recorded, {actual} AS actual,
       pg_postmaster_start_time()::text AS started,
       CASE WHEN has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
            THEN (SELECT system_identifier::text FROM pg_control_system()) ELSE '' END AS system_identifier,
       CASE WHEN to_regproc('pg_catalog.aurora_version') IS NOT NULL OR to_regproc('aurora_version') IS NOT NULL
                 THEN 'aurora'
            WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_superuser') THEN 'rds'
            ELSE '' END AS service
FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user
"""

# Every backend that takes one of max_worker_processes; parallel workers come and go.
_WORKERS = """
SELECT count(*) FILTER (WHERE backend_type LIKE 'logical replication%%'
                          AND backend_type <> 'logical replication launcher') AS logical,
       count(*) FILTER (WHERE backend_type <> ALL (%s)) AS background
FROM pg_stat_activity
"""
_NO_WORKERS = (
    "client backend;autovacuum launcher;autovacuum worker;checkpointer;background "
    "writer;walwriter;walsender;walreceiver;"
    "startup;archiver;walsummarizer;slotsync worker;io worker;standalone backend;logger;parallel worker"
).split(";")


def read_server(conn: Any, side: str, label: str = "") -> Server:
    """One side as it is now; of a server too old to be read only the version."""
    version = server_version(conn)
    text = conn.execute("SHOW server_version").fetchone()["server_version"]
    if version < OLDEST_READABLE:
        return Server(side=side, version=version, version_text=text)
    row = conn.execute(
        _SERVER.format(
            provider="d.datlocprovider::text" if version >= 150000 else "'c'",
            recorded="d.datcollversion" if version >= 150000 else "NULL",
            actual="pg_database_collation_actual_version(d.oid)" if version >= 150000 else "NULL",
        )
    ).fetchone()
    workers = conn.execute(_WORKERS, [_NO_WORKERS]).fetchone()
    clock, error = read_clock(conn)
    return Server(
        side=side,
        version=version,
        version_text=text,
        database=row["database"],
        user=row["user"],
        identity=(row["system_identifier"], row["started"], row["oid"]),
        service=row["service"],
        # A pooler makes up the process id that libpq is told at the start; the server's own answer differs then.
        pooled=row["backend_pid"] != conn.info.backend_pid,
        in_recovery=row["in_recovery"],
        superuser=row["superuser"],
        bypassrls=row["bypassrls"],
        createrole=row["createrole"],
        may_create=row["may_create"],
        sees_activity=row["sees_activity"],
        reads_passwords=row["reads_passwords"],
        encoding=row["encoding"],
        locale=(row["provider"], row["collate"] or "", row["ctype"] or ""),
        collation_version=row["recorded"],
        collation_actual=row["actual"],
        collations=_collations(conn),
        settings=_settings(conn),
        slots=_slots(conn),
        wal_senders=conn.execute("SELECT count(*) AS n FROM pg_stat_replication").fetchone()["n"],
        logical_workers=workers["logical"],
        background_workers=workers["background"],
        origins=conn.execute("SELECT count(*) AS n FROM pg_replication_origin").fetchone()["n"],
        extensions=_extensions(conn),
        access_methods=frozenset(r["amname"] for r in conn.execute("SELECT amname FROM pg_am WHERE amtype = 't'")),
        publications={
            r["n"]: r["a"] for r in conn.execute("SELECT pubname AS n, puballtables AS a FROM pg_publication")
        },
        subscriptions=_subscriptions(conn),
        clock=clock,
        clock_error=error,
        label=label,
        **_spock(conn),
    )


def _spock(conn: Any) -> dict[str, Any]:
    """How Spock stands in this database."""
    if conn.execute("SELECT FROM pg_extension WHERE extname = 'spock'").fetchone() is None:  # {} is a row
        return {}
    ids = tuple((row["node"], int(row["id"]), row["origin"]) for row in conn.execute(SAME_IDS))
    return {"spock_node": spock_node(conn), "same_ids": ids}


def read_clock(conn: Any, tries: int = 3) -> tuple[float, float]:
    """How far the server's clock is ahead of ours, and the uncertainty: half the fastest round trip."""
    best: tuple[float, float] | None = None
    for _try in range(tries):
        before = time.time()
        there = conn.execute("SELECT extract(epoch FROM clock_timestamp())::float8 AS now").fetchone()["now"]
        error = (time.time() - before) / 2
        if best is None or error < best[1]:
            best = (there - before - error, error)
    if best is None:
        raise AssertionError("the clocks were asked at least once")
    return best


def _settings(conn: Any) -> dict[str, str]:
    rows = conn.execute("SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [list(_SETTINGS)])
    return {row["name"]: row["setting"] for row in rows}


def _slots(conn: Any) -> tuple[Slot, ...]:
    rows = conn.execute("SELECT slot_name AS name, active, wal_status FROM pg_replication_slots ORDER BY slot_name")
    return tuple(Slot(**row) for row in rows)


def _subscriptions(conn: Any) -> tuple[str, ...]:
    rows = conn.execute(
        """SELECT subname FROM pg_subscription JOIN pg_database d ON d.oid = subdbid
           WHERE d.datname = current_database() ORDER BY subname"""
    )
    return tuple(row["subname"] for row in rows)


def _extensions(conn: Any) -> dict[str, Extension]:
    rows = conn.execute(
        """SELECT coalesce(e.extname, a.name) AS name, e.extversion AS installed, coalesce(a.versions, '{}') AS versions
           FROM pg_extension e
           FULL JOIN (SELECT name, array_agg(version) AS versions FROM pg_available_extension_versions GROUP BY name) a
                  ON a.name = e.extname"""
    )
    return {row["name"]: Extension(row["installed"], tuple(row["versions"])) for row in rows}


def _collations(conn: Any) -> dict[str, Collation]:
    rows = conn.execute(
        """SELECT collname AS name, max(collprovider::text) AS provider,
                  max(pg_collation_actual_version(oid)) AS version
           FROM pg_collation
           WHERE collnamespace = 'pg_catalog'::regnamespace AND collname NOT IN ('default', 'C', 'POSIX')
             AND collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))
           GROUP BY collname"""
    )
    return {row["name"]: Collation(row["provider"], row["version"]) for row in rows}
