# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The initial copy, from an empty database to in sync with indexes and statistics: ours against three others.

SIZE (5GB), JOBS (the cores, at least 2), ONLY (names of contestants, with commas) change it. Two servers of their own,
with the same settings for all, are raised for it and taken down afterwards.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "demo")]

from bench import machine
from copy_data import DATABASE, described, make, run, sizes
from copy_limit import bare_copy
from support.cluster import Cluster, wheel_bindir
from support.collection import collections_path, module_result, start_module

sys.path.insert(0, str(collections_path()))
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_copy_plan import part_size
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_ledger import Ledger

OUT = TOP / "build" / "bench"
JOBS = int(os.environ.get("JOBS") or max(2, os.cpu_count() or 2))
SETTINGS = {
    "shared_buffers": "512MB", "maintenance_work_mem": "256MB", "max_wal_size": "8GB", "checkpoint_timeout": "15min",
    "max_sync_workers_per_subscription": str(JOBS),
}  # fmt: skip
LOT = 32 << 20  # bytes


class Stopped(Exception):
    """Why it cannot be measured."""


def size_of(text: str) -> int:
    """5GB, 300MB."""
    found = re.fullmatch(r"(\d+)\s*([KMGT])I?B?", text.upper())
    if not found:
        raise Stopped(f"SIZE is {text!r}: write it as 5GB or 300MB")
    return int(found[1]) << {"K": 10, "M": 20, "G": 30, "T": 40}[found[2]]


class Memory:
    """The most that a process and what it has started held at a time, by their share of each page (PSS)."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak, self._end = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._end.wait(0.2):
            self.peak = max(self.peak, sum(map(_held, _family(self.pid))))

    def stop(self) -> int:
        """Bytes."""
        self._end.set()
        self._thread.join()
        return self.peak


def _family(pid: int) -> list[int]:
    """The process, what its threads have started, and the holder of the snapshot, which has left the family."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, _text(task).split())
    command = _text(Path(f"/proc/{pid}/cmdline"))
    orphans = [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cmdline") if command and _text(p) == command]
    return list({*found, *orphans})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # it has ended


def _held(pid: int) -> int:
    return sum(int(kib) << 10 for kib in re.findall(r"^Pss: +(\d+)", _text(Path(f"/proc/{pid}/smaps_rollup")), re.M))


class Bench:
    """Two servers and the contestants."""

    def __init__(self, source: Cluster, node: Cluster) -> None:
        self.source, self.node = source, node
        self.logins = {**node.login(DATABASE, superuser=True), "source": source.login(DATABASE, superuser=True)}

    def fresh(self) -> None:
        """Nothing of an earlier contestant is left."""
        if self.node.sql("SELECT FROM pg_database WHERE datname = %s", [DATABASE]):
            for row in run(self.node, "SELECT subname FROM pg_subscription"):
                run(self.node, f"ALTER SUBSCRIPTION {row['subname']} DISABLE")
                run(self.node, f"DROP SUBSCRIPTION {row['subname']}")
            self.node.sql(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        run(self.source, "DROP PUBLICATION IF EXISTS bench")
        for row in self.source.sql("SELECT slot_name FROM pg_replication_slots WHERE NOT active"):
            self.source.sql("SELECT pg_drop_replication_slot(%s)", [row["slot_name"]])
        self.node.sql(f"CREATE DATABASE {DATABASE}")
        for side in (self.source, self.node):
            side.sql("CHECKPOINT")

    def module(self, name: str, **args: Any) -> tuple[dict[str, Any], int]:
        """Run a module as Ansible does; its result, and the most memory it held."""
        process = start_module(name, {**self.logins, **args})
        memory = Memory(process.pid)
        out, err = process.communicate()
        peak = memory.stop()
        result = module_result(name, out, err)
        if result["failed"]:
            raise Stopped(f"{name}: {result['msg']}")
        return result, peak

    def schema(self, *parts: str, jobs: int = 1) -> None:
        """Ours, for all who do not carry a schema themselves."""
        with self.node.connect(DATABASE) as conn:
            Ledger(conn, DATABASE).create()
        self.module("schema_sync", parts=list(parts), jobs=jobs)

    def subscribe(self, **options: str) -> None:
        """CREATE SUBSCRIPTION with these options."""
        login = self.source.login(DATABASE, superuser=True)
        text = (
            f"host={login['login_host']} port={login['login_port']} dbname={DATABASE} user={login['login_user']} "
            f"password={login['login_password']}"
        )
        listed = ", ".join(f"{key} = {value}" for key, value in options.items())
        run(self.node, f"CREATE SUBSCRIPTION bench CONNECTION '{text}' PUBLICATION bench WITH ({listed})")

    def in_sync(self) -> None:
        """Every table is ready, and a row that is changed now on the source arrives."""
        word = f"canary {time.monotonic_ns()}"
        run(self.source, f"UPDATE small_0 SET name = '{word}' WHERE id = 1")
        look = f"""SELECT EXISTS (SELECT FROM small_0 WHERE id = 1 AND name = '{word}')
                   AND NOT EXISTS (SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r') AS there"""
        with self.node.connect(DATABASE) as node:
            while not node.execute(look.encode()).fetchall()[0]["there"]:
                time.sleep(0.1)

    # -- the contestants -----------------------------------------------------------------------------------------------

    def ours(self) -> dict[str, Any]:
        """Schema, table_copy, subscription."""
        self.schema("roles", "pre_data")
        run(self.source, "CREATE PUBLICATION bench FOR ALL TABLES")
        result, peak = self.module("table_copy", slot="bench", subscription="bench", jobs=JOBS)
        self.subscribe(create_slot="false", copy_data="false", slot_name="bench")
        self.in_sync()
        keys = ("copy_seconds", "index_seconds", "seconds", "parts")
        return {"runner_memory_mib": round(peak / (1 << 20)), **{key: result["summary"][key] for key in keys}}

    def tablesync(self) -> dict[str, Any]:
        """PostgreSQL's own: a schema with its indexes, then the subscription copies."""
        self.schema("roles", "pre_data", "keys", "post_data")
        run(self.source, "CREATE PUBLICATION bench FOR ALL TABLES")
        self.subscribe(slot_name="bench")
        self.in_sync()
        run(self.node, "ANALYZE")
        return {}

    def pgcopydb(self) -> dict[str, Any]:
        """``pgcopydb clone``, as many jobs for tables and as many for indexes, large tables split as ours are."""
        if not shutil.which("pgcopydb"):
            raise Stopped("pgcopydb is not installed (Debian: apt install pgcopydb)")
        part = part_size(sizes(self.source)["tables"], JOBS)
        base = Path(tempfile.mkdtemp(prefix="cx-pgcopydb-"))
        try:
            environment = {**os.environ, "PATH": f"{self.node.bindir}{os.pathsep}{os.environ['PATH']}"}
            environment["PGPASSFILE"] = str(self.passfile(base))
            command = ["pgcopydb", "clone", "--dir", str(base / "work"), "--table-jobs", str(JOBS)]
            command += ["--index-jobs", str(JOBS), "--split-tables-larger-than", str(part)]
            for option, side in (("--source", self.source), ("--target", self.node)):
                command += [option, f"postgres://postgres@127.0.0.1:{side.port}/{DATABASE}"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Stopped("pgcopydb failed: " + " ".join(done.stderr.splitlines()[-3:]))
        finally:
            shutil.rmtree(base, ignore_errors=True)
        version = subprocess.run(["pgcopydb", "--version"], capture_output=True, text=True, check=False).stdout
        return {"version": version.splitlines()[0].split()[-1] if version else ""}

    def limit(self) -> dict[str, Any]:
        """A bare COPY | COPY by psql, in the same pieces, as many at a time; the same indexes; then ANALYZE."""
        self.schema("roles", "pre_data")
        base = Path(tempfile.mkdtemp(prefix="cx-limit-"))
        try:
            return {"copy_seconds": round(bare_copy(self.source, self.node, self.passfile(base), JOBS), 2)}
        except subprocess.CalledProcessError as exc:
            raise Stopped("psql failed") from exc
        finally:
            shutil.rmtree(base, ignore_errors=True)

    def passfile(self, base: Path) -> Path:
        path = base / "pgpass"
        path.touch(0o600)
        path.write_text("".join(f"*:{s.port}:*:postgres:{s.password}\n" for s in (self.source, self.node)))
        return path


def measured(bench: Bench, name: str, expected: dict[str, Any]) -> dict[str, Any]:
    """One contestant, and whether everything is there."""
    bench.fresh()
    contestant: Callable[[], dict[str, Any]] = getattr(bench, name)
    begun = time.monotonic()
    try:
        more = contestant()
    except Stopped as exc:
        return {"seconds": None, "why": str(exc)}
    total = time.monotonic() - begun
    found = described(bench.node)
    if found != expected:
        raise Stopped(f"{name} left something else than the source has: {found}, not {expected}")
    details = {f"inner_{key}" if key == "seconds" else key: value for key, value in more.items()}
    return {"seconds": round(total, 2), **details}


def bench_all(size: int) -> dict[str, Any]:
    """All of it; the servers are taken down at the end, whatever happened."""
    wanted = (os.environ.get("ONLY") or "ours,limit,pgcopydb,tablesync").split(",")
    source = Cluster(os.environ.get("CROSSOVER_TEST_SOURCE_BIN") or wheel_bindir(16), settings=SETTINGS)
    node = Cluster(os.environ.get("CROSSOVER_TEST_TARGET_BIN") or wheel_bindir(18), node=True, settings=SETTINGS)
    try:
        source.create()
        node.create()
        print(f"making a database of {size / (1 << 20):.0f} MiB", flush=True)
        expected = make(source, size, JOBS)
        bench, results = Bench(source, node), {}
        for name in wanted:
            results[name] = measured(bench, name, expected)
            print(f"  {name:<10} {results[name]}", flush=True)
        version = "SELECT current_setting('server_version') AS v"
        return {
            "results": results,
            "ratios": ratios(results),
            "database": {**sizes(source), **expected},
            "jobs": JOBS,
            "settings": SETTINGS,
            "versions": {"source": source.sql(version)[0]["v"], "node": node.sql(version)[0]["v"]},
            "machine": machine(),
            "load_before": os.getloadavg()[0],
            "command": f"make bench-copy SIZE={os.environ.get('SIZE') or '5GB'} JOBS={JOBS}",
        }
    finally:
        node.remove()
        source.remove()


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """How many times as long as ours each of the others took; the limit the other way round."""
    seconds = {name: found["seconds"] for name, found in results.items() if found["seconds"]}
    if "ours" not in seconds:
        return {}
    found = {f"{name}_over_ours": round(s / seconds["ours"], 2) for name, s in seconds.items() if name != "ours"}
    if "limit" in seconds:
        found["ours_over_limit"] = round(seconds["ours"] / seconds["limit"], 2)
    return found


def main() -> int:
    """Entry point."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the servers are taken down then, too
    OUT.mkdir(parents=True, exist_ok=True)
    try:
        found = bench_all(size_of(os.environ.get("SIZE") or "5GB"))
    except Stopped as exc:
        print(f"The benchmark stopped: {exc}", file=sys.stderr)
        return 1
    (OUT / "copy.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found["ratios"]), f"written to {OUT / 'copy.json'}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
