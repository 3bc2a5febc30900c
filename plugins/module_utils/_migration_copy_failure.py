# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy that fails, or is given up: what is left, and what is said of it (private to the collection)."""

from __future__ import annotations

import time
from typing import Any

from ._errors import CrossoverError
from ._migration_copy_ledger import CopyLedger
from ._migration_copy_move import drop_origins
from ._pg_connect import Login, connect, driver
from ._replication_lag import slot_state
from ._replication_snapshot import Limits, Snapshot, drop, is_alive, sessions

ALONE = "SELECT pg_try_advisory_lock(hashtext('crossover.copy')) AS mine"  # held by who copies to a node
_ANEW = ("slot_lost", "table_rewritten")  # after these the next run begins from a new snapshot


def check_slot(source: Any, login: Login, slot: str) -> None:
    """Without its slot a copy is worth nothing: better to know now than at its end."""
    found = slot_state(source, slot)
    if found is None or found["wal_status"] == "lost":
        raise CrossoverError(
            f"the slot {slot} is {'gone' if found is None else 'lost'}: it held back more WAL than wal_budget or the "
            "server allows, or somebody dropped it",
            code="slot_lost",
            server=str(login),
            object=slot,
            hint="raise wal_budget if there is room for the WAL, then run again: everything is copied anew",
        )


def told(exc: CrossoverError, ledger: CopyLedger, snapshot: Snapshot, source: Login, limits: Limits) -> CrossoverError:
    """The error, and how things stand: what is there, what happens to the slot, how to go on or give up."""
    slot = snapshot.slot
    if exc.code in _ANEW:
        exc.untouched = exc.untouched or "what was copied stays until then"
        return exc
    if lost := _without_holder(snapshot, source):
        exc.untouched, again = lost, "run again, everything is copied anew; or give up by crossover.pgedge.rollback"
        exc.hint = f"{(exc.hint or '').rstrip('. ')}. {again[0].upper()}{again[1:]}" if exc.hint else again
        return exc
    parts = ""
    try:
        now = ledger.totals()
        parts = f"{now['parts_done']} of {now['parts']} parts are there and stay. "
    except Exception:  # pylint: disable=broad-except
        pass  # the node may be what has failed
    most = f" (at most {limits.wal >> 20} MiB)" if limits.wal else ""
    exc.untouched = (
        f"{parts}The slot {slot} on the source goes on holding WAL back{most}, and is dropped when nobody has gone on "
        f"for {limits.unused:g} s"
    )
    again = "run again: it goes on with what is left; or give up by crossover.pgedge.rollback, which drops the slot"
    exc.hint = f"{exc.hint.rstrip('. ')}. {again[0].upper()}{again[1:]}" if exc.hint else again
    return exc


def _without_holder(snapshot: Snapshot, source: Login) -> str:
    """What is said where nobody holds the snapshot: its slot is worth nothing then, and nothing would bound its WAL.

    Empty where it is held, as it should be.
    """
    slot = snapshot.slot
    try:
        if is_alive(source, snapshot):
            return ""
        with connect(source) as conn:
            state = slot_state(conn, slot)
            if state is None:
                return f"the snapshot was lost with the session that held it, and its slot {slot} is gone"
            if state["active"] or str(state["confirmed_flush_lsn"]) != snapshot.lsn:
                return f"the slot {slot} is read by somebody, so it was left alone; its snapshot is of no more use"
            drop(conn, source, slot)
    except (CrossoverError, driver().Error):
        return (
            f"the source does not answer, so it cannot be seen whether the snapshot is still held: if not, the slot "
            f"{slot} keeps WAL without a limit until the next run, or SELECT pg_drop_replication_slot('{slot}') there"
        )
    return f"the snapshot was lost with the session that held it, and its slot {slot} was dropped"


def end_worker(source: Any, node: Any, node_login: Login, slot: str, seconds: float = 60.0) -> bool:
    """End a copy that is at work, wherever it runs (it outlives the playbook that began it), and take its place.

    Its sessions are ended, so it stops; whoever began it is told. Says whether there was one.
    """
    until, found = time.monotonic() + seconds, False
    while not node.execute(ALONE).fetchone()["mine"]:
        found = True
        if time.monotonic() > until:
            raise CrossoverError(
                "the copy that is at work on this node does not end",
                code="busy",
                server=str(node_login),
                untouched="its slot was not dropped",
                hint="end its process, then run this again",
            )
        for conn in (source, node):
            conn.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", [sessions(conn, "copy", slot)])
        node.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_locks
               WHERE locktype = 'advisory' AND objsubid = 1 AND granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND ((classid::int8 << 32) | objid::int8) = hashtext('crossover.copy')::int8"""
        )
        time.sleep(0.2)
    return found


def give_up(source: Any, source_login: Login, node: Any, ledger: CopyLedger, slot: str) -> bool:
    """End the holder and drop the slot of a copy that no subscription has taken over; forget the copy."""
    begun = ledger.begun()
    name = begun.snapshot.slot if begun else slot
    dropped = drop(source, source_login, name)
    drop_origins(node, name)
    ledger.forget()
    return dropped or begun is not None
