# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of one switch: each step before and after, for ledger and result (private to the collection)."""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Iterator

from ._migration_ledger import Ledger


@dataclass
class Step:
    """One step as measured. ``at_ms`` counts from the first step of the run."""

    name: str
    at_ms: float
    ms: float = 0.0
    held: bool = False  # inside the interval in which the application waits
    detail: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        return {
            "name": self.name,
            "at_ms": round(self.at_ms, 1),
            "ms": round(self.ms, 1),
            "held": self.held,
            **({"detail": self.detail} if self.detail else {}),
        }


class Journal:
    """Times the steps and writes them down. The session it writes in does not wait for the disk."""

    def __init__(self, ledger: Ledger, phase: str) -> None:
        self.ledger = ledger
        self.phase = phase
        self.run = str(uuid.uuid4())
        self.steps: list[Step] = []
        self.held = False
        self._zero = time.monotonic()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Record a step; what the body puts in the dict becomes its detail."""
        begun = time.monotonic()
        step = Step(name, (begun - self._zero) * 1000, held=self.held)
        self.steps.append(step)
        self.ledger.step(self.run, self.phase, name, "started")
        status = "failed"
        try:
            yield step.detail
            status = "done"
        finally:
            step.ms = (time.monotonic() - begun) * 1000
            try:
                self.ledger.step(self.run, self.phase, name, status, step.ms, step.detail)
            except Exception:  # pylint: disable=broad-except
                if status == "done":  # a failure already on its way out must not be hidden by a dead ledger
                    raise

    @property
    def hold_ms(self) -> float:
        """How long the route was held, from the first held step to the end of the last."""
        held = [step for step in self.steps if step.held]
        return held[-1].at_ms + held[-1].ms - held[0].at_ms if held else 0.0

    def as_list(self) -> list[dict[str, Any]]:
        """For the result."""
        return [step.as_dict() for step in self.steps]

    def as_table(self) -> list[str]:
        """For people; the steps during which the application waits are marked."""
        lines = [f"{'*' if s.held else ' '} {s.name:<20}{s.ms:>9.1f} ms" for s in self.steps]
        return [*lines, f"* the application was held for {self.hold_ms:.1f} ms"] if self.hold_ms else lines
