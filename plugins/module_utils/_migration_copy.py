# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The initial copy in parallel, from the snapshot of the slot that the subscription will read (private).

``Copy.run`` is the order of events: slot and snapshot; rows; keys, indexes and constraints as each table completes;
materialised views and ANALYZE. Then the subscription starts with copy_data=false on that slot: its changes begin where
the snapshot ends. A copy that was interrupted goes on with the parts that are left, as long as the snapshot is held;
else everything starts again, so that never two snapshots are under one subscription.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ._errors import CrossoverError
from ._migration_copy_failure import ALONE, check_slot, told
from ._migration_copy_ledger import Begun, CopyLedger, finished_tables
from ._migration_copy_move import Mover, create_origins, drop_origins
from ._migration_copy_plan import CopyTable, check_node, part_size, plan, read
from ._migration_copy_progress import Reporter
from ._migration_copy_run import Run, Work
from ._migration_schema import Options, SchemaSync
from ._migration_schema_build import Builder
from ._pg_catalog import server_version, tables
from ._pg_connect import Login, driver, sql_error
from ._pg_programs import for_servers
from ._pg_sql import Statement, quote_ident
from ._replication_lag import slot_state, subscription_state
from ._replication_snapshot import Limits, Snapshot, drop, is_alive, release, session_name, take

_CHECKED = 5.0  # seconds between two looks at the slot


@dataclass(frozen=True)
class Wanted:
    """What the user asks for."""

    slot: str
    subscription: str
    schema: Options
    limits: Limits = field(default_factory=Limits)
    failover: bool = False
    slot_timeout: float = 60.0
    attach_timeout: float = 7 * 86400.0
    part_bytes: int = 0  # 0: chosen


@dataclass
class Report:
    """What was done, or in check mode would be."""

    statements: list[Statement] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    state: str = "nothing"  # begun, resumed, restarted, nothing
    attached: bool = False
    copied: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


_REFERRING = """
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname) AS drop FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0 AND confrelid = ANY (%s::text[]::regclass[])
"""


class Copy:
    """One run."""

    def __init__(self, source: Login, node: Login, migration: str, wanted: Wanted) -> None:
        self.source_login, self.node_login, self.migration, self.w = source, node, migration, wanted
        self.sync = SchemaSync(source, node, migration, wanted.schema)
        self.source, self.node = self.sync.source, self.sync.node
        self.ledger = CopyLedger(self.sync.ledger)
        self.report = Report()
        self._looked = 0.0

    def close(self) -> None:
        """Close what was opened."""
        self.sync.close()

    def run(self) -> Report:
        """Copy what is left to be copied."""
        if not self.w.schema.check:
            self._alone()
        if self._subscribed() or self._finished():
            self.report.copied = finished_tables(self.node, self.migration)
            return self.report
        self.sync.refuse()
        begun = self.ledger.begun()
        alive = bool(begun and is_alive(self.source_login, begun.snapshot) and self._same_files(begun))
        self.report.state = "resumed" if alive else "restarted" if begun else "begun"
        if self.w.schema.check:
            check_node(self.node, self.tables, self.node_login, empty=begun is None, planned=True)
            self._plan(begun if alive else None)
            return self.report
        if begun is None or not alive:
            begun = self._begin(begun)
        try:
            self._work(begun)
        except (CrossoverError, driver().Error) as exc:
            if not isinstance(exc, CrossoverError):
                server = self.source_login if self.source.closed else self.node_login
                exc = sql_error(exc, server, "the copy was interrupted", code="copy_failed")
            raise told(exc, self.ledger, begun.snapshot, self.source_login, self.w.limits) from None
        return self.report

    # -- whether there is anything to do -------------------------------------------------------------------------------

    def _alone(self) -> None:
        """One copy at a time: wait for the one that runs, then see what it has left."""
        until = time.monotonic() + self.w.attach_timeout
        while not self.node.execute(ALONE).fetchone()["mine"]:
            self.report.attached = True
            if time.monotonic() > until:
                raise CrossoverError(
                    "another copy still runs on this node",
                    code="busy",
                    server=str(self.node_login),
                    untouched="it goes on",
                    hint="wait for it (crossover.pgedge.status shows how far it is), then run again",
                )
            time.sleep(1.0)

    def _subscribed(self) -> bool:
        """Once there is a subscription, it brings what is new: there is nothing for us to copy, now or later."""
        if subscription_state(self.node, self.w.subscription) is None:
            return False
        self.report.summary = self.ledger.summary()
        if not self.w.schema.check:
            self.ledger.hand_over()
        return True

    def _finished(self) -> bool:
        """All of it is there, and its slot waits for the subscription."""
        begun = self.ledger.begun()
        if begun is None or not begun.done:
            return False
        slot = slot_state(self.source, begun.snapshot.slot)
        if slot is None or str(slot["confirmed_flush_lsn"]) != begun.snapshot.lsn or slot["wal_status"] == "lost":
            return False  # what has changed since then is lost: the copy is worth nothing
        if new := [t.name for t in self.tables if t.table.oid not in begun.files]:
            # the subscription would take it for copied, and its rows would be missing without a word
            self.report.warnings.append(
                f"{len(new)} table(s) came to the source after the copy and before the subscription "
                f"({', '.join(new[:5])}): everything is copied anew"
            )
            return False
        self.report.snapshot, self.report.summary = begun.snapshot, begun.summary
        if not self.w.schema.check:
            release(self.source, begun.snapshot.slot)
        return True

    @cached_property
    def tables(self) -> list[CopyTable]:
        """The tables as they are on the source, read before the snapshot is taken."""
        return read(self.source, self.node, self.w.schema.scope)

    def _same_files(self, begun: Begun) -> bool:
        """A table that was rewritten since then cannot be read from that snapshot; one that is new is not in it."""
        now = {t.table.oid: t.filenode for t in self.tables}
        left = {part.table for part in self.ledger.left()}
        return now.keys() == begun.files.keys() and all(now[oid] == begun.files[oid] for oid in left)

    # -- beginning -----------------------------------------------------------------------------------------------------

    @property
    def _part_bytes(self) -> int:
        return self.w.part_bytes or part_size(sum(t.bytes for t in self.tables), self.w.schema.jobs)

    def _slot_statement(self) -> Statement:
        return Statement.of(f"CREATE_REPLICATION_SLOT {quote_ident(self.w.slot)} LOGICAL pgoutput (SNAPSHOT 'export')")

    def _plan(self, begun: Begun | None) -> None:
        """For check mode."""
        parts = self.ledger.left() if begun else plan(self.tables, self._part_bytes)
        known = {t.table.oid: t for t in self.tables}
        if begun is None:
            self.report.statements.append(self._slot_statement())
        self.report.statements += [Statement.of(known[p.table].writing(p)) for p in parts]
        self.sync.after_rows()
        self.sync.fill()
        self.report.statements += self.sync.report.statements
        self.report.summary = {"tables": len(self.tables), "parts": len(parts), "bytes": sum(p.bytes for p in parts)}

    def _begin(self, before: Begun | None) -> Begun:
        """Slot, snapshot, and word of it in the ledger. What an earlier snapshot left is removed first."""
        check_node(self.node, self.tables, self.node_login, empty=before is None)
        parts = plan(self.tables, self._part_bytes)
        self._refuse_foreign_slot(before)
        if before is not None:
            self._empty(before)
        if drop(self.source, self.source_login, self.w.slot):
            self.report.warnings.append(
                f"the slot {self.w.slot} of an earlier copy was dropped, because its snapshot was no longer held or of "
                "no more use: everything is copied anew"
            )
        snapshot = take(
            self.source_login, self.w.slot, self.w.limits, failover=self.w.failover, timeout=self.w.slot_timeout
        )
        self.report.statements.append(self._slot_statement())
        try:
            self.ledger.begin(snapshot, self.tables, parts)
        except BaseException:
            drop(self.source, self.source_login, snapshot.slot)  # nobody would know of it
            raise
        return Begun(snapshot, {t.table.oid: t.filenode for t in self.tables}, False, {})

    def _refuse_foreign_slot(self, before: Begun | None) -> None:
        slot = slot_state(self.source, self.w.slot)
        if slot and (slot["active"] or slot["plugin"] != "pgoutput" or slot["database"] != self.source.info.dbname):
            raise CrossoverError(
                f"the slot {self.w.slot} is there already and is not ours to drop",
                code="other_slot",
                server=str(self.source_login),
                object=self.w.slot,
                untouched="nothing was copied" if before is None else "what was copied stays",
                hint="see what reads it (pg_replication_slots); drop it if nobody needs what it keeps",
            )

    def _empty(self, begun: Begun) -> None:
        """Remove what the earlier snapshot brought: these tables were empty when it began."""
        names = [t.name for t in self.tables if t.table.oid in begun.files]
        if names:
            with self.node.transaction():
                self.node.execute("SET LOCAL session_replication_role = replica")
                # a table that one refers to cannot be truncated by itself; they are made again once the rows are there
                for row in self.node.execute(_REFERRING, [names]).fetchall():
                    self.node.execute(row["drop"].encode())
                self.node.execute(f"TRUNCATE {', '.join(f'ONLY {name}' for name in names)}".encode())
        check_node(self.node, self.tables, self.node_login, empty=True)
        self.ledger.forget()

    # -- working -------------------------------------------------------------------------------------------------------

    def _work(self, begun: Begun) -> None:
        start = time.monotonic()
        parts = self.ledger.left()
        units, entries = self.sync.after_rows()
        jobs = max(1, self.w.schema.jobs)
        mover = self._mover(begun.snapshot, jobs)
        builder = Builder(self._index_session, self.node_login, jobs, polite=False)
        report = Reporter(self.node_login, self.migration, self.ledger.totals(), len(units))
        run = Run(mover, builder, jobs, lambda: self._tick(run, report, begun.snapshot))
        try:
            run(Work({t.table.oid: t for t in self.tables}, parts, units, entries, self._leaves()))
            if builder.failures:
                raise builder.error(self.sync.explain)
            copied = run.copied_after if run.copied_after is not None else 0.0
            indexed = time.monotonic() - start
            report.during(self.sync.fill, run, "views and statistics")
        finally:
            report.close()
            if mover.origins:
                drop_origins(self.node, begun.snapshot.slot)
        known = {t.table.oid: t for t in self.tables}
        self.report.statements += [Statement.of(known[p.table].writing(p)) for p in parts]
        self.report.statements += self.sync.report.statements
        now = self.ledger.totals()
        summary = {
            "tables": now["tables"], "parts": now["parts"], "rows": now["rows"], "bytes": now["bytes"],
            "seconds": round(time.monotonic() - start, 2), "copy_seconds": round(copied, 2),
            "index_seconds": round(indexed, 2),
        }  # fmt: skip
        self.ledger.finish(begun, summary)
        release(self.source, begun.snapshot.slot)
        check_slot(self.source, self.source_login, begun.snapshot.slot)  # from now on nobody of ours drops it
        self.report.snapshot, self.report.summary = begun.snapshot, summary
        self.report.copied = finished_tables(self.node, self.migration)

    def _leaves(self) -> dict[int, set[int]]:
        """A partitioned table -> the tables that have its rows."""
        parents = {t.oid: t.parent for t in tables(self.source, self.w.schema.scope)}
        found: dict[int, set[int]] = {}
        for leaf in (t.table.oid for t in self.tables):
            at = parents.get(leaf)
            while at is not None:
                found.setdefault(at, set()).add(leaf)
                at = parents.get(at)
        return found

    def _mesh(self) -> bool:
        return self.node.execute("SELECT FROM pg_extension WHERE extname = 'spock'").fetchone() is not None

    def _mover(self, snapshot: Snapshot, jobs: int) -> Mover:
        versions = server_version(self.source), server_version(self.node)
        logins = self.source_login, self.node_login
        encoding = self.source.execute("SELECT current_setting('server_encoding') AS name").fetchone()["name"]
        mesh = self._mesh()
        if mesh:
            drop_origins(self.node, snapshot.slot)
            create_origins(self.node, snapshot, jobs)
        return Mover(
            self.source_login,
            self.node_login,
            snapshot,
            self.ledger.ledger.need(),
            for_servers(["psql"], versions, logins, self.w.schema.bin_dir),
            "SQL_ASCII" if encoding == "SQL_ASCII" else "UTF8",
            mesh,
        )

    def _index_session(self) -> Any:
        """With a share (an eighth for all workers) of the memory that the server is said to have: sorting is most of
        an index's time. effective_cache_size is in pages of 8 kB."""
        conn = self.sync.connect()
        conn.execute("SELECT set_config('application_name', %s, false)", [session_name("copy", self.w.slot)])
        conn.execute(
            """SELECT set_config('maintenance_work_mem', greatest(m.setting::int8,
                          least(1048576, e.setting::int8 / %s))::text || 'kB', false),
                      set_config('synchronous_commit', 'off', false)
               FROM pg_settings m, pg_settings e
               WHERE m.name = 'maintenance_work_mem' AND e.name = 'effective_cache_size'""",
            [max(1, self.w.schema.jobs)],
        )
        return conn

    def _tick(self, run: Run, report: Reporter, snapshot: Snapshot) -> None:
        report(run)
        if time.monotonic() - self._looked > _CHECKED:
            self._looked = time.monotonic()
            check_slot(self.source, self.source_login, snapshot.slot)
