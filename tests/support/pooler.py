# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PgBouncer in transaction pooling, in front of one database."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg

from .cluster import free_port
from .unprivileged import account, as_user, workspace

ADMIN, PASSWORD = "crossover_admin", "pooler-secret-7431"


def binary() -> str | None:
    """PgBouncer on this machine, or None."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Pooler:
    """Start with ``with Pooler(login, user, password) as pooler``; clients use ``pooler.dsn``."""

    def __init__(self, login: dict[str, Any], user: str, password: str, mode: str = "transaction") -> None:
        self.login, self.user, self.password, self.mode = login, user, password, mode
        self.port = free_port()
        self.base = workspace("cx-pooler-")
        self.file = self.base / "databases.ini"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Pooler:
        target = f"host={self.login['login_host']} port={self.login['login_port']} dbname={self.login['login_db']}"
        self._write(
            "databases.ini",
            f"[databases]\n{self.login['login_db']} = {target} user={self.user} password={self.password}\n",
        )
        self._write("users.txt", f'"{self.user}" "{self.password}"\n"{ADMIN}" "{PASSWORD}"\n')
        self._write(
            "pgbouncer.ini",
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nauth_type = scram-sha-256\n"
            f"auth_file = {self.base}/users.txt\nadmin_users = {ADMIN}\npool_mode = {self.mode}\n"
            f"unix_socket_dir =\nlogfile = {self.base}/log\nignore_startup_parameters = extra_float_digits\n"
            f"server_login_retry = 1\n%include {self.file}\n",
        )
        self.start()
        return self

    def start(self) -> None:
        """Start, with the files as they are, and wait until a client gets through."""
        program = binary()
        assert program
        self.process = subprocess.Popen(
            [program, "-q", str(self.base / "pgbouncer.ini")],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_user(),
        )
        until = time.monotonic() + 10
        while True:
            try:
                psycopg.connect(self.dsn, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    self.__exit__()
                    raise
                time.sleep(0.05)

    def kill(self) -> None:
        """As if its host had gone."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def signal(self, number: int) -> None:
        """SIGSTOP makes it hang, SIGCONT lets it go on."""
        assert self.process
        self.process.send_signal(number)

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.base, ignore_errors=True)

    def _write(self, name: str, text: str) -> None:
        path = Path(self.base / name)
        path.write_text(text)
        path.chmod(0o600)
        if user := account():
            os.chown(path, user.pw_uid, user.pw_gid)

    @property
    def dsn(self) -> str:
        """For clients."""
        return (
            f"host=127.0.0.1 port={self.port} dbname={self.login['login_db']} user={self.user} password={self.password}"
        )

    @property
    def route(self) -> dict[str, Any]:
        """The route for the module cutover."""
        pooler = {
            "login_host": "127.0.0.1",
            "login_port": self.port,
            "login_user": ADMIN,
            "login_password": PASSWORD,
            "ssl_mode": "disable",
            "database": self.login["login_db"],
            "databases_file": str(self.file),
        }
        return {"type": "pgbouncer", "poolers": [pooler]}

    def show(self) -> dict[str, Any]:
        """The database's line of SHOW DATABASES."""
        console = self.dsn.replace(f"dbname={self.login['login_db']}", "dbname=pgbouncer")
        console = console.replace(f"user={self.user} password={self.password}", f"user={ADMIN} password={PASSWORD}")
        with psycopg.connect(console, autocommit=True, row_factory=psycopg.rows.dict_row) as conn:
            return next(row for row in conn.execute("SHOW DATABASES") if row["name"] == self.login["login_db"])
