# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings, and the table of the rules that make them (private to the collection)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterable, Iterator, Mapping

from ._errors import CrossoverError
from ._migration_assess_facts import Facts, Wanted

BLOCKER, WARNING, INFO = "blocker", "warning", "info"
SEVERITIES = (BLOCKER, WARNING, INFO)


@dataclass(frozen=True)
class Finding:
    """One result of the assessment."""

    code: str
    severity: str
    object: str
    meaning: str
    action: str
    waived: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        return {
            "code": self.code,
            "severity": self.severity,
            "object": self.object,
            "meaning": self.meaning,
            "action": self.action,
            "waived": self.waived,
        }


Rule = Callable[[Facts, Wanted], Iterator[Finding]]
RULES: list[Rule] = []
CODES: dict[str, Rule] = {}


def rule(*codes: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule that makes findings with these codes."""

    def register(function: Rule) -> Rule:
        for code in codes:
            if code in CODES:
                raise ValueError(f"two rules make {code}")
            CODES[code] = function
        RULES.append(function)
        return function

    return register


UNUSED_WAIVER = "unused_waiver"  # made by waive(), and not to be waived itself


@dataclass(frozen=True)
class Waiver:
    """A finding that the user accepts; ``*`` stands for every object."""

    code: str
    object: str

    def covers(self, finding: Finding) -> bool:
        """Whether it is about this finding."""
        return self.code == finding.code and self.object in ("*", finding.object)


def waivers_of(options: Iterable[Mapping[str, str]]) -> list[Waiver]:
    """The option ``waivers``; a code that no rule makes is a spelling mistake, and an error."""
    waivers = [Waiver(option["code"], option["object"]) for option in options]
    unknown = sorted({w.code for w in waivers if w.code not in CODES})
    if unknown:
        near = [code for code in sorted(CODES) if any(code.split("_")[0] in name for name in unknown)]
        raise CrossoverError(
            f"no finding has the code {', '.join(unknown)}",
            code="unknown_waiver",
            object=unknown[0],
            untouched="nothing was changed",
            hint=f"correct crossover_waivers; codes are, for example: {', '.join(near or sorted(CODES)[:5])}",
        )
    return waivers


def waive(findings: Iterable[Finding], waivers: Iterable[Waiver]) -> list[Finding]:
    """Mark what is waived; a waiver that meets nothing becomes a warning of its own."""
    waivers = list(waivers)
    result = []
    used: set[Waiver] = set()
    for finding in findings:
        covering = {w for w in waivers if w.covers(finding)}
        used |= covering
        result.append(
            Finding(finding.code, finding.severity, finding.object, finding.meaning, finding.action, bool(covering))
        )
    for waiver in dict.fromkeys(w for w in waivers if w not in used):
        result.append(
            Finding(
                UNUSED_WAIVER,
                WARNING,
                f"{waiver.code} {waiver.object}",
                "This waiver meets no finding: it is misspelt, or what it waived is fixed.",
                "Correct it in crossover_waivers, or remove it.",
            )
        )
    return result


def shorten(names: Iterable[str], most: int = 5) -> str:
    """``a, b, c and 7 more``."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
