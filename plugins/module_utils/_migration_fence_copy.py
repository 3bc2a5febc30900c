# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large objects and unlogged tables, which nothing replicates: copied at the fence (private to the collection).

Three passes. ``first`` brings everything while the application writes. ``again`` is the rehearsal: it looks at
everything and brings what has changed, and from what that took comes the prediction; over the budget, the switch ends
before anything is held. ``last``, behind the fence, does the same once more with a deadline.

Tables are behind the fence; large objects are in no table of the application, and nothing keeps a session that passes
by the route from writing them. So ``last`` first waits for who has any open, and ``behind`` looks once more afterwards.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from . import _migration_fence_large as large_objects
from ._errors import CrossoverError
from ._migration_compare_session import open_session
from ._migration_control import NODE
from ._migration_fence_large import FACT, Large
from ._migration_fence_rights import may_carry, may_write_tables
from ._migration_fence_share import Load, estimate, predict, within
from ._migration_fence_unlogged import Rows, bring, describe, state, unlogged
from ._migration_journal import Journal
from ._migration_sides import Migration
from ._pg_connect import driver, sql_error

_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Where Spock is: owners, grants and comments of large objects stay on this node, as the objects do.
_SPOCK = {"spock.enable_ddl_replication": "off", "spock.include_ddl_repset": "off"}
_PATIENCE = 1.0  # seconds for who has large objects open, once the switch is done


class FenceCopy:
    """One switch's copies; nothing where none are wished. Without a journal it only looks."""

    def __init__(self, migration: Migration, journal: Journal | None = None) -> None:
        self.m, self.wish, self.journal = migration, migration.copies, journal
        self.warnings: list[str] = []
        self.reader: Any = None
        self.writer: Any = None
        self.there: dict[int, Large] = {}  # the other side's large objects
        self.rows: dict[str, tuple[int, str]] = {}  # the state of the tables that are there
        self.tables: dict[tuple[int, ...], list[Rows]] = {}  # by their OIDs
        self.took: dict[str, float] = {}  # seconds to bring a table
        self.ours: set[int] = set()  # large objects that this migration has brought over, this way or that
        self.known: list[str] = []  # unlogged tables that it has brought to the node
        self.encoding = "UTF8"
        self._end: float | None = None

    def open(self) -> None:
        """Open both sessions; raise where a right is missing that would be missed behind the fence."""
        m = self.m
        self.reader, self.writer = open_session(m.logins[m.old]), open_session(m.logins[m.new])
        for conn in (self.reader, self.writer):
            conn.execute("SET idle_in_transaction_session_timeout = '30s'")
        self.writer.execute("SET synchronous_commit = on")
        if self.writer.execute("SELECT FROM pg_extension WHERE extname = 'spock'").fetchone() is not None:
            for name, value in _SPOCK.items():
                self.writer.execute("SELECT set_config(%s, %s, false)", [name, value])
        encodings = {conn.info.parameter_status("server_encoding") for conn in (self.reader, self.writer)}
        self.encoding = "SQL_ASCII" if "SQL_ASCII" in encodings else "UTF8"  # from which nothing can be converted
        if self.wish.large_objects:
            if ownerless := may_carry(m, self.reader, self.writer):
                self.warnings.append(
                    f"large objects belong to roles that are not on the {m.new} ({', '.join(ownerless[:5])}): what is "
                    f"new there belongs to {m.logins[m.new].user}"
                )
        if self.wish.unlogged and unlogged(m.tables[m.old]):
            may_write_tables(m, self.writer)

    def close(self) -> None:
        """End both sessions."""
        for conn in (self.reader, self.writer):
            if conn is not None:
                conn.close()

    # -- the passes --------------------------------------------------------------------------------------------------

    def forecast(self) -> dict[str, Any]:
        """For check mode: from sizes, and from looking at everything once. Nothing is written."""
        self.open()
        load = self._load()
        begun = time.monotonic()
        with self._snapshot(None):
            self._look()
        seconds = time.monotonic() - begun + estimate(Load(0, 0, load.tables, load.table_bytes))
        return {"what": str(load), "predicted_seconds": round(seconds, 3), "budget_seconds": self.wish.budget}

    def first(self) -> None:
        """Bring everything that is not there yet."""
        with self._step("fence_copy_first") as detail:
            if detail is None:
                return
            self.open()
            with self._snapshot(None):
                here = large_objects.read(self.reader) if self.wish.large_objects else {}
                with self.writer.transaction():
                    self.there = large_objects.read(self.writer) if self.wish.large_objects else {}
                self._claim(here)
                detail.update(self._pass())

    def again(self) -> None:
        """The rehearsal; raises where the share of the pause would be too large."""
        with self._step("fence_copy_again") as detail:
            if detail is None:
                return
            load = self._load()
            with self._snapshot(None):
                detail.update(self._pass())
            seconds = predict(detail["look_seconds"], detail["large_seconds"], sum(self.took.values()))
            detail.update(predicted_seconds=round(seconds, 3), budget_seconds=self.wish.budget)
            within(load, seconds, self.wish.budget)

    def last(self, lease: Any, left: float) -> None:
        """Behind the fence, within the budget and what is left of the window, or not at all."""
        with self._step("fence_copy") as detail:
            if detail is None:
                return
            lease.execute("SELECT")  # its silence is counted from here
            with self._snapshot(min(self.wish.budget, left)):
                detail.update(self._pass())

    def behind(self) -> None:
        """After the switch: what was written to the old side's large objects all the same becomes a warning."""
        with self._step("fence_copy_behind") as detail:
            if detail is None or not self.wish.large_objects:
                return
            self._remember(set(self.there))
            try:
                self.reader = open_session(self.m.logins[self.m.old])
                self._wait_for_users(_PATIENCE)
                with self._snapshot(None):
                    found = large_objects.changes(large_objects.read(self.reader), self.there, self.there)
            except (CrossoverError, driver().Error) as exc:  # the switch is done
                self.warnings.append(f"whether large objects were changed behind the fence could not be seen: {exc}")
                return
            finally:
                self.close()
            oids = sorted({large.oid for large in (*found.written, *found.described)} | set(found.removed))
            detail["differ"] = oids[:100]
            if oids:
                self.warnings.append(
                    f"{len(oids)} large object(s) were changed on the {self.m.old} while the sides were switched, by a "
                    f"session that goes past the route; the {self.m.new} has them as they were before: "
                    f"{', '.join(map(str, oids[:5]))}"
                )

    def _step(self, name: str) -> contextlib.AbstractContextManager[dict[str, Any] | None]:
        if not self.wish.any or self.journal is None:
            return contextlib.nullcontext()
        return self.journal.step(name)

    def _load(self) -> Load:
        """How much there is, by the catalogue."""
        found = unlogged(self.m.tables[self.m.old]) if self.wish.unlogged else []
        count, size = large_objects.amount(self.reader) if self.wish.large_objects else (0, 0)
        return Load(count, size, len(found), sum(table.bytes for table in found))

    # -- one pass ----------------------------------------------------------------------------------------------------

    def _pass(self) -> dict[str, Any]:
        """Look at everything, bring what differs."""
        begun = time.monotonic()
        here, states = self._look()
        looked = time.monotonic() - begun
        todo = large_objects.changes(here, self.there, self.ours)
        if todo:
            if set(here) - self.ours:
                self._remember(self.ours | set(here))
            large_objects.Bringer(self.reader, self.writer, self._in_time).bring(todo, self.there)
            self.there = {oid: large for oid, large in self.there.items() if oid not in todo.removed} | here
        carried = time.monotonic() - begun - looked
        rows = size = 0
        changed = [table for table in self._tables() if self.rows.get(table.name) != states[table.name]]
        for table in changed:
            at = time.monotonic()
            some, some_bytes = bring(self.reader, self.writer, table, self.encoding, self._in_time)
            rows, size = rows + some, size + some_bytes
            self.rows[table.name] = states[table.name]
            self.took[table.name] = max(time.monotonic() - at, self.took.get(table.name, 0.0))
        return {
            "large_objects": len(here),
            "large_objects_copied": len(todo.written),
            "large_objects_removed": len(todo.removed),
            "tables": len(states),
            "tables_copied": len(changed),
            "rows": rows,
            "bytes": size + todo.bytes,
            "look_seconds": round(looked, 4),
            "large_seconds": round(carried, 4),
            "seconds": round(time.monotonic() - begun, 4),
        }

    def _look(self) -> tuple[dict[int, Large], dict[str, tuple[int, str]]]:
        here = large_objects.read(self.reader) if self.wish.large_objects else {}
        self._in_time()
        states = {}
        for table in self._tables():
            states[table.name] = state(self.reader, table)
            self._in_time()
        return here, states

    def _tables(self) -> list[Rows]:
        """Their columns are read once: DDL is not possible once they matter."""
        if not self.wish.unlogged:
            return []
        found = unlogged(self.m.tables[self.m.old])
        key = tuple(table.oid for table in found)
        if key not in self.tables:
            self.tables[key] = describe(self.reader, found)
        return self.tables[key]

    def _fact(self) -> dict[str, Any]:
        facts = self.journal.ledger.facts() if self.journal else {}
        return facts.get(FACT) or {}

    def _claim(self, here: dict[int, Large]) -> None:
        """What this migration brings is its own on the other side. What it did not bring there is not touched."""
        m, fact = self.m, self._fact()
        self.ours = set(fact.get("large_objects", []))
        if taken := sorted((set(here) & set(self.there)) - self.ours):
            raise CrossoverError(
                f"{len(taken)} large object(s) of the {m.old} have OIDs of others that are on the {m.new}, which this "
                f"migration did not bring there: {', '.join(map(str, taken[:5]))}",
                code="large_object_taken",
                server=str(m.logins[m.new]),
                object=str(taken[0]),
                hint="remove those there, or leave large objects behind (crossover_large_objects: skip)",
            )
        names, known = [table.name for table in self._tables()], set(fact.get("unlogged", []))
        for name in names if m.new != NODE else []:
            row = self.writer.execute(f"SELECT EXISTS (SELECT FROM ONLY {name}) AS filled".encode()).fetchone()
            if row["filled"] and name not in known:
                raise CrossoverError(
                    f"the unlogged table {name} was not brought to the node by the cutover, and has rows on the source "
                    "that would be replaced",
                    code="unlogged_table_taken",
                    object=name,
                    hint="empty it there, or keep them with crossover_unlogged: skip",
                )
        self.known = sorted(known | set(names))
        self._remember(self.ours | set(here))

    def _remember(self, ours: set[int]) -> None:
        """Before it is written: a run that dies must find its own again."""
        self.ours = ours
        if self.journal:
            self.journal.ledger.put(FACT, {"large_objects": sorted(ours), "unlogged": self.known})

    # -- time --------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _snapshot(self, seconds: float | None) -> Iterator[None]:
        """All is read as of one moment. At the deadline, whatever either server does for us is cancelled."""
        self._end = None if seconds is None else time.monotonic() + seconds
        done = threading.Event()
        guard = threading.Thread(target=self._cancel, args=[done, seconds], daemon=True)
        if seconds is not None:
            guard.start()
        try:
            if seconds is not None and self.wish.large_objects:
                self._wait_for_users(seconds)
            self.reader.execute(_SNAPSHOT)
            yield
            self.reader.execute("COMMIT")
        except driver().Error as exc:
            if self._end is not None and time.monotonic() >= self._end:
                raise self._late() from None
            side = self.m.old if self._reading() else self.m.new
            doing = "large objects and unlogged tables could not be copied"
            raise sql_error(exc, self.m.logins[side], doing, code="fence_copy_failed") from None
        finally:
            done.set()
            if seconds is not None:
                guard.join(1.0)
            self._end = None
            with contextlib.suppress(driver().Error):
                self.reader.execute("ROLLBACK")

    def _reading(self) -> bool:
        """Whether it is the reader's server that an error came from."""
        broken = driver().pq.TransactionStatus.INERROR
        return bool(self.reader.closed or self.reader.info.transaction_status == broken)

    def _wait_for_users(self, seconds: float) -> None:
        """Until nobody has large objects of the old side open."""
        until = time.monotonic() + seconds
        while found := large_objects.users(self.reader):
            if time.monotonic() > until:
                if self._end is None:
                    return  # after the switch: what they write is not seen
                raise CrossoverError(
                    f"large objects were in use beside the route for {seconds:.2g} s: {'; '.join(found[:3])}",
                    code="fence_copy_timeout",
                    server=str(self.m.logins[self.m.old]),
                    hint="end it or wait for its end",
                )
            time.sleep(0.01)

    def _cancel(self, done: threading.Event, seconds: float) -> None:
        """Again and again: a request that comes between two statements does nothing."""
        while not done.wait(seconds):
            for conn in (self.reader, self.writer):
                with contextlib.suppress(Exception):
                    conn.cancel()
            seconds = 0.05

    def _in_time(self) -> None:
        if self._end is not None and time.monotonic() >= self._end:
            raise self._late()

    def _late(self) -> CrossoverError:
        return CrossoverError(
            "large objects and unlogged tables were not copied within their share of the pause "
            f"({self.wish.budget:g} s, or what was left of the window)",
            code="fence_copy_timeout",
            hint="run the playbook again at a quieter moment, or raise crossover_fence_copy_budget",
        )
