# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PgBouncer route (private to the collection).

A pooler's database line lives in a file that pgbouncer.ini includes. Pointing rewrites host, port and dbname of that
one line, by rename, and RELOADs; after a PAUSE no server connection is left: RESUME opens new ones, to the new host.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from typing import Any, Callable, Mapping

from ._errors import CrossoverError
from ._migration_route import Address
from ._pg_connect import Login, connect, driver, sql_error
from ._pg_sql import quote_ident

_PAIR = re.compile(r"(\w+)\s*=\s*('(?:[^']|'')*'|\S+)")
_BARE = re.compile(r"[^\s']+")


def point_line(text: str, database: str, to: Address) -> str:
    """The file's text with the database's line pointed elsewhere; everything else stays to the letter."""
    name = re.escape(database)
    line = re.compile(rf'^(\s*(?:{name}|"{name}")\s*=\s*)(.*)$', re.M)
    match = line.search(text)
    if not match:
        raise CrossoverError(f"no line for database {database}", code="bad_route")
    found = dict(_PAIR.findall(match.group(2)))
    kept = {k: v for k, v in found.items() if k not in ("host", "port", "dbname")}
    quoted = {"host": to.host, "port": str(to.port), "dbname": to.database}
    parts = [f"{k}={v if _BARE.fullmatch(v) else _quote(v)}" for k, v in quoted.items() if v]
    parts += [f"{k}={v}" for k, v in kept.items()]
    return text[: match.start(2)] + " ".join(parts) + text[match.end(2) :]


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


class Pooler:
    """One PgBouncer: its admin console and its file."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.login = Login.of({**options, "login_db": "pgbouncer"}, "pooler")
        self.database: str = options["database"]
        self.file: str = options["databases_file"]
        self._conn: Any = None

    def __str__(self) -> str:
        return f"pooler {self.login.host or self.login.port}:{self.login.port}"

    def console(self) -> Any:
        """The admin console; it speaks the simple protocol only and knows no SET."""
        if self._conn is None or self._conn.closed:
            self._conn = connect(self.login, search_path=None)
            self._conn.prepare_threshold = None  # the console knows no prepared statements
        return self._conn

    def command(self, text: str) -> list[dict[str, Any]]:
        """Run one console command."""
        try:
            cursor = self.console().execute(text)
            return list(cursor) if cursor.description else []
        except driver().Error as exc:
            raise sql_error(exc, str(self), f"{text.split()[0]} was refused", code="pooler_refused") from None

    def entry(self) -> dict[str, Any]:
        """The database as SHOW DATABASES has it."""
        for row in self.command("SHOW DATABASES"):
            if row["name"] == self.database:
                return row
        raise CrossoverError(
            f"the pooler has no database {self.database}",
            code="bad_route",
            server=str(self),
            untouched="nothing was changed",
            hint="check `database` in crossover_route.poolers",
        )

    def pause(self, timeout: float) -> None:
        """PAUSE waits for running transactions; past the deadline everything goes back."""
        if int(self.entry()["paused"]):
            return
        failure: list[BaseException] = []

        def run() -> None:
            try:
                self.command(f"PAUSE {quote_ident(self.database)}")
            except BaseException as exc:  # pylint: disable=broad-except
                failure.append(exc)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(timeout)
        if thread.is_alive():
            self._conn = None  # that console is busy until the PAUSE ends
            self.resume()
            thread.join(1.0)
            raise CrossoverError(
                f"PAUSE took longer than {timeout:g} s: a client keeps a transaction open",
                code="hold_timeout",
                server=str(self),
                hint="look for long transactions in SHOW SERVERS, or raise crossover_hold_timeout",
            )
        if failure:
            raise failure[0]

    def resume(self) -> None:
        """RESUME, if it is paused."""
        if int(self.entry()["paused"]):
            self.command(f"RESUME {quote_ident(self.database)}")

    def point(self, to: Address) -> bool:
        """Rewrite the file, RELOAD, and see that it took."""
        with open(self.file, encoding="utf-8") as handle:
            before = handle.read()
        after = point_line(before, self.database, to)
        if after != before:
            _replace(self.file, after)
        elif self._is(self.entry(), to):
            return False
        self.command("RELOAD")
        entry = self.entry()
        if not self._is(entry, to):
            raise CrossoverError(
                f"after RELOAD the pooler still points to {entry['host']}:{entry['port']}",
                code="pooler_refused",
                server=str(self),
                hint=f"check that pgbouncer.ini includes {self.file}",
            )
        return True

    @staticmethod
    def _is(entry: Mapping[str, Any], to: Address) -> bool:
        return (entry["host"] or "", int(entry["port"]), entry["database"]) == (to.host, to.port, to.database)

    def side(self, addresses: Mapping[str, Address]) -> str | None:
        """The side it points to."""
        entry = self.entry()
        return next((name for name, to in addresses.items() if self._is(entry, to)), None)


def _replace(path: str, text: str) -> None:
    """Write by rename, with the owner and mode that the file had."""
    old = os.stat(path)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".crossover-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            os.fchmod(out.fileno(), old.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(out.fileno(), old.st_uid, old.st_gid)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class PgBouncerRoute:
    """One or many poolers: all pause, or none."""

    def __init__(self, poolers: list[Mapping[str, Any]], addresses: Mapping[str, Address]) -> None:
        self.poolers = [Pooler(options) for options in poolers]
        self.addresses = addresses

    def prepare(self) -> None:
        """Consoles answer, files can be rewritten, no pool is in session mode (PAUSE would wait for its clients)."""
        if not self.poolers:
            raise CrossoverError(
                "the pgbouncer route names no pooler",
                code="bad_route",
                untouched="nothing was changed",
                hint="set crossover_route.poolers",
            )
        for pooler in self.poolers:
            entry = pooler.entry()
            mode = entry.get("pool_mode") or next(
                (row["value"] for row in pooler.command("SHOW CONFIG") if row["key"] == "pool_mode"), "session"
            )
            if mode == "session":
                raise CrossoverError(
                    f"database {pooler.database} is pooled by session: PAUSE would wait until its clients disconnect",
                    code="session_pooling",
                    server=str(pooler),
                    untouched="nothing was changed",
                    hint="set pool_mode = transaction",
                )
            try:
                with open(pooler.file, encoding="utf-8") as handle:
                    point_line(handle.read(), pooler.database, next(iter(self.addresses.values())))
                writable = os.access(os.path.dirname(pooler.file) or ".", os.W_OK)
                problem = None if writable else "its directory cannot be written"
            except (OSError, CrossoverError) as exc:
                problem = exc.message if isinstance(exc, CrossoverError) else str(exc.strerror)
            if problem:
                raise CrossoverError(
                    f"{pooler.file} cannot be switched: {problem}",
                    code="bad_route",
                    server=str(pooler),
                    untouched="nothing was changed",
                    hint="the runner rewrites this file: check databases_file in crossover_route.poolers",
                )

    def hold(self, timeout: float) -> None:
        """All at once; if one refuses, all are resumed."""
        failures: list[BaseException] = []

        def run(pooler: Pooler) -> None:
            try:
                pooler.pause(timeout)
            except BaseException as exc:  # pylint: disable=broad-except
                failures.append(exc)

        threads = [threading.Thread(target=run, args=[pooler], daemon=True) for pooler in self.poolers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            self.release()
            raise failures[0]

    def point(self, side: str) -> bool:
        """Every pooler to this side; one that fails does not keep the others where they are."""
        return any(self._each(lambda pooler: pooler.point(self.addresses[side])))

    def release(self) -> None:
        """Resume every pooler; one that fails does not keep the others held."""
        self._each(lambda pooler: pooler.resume())

    def leave(self, check: bool) -> bool:
        """Nothing was set on the sides; the poolers stay where they point."""
        return False

    def _each(self, act: Callable[[Pooler], Any]) -> list[Any]:
        """Do it with all of them, then raise the first failure."""
        done: list[Any] = []
        failures: list[Exception] = []
        for pooler in self.poolers:
            try:
                done.append(act(pooler))
            except (CrossoverError, OSError) as exc:
                failures.append(exc)
        if failures:
            raise failures[0]
        return done

    def where(self) -> list[dict[str, Any]]:
        """Each pooler with its side, and whether it is held."""
        return [
            {"name": str(p), "side": p.side(self.addresses), "held": bool(int(p.entry()["paused"]))}
            for p in self.poolers
        ]
