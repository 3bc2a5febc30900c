# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a subscription from applying while indexes are built (private to the collection).

An apply worker that waits for a lock answers nobody: after wal_sender_timeout the source ends the connection, and that
error (seen on 16 and 18), like a deadlock with us, turns a subscription with disable_on_error off for good. Disabled by
us it only falls behind, and no row changes under the constraints that are validated; the slot keeps what it misses.
"""

from __future__ import annotations

import time
from typing import Any

from ._errors import CrossoverError
from ._migration_ledger import Ledger
from ._pg_connect import Login
from ._pg_sql import Statement, quote_ident

FACT_PAUSED = "schema.paused"

_STATE = """
SELECT s.subenabled AS enabled,
       EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.pid IS NOT NULL) AS working,
       (SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srsubstate <> 'r') AS copying
FROM pg_subscription s
WHERE s.subname = %s AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Pause:
    """``with Pause(…):`` disables the subscription and enables it again. One that was disabled before stays so."""

    WAIT = 60.0  # seconds for the workers to end

    def __init__(self, conn: Any, ledger: Ledger, name: str, login: Login) -> None:
        self.conn = conn
        self.ledger = ledger
        self.name = name
        self.login = login
        found = _state(conn, name) if name else None
        self.wanted = bool(found and found["enabled"])
        self.copying = found["copying"] if found else 0

    @property
    def disable(self) -> list[Statement]:
        """What is run first."""
        return [Statement.of(f"ALTER SUBSCRIPTION {quote_ident(self.name)} DISABLE")] if self.wanted else []

    @property
    def enable(self) -> list[Statement]:
        """What is run last."""
        return [_enable(self.name)] if self.wanted else []

    def __enter__(self) -> Pause:
        if self.wanted and self.copying:
            raise CrossoverError(
                f"subscription {self.name} is still copying {self.copying} table(s)",
                code="not_synced",
                server=str(self.login),
                object=self.name,
                untouched="nothing was changed",
                hint="wait until every table is in sync (crossover.pgedge.replication_wait), then run again",
            )
        if self.wanted:
            self.ledger.put(FACT_PAUSED, self.name)  # first: whoever is killed here leaves word
        for statement in self.disable:
            self.conn.execute(statement.sql)
        until = time.monotonic() + self.WAIT
        while self.wanted and (state := _state(self.conn, self.name)) and state["working"]:
            if time.monotonic() > until:
                self.__exit__()
                raise CrossoverError(
                    f"the workers of subscription {self.name} did not end within {self.WAIT:g} s",
                    code="timeout",
                    server=str(self.login),
                    object=self.name,
                    untouched="it is enabled again and nothing was created",
                    hint="see what its apply worker waits for (pg_stat_activity), then run again",
                )
            time.sleep(0.05)
        return self

    def __exit__(self, *_unused: object) -> None:
        for statement in self.enable:
            self.conn.execute(statement.sql)
        if self.wanted:
            self.ledger.forget(FACT_PAUSED)


def _state(conn: Any, name: str) -> dict[str, Any] | None:
    return conn.execute(_STATE, [name]).fetchone()


def _enable(name: str) -> Statement:
    return Statement.of(f"ALTER SUBSCRIPTION {quote_ident(name)} ENABLE")


def resume(conn: Any, ledger: Ledger, check: bool) -> list[Statement]:
    """Enable what a run that was killed had disabled: the ledger tells."""
    name = ledger.facts().get(FACT_PAUSED)
    if name is None:
        return []
    found = _state(conn, name)
    wanted = [_enable(name)] if found and not found["enabled"] else []
    if not check:
        for statement in wanted:
            conn.execute(statement.sql)
        ledger.forget(FACT_PAUSED)
    return wanted
