# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limit that bench-copy holds ours against: psql piped into psql, and the same indexes, with nothing around it.

No slot, no snapshot, no ledger, nothing to resume. Sessions are kept, and small tables share a pair of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from copy_data import DATABASE, in_parallel, run
from support.cluster import Cluster
from support.collection import collections_path

sys.path.insert(0, str(collections_path()))
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_copy_plan import part_size, plan, read
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_catalog import Scope

LOT = 32 << 20  # bytes of small tables that share a login
INDEXES = """
SELECT indrelid::int8 AS oid, indisprimary AS key, CASE WHEN indisprimary
          THEN format('ALTER TABLE %s ADD PRIMARY KEY (id)', indrelid::regclass)
          ELSE pg_get_indexdef(indexrelid) END AS sql
FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace
"""


def bare_copy(source: Cluster, node: Cluster, passfile: Path, jobs: int) -> float:
    """Everything over, with indexes and statistics; returns the seconds until the last row was there."""
    with source.connect(DATABASE) as there, node.connect(DATABASE) as here:
        found = read(there, here, Scope())
    parts = plan(found, part_size(sum(t.bytes for t in found), jobs))
    at = _Pool(source, node, passfile, {t.table.oid: t for t in found}, parts).run(jobs)
    names = [t.name for t in found]
    in_parallel(node, [f"ANALYZE {', '.join(names[n::jobs])}" for n in range(jobs)], jobs)
    return at


class _Pool:
    """Workers that copy, and build a table's key and then its other indexes once its last part is there."""

    def __init__(
        self, source: Cluster, node: Cluster, passfile: Path, tables: dict[int, Any], parts: list[Any]
    ) -> None:
        self.source, self.node, self.tables, self.parts = source, node, tables, parts
        self.env = {**os.environ, "PGPASSFILE": str(passfile), "PGHOST": "127.0.0.1", "PGUSER": "postgres"}
        self.indexes = run(source, INDEXES)
        self.missing = {oid: sum(p.table == oid for p in parts) for oid in tables}
        self.lock, self.mine, self.sessions = threading.Lock(), threading.local(), list[Any]()
        self.later: list[Any] = []

    def run(self, jobs: int) -> float:
        self.begun, self.at = time.monotonic(), 0.0
        with ThreadPoolExecutor(jobs) as self.threads:
            for future in [self.threads.submit(self._lot, parts) for parts in together(self.parts)]:
                future.result()
            for future in self.later:
                future.result()
        for conn in self.sessions:
            conn.close()
        return self.at

    def _lot(self, parts: list[Any]) -> None:
        self._pipe(parts)
        complete = []
        with self.lock:
            self.at = time.monotonic() - self.begun
            for part in parts:
                self.missing[part.table] -= 1
                complete += [] if self.missing[part.table] else [part.table]
        for oid in complete:
            mine = [row for row in self.indexes if row["oid"] == oid]
            for row in (r for r in mine if r["key"]):
                self._create(row["sql"])
            self.later.extend(self.threads.submit(self._create, r["sql"]) for r in mine if not r["key"])

    def _pipe(self, parts: list[Any]) -> None:
        """One psql reads these parts one after the other, one writes them."""
        psql = [str(self.node.bindir / "psql"), "-X", "-q", "-d", DATABASE, "-v", "ON_ERROR_STOP=1"]
        said: list[str] = []
        for part in parts:
            table = self.tables[part.table]
            reading = table.reading(part).replace("FORMAT binary", "FORMAT text")
            for command in (f"\\echo COPY {table.name} FROM STDIN;", reading, "\\echo '\\\\.'"):
                said += ["-c", command]
        with subprocess.Popen([*psql, "-p", str(self.source.port), *said], stdout=subprocess.PIPE, env=self.env) as out:
            subprocess.run([*psql, "-p", str(self.node.port)], stdin=out.stdout, env=self.env, check=True)
            if out.wait():
                raise subprocess.CalledProcessError(out.returncode, "psql")

    def _create(self, sql: str) -> None:
        if not hasattr(self.mine, "session"):
            self.mine.session = self.node.connect(DATABASE)
            self.sessions.append(self.mine.session)
        self.mine.session.execute(sql.encode())


def together(work: list[Any]) -> list[list[Any]]:
    """The parts in their order, those of small tables put together, so that none of them costs a login."""
    found: list[list[Any]] = []
    for part in work:
        if found and sum(p.bytes for p in found[-1]) + part.bytes <= LOT:
            found[-1].append(part)
        else:
            found.append([part])
    return found
