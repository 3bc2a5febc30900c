# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients: they write through the route, retry like an application should, and note every outcome."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
from psycopg import errors

from . import mix
from .journal import ABSENT, FAILED, FOUND, OK, UNKNOWN, Journal

# The pooler hands each transaction to any server connection, so nothing may be prepared on one.
CONNECT: dict[str, Any] = {
    "autocommit": True,
    "prepare_threshold": None,
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "application_name": "workload",
}
GRACE = 10.0  # seconds that a client goes on retrying after it was told to stop
_BROKEN = ("08", "57P")  # SQLSTATE classes after which nobody knows what became of a COMMIT


class Session:
    """A connection that is made when it is needed."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._conn: psycopg.Connection[Any] | None = None

    def cursor(self) -> psycopg.Cursor[Any]:
        """A cursor on a connection that works, as far as one can know."""
        if self._conn is None or self._conn.closed:
            self._conn = psycopg.connect(self.dsn, **CONNECT)
        return self._conn.cursor()

    def reset(self) -> None:
        """After an error: a new connection, as pools in applications do."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None


class Pace:
    """So many times a second; 0 means as fast as it goes. What was missed is made up for, as long as it is not much."""

    BACKLOG = 0.5  # seconds

    def __init__(self, rate: float, stop: threading.Event) -> None:
        self.interval = 1.0 / rate if rate else 0.0
        self.stop = stop
        self._next = time.monotonic()

    def wait(self) -> None:
        """Until the next one is due."""
        now = time.monotonic()
        self._next = max(self._next + self.interval, now - self.BACKLOG)
        if self._next > now:
            self.stop.wait(self._next - now)


class Writer(threading.Thread):
    """One client. Client 0 is the probe, which writes one row at a time."""

    def __init__(
        self, client: int, run: str, dsn: str, rate: float, world: mix.World, journal: Journal, stop: threading.Event
    ) -> None:
        super().__init__(name=f"client-{client}", daemon=True)
        self.client, self.run_id, self.world, self.journal, self.stop = client, run, world, journal, stop
        self.session = Session(dsn)
        self.pace = Pace(rate, stop)
        self.acknowledged = 0
        self._give_up = float("inf")

    def run(self) -> None:
        """Write until told to stop."""
        seq = 0
        while not self.stop.is_set():
            seq += 1
            self.write(seq)
            self.pace.wait()
        self.session.reset()
        self.journal.close()

    def write(self, seq: int) -> None:
        """One transaction, until it is known to be there."""
        key = mix.Key(self.run_id, self.client, seq)
        work = mix.choose() if self.client else None
        delay = 0.01
        while True:
            outcome = self.attempt(key, work)
            if outcome in (OK, FOUND):
                self.acknowledged = seq
                return
            if self._out_of_time():
                return
            if outcome != ABSENT:
                time.sleep(delay)
                delay = min(delay * 2, 0.25)

    def attempt(self, key: mix.Key, work: mix.Transaction | None) -> str:
        """One attempt; an unknown outcome is looked up before anything else is done."""
        begun = time.monotonic()
        error = port = None
        sent = False  # everything that makes the server commit
        try:
            cursor = self.session.cursor()
            if work is None:
                sent = True  # a single statement commits itself
                port = mix.log(cursor, key, "probe")
            else:
                cursor.execute("BEGIN")
                port = work(cursor, key, self.world)
                sent = True
                cursor.execute("COMMIT")
            outcome = OK
        except psycopg.Error as exc:
            outcome = UNKNOWN if sent and lost(exc) else FAILED
            error = describe(exc)
            self.session.reset()
        self._note(key, work, outcome, begun, error, port)
        return self.look_up(key, work) if outcome == UNKNOWN else outcome

    def look_up(self, key: mix.Key, work: mix.Transaction | None) -> str:
        """Is it there? Asked until there is an answer."""
        begun = time.monotonic()
        while not self._out_of_time():
            try:
                cursor = self.session.cursor()
                cursor.execute("BEGIN")
                outcome = FOUND if mix.exists(cursor, key) else ABSENT
                cursor.execute("COMMIT")
            except psycopg.Error:
                self.session.reset()
                time.sleep(0.1)
                continue
            self._note(key, work, outcome, begun)
            return outcome
        return UNKNOWN

    def _note(
        self,
        key: mix.Key,
        work: mix.Transaction | None,
        outcome: str,
        begun: float,
        error: str | None = None,
        port: int | None = None,
    ) -> None:
        now = time.monotonic()
        line = {"n": key.seq, "k": work.__name__ if work else "probe", "o": outcome, "t": now}
        line["ms"] = round((now - begun) * 1000, 3)
        if port:
            line["p"] = port
        if error:
            line["e"] = error
        self.journal.add(**line)

    def _out_of_time(self) -> bool:
        if not self.stop.is_set():
            return False
        self._give_up = min(self._give_up, time.monotonic() + GRACE)
        return time.monotonic() > self._give_up


class Reader(threading.Thread):
    """The read probe: reads the write probe's last row, and notices when an acknowledged one is not there."""

    def __init__(self, run: str, dsn: str, rate: float, probe: Writer, journal: Journal, stop: threading.Event) -> None:
        super().__init__(name="reader", daemon=True)
        self.run_id, self.probe, self.journal, self.stop = run, probe, journal, stop
        self.session = Session(dsn)
        self.pace = Pace(rate, stop)

    def run(self) -> None:
        """Read until told to stop."""
        while not self.stop.is_set():
            self.read()
            self.pace.wait()
        self.session.reset()
        self.journal.close()

    def read(self) -> None:
        """One read."""
        expected = self.probe.acknowledged
        begun = time.monotonic()
        line: dict[str, Any] = {}
        try:
            cursor = self.session.cursor()
            cursor.execute(
                "SELECT (SELECT seq FROM shop.request_log WHERE run = %s AND client = 0 ORDER BY seq DESC LIMIT 1), "
                "inet_server_port()",
                [self.run_id],
            )
            row = cursor.fetchone()
            assert row is not None
            line = {"o": OK, "p": row[1]}
            if (row[0] or 0) < expected:
                line["stale"] = [expected, row[0]]
        except psycopg.Error as exc:
            line = {"o": FAILED, "e": describe(exc)}
            self.session.reset()
        now = time.monotonic()
        self.journal.add(**line, t=now, ms=round((now - begun) * 1000, 3))


class Auditor(threading.Thread):
    """Adds up all balances once a second: the sum must hold at every moment."""

    def __init__(self, dsn: str, journal: Journal, stop: threading.Event) -> None:
        super().__init__(name="auditor", daemon=True)
        self.session, self.journal, self.stop = Session(dsn), journal, stop

    def run(self) -> None:
        """Sample until told to stop."""
        while not self.stop.wait(1.0):
            try:
                cursor = self.session.cursor()
                cursor.execute("SELECT sum(balance)::bigint FROM shop.accounts")
                row = cursor.fetchone()
                assert row is not None
                self.journal.add(sum=row[0])
            except psycopg.Error:
                self.session.reset()
        self.session.reset()
        self.journal.close()


def lost(exc: psycopg.Error) -> bool:
    """Whether the connection went away, so that the server's answer is not known."""
    if exc.sqlstate:
        return exc.sqlstate.startswith(_BROKEN)
    return isinstance(exc, (errors.OperationalError, errors.InterfaceError))


def describe(exc: psycopg.Error) -> str:
    """SQLSTATE and the first line."""
    text = (str(exc).strip() or type(exc).__name__).splitlines()[0]
    return f"{exc.sqlstate or 'lost'} {text}"[:200]
