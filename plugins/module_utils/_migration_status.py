# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a migration stands, and what to type next (private to the collection). Pure functions."""

from __future__ import annotations

from typing import Any, Mapping

from ._migration_control import Control
from ._migration_gates import BEFORE, PHASES

_MARK = {"done": "done", "failed": "FAILED", "running": "running"}


def next_step(phases: Mapping[str, Any], control: Control | None, database: str) -> str:
    """One sentence: what the operator would do now. ``database`` is the source's, which the cutover wants repeated."""
    if not phases and control is not None and control.switched:  # the ledger goes last
        return "nothing: it is finished, and the old source's fence was kept (DROP SCHEMA crossover CASCADE lifts it)"
    if not phases:
        return "ansible-playbook crossover.pgedge.assess"
    failed = [name for name, phase in phases.items() if phase["status"] == "failed"]
    if control is not None and control.switched:
        if phases.get("cutover", {}).get("status") != "done":
            return "ansible-playbook crossover.pgedge.cutover (it goes forward from the point of no return)"
        return "crossover.pgedge.finish closes the way back; crossover.pgedge.rollback takes it"
    if control is not None and control.switched_back:
        return "validate and cutover to go again; rollback -e crossover_rollback_remove=true"
    if failed:
        return f"ansible-playbook crossover.pgedge.{failed[-1]} (it goes on where it failed)"
    for phase, before in BEFORE.items():
        if phases.get(phase, {}).get("status") != "done" and phases.get(before, {}).get("status") == "done":
            confirmed = f" -e crossover_cutover={database}" if phase == "cutover" else ""
            return f"ansible-playbook crossover.pgedge.{phase}{confirmed}"
    return "ansible-playbook crossover.pgedge.assess"


def _figure(key: str, value: Any) -> str:
    """A word of a summary as a person reads it; empty where it says nothing new."""
    if key in ("seconds", "age", "state") or value == "":
        return ""  # the screen has the phase's own
    if key.endswith("bytes"):
        return f"{value / 1048576:,.0f} MiB".replace(",", " ")
    if key.endswith("_ms"):
        return f"{key.removesuffix('_ms')} {value:.0f} ms"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:,.0f} {key.replace('_', ' ')}".replace(",", " ")
    return f"{key.replace('_', ' ')} {value}"


def _summary(summary: Mapping[str, Any], width: int) -> str:
    plain = [_figure(key, value) for key, value in summary.items() if isinstance(value, (str, int, float))]
    text = ", ".join(filter(None, plain))
    return text if len(text) <= width else text[: width - 1] + "…"


def screen(
    name: str,
    phases: Mapping[str, Any],
    control: Control | None,
    live: list[str],
    width: int = 80,
    database: str = "",
) -> list[str]:
    """The status on one screen."""
    following = f"next: {next_step(phases, control, database or name)}"
    if not phases and control is None:
        return [f"migration {name}: there is none here yet", *live, following]
    side = control.writable if control else "source"
    epoch = f", epoch {control.epoch}" if control else ""
    lines = [f"migration {name}: the {side} is writable{epoch}", ""]
    for phase in (p for p in PHASES if p in phases):
        entry = phases[phase]
        text = entry.get("message") if entry["status"] == "failed" else _summary(entry.get("summary") or {}, width)
        head = f"  {phase:<10} {_MARK[entry['status']]:<8} {entry.get('seconds') or 0:>7.1f} s  "
        room = max(20, width - len(head))
        first = (text or "").splitlines()[0] if text else ""
        lines.append((head + (first if len(first) <= room else first[: room - 1] + "…")).rstrip())
    return [*lines, *([""] + live if live else []), "", following]
