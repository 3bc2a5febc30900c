# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates: what a phase needs before it starts (private to the collection). Pure functions of what is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ._migration_control import Control

PHASES = (
    "assess", "prepare", "replicate", "validate", "benchmark", "cutover", "expand", "monitor", "finish", "rollback",
)  # fmt: skip

# A phase -> the phase that must be done before it.
BEFORE = {
    "prepare": "assess",
    "replicate": "prepare",
    "validate": "replicate",
    "benchmark": "replicate",
    "cutover": "validate",
    "monitor": "replicate",
    "finish": "cutover",
    "expand": "cutover",
}
# Phases that build the way to the node: once the node is writable they have nothing left to do.
BESIDE = ("assess", "monitor")  # they change nothing, and may run beside another phase
_BUILDING = ("assess", "prepare", "replicate", "benchmark")


@dataclass(frozen=True)
class Known:
    """What the gates look at."""

    phases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    control: Control | None = None
    validate_max_age: float = 3600.0
    ledger: bool = True
    state: str = ""  # the name of what is copied now (_migration_copied)


@dataclass(frozen=True)
class Decision:
    """``run``: do the phase's work. ``why``: one sentence. ``failures``: gates that are not met."""

    run: bool
    why: str
    failures: tuple[str, ...] = ()


def _done(known: Known, phase: str) -> bool:
    return known.phases.get(phase, {}).get("status") == "done"


def failures(phase: str, known: Known) -> list[str]:
    """The gates of a phase that are not met, each with what to do next."""
    found = []
    before = BEFORE.get(phase)
    if before and not _done(known, before):
        status = known.phases.get(before, {}).get("status")
        has = {"failed": "has failed", "running": "was begun and did not end"}.get(status or "", "has not run")
        found.append(f"{before} {has}: run the playbook crossover.pgedge.{before} first")
    blockers = known.facts.get("assess.blockers") or []
    if blockers and phase in ("prepare", "replicate", "cutover"):
        names = ", ".join(f"{b['code']} {b['object']}".strip() for b in blockers[:3])
        more = f" and {len(blockers) - 3} more" if len(blockers) > 3 else ""
        found.append(
            f"{len(blockers)} blocker(s) are open ({names}{more}): fix them or waive them in crossover_waivers, "
            "then run crossover.pgedge.assess again"
        )
    if phase == "cutover" and _done(known, "validate"):
        found += _validation(known)
    if phase == "expand" and known.control is not None and not known.control.switched:
        found = ["the source is writable, and feeds the first node alone: run crossover.pgedge.cutover first"]
    if phase == "finish" and known.control is not None and not known.control.switched:
        found = ["the source is writable: run crossover.pgedge.cutover first, or crossover.pgedge.rollback to give up"]
    return found


def _validation(known: Known) -> list[str]:
    validate = known.phases["validate"]
    verdict = (validate.get("summary") or {}).get("verdict")
    again = "run the playbook crossover.pgedge.validate again"
    if verdict != "equal":
        return [f"the last validation says {verdict or 'nothing'}: {again}"]
    if (validate.get("summary") or {}).get("state", known.state) != known.state:
        return [f"tables were copied, or the sides were switched, since the last validation: {again}"]
    age = validate.get("age")
    if age is not None:
        age += (validate.get("summary") or {}).get("age") or 0  # a run that let an earlier comparison stand
    if age is None or age > known.validate_max_age:
        return [f"the last validation is {age or 0:.0f} s old, allowed are {known.validate_max_age:.0f} s: {again}"]
    return []


def decide(phase: str, known: Known, check: bool) -> Decision:
    """Whether a phase may start. In check mode an unmet gate is a sentence, never a failure."""
    switched = known.control is not None and known.control.switched
    if switched and phase == "rollback" and not known.ledger:
        return Decision(False, "nothing to roll back: finish has closed the way back, only the source's fence was kept")
    if switched and phase == "replicate" and _done(known, "cutover"):
        return Decision(True, "the node is writable: what is new there is taken into the way back")
    if switched and phase in _BUILDING:
        return Decision(False, f"nothing to {phase}: the migration has been switched, the node is writable")
    if switched and phase == "cutover" and _done(known, "cutover"):
        return Decision(False, "nothing to cut over: the node is writable")
    if phase in ("rollback", "finish") and not known.ledger and (known.control is None or phase == "finish"):
        return Decision(False, f"nothing to do for {phase}: there is no migration of this name")
    if switched and phase == "cutover":
        return Decision(True, "cutover goes forward from the point of no return")
    unmet = failures(phase, known)
    if not unmet:
        return Decision(True, "every gate is met")
    if check:
        return Decision(True, f"would run after {BEFORE.get(phase, 'assess')}: {'; '.join(unmet)}", tuple(unmet))
    return Decision(False, f"{phase} cannot start: {'; '.join(unmet)}", tuple(unmet))
