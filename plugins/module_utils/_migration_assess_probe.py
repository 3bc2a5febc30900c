# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries what the migration will do, and takes it back (private to the collection).

Privileges on managed services do not follow the catalogue (rds_replication sets no rolreplication, rds_superuser may
create subscriptions): only trying tells. Everything that is tried is rolled back.
"""

from __future__ import annotations

from typing import Any, Mapping

from ._errors import CrossoverError
from ._migration_assess_facts import Probes, Wanted
from ._pg_connect import Login, connect, driver
from ._pg_sql import HIDDEN, quote_literal

_PROBE = "crossover_probe"
# Nobody is asked at this address: it only has to look like what a login without superuser must give.
_NOWHERE = "host=127.0.0.1 port=1 dbname=nowhere user=nobody password=none"
_TIMEOUT = 15  # seconds
# A statement with a password must not reach the server's log, nor pg_stat_statements; only superusers can see to that.
_SILENCE = {
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_duration": "off",
    "log_transaction_sample_rate": "0",
    "pg_stat_statements.track": "none",
    "pgaudit.log": "none",
}


def probe(conns: Mapping[str, Any], source: Login, source_for_nodes: Login, wanted: Wanted, pooled: bool) -> Probes:
    """Try everything that is worth trying."""
    subscribe_node = try_subscription(conns["node"], _NOWHERE, connects=False)
    reach, tried = None, False
    if subscribe_node is None and not pooled:
        reach, tried = _reach(conns["node"], source_for_nodes)
    return Probes(
        replication=None if pooled else try_replication(source),
        subscribe_source=try_subscription(conns["source"], _NOWHERE, connects=False) if wanted.way_back else None,
        subscribe_node=subscribe_node,
        node_to_source=reach,
        node_to_source_tried=tried,
        replica_role=try_replica_role(conns["source"]) if wanted.way_back and wanted.unlogged == "copy" else None,
    )


def try_replica_role(conn: Any) -> str | None:
    """What passes the fence's triggers; how it failed. Taken back at once."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute("SET LOCAL session_replication_role = replica")
    except driver().Error as exc:
        return " ".join(str(exc).split())
    return None


def try_replication(login: Login) -> str | None:
    """Open a replication connection and speak; how it failed."""
    replication = login.at(connect_params={**login.connect_params, "replication": "database"})
    try:
        with connect(replication, search_path=None, client_binding=True) as conn:
            conn.execute("IDENTIFY_SYSTEM")
    except CrossoverError as exc:
        return exc.message
    except driver().Error as exc:
        return " ".join(str(exc).split())
    return None


def try_subscription(conn: Any, conninfo: str, *, connects: bool, silence: bool = False) -> str | None:
    """CREATE SUBSCRIPTION in a transaction that is rolled back; how it failed. Makes no slot."""
    options = "slot_name = NONE, create_slot = false, copy_data = false, enabled = false"
    sql = (
        f"CREATE SUBSCRIPTION {_PROBE} CONNECTION {quote_literal(conninfo)} PUBLICATION {_PROBE} "
        f"WITH (connect = {str(connects).lower()}, {options})"
    )
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(
                """SELECT set_config('statement_timeout', %(t)s, true), set_config('lock_timeout', %(t)s, true),
                          set_config('client_min_messages', 'error', true)""",
                {"t": f"{_TIMEOUT}s"},
            )
            for name, value in _SILENCE.items() if silence else ():
                conn.execute("SELECT set_config(%s, %s, true)", [name, value])
            conn.execute(sql)
    except driver().Error as exc:
        diag = getattr(exc, "diag", None)
        return " ".join(((diag.message_primary if diag else None) or str(exc)).split())
    return None


def _reach(conn: Any, source: Login) -> tuple[str | None, bool]:
    """Let the node connect to the source as its subscription will; how that failed, and whether it was tried."""
    if not conn.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()["rolsuper"]:
        return None, False
    conninfo = f"{source.conninfo()} connect_timeout={_TIMEOUT - 5} application_name={_PROBE}"
    failure = try_subscription(conn, conninfo, connects=True, silence=True)
    if failure:
        failure = failure.rsplit("to the publisher: ", 1)[-1]  # the rest says what the finding says
        failure = failure.replace(source.password, HIDDEN) if source.password else failure
    return failure, True
