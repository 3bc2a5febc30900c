# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: a live database moves to the node and back while the application writes, and is measured from outside.

DEMO_SCALE (1.0: about a million rows), DEMO_CLIENTS and DEMO_RATE change size and load;
DEMO_ROUTE=libpq does without PgBouncer. DEMO_NODES=3 moves it onto a mesh of Spock nodes, and judges each of them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ansible_collections.crossover.pgedge.plugins.module_utils._migration_names import Names
from lab import TOP, Lab, Stopped, home
from measure import Seen
from summary import WRONG, missed, summary
from watch import Watch

NODES = int(os.environ.get("DEMO_NODES", "1"))
OUT = TOP / "build" / ("demo" if NODES == 1 else "demo-mesh")
VARIABLES = TOP / "demo" / "shop.yml"
SCALE = float(os.environ.get("DEMO_SCALE", "1.0"))
CLIENTS = os.environ.get("DEMO_CLIENTS", "6")
RATE = os.environ.get("DEMO_RATE", "300")
ROUTE = os.environ.get("DEMO_ROUTE", "auto")
WRITES = 3.0  # seconds of writes on either side before it is compared


class Demo:
    """One run, from nothing to the report."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.lab = Lab(home("demo"), OUT)
        self.watch = Watch("service=source", "service=target", Names.of("shop"), self.tell_phase)
        self.state: dict[str, Any] = {}
        self.nodes: dict[str, Any] = {}  # of a mesh, what the application's list says of each

    def tell(self, text: str) -> None:
        """A line with the time since the beginning."""
        print(f"{time.monotonic() - self.begun:6.1f} s  {text}", flush=True)

    def tell_phase(self, phase: dict[str, Any]) -> None:
        """A phase has ended."""
        failed = "" if phase["status"] == "done" else f"  {phase['status']}"
        self.tell(f"{phase['name']:<10} {phase['seconds']:5.1f} s{failed}")

    # -- the course ------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Everything; returns the report."""
        self.raise_lab()
        self.watch.start()
        self.lab.play("migrate", crossover_report_dir=str(OUT))
        self.switch("cutover", crossover_cutover="shop")
        self.lab.play("validate", crossover_validate_force=True)
        self.judge_nodes()
        self.switch("rollback")
        self.lab.play("validate", crossover_validate_force=True)
        self.lab.workload("stop")
        self.watch.stop()
        return self.report()

    def raise_lab(self) -> None:
        """A new lab each time: what an earlier run has left is taken down first."""
        if self.lab.down():
            self.tell("the lab of an earlier run is gone")
        more = {} if NODES == 1 else {"crossover_lab_nodes": NODES}
        self.state = self.lab.up(SCALE, crossover_lab_route=ROUTE, **more)
        source, node = self.state["source"], self.state["target"]
        self.tell(f"lab up: PostgreSQL {source['full']}, port {source['port']}; {node['full']}, port {node['port']}")
        if NODES > 1:
            self.tell("nodes with Spock on ports " + ", ".join(map(str, self.state["nodes"].values())))
        self.lab.describe(VARIABLES)
        self.lab.workload("start", "--dsn", "service=app", "--clients", CLIENTS, "--rate", RATE)
        self.tell(f"{CLIENTS} clients write, {RATE} transactions a second, by {self.route}")

    def switch(self, phase: str, **variables: Any) -> None:
        """Cutover or rollback, between two marks in the application's own list."""
        self.lab.workload("mark", f"{phase} begins")
        self.lab.play(phase, **variables)
        time.sleep(WRITES)
        self.lab.workload("mark", f"{phase} over")

    def judge_nodes(self) -> None:
        """Of a mesh: has every node what the application was told is done?"""
        if NODES == 1:
            return
        services = {name: f"service={name}" for name in self.state["nodes"]}
        args = [arg for dsn in services.values() for arg in ("--dsn-node", dsn)]
        found = self.lab.judged("--dsn-new", "service=target", *args)["nodes"]
        self.nodes = {name: found[dsn] for name, dsn in services.items()}
        for name, verdict in self.nodes.items():
            self.tell(f"{name}: {verdict['ok']} acknowledged, " + ", ".join(f"{verdict[key]} {key}" for key in WRONG))

    # -- what came of it -------------------------------------------------------------------------------------------

    @property
    def route(self) -> str:
        """In words."""
        if self.state["route"] == "pgbouncer":
            return f"PgBouncer on port {self.state['pooler']['port']}"
        why = "" if ROUTE == "libpq" else "; there is no PgBouncer"
        return f"libpq (target_session_attrs=read-write{why})"

    def report(self) -> dict[str, Any]:
        """Measured from outside, then laid over what the ledger says."""
        measured = OUT / "measured.json"
        measured.write_text(json.dumps(self.measured()), encoding="utf-8")
        self.lab.play("report", crossover_report_dir=str(OUT), crossover_report_basename="report",
                      crossover_report_measured=str(measured))  # fmt: skip
        report: dict[str, Any] = json.loads((OUT / "report.json").read_text(encoding="utf-8"))
        return report

    def measured(self) -> dict[str, Any]:
        """What the application and an onlooker saw."""
        seen = Seen(self.lab.workload_out)
        verdict = self.lab.judged("--dsn-new", "service=source")
        phases = self.watch.phases
        return {
            "route": self.route,
            "versions": {"source": self.state["source"]["full"], "node": self.state["target"]["full"]},
            "phases": phases,
            "acknowledged": {key: verdict["acknowledged"][key] for key in ("ok", *WRONG)},
            "sum": verdict["sum"],
            "cutover": seen.switch("cutover begins", "cutover over"),
            "rollback": seen.switch("rollback begins", "rollback over"),
            "compare": compared([phase for phase in phases if phase["name"] == "validate"]),
            **({"nodes": self.nodes} if NODES > 1 else {}),
            "writes": seen.course(),
            "lag": self.watch.lag,
            "environment": {
                "clients": f"{CLIENTS}, {RATE} transactions a second in all",
                "failed transactions, all phases": seen.failed(),
                "rows scaled by": SCALE,
                "cores": os.cpu_count(),
                "python": sys.version.split()[0],
                "took": f"{time.monotonic() - self.begun:.0f} s",
            },
        }


def compared(phases: list[dict[str, Any]]) -> dict[str, Any]:
    """Every validation, and all of them in three figures."""
    when = ("before the cutover", "on the node", "back on the source")
    if len(phases) != len(when):
        raise Stopped(f"{len(phases)} validations were seen, expected were {len(when)}.")
    runs = [{"when": name, "seconds": phase["seconds"], **phase["summary"]} for name, phase in zip(when, phases)]
    last = runs[-1]
    return {**last, "differences": sum(run["differences"] for run in runs), "runs": runs}


def main() -> int:
    """Entry point."""
    demo = Demo()
    try:
        report = demo.run()
    except Stopped as exc:
        print(f"\nThe demo stopped: {exc}\nThe lab is up as it was then; make demo-down removes it.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. make demo-down removes what was started.", file=sys.stderr)
        return 130
    print("\n".join(["", *summary(report, demo.state, demo.lab, Path(os.path.relpath(OUT)))]))
    if wrong := missed(report, demo.state["route"]):
        print(f"\nNot as it should be: {'; '.join(wrong)}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
