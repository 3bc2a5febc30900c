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
from functools import partial
from typing import Any, Callable, Iterable, Mapping

from ._errors import CrossoverError
from ._migration_deadline import NoAnswer, together
from ._migration_route import Address
from ._pg_connect import Login, connect, driver, sql_error
from ._pg_sql import quote_ident

_PAIR = re.compile(r"(\w+)\s*=\s*('(?:[^']|'')*'|\S+)")
_BARE = re.compile(r"[^\s']+")
CONNECT_TIMEOUT, ANSWER = 3, 2.0  # seconds: the application may be waiting


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
        patience = {"connect_timeout": CONNECT_TIMEOUT, **(options.get("connect_params") or {})}
        self.login = Login.of({**options, "login_db": "pgbouncer", "connect_params": patience}, "pooler").at(session={})
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

    def forget(self) -> None:
        """The console may be busy for ever: the next command opens another one."""
        self._conn = None

    def pause(self) -> None:
        """PAUSE; it returns when no transaction is running."""
        if not int(self.entry()["paused"]):
            self.command(f"PAUSE {quote_ident(self.database)}")

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
        self.settled: set[Pooler] = set()

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
        """All at once; if one refuses or is late, all are resumed."""
        _done, failed = self._all(Pooler.pause, self.poolers, timeout)
        if not failed:
            return
        _done, silent = self._all(Pooler.resume, self.poolers, ANSWER)
        pooler, problem = next(iter(failed.items()))
        if isinstance(problem, NoAnswer) and pooler not in silent:
            problem = CrossoverError(
                f"PAUSE took longer than {timeout:g} s: a client keeps a transaction open",
                code="hold_timeout",
                server=str(pooler),
                hint="look for long transactions in SHOW SERVERS, or raise crossover_hold_timeout",
            )
        raise problem

    def point(self, side: str) -> bool:
        """Every pooler to this side; one that fails does not keep the others where they are."""
        return any(self._each(lambda pooler: pooler.point(self.addresses[side]), self.poolers).values())

    def release(self) -> None:
        """Resume every pooler; one that fails does not keep the others held."""
        self._each(Pooler.resume, self.poolers)

    def settle(self, side: str) -> bool:
        """Point and resume those that have not been yet: another switch may be at work with the others by now."""

        def one(pooler: Pooler) -> bool:
            try:
                changed = pooler.point(self.addresses[side])
            finally:  # where it cannot be pointed, its clients meet the fence
                pooler.resume()
            self.settled.add(pooler)
            return changed

        return any(self._each(one, [pooler for pooler in self.poolers if pooler not in self.settled]).values())

    def leave(self, check: bool) -> bool:
        """Nothing was set on the sides; the poolers stay where they point."""
        return False

    def _each(self, act: Callable[[Pooler], Any], poolers: Iterable[Pooler]) -> dict[Pooler, Any]:
        """Do it with all of them, then raise the first failure."""
        done, failed = self._all(act, poolers, ANSWER)
        for exc in failed.values():
            raise exc
        return done

    @staticmethod
    def _all(
        act: Callable[[Pooler], Any], poolers: Iterable[Pooler], seconds: float
    ) -> tuple[dict[Pooler, Any], dict[Pooler, Exception]]:
        """Do it with all of them at once: a host that does not answer holds up nobody but its own clients."""
        done, failed = together({pooler: partial(act, pooler) for pooler in poolers}, seconds)
        for pooler, exc in failed.items():
            pooler.forget()
            if isinstance(exc, NoAnswer):
                exc.server = str(pooler)
        return done, failed

    def where(self) -> list[dict[str, Any]]:
        """Each pooler with its side, and whether it is held."""
        return [
            {"name": str(p), "side": p.side(self.addresses), "held": bool(int(p.entry()["paused"]))}
            for p in self.poolers
        ]
