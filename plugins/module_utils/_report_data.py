# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's data: what the ledger knows, and over it what was measured from outside (private to the collection)."""

from __future__ import annotations

import datetime
import re
from typing import Any, Mapping

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d+))?([+-]\d\d)(?::?(\d\d))?")


def epoch(text: str | None) -> float | None:
    """PostgreSQL's timestamptz as text -> seconds since 1970."""
    found = _MOMENT.match(text or "")
    if not found:
        return None
    day, clock, fraction, hours, minutes = found.groups()
    moment = datetime.datetime.fromisoformat(f"{day}T{clock}{hours}:{minutes or '00'}")
    return moment.timestamp() + float(f"0.{fraction or 0}")


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` laid over ``below``: dicts are merged key by key, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = overlay(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return merged


def phases(ledger: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every phase in the order of its last run."""
    return [
        {
            "name": name,
            "status": phase["status"],
            "seconds": round(phase.get("seconds") or 0, 3),
            "begun": epoch(phase.get("started_at")),
            "summary": phase.get("summary") or {},
        }
        for name, phase in ledger["phases"].items()
    ]


def switch(ledger: Mapping[str, Any], phase: str, direction: str) -> dict[str, Any] | None:
    """The last switch in a direction: its steps, and the moment (ledger's clock) that their ``at_ms`` count from."""
    fact = ledger["facts"].get(f"switch.{direction}")
    if not fact:
        return None
    recorded = [s for s in ledger["steps"] if s["phase"] == phase]
    runs = [s["run"] for s in recorded if s["step"] == "commit" and s["status"] == "done"]
    at = {s["step"]: epoch(s["at"]) for s in recorded if runs and s["run"] == runs[-1] and s["status"] == "started"}
    # a step is recorded a moment after it was timed: the smallest of the differences is the nearest to the truth
    zeros = [moment - step["at_ms"] / 1000 for step in fact["steps"] if (moment := at.get(step["name"])) is not None]
    return {"hold_ms": fact["hold_ms"], "steps": fact["steps"], "begun": min(zeros, default=None)}


def from_ledger(ledger: Mapping[str, Any]) -> dict[str, Any]:
    """What migration_info returned, with its steps, as the report's data."""
    summaries = {name: phase.get("summary") or {} for name, phase in ledger["phases"].items()}
    facts = ledger["facts"]
    report: dict[str, Any] = {
        "phases": phases(ledger),
        "cutover": switch(ledger, "cutover", "forward"),
        "rollback": switch(ledger, "rollback", "back"),
        "waived": [f for f in facts.get("assess.findings") or [] if f.get("waived")],
    }
    if copied := summaries.get("replicate"):
        report["copy"] = {key: copied.get(key, 0) for key in ("bytes", "rows", "seconds", "tables")}
    if compared := summaries.get("validate"):
        report["compare"] = {key: compared.get(key, 0) for key in ("tables", "rows", "differences")}
    if measured := summaries.get("benchmark"):
        report["benchmark"] = measured
    return {key: value for key, value in report.items() if value}


def build(name: str, generated_at: str, ledger: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The report: ``measured`` wins over the ledger."""
    known = from_ledger(ledger) if ledger.get("exists") else {}
    return {"name": name, "generated_at": generated_at, **overlay(known, measured)}


def figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report without its series and lists: what one would tell on the telephone."""
    plain: dict[str, Any] = {}
    for key, value in report.items():
        if isinstance(value, Mapping):
            plain[key] = {k: v for k, v in value.items() if isinstance(v, (str, int, float, bool))}
        elif isinstance(value, (str, int, float, bool)):
            plain[key] = value
    return plain
