# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the tables of two servers (private to the collection).

From top to bottom: pair the tables (scope), divide each into regions (regions), sum up hashes of a region on both
servers at the same time (sql, hash), find the keys that differ where the sums do (drill), look at those again behind a
barrier (recheck), and tell (report). Rows never leave the servers, only sums and the keys of what differs.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Mapping

from ._errors import CrossoverError
from ._migration_compare_drill import by_bucket, differing_keys, unequal
from ._migration_compare_recheck import EXTRA, MISSING, Rechecker
from ._migration_compare_regions import regions, size
from ._migration_compare_report import DIFFERENT, EQUAL, NOT_COMPARED, Tally, report
from ._migration_compare_scope import NODE, SOURCE, Plan, Unit, Wanted, make_plan
from ._migration_compare_session import SidePair, open_session
from ._migration_compare_sql import Region, SideSql
from ._pg_connect import Login, driver, sql_error
from ._pg_sql import split_name

_COUNTED = 10_000  # differences of one table; counting on would cost as much again and tell nothing


# done, total, tables (done, total), a word, the tables that are done since the last call
Telling = Callable[[int, int, tuple[int, int], str, list[dict[str, Any]]], None]


@dataclass(frozen=True)
class Options:
    """How to compare."""

    wanted: Wanted
    jobs: int = 2
    chunk_rows: int = 100_000
    recheck_attempts: int = 10
    recheck_timeout: float = 60.0
    max_differences: int = 100
    mask_columns: tuple[str, ...] = ()


@dataclass
class _Table:
    tally: Tally
    sql: Mapping[str, SideSql]


class Comparison:
    """One run over all tables. ``barrier`` waits until both sides have passed one; None: nothing replicates.

    ``follower`` is the side that applies what the other one sends.
    """

    def __init__(
        self,
        source: Login,
        node: Login,
        options: Options,
        barrier: Callable[[], None] | None,
        progress: Telling | None = None,
        follower: str = NODE,
    ) -> None:
        self.source, self.node, self.options = source, node, options
        self.barrier, self.progress = barrier, progress or (lambda done, total, tables, message, finished: None)
        self.plan = Plan()
        self.tallies: list[Tally] = []
        self.done = self.total = self.finished = 0
        self._tasks: queue.Queue[tuple[_Table, Region] | None] = queue.Queue(maxsize=200)
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._rechecker = Rechecker(self._pair, barrier, follower, options.recheck_attempts, options.recheck_timeout)

    def listed(self) -> dict[str, Any]:
        """What would be compared, without reading a row."""
        begun = time.monotonic()
        with open_session(self.source) as source, open_session(self.node) as node:
            self._make_plan(source, node)
            for tally in self.tallies:
                found = size(source, tally.unit.source.oid)
                tally.rows, tally.bytes = found["rows"], found["whole"]
        result = report(self.plan, self.tallies, self.options.max_differences, time.monotonic() - begun)
        for table in result["tables"]:  # a table that is not on the node yet is no difference yet
            if table["verdict"] in (EQUAL, DIFFERENT):
                table.update(verdict=NOT_COMPARED, differences=0)
        totals = {**result["totals"], "differences": 0}
        return {**result, "totals": totals, "differences": [], "verdict": NOT_COMPARED}

    def run(self) -> dict[str, Any]:
        """Compare everything."""
        begun = time.monotonic()
        with open_session(self.source) as source, open_session(self.node) as node:
            self._make_plan(source, node)
            tables = self._sizes(source)
            self.progress(0, self.total, (0, len(tables)), "", [])
            if self.barrier:
                self.barrier()  # the less is in flight when the snapshots are taken, the less has to be looked at again
            workers = [threading.Thread(target=self._work, daemon=True) for _worker in range(self.options.jobs)]
            for worker in workers:
                worker.start()
            try:
                self._feed(source, tables)
            finally:
                for _worker in workers:
                    self._put(None)
                for worker in workers:
                    worker.join()
                self._rechecker.close()
        if self._error:
            raise self._error
        return report(self.plan, self.tallies, self.options.max_differences, time.monotonic() - begun)

    # -- before the first row is read ------------------------------------------------------------------------------

    def _make_plan(self, source: Any, node: Any) -> None:
        self._same_encoding(source, node)
        try:
            self.plan = make_plan(source, node, self.options.wanted)
        except driver().Error as exc:
            hint = "look for DDL that waits or holds a lock (pg_locks), and try again"
            raise sql_error(exc, "source or node", "the tables could not be listed", hint=hint) from None
        masks = _Masks(self.options.mask_columns, self.plan)
        named = self.options.max_differences
        self.tallies = [Tally(unit, max(_COUNTED, named), named, masks.of(unit)) for unit in self.plan.units]

    @staticmethod
    def _same_encoding(source: Any, node: Any) -> None:
        left, right = (conn.info.parameter_status("server_encoding") for conn in (source, node))
        if left != right:
            raise CrossoverError(
                f"could not compare: the source is encoded in {left} the node in {right}: no text would be the same",
                code="encodings_differ",
                untouched="nothing was compared",
                hint=f"create the node's database with the encoding {left}",
            )

    def _sizes(self, source: Any) -> list[tuple[_Table, dict[str, int]]]:
        """The tables with their sizes on the source, the largest first."""
        tables = []
        for tally in self.tallies:
            found = size(source, tally.unit.source.oid)
            tally.bytes = found["whole"]
            self.total += found["rows"]
            tables.append((_Table(tally, {side: SideSql(tally.unit, side) for side in (SOURCE, NODE)}), found))
        return sorted(tables, key=lambda entry: -entry[1]["whole"])

    def _feed(self, source: Any, tables: list[tuple[_Table, dict[str, int]]]) -> None:
        """Divide the tables and hand out their regions."""
        for table, found in tables:
            try:
                parts = regions(source, table.tally.unit, self.options.chunk_rows, found)
            except driver().Error as exc:
                table.tally.fail(_reason(exc, SOURCE))
                continue
            table.tally.pending = len(parts)
            for part in parts:
                if not self._put((table, part)):
                    return

    def _put(self, task: tuple[_Table, Region] | None) -> bool:
        while not self._stop.is_set():
            try:
                self._tasks.put(task, timeout=0.5)
                return True
            except queue.Full:
                continue
        return False

    # -- in the workers --------------------------------------------------------------------------------------------

    def _pair(self) -> SidePair:
        return SidePair(self.source, self.node)

    def _work(self) -> None:
        pair: SidePair | None = None
        try:
            while not self._stop.is_set():
                try:
                    task = self._tasks.get(timeout=0.5)
                except queue.Empty:
                    continue
                if task is None:
                    return
                if pair is None or not pair.alive:
                    pair = self._pair()
                self._region(pair, *task)
        except BaseException as exc:  # pylint: disable=broad-except
            self._error = self._error or exc
            self._stop.set()
        finally:
            if pair is not None:
                pair.close()

    def _region(self, pair: SidePair, table: _Table, region: Region) -> None:
        tally = table.tally
        tally.start()
        rows = 0
        try:
            if not tally.failure:
                rows = self._compare(pair, table, region)
        except driver().Error as exc:
            tally.fail(_reason(exc, getattr(exc, "crossover_side", "")))
        except CrossoverError as exc:
            tally.fail(str(exc))
        last = tally.end()
        if last and not tally.unit.key and tally.found:
            self._contents(pair, table)
        self._tell(tally, rows, last)

    def _compare(self, pair: SidePair, table: _Table, region: Region) -> int:
        """One region, down to its keys if need be, all in one pair of snapshots. Returns the source's rows."""
        tally, sql = table.tally, table.sql
        # the planner may take a range of keys for much of the table: the range was made to be read by the index
        settings = ["SET LOCAL enable_seqscan = off"] if region.ranged else []
        with pair.snapshot(*settings):
            left, right = map(by_bucket, pair.both(sql[SOURCE].sums(region), sql[NODE].sums(region)))
            rows, rows_node = (sum(n for n, _sums in side.values()) for side in (left, right))
            tally.add_rows(rows, rows_node)
            differing = unequal(left, right)
            if not differing:
                return rows
            affected = max(sum(side[b][0] for b in differing if b in side) for side in (left, right))
            part = replace(region.part(differing, affected), rows=affected)
            found = False
            for keys in differing_keys(pair, sql, part):
                found = True
                if tally.enough:
                    tally.more = True
                    break
                tally.add(self._rechecker.settle(tally.unit, sql, keys))
            if not found:
                tally.fail("the sums of a range differ and none of its keys does")
        return rows

    def _contents(self, pair: SidePair, table: _Table) -> None:
        """What rows without a key hold, for those that are named."""
        for side, kind in ((SOURCE, MISSING), (NODE, EXTRA)):
            hashes = [str(d.key[0]) for d in table.tally.found if d.kind == kind]
            if not hashes:
                continue
            try:
                rows = pair.one(side, table.sql[side].contents(hashes, table.tally.masked))
            except driver().Error:
                continue  # they are named by their hash then
            table.tally.contents.update({row["k"]: row["v"] for row in rows})

    def _tell(self, tally: Tally, rows: int, last: bool) -> None:
        with self._lock:
            self.done += rows
            self.finished += last
            over = {"name": tally.unit.name, "rows": tally.rows, "bytes": tally.bytes, "note": tally.verdict}
            tables = (self.finished, len(self.tallies))
            self.progress(self.done, max(self.total, self.done), tables, "", [over] if last else [])


class _Masks:
    """Which columns' values are not shown: a column's name alone, or schema.table.column."""

    def __init__(self, given: tuple[str, ...], plan: Plan) -> None:
        self.names = [split_name(text) for text in given]
        known = {(u.source.schema, u.source.name, p.name) for u in plan.units for p in u.pairings}
        known |= {parts[2:] for parts in known}  # type: ignore[misc]
        for text, name in zip(given, self.names):
            if name not in known and plan.units:
                raise CrossoverError(
                    f"mask_columns names {text}, and no table in the scope has that column",
                    code="unknown_column",
                    object=text,
                    untouched="nothing was compared",
                    hint="write it as column or as schema.table.column",
                )

    def of(self, unit: Unit) -> frozenset[str]:
        """The masked columns of a table."""
        place = (unit.source.schema, unit.source.name)
        return frozenset(n[-1] for n in self.names if len(n) == 1 or n[:-1] == place)


def _reason(exc: BaseException, side: str) -> str:
    hint = None
    if getattr(exc, "sqlstate", None) == "42501":
        hint = "grant SELECT, and BYPASSRLS where the table has row-level security"
    return str(sql_error(exc, side or "a server", "could not be read", hint=hint))
