# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a comparison found, table by table and in all (private to the collection)."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Iterable, Sequence

from ._migration_compare_recheck import DIFFERENT as KIND_DIFFERENT
from ._migration_compare_recheck import EXTRA, MISSING, Difference, Settled
from ._migration_compare_scope import Plan, Unit

EQUAL, DIFFERENT, UNKNOWN, NOT_COMPARED = "equal", "different", "could not compare", "not compared"
HIDDEN = "********"


@dataclass
class Tally:
    """One table while it is compared. ``limit``: so many differences are counted, then it is left alone."""

    unit: Unit
    limit: int
    named: int
    masked: frozenset[str]
    pending: int = 0
    bytes: int = 0
    rows: int = 0
    rows_node: int = 0
    in_flight: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((MISSING, EXTRA, KIND_DIFFERENT), 0))
    found: list[Difference] = field(default_factory=list)
    contents: dict[str, dict[str, str]] = field(default_factory=dict)  # of rows without a key
    unsettled: int = 0
    more: bool = False
    failure: str | None = None
    begun: float | None = None
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def start(self) -> None:
        """The first of its regions is read."""
        with self.lock:
            self.begun = self.begun or time.monotonic()

    def add_rows(self, rows: int, rows_node: int) -> None:
        """One more region was read."""
        with self.lock:
            self.rows += rows
            self.rows_node += rows_node

    def add(self, settled: Settled) -> None:
        """Keys that were looked at again."""
        with self.lock:
            self.in_flight += settled.in_flight
            self.unsettled += len(settled.unsettled)
            for difference in settled.differences:
                self.counts[difference.kind] += difference.count
            self.found += settled.differences[: max(0, self.named - len(self.found))]

    def fail(self, why: str) -> None:
        """It could not be compared; the first reason stays."""
        with self.lock:
            self.failure = self.failure or why

    def end(self) -> bool:
        """One region less to do; True when it was the last."""
        with self.lock:
            self.pending -= 1
            self.seconds = round(time.monotonic() - (self.begun or time.monotonic()), 3)
            return self.pending == 0

    @property
    def differences(self) -> int:
        """Rows, and columns that only one side has."""
        return sum(self.counts.values()) + len(self.unit.columns_missing) + len(self.unit.columns_extra)

    @property
    def enough(self) -> bool:
        """Whether counting on is of no use."""
        return sum(self.counts.values()) >= self.limit

    @property
    def verdict(self) -> str:
        """equal only if everything was read and nothing differs."""
        if self.differences:
            return DIFFERENT
        return UNKNOWN if self.failure or self.unsettled or self.more else EQUAL

    @property
    def reason(self) -> str:
        """One sentence; empty for a table that is simply equal."""
        kinds = [f"{n} {kind}" for kind, n in self.counts.items() if n]
        parts = [f"{'at least ' if self.more else ''}{', '.join(kinds)}"] if kinds else []
        parts += [f"column {name} is missing in the node" for name in self.unit.columns_missing]
        parts += [f"column {name} is only in the node" for name in self.unit.columns_extra]
        if self.unsettled:
            parts.append(f"{self.unsettled} row(s) changed every time they were looked at")
        if self.failure:
            parts.append(self.failure)
        return "; ".join(parts + self.unit.notes)

    def result(self) -> dict[str, Any]:
        """For RV(tables)."""
        return {
            "name": self.unit.name,
            "rows": self.rows,
            "rows_node": self.rows_node,
            "differences": self.differences,
            "in_flight": self.in_flight,
            "seconds": self.seconds,
            "verdict": self.verdict,
            "reason": self.reason,
        }

    def named_differences(self) -> Iterable[dict[str, Any]]:
        """For RV(differences)."""
        for kind, names in ((MISSING, self.unit.columns_missing), (EXTRA, self.unit.columns_extra)):
            for name in names:
                yield _entry(self.unit.name, None, kind, [name])
        for difference in self.found:
            yield _entry(self.unit.name, self._key(difference), difference.kind, difference.columns, difference.count)

    def _key(self, difference: Difference) -> dict[str, Any]:
        if not self.unit.key:
            row_hash = str(difference.key[0])
            return self.contents.get(row_hash, {"row_hash": row_hash})
        return {name: HIDDEN if name in self.masked else value for name, value in zip(self.unit.key, difference.key)}


def _entry(
    table: str, key: dict[str, Any] | None, kind: str, columns: Sequence[str] = (), count: int = 1
) -> dict[str, Any]:
    return {"table": table, "key": key, "kind": kind, "columns": list(columns), "count": count}


def report(plan: Plan, tallies: Sequence[Tally], most_named: int, seconds: float) -> dict[str, Any]:
    """The module's result."""
    tables = [tally.result() for tally in tallies]
    for names, reason in (
        (plan.missing, "the node does not have this table"),
        (plan.extra, "the source does not have this table"),
    ):
        tables += [_absent(name, reason) for name in names]
    tables.sort(key=lambda t: str(t["name"]).encode())
    rows = sum(t["rows"] for t in tables)
    return {
        "verdict": _verdict([t["verdict"] for t in tables]),
        "tables": tables,
        "differences": _named(plan, tallies, most_named),
        "left_out": plan.skipped,
        "totals": {
            "tables": len(tables),
            "rows": rows,
            "differences": sum(t["differences"] for t in tables),
            "in_flight": sum(t["in_flight"] for t in tables),
            "bytes": sum(tally.bytes for tally in tallies),
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds) if seconds > 0 else 0,
        },
    }


def _absent(name: str, reason: str) -> dict[str, Any]:
    return {
        "name": name, "rows": 0, "rows_node": 0, "differences": 1, "in_flight": 0, "seconds": 0.0,
        "verdict": DIFFERENT, "reason": reason,
    }  # fmt: skip


def _verdict(verdicts: Sequence[str]) -> str:
    """Nothing compared is not equal."""
    if DIFFERENT in verdicts:
        return DIFFERENT
    return EQUAL if verdicts and set(verdicts) == {EQUAL} else UNKNOWN


def _named(plan: Plan, tallies: Sequence[Tally], most: int) -> list[dict[str, Any]]:
    """At most ``most`` entries, from every table in turn, so that one bad table does not hide the others."""
    lists = [[_entry(name, None, MISSING)] for name in plan.missing]
    lists += [[_entry(name, None, EXTRA)] for name in plan.extra]
    lists += [list(tally.named_differences()) for tally in tallies]
    taken: list[dict[str, Any]] = []
    depth = 0
    while len(taken) < most and any(len(entries) > depth for entries in lists):
        taken += [entries[depth] for entries in lists if len(entries) > depth]
        depth += 1
    return sorted(taken[:most], key=lambda entry: (str(entry["table"]), str(entry["key"])))


def message(result: dict[str, Any]) -> str:
    """The verdict in one sentence."""
    totals, tables = result["totals"], result["tables"]
    size = f"{totals['tables']} table(s), {totals['rows']} rows"
    if not tables:
        return "could not compare: no table is in the scope"
    bad = [t for t in tables if t["verdict"] == result["verdict"]]
    if result["verdict"] == EQUAL:
        return f"equal: {size}, {totals['in_flight']} in flight, {totals['seconds']:.1f} s"
    shown = "; ".join(f"{t['name']}: {t['reason']}" for t in bad[:5])
    more = f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
    return f"{result['verdict']}: {len(bad)} of {size}: {shown}{more}"


def screen(result: dict[str, Any], width: int = 80) -> list[str]:
    """The result for people: the totals, and a line for every table that is not equal, or for the largest ones."""
    totals, tables = result["totals"], result["tables"]
    name_width = max(12, width - 52)
    line = f"{{:<{name_width}}} {{:>12}} {{:>9}} {{:>9}}  {{:<17}}"
    bad = [t for t in tables if t["verdict"] != EQUAL]
    good = sorted((t for t in tables if t["verdict"] == EQUAL), key=lambda t: -t["rows"])
    shown = (bad + good)[: min(max(len(bad), 20), 60)]
    lines = [line.format("table", "rows", "differ", "in flight", "verdict").rstrip()]
    for t in shown:
        name = t["name"] if len(t["name"]) <= name_width else t["name"][: name_width - 1] + "…"
        lines.append(line.format(name, t["rows"], t["differences"], t["in_flight"], t["verdict"]).rstrip())
        if t["verdict"] != EQUAL:
            lines.append(_cut(f"  {t['reason']}", width))
    rest = len(tables) - len(shown)
    if rest:
        lines.append(f"… and {rest} more")
    total = [totals[key] for key in ("rows", "differences", "in_flight")]
    lines.append(line.format(f"{totals['tables']} table(s)", *total, result["verdict"]).rstrip())
    for entry in result["differences"][:10]:
        lines.append(_cut(f"  {entry['kind']:<9} {entry['table']} {describe(entry)}", width))
    hidden = totals["differences"] - min(10, len(result["differences"]))
    if hidden > 0:
        lines.append(f"  … and {hidden} more")
    return lines


def describe(entry: dict[str, Any]) -> str:
    """The key of a difference, and its columns."""
    key = ", ".join(f"{name}={value}" for name, value in (entry["key"] or {}).items())
    return f"{key}{' (' + ', '.join(entry['columns']) + ')' if entry['columns'] else ''}".strip()


def _cut(text: str, width: int) -> str:
    text = " ".join(text.splitlines())
    return text if len(text) <= width else text[: width - 1] + "…"
