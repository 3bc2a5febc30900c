# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's shop on a test cluster, and the lab's workload."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from .cluster import Cluster
from .collection import ROOT
from .database import Database

FILES = ROOT / "roles" / "lab" / "files"
sys.path.insert(0, str(FILES))

from workload.journal import Run  # noqa: E402

ROLES = ("shop_app", "shop_report", "shop_support", "shop_readers", "shop_owner", "legacy_owner")
OWNERS = ("shop_owner", "legacy_owner")


class Shop(Database):
    """The shop database. Its roles belong to the server, so a cluster has one shop at a time."""

    def __init__(self, cluster: Cluster, scale: float = 0.01) -> None:
        super().__init__(cluster, f"shop_{secrets.token_hex(3)}")
        self.scale = scale
        self.owner = "shop_owner"
        self.app_password = "App-" + secrets.token_hex(12)

    def create(self) -> Shop:
        """Load everything as the lab does."""
        self._admin("CREATE DATABASE {name} TEMPLATE template0")
        scripts = [part for path in sorted((FILES / "shop").glob("*.sql")) for part in ("-f", str(path))]
        login = self.superuser
        subprocess.run(
            [str(self.cluster.bindir / "psql"), "-XqvON_ERROR_STOP=1", "-v", f"scale={self.scale}", *scripts],
            check=True,
            env={
                **os.environ,
                "PGHOST": login["login_host"],
                "PGPORT": str(login["login_port"]),
                "PGUSER": login["login_user"],
                "PGPASSWORD": login["login_password"],
                "PGDATABASE": self.name,
            },
        )
        self.cluster.sql(f"ALTER ROLE shop_app PASSWORD '{self.app_password}'")
        if not self.cluster.node:
            options = "WITH INHERIT TRUE, SET TRUE" if self.cluster.version >= 16 else ""
            self.cluster.sql(f"GRANT {', '.join(OWNERS)} TO crossover {options}")
            self._admin("GRANT CREATE ON DATABASE {name} TO crossover")
        return self

    def drop(self) -> None:
        """Drop the database and its roles."""
        super().drop()
        with self.cluster.connect() as conn:
            for role in ROLES:
                conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))

    @property
    def application(self) -> dict[str, Any]:
        """login_* options of the application."""
        return {**self.login, "login_user": "shop_app", "login_password": self.app_password}

    def app_dsn(self, port: int | None = None) -> str:
        """The application's connection string; ``port`` is that of a pooler."""
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1",
            port=port or self.cluster.port,
            dbname=self.name,
            user="shop_app",
            password=self.app_password,
        )


class Workload:
    """The workload in a directory of its own; stops at the end of a ``with``."""

    def __init__(self, out: Path, dsn: str, rate: float = 200, clients: int = 4) -> None:
        self.out, self.dsn, self.rate, self.clients = out, dsn, rate, clients

    def __enter__(self) -> Workload:
        self.run("start", "--dsn", self.dsn, "--rate", str(self.rate), "--clients", str(self.clients))
        return self

    def __exit__(self, *_: object) -> None:
        self.run("stop")

    def run(self, command: str, *args: str) -> str:
        """One command of the workload's own command line."""
        done = subprocess.run(
            [sys.executable, str(FILES / "workload"), command, "--out", str(self.out), *args],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def mark(self, name: str) -> None:
        """Remember this moment."""
        Run(self.out).mark(name)

    def report(self, new: str, *args: str) -> dict[str, Any]:
        """The report, judged by the database ``new``."""
        found: dict[str, Any] = json.loads(self.run("report", "--dsn-new", new, *args))
        return found
