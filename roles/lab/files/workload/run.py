# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, run and stop the workload."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import psycopg

from .client import CONNECT, Auditor, Reader, Writer
from .journal import Journal, Run
from .mix import World

PROBES = 100.0  # a second


def run(out: Path, dsn: str, clients: int, rate: float, seconds: float | None) -> int:
    """Write until SIGTERM, or for some seconds."""
    out.mkdir(parents=True, exist_ok=True)
    if (out / "run.json").exists():
        raise SystemExit(f"{out} holds a run already: choose another directory")
    lock = _lock(out)
    if lock is None:
        raise SystemExit(f"a workload is running in {out}")
    (out / "pid").write_text(f"{os.getpid()}\n", encoding="utf-8")
    sys.setswitchinterval(0.001)  # many threads that do little each: the probes must not wait for their turn
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    with psycopg.connect(dsn, **CONNECT) as conn:
        world = World.of(conn.cursor())
        row = conn.execute("SELECT sum(balance)::bigint FROM shop.accounts").fetchone()
    assert row is not None
    run_id = secrets.token_hex(4)
    facts = {"run": run_id, "clients": clients, "rate": rate, "sum": row[0]}
    (out / "run.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
    recorded = Run(out)
    recorded.mark("started")

    writers = [
        Writer(n, run_id, dsn, rate / clients if n else PROBES, world, recorded.writer(n), stop)
        for n in range(clients + 1)
    ]
    reader = Reader(run_id, dsn, PROBES, writers[0], Journal(out / "reads.jsonl"), stop)
    threads: list[threading.Thread] = [*writers, reader, Auditor(dsn, Journal(out / "samples.jsonl"), stop)]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    recorded.mark("ended")
    lock.close()
    return 0


def start(out: Path, arguments: list[str], wait: float = 30.0) -> int:
    """Run detached; returns when the first write is acknowledged. What an earlier run left is kept under its id."""
    if running(out):
        return 0
    if (out / "run.json").exists():
        out.rename(out.with_name(f"{out.name}-{Run(out).facts()['run']}"))
    out.mkdir(parents=True, exist_ok=True)
    package = Path(__file__).resolve().parent
    with (out / "log").open("ab") as log:
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            [sys.executable, str(package), "run", *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if any(path.stat().st_size for path in out.glob("client-*.jsonl")):
            return 0
        time.sleep(0.05)
    process.terminate()
    said = (out / "log").read_text(encoding="utf-8").strip().splitlines()
    raise SystemExit(f"the workload did not start: {said[-1] if said else 'nothing was acknowledged'}")


def stop(out: Path, wait: float = 30.0) -> int:
    """End the workload, if it runs, and wait until it has."""
    if not running(out):
        return 0
    pid = int((out / "pid").read_text(encoding="utf-8"))
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + wait
    while running(out):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            raise SystemExit("the workload did not stop in time and was killed")
        time.sleep(0.05)
    return 0


def running(out: Path) -> bool:
    """Whether a workload holds the lock on this directory; a stale pid file says nothing."""
    if not (out / "pid").exists():
        return False
    lock = _lock(out)
    if lock is None:
        return True
    lock.close()
    return False


def _lock(out: Path) -> IO[str] | None:
    """The lock, until it is closed or the process ends; None if another process has it."""
    handle = (out / "lock").open("a", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle
