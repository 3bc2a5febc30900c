# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that applies nothing while its tables are rewritten (private to the collection).

A worker that meets a rewritten table, or a deadlock with the rewrite, has an exception, and Spock 5.0.11 can discard
the transaction it was applying, also with sub_disable: it logs it in spock.exception_log and goes on. What the others
write meanwhile waits in their slots.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._errors import CrossoverError
from ._pg_catalog import exists
from ._pg_connect import Login, driver
from ._pg_sql import Statement
from ._replication_apply import denied
from ._spock_mesh_plan import sub_disable, sub_enable

_ENABLED = "SELECT sub_name::text AS name FROM spock.subscription WHERE sub_enabled ORDER BY 1"
_WORKERS = """SELECT FROM pg_stat_activity
              WHERE datname = current_database() AND backend_type ~ '^spock (apply|sync) '"""


def stops(conn: Any) -> tuple[list[Statement], list[Statement]]:
    """What stops the node's subscriptions, and what has them go on; nothing where there are none."""
    names = [row["name"] for row in conn.execute(_ENABLED)] if exists(conn, "spock.subscription") else []
    return [sub_disable(name) for name in names], [sub_enable(name) for name in names]


@contextmanager
def standing_still(
    conn: Any, login: Login, disable: list[Statement], enable: list[Statement], seconds: float
) -> Iterator[None]:
    """Stop, and go on whatever happens."""
    try:
        try:
            for statement in disable:
                conn.execute(statement.sql.encode())
        except driver().Error as exc:
            raise denied(exc, login, "the node's subscriptions could not be stopped") from None
        until = time.monotonic() + seconds
        while disable and conn.execute(_WORKERS).rowcount:
            if time.monotonic() > until:
                raise CrossoverError(
                    f"the node's apply workers did not stop within {seconds:g} s",
                    code="timeout",
                    server=str(login),
                    untouched="no column was changed, and they go on",
                    hint="see whether one waits for a lock (pg_stat_activity), then run this again",
                )
            time.sleep(0.05)
        yield
    finally:
        for statement in enable:
            conn.execute(statement.sql.encode())
