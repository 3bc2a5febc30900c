# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules spock_* against databases that have the extension: what their tests share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.crossover.pgedge.plugins.module_utils._pg_sql import quote_literal

from .database import Database

ROLE = "replicator"
SECRET = "p w'Zq9\\x"  # a blank, a quote, a backslash
TRACE = "Zq9"  # what no result and no log may have, in whatever way it was quoted
TABLES = """
CREATE SCHEMA shop;
CREATE TABLE shop."Order" (id int PRIMARY KEY, region text NOT NULL, total int, note text);
CREATE TABLE shop.log (at timestamptz, note text);
CREATE TABLE shop.part (id int PRIMARY KEY, at int) PARTITION BY RANGE (id);
CREATE TABLE shop.part_1 PARTITION OF shop.part FOR VALUES FROM (0) TO (100);
CREATE SEQUENCE shop.seq;
"""


def dsn(database: Database, **more: Any) -> dict[str, Any]:
    """How a node is reached, as a role whose password needs quoting in every language."""
    found = {"host": "127.0.0.1", "port": database.cluster.port, "dbname": database.name, "user": ROLE}
    return {**found, "password": SECRET, **more}


def prepare(databases: Sequence[Database], tables: str = TABLES) -> None:
    """The role, and tables."""
    for database in databases:
        with database.connect(superuser=True) as conn:
            conn.execute("SET log_statement = 'none'")
            if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                conn.execute(f"CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD {quote_literal(SECRET)}".encode())
        database.sql(tables, superuser=True)


class Modules:
    """Runs them, and sees that no secret comes out."""

    def __init__(self, run_module: Callable[..., dict[str, Any]]) -> None:
        self._run = run_module

    def __call__(self, module: str, database: Database, again: bool = True, **args: Any) -> dict[str, Any]:
        """Planned, done and done again: the same statements, and no change the second time."""
        planned = self.raw(module, database, check=True, **args)
        done = self.raw(module, database, **args)
        for result in (planned, done):
            assert not result["failed"], result["msg"]
        assert planned["queries"] == done["queries"] and planned["changed"] == done["changed"]
        assert planned["diff"]["before"] == done["diff"]["before"]
        if done["changed"]:
            assert done["diff"]["before"] != done["diff"]["after"]
        if again:
            repeated = self.raw(module, database, **args)
            assert not repeated["failed"] and not repeated["changed"] and not repeated["queries"], repeated
            assert repeated["diff"]["before"] == repeated["diff"]["after"] == done["diff"]["after"]
        return done

    def fails(self, module: str, database: Database, *words: str, **args: Any) -> dict[str, Any]:
        """It says each of the words, in check mode too."""
        for check in (True, False):
            result = self.raw(module, database, check=check, **args)
            assert result["failed"], result
            assert all(word in result["msg"] for word in words), result["msg"]
            assert result["failure"]["code"] != "defect"
        return result

    def raw(self, module: str, database: Database, check: bool = False, **args: Any) -> dict[str, Any]:
        """Run it once."""
        found = self._run(module, {**database.login, **args}, check=check)
        assert TRACE not in str(found), found
        assert TRACE not in database.cluster.log()
        return found


def wait_for(what: Callable[[], Any], seconds: float = 20) -> None:
    """Until it is so."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)
