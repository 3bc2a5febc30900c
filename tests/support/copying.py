# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source and a node for the copy, as the roles leave them; and what makes a copy stand still."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .database import Database

Result = dict[str, Any]


class Pair:
    """A source with a publication, a node with a ledger and the empty tables."""

    def __init__(self, source: Database, target: Database, run_module: Callable[..., Result]) -> None:
        self.source, self.target, self._run = source, target, run_module
        self.name = f"copy_{source.name}"

    def args(self, **more: Any) -> dict[str, Any]:
        return {
            **self.target.login, "source": self.source.login, "slot": self.name, "subscription": self.name, **more,
        }  # fmt: skip

    def ok(self, module: str, check: bool = False, **args: Any) -> Result:
        result = self._run(module, args, check=check)
        assert not result["failed"], result["msg"]
        return result

    def prepare(self) -> None:
        from ansible_collections.crossover.pgedge.plugins.module_utils._migration_ledger import Ledger

        with self.target.connect() as conn:
            Ledger(conn, self.source.name).create()
        self.ok("schema_sync", **self.target.login, source=self.source.login, parts=["roles", "pre_data"])
        # as the documented grants have it: the login is a member of the tables' owner, who owns the publication
        tables = ", ".join(
            row["name"]
            for row in self.source.sql(
                """SELECT format('%I.%I', n.nspname, c.relname) AS name
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
                     AND n.nspname !~ '^(pg_|information_schema|crossover)'"""
            )
        )
        self.source.sql(f'CREATE PUBLICATION "{self.name}" FOR TABLE {tables}', superuser=True)

    def copy(self, check: bool = False, **more: Any) -> Result:
        return self._run("table_copy", self.args(**more), check=check)

    def subscribe(self) -> None:
        self.ok(
            "subscription",
            **self.target.login,
            name=self.name,
            publications=[self.name],
            connparams={
                "host": "127.0.0.1", "port": self.source.cluster.port, "dbname": self.source.name,
                "user": "crossover", "password": self.source.login["login_password"],
            },
            subsparams={"slot_name": self.name, "create_slot": False, "copy_data": False},
        )  # fmt: skip

    def caught_up(self) -> None:
        lsn = self.source.sql("SELECT pg_current_wal_insert_lsn()::text AS lsn")[0]["lsn"]
        until = time.monotonic() + 30
        while not self.source.sql(
            "SELECT FROM pg_replication_slots WHERE slot_name = %s AND confirmed_flush_lsn >= %s::pg_lsn",
            [self.name, lsn],
        ):
            assert time.monotonic() < until, self.target.cluster.log()[-3000:]
            time.sleep(0.1)

    def sums(self, side: Database) -> dict[str, Any]:
        """Every table's count and sum, without what inherits from it."""
        names = side.sql(
            """SELECT format('%I.%I', n.nspname, c.relname) AS name
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind = 'r' AND c.relpersistence = 'p'
                 AND n.nspname !~ '^(pg_|information_schema|crossover)' ORDER BY 1""",
            superuser=True,
        )
        return {
            row["name"]: side.sql(
                f"SELECT count(*) AS n, sum(hashtextextended(t::text, 0)) AS h FROM ONLY {row['name']} t",
                superuser=True,
            )[0]
            for row in names
        }

    def equal(self) -> None:
        there, here = self.sums(self.source), self.sums(self.target)
        assert here == there

    def holders(self) -> int:
        return len(
            self.source.sql(
                "SELECT FROM pg_stat_activity WHERE application_name LIKE 'crossover snapshot%' "
                "AND datname = current_database()",
                superuser=True,
            )
        )


class Hold:
    """A lock on a table of the node that keeps its part from coming over: a copy that stands still at a known place."""

    def __init__(self, side: Database, table: str) -> None:
        self.conn = side.connect(superuser=True)
        self.conn.execute("BEGIN")
        self.conn.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE")

    def release(self) -> None:
        self.conn.close()
