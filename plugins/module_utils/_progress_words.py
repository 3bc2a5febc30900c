# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How progress is worded, on the controller while it runs and in status (private to the collection)."""

from __future__ import annotations

import time
from typing import Any, Mapping

STEP = 5  # per cent that are worth a line
WINDOW = 30.0  # seconds over which a rate is taken
WIDTH = 80  # columns that a line with its message may have


class Rate:
    """How much is done in a second, over the last half minute."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def __call__(self, done: int) -> float | None:
        """The rate, now that so much is done; None as long as it cannot be told."""
        now = time.monotonic()
        self._seen = [(at, n) for at, n in self._seen if now - at < WINDOW] + [(now, done)]
        at, n = self._seen[0]
        return (done - n) / (now - at) if now - at > 1 and done > n else None


def size(count: float) -> str:
    """Word a number of bytes: 182 GiB, 1.2 MiB."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"


def number(count: float) -> str:
    """Word a number of rows: 9999, 12.3k, 350M."""
    value, unit = float(count), ""
    if value < 10_000:
        return f"{value:.0f}"
    for larger in ("k", "M", "G", "T"):
        value, unit = value / 1000, larger
        if value < 1000:
            break
    return f"{value:.0f}{unit}" if value >= 100 else f"{value:.1f}{unit}"


def duration(seconds: float) -> str:
    """Word a time: 45s, 24m, 3h10m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def of(done: float, total: float, unit: str) -> str:
    """Word a share: 182/490 GiB, 900 MiB/1.2 GiB, 12.3k/350k rows."""
    if unit != "bytes":
        return f"{number(done)}/{number(total)} {unit}"
    first, second = size(done), size(total)
    same = first.split()[-1] == second.split()[-1]
    return f"{first.split()[0] if same else first}/{second}"


def figures(row: Mapping[str, Any]) -> dict[str, Any]:
    """Add the percentage and the seconds that are left to what a task has told."""
    done, total = row["done"], max(row["total"] or 0, row["done"])
    left = (total - done) / row["rate"] if row.get("rate") and done < total else None
    percent = 100 * done // total if total else 0
    if row.get("tables_total") and row["tables_done"] < row["tables_total"]:
        percent = min(percent, 99)  # not before every table is there
    return {
        **row,
        "total": total,
        "percent": percent,
        "eta_seconds": None if left is None else round(left, 1),
    }


def line(row: Mapping[str, Any], room: int = WIDTH) -> str:
    """Word it: ``copy 37% · 182/490 GiB · 41/112 tables · 210 MiB/s · ETA 24m``; with the message where it fits."""
    seen = figures(row)
    parts = [f"{seen['task']} {seen['percent']}%", of(seen["done"], seen["total"], seen["unit"])]
    if seen.get("tables_total") and seen["unit"] != "tables":
        parts.append(f"{seen['tables_done']}/{seen['tables_total']} tables")
    if seen.get("rate"):
        rate = size(seen["rate"]) if seen["unit"] == "bytes" else f"{number(seen['rate'])} {seen['unit']}"
        parts.append(f"{rate}/s")
    if seen["eta_seconds"] is not None:
        parts.append(f"ETA {duration(seen['eta_seconds'])}")
    text = " · ".join(parts)
    longer = f"{text} · {seen['message']}" if seen.get("message") else text
    return longer if len(longer) <= room else text


def table_line(task: str, table: Mapping[str, Any]) -> str:
    """Word a table that is done: ``copied shop.orders · 1000 rows · 1.2 MiB``."""
    parts = [f"{task} {table['name']}"]
    if table.get("rows") is not None:
        parts.append(f"{number(table['rows'])} row{'' if table['rows'] == 1 else 's'}")
    if table.get("bytes") is not None:
        parts.append(size(table["bytes"]))
    return " · ".join([*parts, *filter(None, [table.get("note")])])
