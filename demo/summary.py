# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo prints at its end, and whether it may end well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab import Lab

PAUSE_MS = 500.0
WRONG = ("lost", "duplicated", "phantom", "incomplete")  # incomplete: half a transaction is there


def missed(report: dict[str, Any], route: str) -> list[str]:
    """The targets that were not met. A demo in which nothing was written or compared has met none."""
    done, compare = report["acknowledged"], report["compare"]
    wrong = [f"{done[key]} {key}" for key in WRONG if done[key]]
    if not done["ok"]:
        wrong.append("no write was acknowledged")
    if not all(run["tables"] and run["rows"] for run in compare["runs"]):
        wrong.append("a comparison compared nothing")
    if not report["sum"]["constant"]:
        wrong.append(f"the sum of all balances is {report['sum']['found']} and was {report['sum']['expected']}")
    if compare["differences"]:
        wrong.append(f"{compare['differences']} differences")
    for name, verdict in report.get("nodes", {}).items():
        wrong += [f"{verdict[key]} {key} on {name}" for key in WRONG if verdict[key]]
        wrong += [] if verdict["sum"]["constant"] else [f"the sum of all balances is another one on {name}"]
    for name in ("cutover", "rollback"):
        seen = report[name]
        if seen["failed_transactions"] and route == "pgbouncer":
            wrong.append(f"{seen['failed_transactions']} failed transactions in the {name}")
        if seen["write_pause_ms"] >= PAUSE_MS:
            wrong.append(f"the {name}'s write pause of {seen['write_pause_ms']:.0f} ms is not under {PAUSE_MS:.0f} ms")
    return wrong


def nodes(report: dict[str, Any]) -> list[str]:
    """Of a mesh, a line."""
    found = report.get("nodes", {})
    if not found:
        return []
    wrong = ", ".join(f"{sum(verdict[key] for verdict in found.values())} {key}" for key in WRONG)
    return [f"nodes     {len(found)}, each judged after the cutover: {wrong}"]


def number(value: int) -> str:
    """1 234 567"""
    return f"{value:,}".replace(",", " ")


def summary(report: dict[str, Any], state: dict[str, Any], lab: Lab, out: Path) -> list[str]:
    """At most 20 lines of at most 80 columns."""
    copy, done, compare = report["copy"], report["acknowledged"], report["compare"]
    source, node = state["source"], state["target"]
    size = f"{copy['bytes'] / 2**20:.0f} MiB in {copy['seconds']:.1f} s"
    wrong = ", ".join(f"{done[key]} {key}" for key in WRONG)
    times = f"{len(compare['runs'])} times under load: {compare['differences']} differences"
    lines = [f"moved     {number(copy['rows'])} rows, {size}, PostgreSQL {source['full']} to {node['full']}, and back"]
    for name in ("cutover", "rollback"):
        seen = report[name]
        pauses = f"{seen['write_pause_ms']:.0f} ms without a write, {seen['read_pause_ms']:.0f} ms without a read"
        lines.append(f"{name:<9} {pauses}, {seen['failed_transactions']} failed")
    lines += [
        f"writes    {number(done['ok'])} acknowledged: {wrong}",
        f"compared  {number(compare['rows'])} rows of {compare['tables']} tables, {times}",
        *nodes(report),
        "",
        f"report    {out}/report.html, {out}/report.json",
        f"look      . build/env.sh; . {lab.base}/env.sh",
        "          ansible-playbook crossover.pgedge.status",
        f"          psql service=source           # PostgreSQL {source['full']}, port {source['port']}",
        f"          psql service=target           # PostgreSQL {node['full']}, port {node['port']}",
    ]
    if state["route"] == "pgbouncer":
        lines.append(f"          psql service=app              # through PgBouncer, port {state['pooler']['port']}")
    return [*lines, "end       make demo-down"]
