# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves one part from the source to the node (private to the collection).

libpq hands a COPY over row by row, which costs a Python loop more than the servers take. So psql reads what is large
and writes it into a pipe, from which it goes on in large pieces; its own end says whether it was all. What is small is
read here: a process and a login for each of thousands of tables would cost more.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ._errors import CrossoverError
from ._migration_copy_ledger import mark
from ._migration_copy_plan import CopyTable, Part
from ._pg_connect import ALIVE, Login, connect, driver, sql_error
from ._pg_programs import Programs, first_error
from ._pg_sql import quote_ident, quote_literal
from ._replication_snapshot import BEGIN, Snapshot, adopt, be_patient, named

SMALL = 4 << 20  # bytes of a table that is read here
PIECE = 256 << 10
_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ, Python 3.10; Linux only
# Text has to mean the same on both sides whatever the servers' settings.
_TEXT = {"DateStyle": "ISO, YMD", "IntervalStyle": "postgres", "extra_float_digits": "3", "bytea_output": "hex"}
# Somebody who changes a table's definition waits for us, and we must not wait for ever for him.
_READ = {**_TEXT, "row_security": "off", "statement_timeout": "0", "lock_timeout": "60s"}
_WRITE = {
    **_TEXT,
    "row_security": "off",
    "session_replication_role": "replica",  # neither the fence nor anybody's triggers
    "synchronous_commit": "off",
    "lock_timeout": "0",
}
# Where Spock is: no DDL of ours travels.
_SPOCK = {"spock.enable_ddl_replication": "off", "spock.include_ddl_repset": "off"}


class Stopped(Exception):
    """Another part has failed: this one ends without a word."""


@dataclass
class Mover:
    """What all workers share. A worker is a :class:`Pair` of sessions that serves one part after the other."""

    source: Login
    node: Login
    snapshot: Snapshot
    migration_id: str
    programs: Programs
    encoding: str  # UTF8, or SQL_ASCII, from which nothing can be converted
    origins: bool  # Spock is there
    stop: threading.Event = field(default_factory=threading.Event)
    moved: Callable[[Part, int], None] = lambda _part, _bytes: None

    def writer(self) -> Any:
        """A session on the node for one worker."""
        settings = {**_WRITE, "client_encoding": self.encoding, **(_SPOCK if self.origins else {})}
        conn = connect(named(self.node, "copy", self.snapshot.slot), autocommit=False, settings=settings)
        be_patient(conn)
        return conn

    def reader(self) -> Any:
        """A session on the source, in the snapshot."""
        conn = connect(
            named(self.source, "copy", self.snapshot.slot),
            settings={**_READ, "client_encoding": self.encoding},
        )
        be_patient(conn)
        adopt(conn, self.snapshot)
        return conn


class Pair:
    """One worker's two sessions."""

    def __init__(self, mover: Mover, number: int) -> None:
        self.m, self.number = mover, number
        self._reader: Any = None
        self._writer: Any = None

    def close(self) -> None:
        """End both."""
        for conn in (self._reader, self._writer):
            if conn is not None:
                with suppress(Exception):
                    conn.close()
        self._reader = self._writer = None

    def copy(self, table: CopyTable, part: Part) -> int:
        """Bring one part over: rows and mark in one transaction. Returns the number of rows."""
        try:
            with self._blame(self.m.node, table):
                self._open()
                return self._copy(table, part)
        except BaseException:
            self.close()  # the transaction on the node is rolled back with its session
            raise

    def _open(self) -> None:
        if self._writer is None:
            self._writer = self.m.writer()
            if self.m.origins:
                self._writer.execute(
                    "SELECT pg_replication_origin_session_setup(%s)", [origin(self.m.snapshot, self.number)]
                )
            self._writer.commit()

    def _copy(self, table: CopyTable, part: Part) -> int:
        writer = self._writer
        if self.m.origins:
            # never forwarded by the mesh, and older than every change: it wins over nothing
            writer.execute("SELECT pg_replication_origin_xact_setup('0/0', 'epoch')")
        if part.whole:
            writer.execute(f"TRUNCATE ONLY {table.name}".encode())
        pieces = (self._read_small if part.bytes <= SMALL else self._read_large)(table, part)
        with writer.cursor() as cursor, closing(pieces):
            with cursor.copy(table.writing(part).encode()) as into:
                for piece in pieces:  # raises unless it was all
                    if self.m.stop.is_set():
                        raise Stopped
                    into.write(piece)
                    self.m.moved(part, len(piece))
            rows = int(cursor.rowcount)
        if not mark(writer, self.m.migration_id, part, rows):
            raise CrossoverError(
                f"part {part.number} of {table.name} was copied by somebody else meanwhile",
                code="busy",
                object=table.name,
                untouched="this part was rolled back",
                hint="see which other copy runs, then run again",
            )
        writer.commit()
        return rows

    def _read_small(self, table: CopyTable, part: Part) -> Generator[bytes, None, None]:
        with self._blame(self.m.source, table):
            if self._reader is None:
                self._reader = self.m.reader()
            self._reader.execute("SAVEPOINT part")
            for statement in _guard(table):
                self._reader.execute(statement.encode(), prepare=False)
            with self._reader.cursor() as cursor, cursor.copy(table.reading(part).encode()) as out:
                yield from _joined(out)
            self._reader.execute("ROLLBACK TO SAVEPOINT part")  # lets go of the table's lock

    def _read_large(self, table: CopyTable, part: Part) -> Generator[bytes, None, None]:
        m = self.m
        login = named(m.source, "copy", m.snapshot.slot)
        login = login.at(connect_params={**ALIVE, **login.connect_params, "client_encoding": m.encoding})
        settings = "; ".join(f"SET {name} = {quote_literal(value)}" for name, value in _READ.items())
        role = [f"SET ROLE {quote_ident(m.source.session_role)}"] if m.source.session_role else []
        taken = f"SET TRANSACTION SNAPSHOT {quote_literal(m.snapshot.snapshot)}"
        commands = [settings, *role, BEGIN, taken, *_guard(table), table.reading(part), "COMMIT"]
        arguments = ["-X", "-q", "-v", "ON_ERROR_STOP=1", *(a for c in commands for a in ("-c", c))]
        process = m.programs.start("psql", arguments, login)
        out, err = process.stdout, process.stderr
        if out is None or err is None:
            raise CrossoverError("psql was started without pipes", code="defect")
        pipe = out.fileno()
        with suppress(OSError):
            fcntl.fcntl(pipe, _F_SETPIPE_SZ, 1 << 20)
        try:
            while True:
                if not select.select([pipe], [], [], 1.0)[0]:
                    if m.stop.is_set():
                        raise Stopped
                elif piece := os.read(pipe, PIECE):
                    yield piece
                else:
                    break
            if process.wait():
                text = first_error("psql", err.read().decode("utf-8", "replace"))
                if _REWRITTEN in text:
                    raise _rewritten(m.source, table)
                message = f"the table {table.name} could not be read: {text}"
                raise CrossoverError(message, code="copy_failed", server=str(m.source), object=table.name)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            out.close()
            err.close()

    @contextmanager
    def _blame(self, server: Login, table: CopyTable) -> Iterator[None]:
        try:
            yield
        except driver().Error as exc:
            if _REWRITTEN in str(exc):
                raise _rewritten(server, table) from None
            hint = "free some space there, then run again" if exc.sqlstate == "53100" else None
            raise sql_error(
                exc, server, f"the table {table.name} could not be copied", code="copy_failed", object=table.name,
                hint=hint,
            ) from None  # fmt: skip


_REWRITTEN = "crossover: rewritten"


def _guard(table: CopyTable) -> list[str]:
    """A snapshot sees an empty table where ALTER TABLE rewrote one, and ranges of ctid mean nothing after VACUUM FULL.
    The lock lets nobody do that while the part is read; the table's file tells whether somebody has."""
    file = f"pg_catalog.pg_relation_filenode({table.table.oid}::oid)"
    test = f"IF {file} IS DISTINCT FROM {table.filenode}::oid THEN RAISE EXCEPTION ''{_REWRITTEN}''; END IF;"
    return [f"LOCK TABLE ONLY {table.name} IN ACCESS SHARE MODE", f"DO 'BEGIN {test} END'"]


def _rewritten(server: Login, table: CopyTable) -> CrossoverError:
    return CrossoverError(
        f"the table {table.name} was rewritten or truncated since the copy began",
        code="table_rewritten",
        server=str(server),
        object=table.name,
        untouched="what the snapshot sees of it cannot be trusted, and nothing of it was taken",
        hint="run again: everything is copied anew from a new snapshot. Leave the table alone meanwhile (VACUUM FULL, "
        "CLUSTER, TRUNCATE, ALTER TABLE), or exclude it",
    )


def _joined(out: Any) -> Iterator[bytes]:
    """Rows, put together."""
    some: list[bytes] = []
    size = 0
    for row in out:
        some.append(bytes(row))
        size += len(row)
        if size >= PIECE:
            yield b"".join(some)
            some, size = [], 0
    if some:
        yield b"".join(some)


# -- origins: what a mesh needs ----------------------------------------------------------------------------------------


def origin(snapshot: Snapshot, number: int) -> str:
    """One for each worker: an origin serves one session at a time."""
    return f"{snapshot.slot}_seed_{number}"


def create_origins(conn: Any, snapshot: Snapshot, count: int) -> None:
    """Make those that are missing."""
    for name in (origin(snapshot, n) for n in range(count)):
        conn.execute(
            """SELECT pg_replication_origin_create(%(n)s) WHERE NOT EXISTS
               (SELECT FROM pg_replication_origin WHERE roname = %(n)s)""",
            {"n": name},
        )


def drop_origins(conn: Any, slot: str) -> None:
    """They are of no use once the seed is there, and count against the server's limits."""
    conn.execute(
        """SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin
           WHERE starts_with(roname, %s)""",
        [f"{slot}_seed_"],
    )
