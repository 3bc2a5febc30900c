# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A slot, and the snapshot of the very place where it begins, held by a process of its own (private to the collection).

Slot and snapshot must be one (pg_create_logical_replication_slot() exports none): CREATE_REPLICATION_SLOT on a
replication connection makes both. That snapshot ends with the connection's next command, so a second session takes it
over and exports it again: that one can be asked now and then, which keeps it alive and sees what the slot holds back.
The holder outlives whoever started it, so that a copy that was killed goes on. What it is called on the source is all
that anybody needs to find it there, ask it to end, or see that it is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import time
from dataclasses import asdict, dataclass
from typing import Any

from ._errors import CrossoverError
from ._pg_connect import Login, connect, driver, sql_error
from ._pg_lsn import Lsn
from ._pg_sql import quote_ident, quote_literal

ASKED = 5.0  # seconds between two questions of the holder
# The server must not end a session for the time it takes, and must notice soon that its client is gone.
_PATIENT = (
    "idle_in_transaction_session_timeout=0",
    "statement_timeout=0",
    "transaction_timeout=0",
    "tcp_keepalives_idle=30",
    "tcp_keepalives_interval=10",
    "client_connection_check_interval=10s",
)
BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@dataclass(frozen=True)
class Limits:
    """When the holder gives up: it drops the slot and ends."""

    wal: int = 0  # bytes that the slot may hold back; 0: no limit
    unused: float = 86400.0  # seconds without anybody who copies


@dataclass(frozen=True)
class Snapshot:
    """What the ledger remembers: the slot, where it begins, and the snapshot's name on the source."""

    slot: str
    lsn: str
    snapshot: str
    pid: int  # of the holder's session on the source

    def as_dict(self) -> dict[str, Any]:
        """For the ledger."""
        return asdict(self)


def session_name(what: str, slot: str) -> str:
    """application_name of a session: 63 bytes, so the slot's name may be cut, and a hash of it tells it from others."""
    return f"crossover {what} {hashlib.sha256(slot.encode()).hexdigest()[:8]} {slot}"[:63]


def named(login: Login, what: str, slot: str) -> Login:
    """The login, its sessions named after the slot."""
    return login.at(connect_params={**login.connect_params, "application_name": session_name(what, slot)})


# -- looking, ending -------------------------------------------------------------------------------------------------


def is_alive(login: Login, snapshot: Snapshot) -> bool:
    """Whether the slot is where it was made and its snapshot can still be taken: asks the server, not the process."""
    with connect(login) as conn:
        row = conn.execute(
            "SELECT confirmed_flush_lsn::text AS lsn, wal_status FROM pg_replication_slots WHERE slot_name = %s",
            [snapshot.slot],
        ).fetchone()
        if row is None or Lsn.maybe(row["lsn"]) != Lsn.parse(snapshot.lsn) or row["wal_status"] == "lost":
            return False
        try:
            adopt(conn, snapshot)
        except driver().Error:
            return False
        return True


def be_patient(conn: Any) -> None:
    """Set what of that this server knows."""
    pairs = [item.split("=") for item in _PATIENT]
    conn.execute(
        """SELECT set_config(s.name, w.value, false)
           FROM unnest(%s::text[], %s::text[]) AS w(name, value) JOIN pg_settings s USING (name)""",
        [[name for name, _value in pairs], [value for _name, value in pairs]],
    )


def adopt(conn: Any, snapshot: Snapshot) -> None:
    """Begin a transaction that sees what the slot's changes come after."""
    conn.execute(BEGIN)
    conn.execute(f"SET TRANSACTION SNAPSHOT {quote_literal(snapshot.snapshot)}")


def sessions(conn: Any, what: str, slot: str) -> list[int]:
    """The sessions of this name that this login has on the server."""
    rows = conn.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND usename = session_user",
        [session_name(what, slot)],
    )
    return [row["pid"] for row in rows]


def release(conn: Any, slot: str, seconds: float = 15.0) -> bool:
    """End the holder, from wherever it is seen: its session ends, so it does. The slot stays."""
    until, found = time.monotonic() + seconds, False
    while pids := sessions(conn, "snapshot", slot):
        found = True
        conn.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", [pids])
        if time.monotonic() > until:
            raise CrossoverError(
                f"the session that holds the snapshot of slot {slot} does not end",
                code="holder_stays",
                object=slot,
                hint="run this again",
            )
        time.sleep(0.05)
    return found


def drop(conn: Any, login: Login, slot: str) -> bool:
    """End the holder and drop the slot; says whether there was one."""
    release(conn, slot)
    try:
        gone = conn.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [slot]
        )
    except driver().Error as exc:
        raise sql_error(
            exc,
            login,
            f"the slot {slot} could not be dropped",
            code="slot_stays",
            object=slot,
            untouched="it remains there and holds WAL back",
            hint=f"end what uses it, then run again, or: SELECT pg_drop_replication_slot({quote_literal(slot)})",
        ) from None
    return bool(gone.rowcount)


# -- making ----------------------------------------------------------------------------------------------------------


def take(source: Login, slot: str, limits: Limits, *, failover: bool = False, timeout: float = 60.0) -> Snapshot:
    """Make the slot and start the holder; returns when the snapshot can be used. Call it before any thread starts."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            if os.fork() == 0:  # an orphan: nobody waits for it, and it is no child of a module that ends
                _detach(write)
                _hold(source, slot, limits, failover, write)
        finally:
            os._exit(0)  # never through the parent's clean-up
    os.close(write)
    os.waitpid(pid, 0)
    try:
        said = _read_line(read, timeout)
    finally:
        os.close(read)
    if said is None:
        with connect(source) as conn:
            waits_for = _open_transactions(conn)
            _end_attempt(conn, slot)
        raise CrossoverError(
            f"the slot {slot} could not be made within {timeout:g} s"
            + (f": it waits for transactions that are open: {waits_for}" if waits_for else ""),
            code="timeout",
            server=str(source),
            object=slot,
            untouched="no slot was left",
            hint="end them, or raise slot_timeout" if waits_for else "look at the server, then run again",
        )
    if "error" in said:
        raise CrossoverError(**said["error"])
    return Snapshot(**said)


def _read_line(fd: int, timeout: float) -> dict[str, Any] | None:
    """What the holder says, or None when it does not say it in time."""
    text, until = b"", time.monotonic() + timeout
    while not text.endswith(b"\n"):
        ready = select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]
        if not ready:
            return None
        more = os.read(fd, 65536)
        if not more:
            error = {"message": "the process that holds the snapshot ended at once", "code": "holder_died"}
            return {"error": error}
        text += more
    found: dict[str, Any] = json.loads(text)
    return found


def _open_transactions(conn: Any) -> str:
    """Making a slot waits for every transaction that writes (hazards: long ones, prepared ones)."""
    rows = conn.execute(
        """SELECT 'pid ' || pid || ' (' || coalesce(usename, '?') || ')' AS who,
                  extract(epoch FROM clock_timestamp() - xact_start)::int AS age
           FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
           UNION ALL SELECT 'prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared)::int
           FROM pg_prepared_xacts ORDER BY age DESC LIMIT 3"""
    )
    return ", ".join(f"{row['who']} since {row['age']} s" for row in rows)


def _end_attempt(conn: Any, slot: str) -> None:
    """A slot that is not finished goes with its session."""
    for pid in sessions(conn, "slot", slot):
        conn.execute("SELECT pg_terminate_backend(%s)", [pid])
    until = time.monotonic() + 5
    while sessions(conn, "slot", slot) and time.monotonic() < until:
        time.sleep(0.05)


# -- the holder's process --------------------------------------------------------------------------------------------


def _detach(keep: int) -> None:
    """Leave the terminal, the process group and every open file: a socket that stays open here would keep a server
    from seeing that its client, our parent, has died."""
    os.setsid()
    os.chdir("/")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.closerange(3, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 1 << 20 else 1 << 20)


def _hold(source: Login, slot: str, limits: Limits, failover: bool, tell: int) -> None:
    try:
        conn, found = _create(source, slot, failover)
    except CrossoverError as exc:
        said = {"message": exc.message, "code": exc.code, "server": exc.server, "object": exc.object}
        said.update(untouched=exc.untouched, hint=exc.hint, sqlstate=exc.sqlstate)
        os.write(tell, json.dumps({"error": said}).encode() + b"\n")
        return
    try:
        os.write(tell, json.dumps(found.as_dict()).encode() + b"\n")
    except OSError:  # whoever asked is gone, or has given up waiting: nobody will know of this slot
        conn.execute("ROLLBACK")
        drop_own(conn, slot)
        return
    os.close(tell)
    try:
        _watch(conn, slot, limits)
    except driver().Error:
        pass  # the session was ended, by us or by the server; the slot stays, and the ledger knows of it


def _create(source: Login, slot: str, failover: bool) -> tuple[Any, Snapshot]:
    """The slot and its snapshot on one connection, the session that holds it on another."""
    maker = named(source.at(session_role=""), "slot", slot)
    maker = maker.at(connect_params={**maker.connect_params, "replication": "database"})
    holder: Any = connect(named(source, "snapshot", slot))
    walsender: Any = connect(maker, search_path=None)
    try:
        be_patient(holder)
        row = walsender.execute(_command(slot, walsender.info.server_version, failover)).fetchone()
        first = Snapshot(row["slot_name"], row["consistent_point"], row["snapshot_name"], 0)
        adopt(holder, first)
        again = holder.execute("SELECT pg_export_snapshot() AS name, pg_backend_pid() AS pid").fetchone()
    except driver().Error as exc:
        raise sql_error(
            exc,
            source,
            f"the slot {slot} could not be made",
            code="no_slot",
            object=slot,
            untouched="nothing was copied",
            hint=_HINTS.get(getattr(exc, "sqlstate", None) or ""),
        ) from None
    walsender.close()
    return holder, Snapshot(first.slot, first.lsn, again["name"], again["pid"])


_HINTS = {
    "53400": "raise max_replication_slots (a restart), or drop a slot that nobody needs",
    "42501": "the login needs the attribute REPLICATION, or on a managed server its replication role",
    "42710": "drop it if nobody needs what it keeps, then run again",
}


def _command(slot: str, version: int, failover: bool) -> str:
    if version < 150000:
        return f"CREATE_REPLICATION_SLOT {quote_ident(slot)} LOGICAL pgoutput EXPORT_SNAPSHOT"
    more = ", FAILOVER true" if failover and version >= 170000 else ""
    return f"CREATE_REPLICATION_SLOT {quote_ident(slot)} LOGICAL pgoutput (SNAPSHOT 'export'{more})"


_LOOK = """
SELECT (SELECT CASE WHEN wal_status = 'lost' THEN NULL
                    ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 END
        FROM pg_replication_slots WHERE slot_name = %s) AS retained,
       EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %s AND usename = session_user) AS used
"""


def _watch(conn: Any, slot: str, limits: Limits) -> None:
    """Ask every few seconds, in the transaction that holds the snapshot, until it is no longer wanted."""
    used_at, copying = time.monotonic(), session_name("copy", slot)
    while True:
        time.sleep(ASKED)
        row = conn.execute(_LOOK, [slot, copying]).fetchone()
        now = time.monotonic()
        used_at = now if row["used"] else used_at
        if row["retained"] is None:
            return  # dropped by somebody, or lost: the snapshot is of no use without it
        if (limits.wal and row["retained"] > limits.wal) or now - used_at > limits.unused:
            conn.execute("ROLLBACK")
            drop_own(conn, slot)
            return


def drop_own(conn: Any, slot: str) -> None:
    """Drop the slot that this session's snapshot belongs to."""
    conn.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active",
        [slot],
    )
