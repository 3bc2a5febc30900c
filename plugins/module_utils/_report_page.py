# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML page that needs nothing else (private to the collection)."""

from __future__ import annotations

from . import _report_sections as sections
from ._report_chart import esc
from ._report_sections import Report, number
from ._report_style import STYLE


def verdict(report: Report) -> str:
    """One or two sentences for who reads no further."""
    acknowledged, compare = report.get("acknowledged"), report.get("compare")
    wrong, said = [], []
    if acknowledged:
        wrong += [f"{number(acknowledged[k])} writes {k}" for k in ("lost", "duplicated", "phantom") if acknowledged[k]]
        said.append(f"every one of the {number(acknowledged['ok'])} acknowledged writes is there, once,")
    if compare:
        wrong += [f"{number(compare['differences'])} differences"] if compare["differences"] else []
        said.append("both sides are the same, row by row")
    wrong += [f"{p['name']} failed" for p in report.get("phases") or [] if p["status"] == "failed"]
    if wrong:
        return f'<p class="verdict bad">Not as it should be: {", ".join(wrong)}.</p>'
    return f'<p class="verdict">{" and ".join(said).rstrip(",").capitalize()}.</p>' if said else ""


def page(report: Report) -> str:
    """The page."""
    name, versions = esc(report["name"]), report.get("versions") or {}
    sides = " to ".join(esc(f"PostgreSQL {versions[side]}") for side in ("source", "node") if versions.get(side))
    under = ", ".join(part for part in (sides, esc(report.get("route", "")), esc(report["generated_at"])) if part)
    body = "".join(
        (
            sections.headlines(report),
            sections.switch(report, "cutover"),
            sections.switch(report, "rollback"),
            sections.course(report),
            sections.validation(report),
            sections.benchmark(report),
            sections.waived(report),
            sections.facts(report),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Migration of {name}</title><style>{STYLE}</style></head>\n"
        f'<body><main><header><h1>Migration of {name}</h1><p class="soft">{under}</p>{verdict(report)}</header>\n'
        f"{body}<footer>Made by the Ansible collection crossover.pgedge.</footer></main></body></html>\n"
    )
