# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run gates, show how each went, and count.

usage: run.py test | ci | GATE [ARGUMENT …]

One gate shows its output and takes arguments for its tool. ``test`` is all gates in two lanes, as the servers of the
tests and the static tools do not disturb each other; ``ci`` is the same, then the demo. Output goes to
build/logs/GATE.log; of a gate that failed the end is shown. The last line is the count: each test of pytest, and one
for each of the other gates.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import mesh
from gate import GATES, LOGS, Result, Running

LANES = [["unit", "integration", "molecule"], ["lint", "sanity", "docs-lint", "changelog-lint", "galaxy"]]
DEMO = [["demo", "demo-down"]]
DEADLINE = float(os.environ.get("GATES_DEADLINE", "3400"))  # seconds for everything together
TAIL = 60


def tell(result: Result) -> None:
    """How a gate went; of one that failed, the end of its log."""
    print(f"{result.word} {result.name} ({result.seconds:.0f} s)", flush=True)
    if result.word == "FAIL":
        tail = result.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
        print(
            *(f"  | {line}" for line in tail),
            f"  {result.name}: {result.why}; all of it: {result.log}",
            sep="\n",
            flush=True,
        )


def side_by_side(lanes: list[list[str]], until: float) -> list[Result]:
    """The lanes at the same time, within each one gate after the other."""
    results: list[Result] = []
    waiting = [list(names) for names in lanes]
    running: list[Running | None] = [None] * len(lanes)
    beat = time.monotonic()
    try:
        while any(waiting) or any(running):
            for i, gate in enumerate(running):
                if gate is None and waiting[i]:
                    running[i] = Running(waiting[i].pop(0), limit=until - time.monotonic())
                elif gate is not None and (result := gate.poll()):
                    running[i] = None
                    results.append(result)
                    tell(result)
            if time.monotonic() - beat > 60:
                beat = time.monotonic()
                print(
                    "... " + ", ".join(f"{gate.name} {beat - gate.start:.0f} s" for gate in running if gate), flush=True
                )
            time.sleep(0.1)
    finally:  # Ctrl-C, SIGTERM
        for gate in running:
            if gate:
                gate.end()
    order = [name for names in lanes for name in names]
    return sorted(results, key=lambda result: order.index(result.name))


def alone(name: str, arguments: list[str]) -> list[Result]:
    """One gate, with its output shown."""
    gate = Running(name, arguments, show=True)
    try:
        while not (result := gate.poll()):
            time.sleep(0.1)
    finally:
        gate.end()
    return [result]


def summary(results: list[Result]) -> bool:
    """The table and, alone on the last line, the count."""
    print("\ngate            seconds  result")
    for result in results:
        detail = result.why if result.word == "FAIL" else result.detail
        print(f"{result.name:15} {result.seconds:7.0f}  {result.word:5} {detail}".rstrip())
    if len(results) > 1:
        print(f"\n{mesh.said()}")
    passed, failed, skipped = (sum(result.count[i] for result in results) for i in range(3))
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return failed == 0


def interrupted(*_: object) -> None:
    """SIGTERM ends the gates as Ctrl-C does."""
    sys.exit(130)


def main() -> int:
    """0 if nothing failed."""
    if len(sys.argv) < 2 or sys.argv[1] not in {"test", "ci", *GATES}:
        sys.exit(f"{__doc__}\ngates: {', '.join(GATES)}")
    signal.signal(signal.SIGTERM, interrupted)
    LOGS.mkdir(parents=True, exist_ok=True)
    what, arguments = sys.argv[1], sys.argv[2:]
    until = time.monotonic() + DEADLINE
    if what in GATES:
        results = alone(what, arguments)
    else:
        results = side_by_side(LANES, until)
        if what == "ci":
            results += side_by_side(DEMO, until)
    return 0 if summary(results) else 1


if __name__ == "__main__":
    sys.exit(main())
