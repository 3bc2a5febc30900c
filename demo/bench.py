# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""N switches under load by the playbooks cutover and rollback in turn, as the application saw them.

RATE (300 transactions a second; 0: as many as they can), CLIENTS (8) and SCALE (0.02: about 20 000 rows) change it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Sequence

import psycopg
from lab import TOP, Lab, Stopped, home
from measure import Seen

OUT = TOP / "build" / "bench"
RATE, CLIENTS, SCALE = (os.environ.get(*default) for default in (("RATE", "300"), ("CLIENTS", "8"), ("SCALE", "0.02")))
REST = 1.0  # seconds of writes before and after each switch
DAY = 86400  # how old the one validation may become while the switches go on


def distribution(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 (the smallest value that 95 % are not above) and the maximum."""
    ranked = sorted(values)
    return {
        "p50": round(statistics.median(ranked), 1),
        "p95": ranked[-(-95 * len(ranked) // 100) - 1],
        "max": ranked[-1],
    }


def inside(direction: str) -> dict[str, Any]:
    """What the module itself recorded of the last switch: beside what was measured, never instead of it."""
    with psycopg.connect("service=target") as conn:
        row = conn.execute("SELECT value FROM crossover.fact WHERE key = %s", [f"switch.{direction}"]).fetchone()
    assert row is not None
    held = {step["name"]: step["ms"] for step in row[0]["steps"] if step["held"]}
    return {"hold_ms": round(row[0]["hold_ms"], 1), "held_steps_ms": held}


def machine() -> dict[str, Any]:
    """Where it was measured."""
    cpu = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) // 2**20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "cores": os.cpu_count(),
        "cpu": cpu[0] if cpu else platform.processor(),
        "memory_gib": memory[0] if memory else None,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def bench(count: int) -> dict[str, Any]:
    """All of it; the lab is taken down at the end, whatever happened."""
    lab = Lab(home("bench"), OUT)
    lab.down()
    try:
        return _bench(lab, count)
    finally:
        lab.down()


def _bench(lab: Lab, count: int) -> dict[str, Any]:
    state = lab.up(float(SCALE or 0))
    lab.describe(TOP / "demo" / "shop.yml")
    lab.workload("start", "--dsn", "service=app", "--clients", str(CLIENTS), "--rate", str(RATE))
    for phase in ("assess", "prepare", "replicate", "validate"):
        lab.play(phase)
    runs: list[dict[str, Any]] = []
    for number in range(count):
        phase, direction = (("cutover", "forward"), ("rollback", "back"))[number % 2]
        if number and phase == "cutover":
            lab.play("validate")  # a comparison from before the last switch does not count
        lab.workload("mark", f"{number} begins")
        time.sleep(REST)
        seconds = lab.play(phase, crossover_cutover="shop", crossover_validate_max_age=DAY)
        time.sleep(REST)
        lab.workload("mark", f"{number} over")
        runs.append({"direction": direction, "play_seconds": round(seconds, 1), **inside(direction)})
        print(f"  {number + 1:>3} {direction}", flush=True)
    lab.workload("stop")
    verdict = lab.judged("--dsn-new", f"service={'target' if count % 2 else 'source'}")["acknowledged"]
    seen = Seen(lab.workload_out)
    keys = ("write_pause_ms", "read_pause_ms", "failed_transactions")
    for number, run in enumerate(runs):
        found = seen.switch(f"{number} begins", f"{number} over")
        run.update({key: found[key] for key in keys})
    return {
        "write_pause_ms": distribution([run["write_pause_ms"] for run in runs]),
        "read_pause_ms": distribution([run["read_pause_ms"] for run in runs]),
        "failed_transactions": sum(run["failed_transactions"] for run in runs),
        **{key: verdict[key] for key in ("lost", "duplicated", "phantom", "ok")},
        "n": count,
        "route": state["route"],
        "load": {"rate": float(RATE or 0), "clients": int(CLIENTS or 0), "scale": float(SCALE or 0)},
        "versions": {"source": state["source"]["full"], "node": state["target"]["full"]},
        "machine": machine(),
        "command": f"RATE={RATE} CLIENTS={CLIENTS} SCALE={SCALE} make bench-cutover N={count}",
        "runs": runs,
    }


def shown(found: dict[str, Any]) -> list[str]:
    """The table for people."""
    lines = [f"{found['n']} switches, there and back in turn, {found['route']}; {found['command']}", ""]
    lines.append(f"{'':<16}{'p50':>9}{'p95':>9}{'max':>9}")
    for key, name in (("write_pause_ms", "write pause, ms"), ("read_pause_ms", "read pause, ms")):
        lines.append(f"{name:<16}" + "".join(f"{found[key][p]:>9.1f}" for p in ("p50", "p95", "max")))
    said = ", ".join(f"{found[key]} {key}" for key in ("lost", "duplicated", "phantom"))
    return [*lines, "", f"{found['failed_transactions']} failed transactions; {found['ok']} acknowledged: {said}"]


def main() -> int:
    """Entry point."""
    if len(sys.argv) != 2 or not sys.argv[1].isdigit() or int(sys.argv[1]) < 1:
        print("usage: demo/bench-cutover N (how many switches)", file=sys.stderr)
        return 2
    try:
        found = bench(int(sys.argv[1]))
    except Stopped as exc:
        print(f"The benchmark stopped: {exc}", file=sys.stderr)
        return 1
    (OUT / "cutover.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join(["", *shown(found), f"written to {OUT / 'cutover.json'}"]))
    wrong = found["lost"] or found["duplicated"] or found["phantom"]
    return 1 if wrong or (found["failed_transactions"] and found["route"] == "pgbouncer") else 0


if __name__ == "__main__":
    sys.exit(main())
