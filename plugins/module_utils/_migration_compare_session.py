# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two sessions, one on each side, that read at the same time (private to the collection)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Iterator

from ._migration_compare_scope import NODE, SOURCE
from ._pg_connect import Login, connect, driver

# A value's text must not depend on the server, and a row that this login may not see must be an error.
SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "quote_all_identifiers": "off",
    "row_security": "off",
    # the load: one process a session, no compilation, no waiting behind DDL, and no query outlives this process
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "lock_timeout": "10s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "client_connection_check_interval": "5s",
}
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def open_session(login: Login) -> Any:
    """A session in which the same values have the same texts on every server."""
    conn = connect(login, settings=SETTINGS)
    if conn.info.server_version >= 170000:
        conn.execute("SET transaction_timeout = 0")
    return conn


class SidePair:
    """One session on the source and one on the node."""

    def __init__(self, source: Login, node: Login) -> None:
        self.logins = {SOURCE: source, NODE: node}
        self.conns = {side: open_session(login) for side, login in self.logins.items()}
        self._node_thread = ThreadPoolExecutor(1, thread_name_prefix="compare-node")

    def both(self, source_sql: str, node_sql: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Run one query on each side at the same time."""
        node = self._node_thread.submit(self.one, NODE, node_sql)
        try:
            left = self.one(SOURCE, source_sql)
        except BaseException:
            node.exception()  # the other side's session must be at rest before it is used again
            raise
        return left, node.result()

    def one(self, side: str, query: str) -> list[dict[str, Any]]:
        """Run one query on one side; a psycopg error carries the side it came from."""
        try:
            cursor = self.conns[side].execute(query.encode(), prepare=False)
            return list(cursor) if cursor.description else []
        except Exception as exc:
            exc.crossover_side = side  # type: ignore[attr-defined]
            raise

    @contextmanager
    def snapshot(self, *settings: str) -> Iterator[SidePair]:
        """A read-only transaction on both sides; each sees one snapshot, taken by its first query."""
        begin = "; ".join([_BEGIN, *settings])
        self.both(begin, begin)
        try:
            yield self
        finally:
            for conn in self.conns.values():
                try:
                    conn.execute("ROLLBACK")
                except driver().Error:
                    conn.close()  # it is of no use any more; the first error says why

    @property
    def alive(self) -> bool:
        """Whether both sessions can still be used."""
        return not any(conn.closed for conn in self.conns.values())

    def close(self) -> None:
        """End both sessions."""
        self._node_thread.shutdown(wait=False)
        for conn in self.conns.values():
            conn.close()
