# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's sections, each from the report's data to HTML, or to nothing where there is no data (private)."""

from __future__ import annotations

from typing import Any, Mapping

from ._report_chart import Chart, Scale, esc, pairs, table

Report = Mapping[str, Any]


def number(value: Any) -> str:
    """1234567 -> 1 234 567, with thin spaces."""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else esc(value)


def size(value: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"


def millis(value: float) -> str:
    """Milliseconds for people."""
    return f"{value / 1000:.1f} s" if value >= 10_000 else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def section(title: str, words: str, body: str) -> str:
    """A heading, a sentence, the rest."""
    return f"<section><h2>{title}</h2>{f'<p class=note>{words}</p>' if words else ''}{body}</section>"


def tile(figure: str, unit: str, text: str, kind: str = "") -> str:
    """One headline figure."""
    return f'<div class="tile"><b class="{kind}">{figure}<small>{esc(unit)}</small></b><span>{esc(text)}</span></div>'


def headlines(report: Report) -> str:
    """The figures that matter most."""
    tiles = []
    for key, text in (("cutover", "without a write, going over"), ("rollback", "without a write, coming back")):
        switch = report.get(key) or {}
        if "write_pause_ms" in switch:
            tiles.append(tile(f"{switch['write_pause_ms']:.0f}", "ms", text))
        elif switch.get("hold_ms"):
            tiles.append(tile(f"{switch['hold_ms']:.0f}", "ms", f"the application was held, {key}"))
    switches = [report.get(key) or {} for key in ("cutover", "rollback")]
    failed = [switch["failed_transactions"] for switch in switches if "failed_transactions" in switch]
    if failed:
        tiles.append(tile(number(sum(failed)), "", "transactions failed", "bad" if sum(failed) else "good"))
    if acknowledged := report.get("acknowledged"):
        wrong = sum(acknowledged[key] for key in ("lost", "duplicated", "phantom"))
        text = f"lost, duplicated or phantom of {number(acknowledged['ok'])} acknowledged writes"
        tiles.append(tile(number(wrong), "", text, "bad" if wrong else "good"))
    if compare := report.get("compare"):
        text = f"differences in {number(compare['rows'])} rows of {number(compare['tables'])} tables"
        tiles.append(tile(number(compare["differences"]), "", text, "bad" if compare["differences"] else "good"))
    if copy := report.get("copy"):
        tiles.append(tile(f"{copy['seconds']:.1f}", "s", f"to copy {number(copy['rows'])} rows, {size(copy['bytes'])}"))
    return f'<section class="tiles">{"".join(tiles)}</section>' if tiles else ""


def switch(report: Report, key: str) -> str:
    """The cutover's or the rollback's timeline: acknowledged writes above, the steps below, on one axis."""
    data = report.get(key) or {}
    steps = data.get("steps") or []
    held = [step for step in steps if step.get("held")]
    if not held:
        return ""
    zero, over = held[0]["at_ms"], held[-1]["at_ms"] + held[-1]["ms"]
    pause = data.get("write_pause_ms")
    gap = None
    if pause is not None and data.get("write_pause_from") and data.get("begun"):
        begun = (data["write_pause_from"] - data["begun"]) * 1000 - zero
        gap = (begun, begun + pause)
    edges = [0.0, over - zero, *(gap or ())]
    margin = max(60.0, 0.6 * (max(edges) - min(edges)))
    chart = Chart(Scale(min(edges) - margin, max(edges) + margin), unit="ms")
    sides = ("", "node") if key == "cutover" else ("node", "")
    for name, height in (("writes", "tall"), ("reads", "middle")):
        if (seen := data.get(name)) and data.get("begun"):
            begin = (seen["begun"] - data["begun"]) * 1000 - zero
            label = f"acknowledged per {seen['step_ms']:g} ms, at most {number(max(seen['counts'], default=0))}"
            turn = gap[0] if gap else 0.0

            def side(at: float, turn: float = turn) -> str:
                return sides[at >= turn]

            chart.histogram(name, begin, seen["step_ms"], seen["counts"], side, height=height, label=label)
    if gap:
        chart.bands.append((*gap, f"{pause:.0f} ms", " without a write"))
    else:
        chart.bands.append((0, over - zero, millis(over - zero), " held"))
    outside = []
    for step in steps:
        begin, end = step["at_ms"] - zero, step["at_ms"] + step["ms"] - zero
        if end < chart.scale.low or begin > chart.scale.high:
            outside.append(f"{step['name']} {millis(step['ms'])}")
            continue
        kind = "bad" if step.get("status") == "failed" else "held" if step.get("held") else ""
        chart.beam(step["name"], begin, end, millis(step["ms"]), kind)
    caption = (
        "0 is where the application began to be held. "
        '<span class="key held"></span>steps while it was held <span class="key"></span>steps while it could write. '
    )
    if outside:
        caption += f"Not in the picture: {esc(', '.join(outside))}."
    title = {"cutover": "The cutover: to the node", "rollback": "The rollback: to the source"}[key]
    return section(title, _switch_words(data), chart.render(caption))


def _switch_words(data: Mapping[str, Any]) -> str:
    words = []
    if "write_pause_ms" in data:
        words.append(f"Longest interval without an acknowledged write: {data['write_pause_ms']:.1f} ms")
    if data.get("read_pause_ms") is not None:
        words.append(f"without an answered read: {data['read_pause_ms']:.1f} ms")
    if "failed_transactions" in data:
        words.append(f"failed transactions: {number(data['failed_transactions'])}")
    if data.get("hold_ms"):
        words.append(f"held, as the module saw it: {data['hold_ms']:.1f} ms")
    return "; ".join(words) + "." if words else ""


def course(report: Report) -> str:
    """Everything over time: writes a second, lag, and when each phase ran."""
    phases = [phase for phase in report.get("phases") or [] if phase.get("begun")]
    if not phases:
        return ""
    zero = min(phase["begun"] for phase in phases)
    end = max(phase["begun"] + (phase["seconds"] or 0) for phase in phases)
    writes, lag = report.get("writes"), report.get("lag") or {}
    if writes:
        zero = min(zero, writes["begun"])
        end = max(end, writes["begun"] + writes["step_s"] * len(writes["counts"]))
    end = max([end] + [point[0] for points in lag.values() for point in points])
    chart = Chart(Scale(0, end - zero), unit="s")
    turns = [(report.get(key) or {}).get("write_pause_from") for key in ("cutover", "rollback")]

    def where(at: float) -> str:
        over, back = turns
        return "node" if over and at + zero >= over and not (back and at + zero >= back) else ""

    if writes:
        a_second = [count / writes["step_s"] for count in writes["counts"]]
        label = f"at most {number(round(max(a_second, default=0)))}/s"
        chart.histogram("writes/s", writes["begun"] - zero, writes["step_s"], a_second, where, label=label)
    for key, name in (("forward", "lag to the node"), ("back", "lag to the source")):
        if points := [(at - zero, behind) for at, behind in lag.get(key) or []]:
            label = f"at most {size(max(behind for dummy, behind in points))}"
            chart.line(name, points, height="middle", label=label)
    for phase in phases:
        begin = phase["begun"] - zero
        kind = {"failed": "bad"}.get(phase["status"], "held" if phase["name"] in ("cutover", "rollback") else "")
        chart.beam(phase["name"], begin, begin + (phase["seconds"] or 0), f"{phase['seconds'] or 0:.1f} s", kind)
    words = "Phases, and the application's writes and replication's lag while they ran" if writes or lag else "Phases"
    return section("The whole course", "", chart.render(f"{words}. Seconds since the beginning."))


def benchmark(report: Report) -> str:
    """The same script on both sides."""
    both = report.get("benchmark") or {}
    one, two = both.get("source") or {}, both.get("node") or {}
    rows = []
    for key, name, form in (
        ("tps", "transactions a second", "{:,.0f}"),
        ("p50_ms", "latency, median", "{:.2f} ms"),
        ("p95_ms", "latency, 95 %", "{:.2f} ms"),
        ("p99_ms", "latency, 99 %", "{:.2f} ms"),
    ):
        if key in one and key in two:
            said = [form.format(side[key]).replace(",", "\u202f") for side in (one, two)]
            rows.append((name, float(one[key]), float(two[key]), said[0], said[1]))
    if not rows:
        return ""
    versions = report.get("versions") or {}
    keys = "".join(
        f'<span class="key {kind}"></span>{side} {esc(versions.get(side, ""))}'
        for side, kind in (("source", ""), ("node", "node"))
    )
    return section("Benchmark", f"The same pgbench script against both in turn. {keys}", pairs(rows))


def validation(report: Report) -> str:
    """Every comparison that was made."""
    compare = report.get("compare") or {}
    rows = []
    for run in compare.get("runs") or ([compare] if compare else []):
        wrong = run["differences"]
        verdict = f'<span class="{"bad" if wrong else "good"}">{number(wrong)}</span>'
        cells = [esc(run.get("when", "")), number(run["tables"]), number(run["rows"]), number(run.get("in_flight", ""))]
        rows.append([*cells, verdict, f"{run['seconds']:.1f} s" if run.get("seconds") is not None else ""])
    if not rows:
        return ""
    head = ("when", "tables", "rows", "in flight", "differences", "took")
    words = (
        "Every table, hashed on both servers while the application wrote. In flight: rows that differed at first and "
        "were the same once both sides had passed one barrier."
    )
    return section("Validation", words, table(head, rows, (1, 2, 3, 4, 5)) + _tables(compare))


def _tables(compare: Mapping[str, Any]) -> str:
    details = compare.get("details") or []
    if not details:
        return ""
    rows = [[f"<code>{esc(d['table'])}</code>", number(d["rows"]), number(d["differences"])] for d in details]
    listed = table(("table", "rows", "differences"), rows, (1, 2))
    return f"<details><summary>Each table, the last time</summary>{listed}</details>"


def waived(report: Report) -> str:
    """What the assessment found and the operator accepted."""
    rows = [
        [f"<code>{esc(item['code'])}</code><br><code>{esc(item['object'])}</code>", esc(item.get("meaning", ""))]
        for item in report.get("waived") or []
    ]
    if not rows:
        return ""
    words = "Findings that would have stopped the migration, accepted by the operator by code and object."
    return section("Waived", words, table(("code and object", "meaning"), rows))


def facts(report: Report) -> str:
    """Copy, acknowledged writes, versions, machine: name and value."""
    rows = []
    if copy := report.get("copy"):
        rate = copy["bytes"] / copy["seconds"] if copy["seconds"] else 0
        tables = f" in {number(copy['tables'])} tables" if copy.get("tables") else ""
        took = f"{size(copy['bytes'])} in {copy['seconds']:.1f} s, {size(rate)}/s"
        rows.append(("copy", f"{number(copy['rows'])} rows{tables}, {took}"))
    if acknowledged := report.get("acknowledged"):
        rows.append(("acknowledged writes", ", ".join(f"{key} {number(value)}" for key, value in acknowledged.items())))
    if report.get("route"):
        rows.append(("route", esc(report["route"])))
    for key in ("versions", "environment"):
        rows += [(esc(name), esc(value)) for name, value in (report.get(key) or {}).items()]
    return section("Facts", "", table(("what", "value"), rows)) if rows else ""
