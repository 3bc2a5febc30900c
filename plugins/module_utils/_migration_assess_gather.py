# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers the facts of an assessment from both sides, the route and the ledger (private to the collection)."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping

from ._errors import CrossoverError
from ._migration_assess_facts import Facts, Prepared, RouteFault, Session, Wanted
from ._migration_assess_probe import probe
from ._migration_assess_server import OLDEST_READABLE, read_server
from ._migration_assess_tables import check_scope, read_sequences, read_tables
from ._migration_control import read as read_control
from ._migration_fence_large import amount, unreadable
from ._migration_ledger import Ledger
from ._migration_route import Address, make_route
from ._migration_route_pgbouncer import PgBouncerRoute, Pooler
from ._pg_catalog import Scope
from ._pg_connect import Login

# What the databases of managed services run for themselves.
_SERVICE_ROLES = ("rdsadmin", "rdsrepladmin", "cloudsqladmin", "azuresu", "azure_superuser")
_SERVICE_DATABASES = ("postgres", "rdsadmin", "cloudsqladmin", "azure_maintenance", "azure_sys")

_SCHEMAS = """
SELECT nspname AS name FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname <> ALL (%(not_migrated)s)
  AND (%(schemas)s::text[] IS NULL OR nspname = ANY (%(schemas)s::text[]))
"""
_RELATIONS = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%(schemas)s) AND c.relkind::text = ANY (%(kinds)s) AND c.relpersistence <> 't'
  AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""
_FUNCTIONS = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '()' AS name
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = ANY (%(schemas)s)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1
"""
_INHERITED = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND NOT c.relispartition AND n.nspname = ANY (%(schemas)s) ORDER BY 1
"""
_FOREIGN_KEYS = """
SELECT k.conname AS name, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS "table",
       quote_ident(m.nspname) || '.' || quote_ident(f.relname) AS refers
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace m ON m.oid = f.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = ANY (%(schemas)s) ORDER BY 2, 1
"""
_COLLATIONS = """
SELECT DISTINCT l.collname AS name
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_collation l ON l.oid = a.attcollation
WHERE n.nspname = ANY (%(schemas)s) AND c.relkind IN ('r', 'p', 'm') AND a.attnum > 0 AND NOT a.attisdropped
  AND l.collnamespace = 'pg_catalog'::regnamespace AND l.collname NOT IN ('default', 'C', 'POSIX')
"""
_TOTALS = "(^|_)(balance|count|counter|total|quantity|qty|stock|amount|points|credits?|hits|views|likes)(_|$)"
# Numbers in rows that are updated, of no key, with a name that totals have.
_COUNTERS = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS "table", quote_ident(a.attname) AS "column"
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_stat_user_tables t ON t.relid = c.oid
WHERE n.nspname = ANY (%(schemas)s) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND t.n_tup_upd > 0
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype, 'money'::regtype,
                     'float4'::regtype, 'float8'::regtype)
  AND a.attgenerated = '' AND a.attname ~* %(totals)s
  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND a.attnum = ANY (i.indkey))
  AND NOT EXISTS (
      SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND a.attnum = ANY (k.conkey))
ORDER BY 1, 2
"""
_NOTIFYING = """
SELECT DISTINCT quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '()' AS name
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = ANY (%(schemas)s) AND p.prosrc ~* '(pg_notify|\\mnotify\\M)' ORDER BY 1
"""
_EVENT_TRIGGERS = """
SELECT t.evtname AS name FROM pg_event_trigger t WHERE NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = t.oid AND d.deptype = 'e')
  AND t.evtname !~ '^(spock|rds|dts)_' ORDER BY 1
"""
# A slot can only be made once every transaction with a transaction id has ended, in whatever database.
_TRANSACTIONS = """
SELECT pid, coalesce(usename, '') AS "user", coalesce(application_name, '') AS application,
       coalesce(client_addr::text, '') AS address, true AS has_xid,
       coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8 AS age
FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start
"""
_PREPARED = """
SELECT gid, owner, extract(epoch FROM clock_timestamp() - prepared)::float8 AS age
FROM pg_prepared_xacts ORDER BY prepared
"""
_CLIENTS = """
SELECT pid, usename AS "user", application_name AS application, coalesce(client_addr::text, '') AS address
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND application_name IS NOT NULL AND application_name NOT LIKE 'crossover%%' AND usename <> ALL (%(service)s)
ORDER BY pid
"""


@contextlib.contextmanager
def _snapshot(conn: Any) -> Iterator[None]:
    """Everything from one snapshot, and nothing written."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def gather(
    source: Login,
    node: Login,
    conns: Mapping[str, Any],
    scope: Scope,
    wanted: Wanted,
    route: Mapping[str, Any],
    source_for_nodes: Login,
    peers: Mapping[str, Any] | None = None,
) -> Facts:
    """Read both sides. Of a server that is too old only its version is known."""
    with _snapshot(conns["source"]), _snapshot(conns["node"]):
        sides = {side: read_server(conns[side], side) for side in ("source", "node")}
        facts: dict[str, Any] = dict(sides)
        facts["peers"] = tuple(read_server(conn, "node", name) for name, conn in (peers or {}).items())
        if all(server.version >= OLDEST_READABLE for server in sides.values()):
            facts.update(_source(conns["source"], scope, wanted))
            facts.update(_node(conns["node"], scope, wanted))
    if "tables" in facts and not any(server.in_recovery for server in sides.values()):
        facts["route_faults"], facts["pooled_pids"] = _route(route, source, node)
        facts["probes"] = probe(conns, source, source_for_nodes, wanted, sides["source"].pooled)
    return Facts(**facts)


def _names(conn: Any, query: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row["name"] for row in conn.execute(query, parameters))


def _source(conn: Any, scope: Scope, wanted: Wanted) -> dict[str, Any]:
    excluded = check_scope(conn, scope)
    schemas = {"schemas": list(_names(conn, _SCHEMAS, scope.parameters()))}
    one = conn.execute(
        """SELECT (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind = 'r') AS temporary_tables,
                  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  ) AS advisory_locks,
                  ARRAY(SELECT rolname::text FROM pg_roles WHERE rolcanlogin AND rolname !~ '^(pg_|rds)'
                           AND rolname NOT IN ('postgres', current_user) ORDER BY 1) AS login_roles,
                  ARRAY(SELECT datname::text FROM pg_database WHERE NOT datistemplate AND datallowconn
                           AND datname <> current_database() AND datname <> ALL (%s) ORDER BY 1) AS other_databases,
                  ARRAY(SELECT name FROM unnest(%s::text[]) AS s (name)
                        WHERE NOT has_schema_privilege(name, 'USAGE')) AS unusable_schemas""",
        [list(_SERVICE_DATABASES), schemas["schemas"]],
    ).fetchone()
    for name in ("login_roles", "other_databases", "unusable_schemas"):
        one[name] = tuple(one[name])
    count, size = amount(conn)
    return {
        **one,
        "large_objects": count,
        "large_object_bytes": size,
        "unreadable_large_objects": tuple(unreadable(conn)),
        "excluded": excluded,
        "tables": read_tables(conn, scope),
        "sequences": read_sequences(conn, scope),
        "foreign_tables": _names(conn, _RELATIONS, {**schemas, "kinds": ["f"]}),
        "materialised_views": _names(conn, _RELATIONS, {**schemas, "kinds": ["m"]}),
        "inherited": _names(conn, _INHERITED, schemas),
        "foreign_keys": tuple((r["name"], r["table"], r["refers"]) for r in conn.execute(_FOREIGN_KEYS, schemas)),
        "used_collations": frozenset(_names(conn, _COLLATIONS, schemas)),
        "counters": tuple((r["table"], r["column"]) for r in conn.execute(_COUNTERS, {**schemas, "totals": _TOTALS})),
        "notifying": _names(conn, _NOTIFYING, schemas),
        "event_triggers": _names(conn, _EVENT_TRIGGERS, {}),
        "transactions": tuple(Session(**row) for row in conn.execute(_TRANSACTIONS)),
        "prepared": tuple(Prepared(**row) for row in conn.execute(_PREPARED)),
        "clients": tuple(Session(**row) for row in conn.execute(_CLIENTS, {"service": list(_SERVICE_ROLES)})),
        "control_row": read_control(conn, wanted.name) is not None,
    }


def _node(conn: Any, scope: Scope, wanted: Wanted) -> dict[str, Any]:
    schemas = {"schemas": list(_names(conn, _SCHEMAS, scope.parameters()))}
    relations = _names(conn, _RELATIONS, {**schemas, "kinds": ["r", "p", "v", "m", "f", "S"]})
    ledger = Ledger(conn, wanted.name)
    phases = wanted.phases | frozenset(ledger.phases())
    return {
        "node_objects": relations + _names(conn, _FUNCTIONS, schemas),
        "phases": phases,
        "node_is_ours": ledger.exists and "prepare" in phases,
    }


def _route(options: Mapping[str, Any], source: Login, node: Login) -> tuple[tuple[RouteFault, ...], frozenset[int]]:
    """What of the route is not ready, and the source's backends that belong to its poolers."""
    kind = options.get("type") or "none"
    faults: list[RouteFault] = []
    pids: set[int] = set()
    if kind != "pgbouncer":
        # Of libpq's roles only the source's are there before prepare.
        faults += _faults(make_route({**options, "type": kind}, source, source), kind)
        return tuple(faults), frozenset()
    addresses = {name: Address.of(name, login, options) for name, login in (("source", source), ("node", node))}
    if not options.get("poolers"):
        return tuple(_faults(PgBouncerRoute([], addresses), kind)), frozenset()
    for pooler in options["poolers"]:
        name = str(Pooler(pooler))
        found = _faults(PgBouncerRoute([pooler], addresses), name)
        faults += found
        if not any(fault.code == "unreachable" for fault in found):
            with contextlib.suppress(CrossoverError):
                pids |= {int(row["remote_pid"]) for row in Pooler(pooler).command("SHOW SERVERS")}
    return tuple(faults), frozenset(pids)


def _faults(route: Any, name: str) -> list[RouteFault]:
    try:
        route.prepare()
    except CrossoverError as exc:
        return [RouteFault(exc.code, name, exc.message, exc.hint or "")]
    return []
