# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The assessment: rules over facts, waivers, a summary, a table (private to the collection)."""

from __future__ import annotations

import re
import textwrap
from typing import Any, Iterable

from . import _migration_assess_rules_access as _access
from . import _migration_assess_rules_fence as _fence
from . import _migration_assess_rules_mesh as _mesh
from . import _migration_assess_rules_objects as _objects
from . import _migration_assess_rules_sequences as _sequences
from . import _migration_assess_rules_server as _server
from . import _migration_assess_rules_settings as _settings
from . import _migration_assess_rules_tables as _tables
from ._migration_assess_facts import Facts, Wanted
from ._migration_assess_finding import BLOCKER, RULES, SEVERITIES, Finding, Waiver, waive
from ._migration_assess_server import OLDEST_READABLE

# Each has put its rules in RULES on import.
RULE_FILES = (_server, _settings, _access, _tables, _fence, _objects, _mesh, _sequences)


def assess(facts: Facts, wanted: Wanted, waivers: Iterable[Waiver] = ()) -> list[Finding]:
    """Every finding, the worst first."""
    readable = min(facts.source.version, facts.node.version) >= OLDEST_READABLE
    rules = RULES if readable else [_server.versions]  # of a server that is too old nothing else was read
    found = [finding for rule in rules for finding in rule(facts, wanted)]
    found = waive(found, waivers) if readable else found
    return sorted(found, key=lambda f: (f.waived, SEVERITIES.index(f.severity), f.code, f.object))


def open_blockers(findings: Iterable[Finding]) -> list[Finding]:
    """What stops the later phases."""
    return [f for f in findings if f.severity == BLOCKER and not f.waived]


def summary(facts: Facts, findings: Iterable[Finding]) -> dict[str, Any]:
    """The figures of an assessment."""
    findings = list(findings)
    tables = [t.table for t in facts.tables]
    by_size = sorted((t for t in tables if t.bytes), key=lambda t: -t.bytes)
    return {
        "blockers": len(open_blockers(findings)),
        "waived": sum(f.waived for f in findings),
        "warnings": sum(f.severity == "warning" and not f.waived for f in findings),
        "infos": sum(f.severity == "info" and not f.waived for f in findings),
        "tables": len(tables),
        "bytes": sum(t.bytes for t in tables),
        "sequences": len(facts.sequences),
        "largest_tables": [{"table": t.full_name, "bytes": t.bytes, "rows": t.rows} for t in by_size[:5]],
        "source_version": facts.source.version_text,
        "node_version": facts.node.version_text,
        "source_service": facts.source.service,
    }


def sentence(figures: dict[str, Any]) -> str:
    """The outcome in one sentence."""
    counts = f"{figures['warnings']} warning(s), {figures['infos']} note(s), {figures['waived']} waived"
    if figures["blockers"]:
        return f"{figures['blockers']} blocker(s) stop the migration until they are fixed or waived; {counts}"
    return f"no blocker; {counts}"


def fill(name: str, width: int) -> list[str]:
    """A name in lines of a width, broken after an underscore, a dot or a space if that is possible."""
    lines = [""]
    for part in re.findall(r"[^_. ]*[_. ]?", name):
        if len(lines[-1]) + len(part.rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += part
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return [line.rstrip() for line in lines]


def table(findings: Iterable[Finding], width: int = 80) -> list[str]:
    """The findings as lines: severity, finding and object, what it means and what to do."""
    width = max(60, width)
    left = max(18, (width - 12) // 3)
    right = width - 9 - left - 2
    lines = [f"{'SEVERITY':9}{'FINDING':{left}}  WHAT IT MEANS, WHAT TO DO", "-" * width]
    for finding in findings:
        severity = "waived" if finding.waived else finding.severity
        first = fill(finding.code, left) + fill(finding.object, left)
        second = textwrap.wrap(finding.meaning, right)
        if finding.action:
            second += textwrap.wrap(finding.action, right, initial_indent="> ", subsequent_indent="  ")
        for number in range(max(len(first), len(second))):
            cells = (
                severity if number == 0 else "",
                first[number] if number < len(first) else "",
                second[number] if number < len(second) else "",
            )
            lines.append(f"{cells[0]:9}{cells[1]:{left}}  {cells[2]}".rstrip())
    return lines if len(lines) > 2 else [*lines, "nothing was found"]
