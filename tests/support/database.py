# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fresh database on a cluster, with its owner and the migration login."""

from __future__ import annotations

import secrets
import time
from typing import Any, Sequence

import psycopg
from psycopg import sql
from psycopg.sql import Composable

from .cluster import Cluster


class Database:
    """A database that belongs to role ``<name>_owner``; ``crossover`` has the documented grants on it (source)."""

    def __init__(self, cluster: Cluster, name: str | None = None) -> None:
        self.cluster = cluster
        self.name = name or f"t_{secrets.token_hex(4)}"
        self.owner = f"{self.name}_owner"

    def create(self) -> Database:
        """Create the owner and the database, and grant."""
        self._admin("CREATE ROLE {owner} NOLOGIN")
        self._admin("CREATE DATABASE {name} OWNER {owner} TEMPLATE template0")
        if not self.cluster.node:
            options = sql.SQL("WITH INHERIT TRUE, SET TRUE" if self.cluster.version >= 16 else "")
            self._admin("GRANT {owner} TO crossover {options}", options=options)
            self._admin("GRANT CREATE ON DATABASE {name} TO crossover")
        return self

    def recreate(self) -> Database:
        """Empty again, same name."""
        self.drop()
        return self.create()

    @property
    def login(self) -> dict[str, Any]:
        """login_* options of the migration login ``crossover``."""
        return self.cluster.login(self.name)

    @property
    def superuser(self) -> dict[str, Any]:
        """login_* options of the superuser."""
        return self.cluster.login(self.name, superuser=True)

    @property
    def dsn(self) -> str:
        """The migration login as a connection string."""
        return _conninfo(self.login)

    def connect(self, superuser: bool = False, **how: Any) -> psycopg.Connection[Any]:
        """An autocommit session with rows as dicts, as ``crossover`` or as the superuser."""
        return self.cluster.connect(self.name, superuser, **how)

    def sql(self, query: str, params: Sequence[Any] | None = None, superuser: bool = False) -> list[dict[str, Any]]:
        """Run a query (several without params) in a session of its own and return the last one's rows."""
        return self.cluster.sql(query, params, self.name, superuser)

    def as_owner(self, query: str) -> list[dict[str, Any]]:
        """Run queries as the owner of the database, so that the objects they create belong to it."""
        return self.sql(f"SET ROLE {self.owner}; {query}", superuser=True)

    def drop(self) -> None:
        """Drop the database with its subscriptions, slots and prepared transactions, and the owner."""
        if self.cluster.pid is None:
            return
        if self.cluster.sql("SELECT FROM pg_database WHERE datname = %s", [self.name]):
            self._drop_subscriptions()
            for row in self.sql(
                "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()", superuser=True
            ):
                with self.connect(superuser=True) as conn:
                    conn.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(row["gid"])))
            self._drop_slots()
            self._admin("DROP DATABASE {name} WITH (FORCE)")
        if self.cluster.sql("SELECT FROM pg_roles WHERE rolname = %s", [self.owner]):
            self._admin("DROP ROLE {owner}")

    def _drop_subscriptions(self) -> None:
        with self.connect(superuser=True) as conn:
            mine = "SELECT subname FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE d.datname = %s"
            for row in conn.execute(mine, [self.name]).fetchall():
                for verb in ("ALTER {} DISABLE", "ALTER {} SET (slot_name = NONE)", "DROP {}"):
                    name = sql.SQL("SUBSCRIPTION {}").format(sql.Identifier(row["subname"]))
                    conn.execute(sql.SQL(verb).format(name))

    def _drop_slots(self) -> None:
        """A slot in use is dropped once its walsender is gone, which takes a moment."""
        with self.cluster.connect() as conn:
            deadline = time.monotonic() + 15
            while slots := conn.execute(
                "SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = %s OR database IS NULL",
                [self.name],
            ).fetchall():
                for slot in slots:
                    if slot["active_pid"]:
                        conn.execute("SELECT pg_terminate_backend(%s)", [slot["active_pid"]])
                    try:
                        conn.execute("SELECT pg_drop_replication_slot(%s)", [slot["slot_name"]])
                    except (psycopg.errors.ObjectInUse, psycopg.errors.UndefinedObject):
                        if time.monotonic() > deadline:
                            raise
                        time.sleep(0.05)

    def _admin(self, template: str, **parts: Composable) -> None:
        names = {"name": sql.Identifier(self.name), "owner": sql.Identifier(self.owner)}
        with self.cluster.connect() as conn:
            conn.execute(sql.SQL(template).format(**names, **parts))  # type: ignore[arg-type]


def _conninfo(login: dict[str, Any]) -> str:
    return psycopg.conninfo.make_conninfo(
        host=login["login_host"], port=login["login_port"], user=login["login_user"],
        password=login["login_password"], dbname=login["login_db"],
    )  # fmt: skip
