# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates units in parallel, each in a transaction of its own (private to the collection).

An interrupted run leaves whole objects only; the next one goes on with what is missing.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from ._errors import CrossoverError
from ._migration_restore import hint, run
from ._migration_schema_units import Unit
from ._pg_connect import Login, driver, sql_error

# A foreign key is validated against the rows that are there, while changes arrive. Every table is in sync by then and
# a transaction is applied as a whole, so every committed row has the row it refers to; but tables are copied one by
# one, and one that was only just in sync may still be a moment behind another. Such a failure goes away by waiting;
# an orphan that the source has itself does not.
FK_WAITS = (0.5, 1.0, 2.0, 4.0)
_FK_VIOLATION = "23503"
# Apply works on the same tables, and an error there would disable the subscription. A deadlock's victim is whoever
# notices it, deadlock_timeout after beginning to wait: we give up, and try again, before apply can.
_NOT_NOW = ("40P01", "55P03")  # deadlock_detected, lock_not_available
_YIELD = """SELECT set_config('lock_timeout', (setting::int / 2)::text, true) FROM pg_settings
            WHERE name = 'deadlock_timeout'"""
_PATIENCE = 600.0  # seconds: a large transaction that is being applied holds its locks for as long as it takes


@dataclass
class Builder:
    """Connections and threads for as many units at a time as ``jobs``."""

    connect: Callable[[], Any]
    login: Login
    jobs: int = 1
    waits: Sequence[float] = FK_WAITS
    patience: float = _PATIENCE
    polite: bool = True  # False: nothing is applied meanwhile; who waits for a lock makes autovacuum give way
    failures: list[tuple[Unit, Exception]] = field(default_factory=list)

    def build(self, units: Iterable[Unit]) -> None:
        """Create the units; those that others depend on first. Failures are collected, the rest goes on."""
        pending = {unit.entry.id: unit for unit in units}
        running: dict[Future[Exception | None], Unit] = {}
        unfinished = set(pending)
        with Pool(self.connect, self.jobs) as pool, ThreadPoolExecutor(self.jobs) as threads:
            while pending or running:
                for unit in self.ready(pending, list(running.values()), unfinished):
                    del pending[unit.entry.id]
                    running[threads.submit(self.create, pool, unit)] = unit
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    unit = running.pop(future)
                    unfinished.discard(unit.entry.id)
                    if exc := future.result():
                        self.failures.append((unit, exc))
                        unfinished -= drop_dependents(pending, unit.entry.id)

    def ready(self, pending: dict[int, Unit], running: list[Unit], unfinished: set[int]) -> list[Unit]:
        """What can start now: nothing it depends on is unfinished, nobody works on the same table."""
        chosen: list[Unit] = []
        for unit in pending.values():
            if len(running) + len(chosen) >= self.jobs:
                break
            if unfinished.isdisjoint(unit.entry.depends) and not any(_conflict(unit, u) for u in (*running, *chosen)):
                chosen.append(unit)
        return chosen or ([] if running else list(pending.values())[:1])  # a circle: let PostgreSQL judge it

    def create(self, pool: Pool, unit: Unit) -> Exception | None:
        """Create one unit with a connection of the pool; returns what went wrong."""
        waits, tries, until = list(self.waits), 0, time.monotonic() + self.patience
        while True:
            try:
                with pool.connection() as conn, conn.transaction():
                    if self.polite:
                        conn.execute(_YIELD)
                    for entry in unit.entries:
                        run(conn, entry)
                return None
            except driver().Error as exc:
                if exc.sqlstate in _NOT_NOW and time.monotonic() < until:
                    tries += 1
                    time.sleep(min(0.05 * tries, 1.0))
                elif exc.sqlstate == _FK_VIOLATION and waits:
                    time.sleep(waits.pop(0))
                else:
                    return exc
            except CrossoverError as exc:  # a connection could not be opened
                return exc

    def error(self, explain: Callable[[Unit, Exception], str | None] = lambda _u, _e: None) -> CrossoverError:
        """The failures as one error; ``explain`` may add to one of them."""
        unit, exc = self.failures[0]
        more = f" ({len(self.failures) - 1} more in errors)" if len(self.failures) > 1 else ""
        told = [(u, e, explain(u, e)) for u, e in self.failures]
        return sql_error(
            exc,
            self.login,
            f"{unit.object} could not be created{more}",
            code="orphans" if getattr(exc, "sqlstate", None) == _FK_VIOLATION else "restore_failed",
            object=str(unit.object),
            untouched="what was created stays, and the next run goes on from there",
            hint=told[0][2] or hint(exc),
            data={"errors": [f"{u.object}: {' '.join(str(e).split())}{f'; {x}' if x else ''}" for u, e, x in told]},
        )


def _conflict(one: Unit, other: Unit) -> bool:
    """Indexes of one table can be built side by side; all else wants a table for itself. Partitions are not in an
    entry's dependencies: what is left of deadlocks is tried again."""
    if one.entry.type == other.entry.type == "INDEX":
        return False
    return not set(one.entry.depends).isdisjoint(other.entry.depends)


def drop_dependents(pending: dict[int, Unit], failed: int) -> set[int]:
    """What depends on something that failed would fail too, and only hide the reason."""
    lost = {failed}
    while found := [i for i, unit in pending.items() if lost.intersection(unit.entry.depends)]:
        for i in found:
            lost.add(i)
            del pending[i]
    return lost


class Pool:
    """At most ``size`` connections, opened when they are needed, replaced when they break."""

    def __init__(self, connect: Callable[[], Any], size: int) -> None:
        self._connect = connect
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        for _unused in range(size):
            self._idle.put(None)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_unused: object) -> None:
        while not self._idle.empty():
            conn = self._idle.get()
            if conn is not None:
                conn.close()

    def connection(self) -> _Lent:
        return _Lent(self)

    def take(self) -> Any:
        conn = self._idle.get()
        try:
            return conn if conn is not None and not conn.closed else self._connect()
        except BaseException:
            self._idle.put(None)
            raise

    def give(self, conn: Any) -> None:
        self._idle.put(conn)


class _Lent:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._conn: Any = None

    def __enter__(self) -> Any:
        self._conn = self._pool.take()
        return self._conn

    def __exit__(self, *_unused: object) -> None:
        self._pool.give(self._conn)


_FOREIGN_KEY = """
SELECT quote_ident(cn.nspname) || '.' || quote_ident(c.relname) AS child,
       quote_ident(pn.nspname) || '.' || quote_ident(p.relname) AS parent,
       (SELECT array_agg(quote_ident(a.attname) ORDER BY k.n) FROM unnest(x.conkey) WITH ORDINALITY AS k(num, n)
        JOIN pg_attribute a ON a.attrelid = x.conrelid AND a.attnum = k.num) AS columns,
       (SELECT array_agg(quote_ident(a.attname) ORDER BY k.n) FROM unnest(x.confkey) WITH ORDINALITY AS k(num, n)
        JOIN pg_attribute a ON a.attrelid = x.confrelid AND a.attnum = k.num) AS referred
FROM pg_constraint x
JOIN pg_class c ON c.oid = x.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_class p ON p.oid = x.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE x.oid = %s AND x.contype = 'f'
"""


def orphans(source: Any, node: Any, unit: Unit) -> str | None:
    """How many rows of the node refer to nothing, and some of them, for a foreign key that could not be created."""
    key = source.execute(_FOREIGN_KEY, [unit.entry.address[1]]).fetchone()
    if key is None:
        return None
    child, referred = [f"c.{name}" for name in key["columns"]], [f"p.{name}" for name in key["referred"]]
    condition = " AND ".join(f"{name} IS NOT NULL" for name in child)
    match = " AND ".join(f"{r} = {c}" for c, r in zip(child, referred, strict=True))
    rows = node.execute(
        f"""SELECT count(*) OVER () AS n, concat_ws(', ', {", ".join(child)}) AS key
            FROM {key["child"]} c WHERE {condition} AND NOT EXISTS (SELECT FROM {key["parent"]} p WHERE {match})
            LIMIT 5"""
    ).fetchall()
    if not rows:
        return "no such row is left now: run again"
    some = "; ".join(f"({row['key']})" for row in rows)
    columns = ", ".join(key["columns"])
    return (
        f"{rows[0]['n']} row(s) of {key['child']} refer to nothing in {key['parent']}: {columns} = {some}; "
        "look for them on the source, and compare the two tables (crossover.pgedge.table_compare)"
    )
