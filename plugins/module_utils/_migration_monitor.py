# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replication watched for a while, and judged by limits (private to the collection).

It watches the direction that carries the application's writes: to the node before the cutover, to the source after it.
Its figures are for alarms. No phase is gated on them; a barrier is what proves that everything has arrived.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ._errors import CrossoverError
from ._migration_control import NODE, SOURCE, read
from ._migration_names import Names
from ._pg_connect import Login, connect
from ._replication_overview import all_slots, all_subscriptions

STREAMING = "streaming"


@dataclass(frozen=True)
class Sample:
    """One look at the subscription. ``errors`` and ``conflicts`` count since it was made."""

    at: float  # seconds since 1970
    state: str  # as replication_info has it, or missing, unreachable
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    retained_bytes: int | None = None
    errors: int = 0
    conflicts: int = 0
    tables_ready: int = 0
    tables_total: int = 0
    message: str = ""  # the last error, or why it could not be looked at


@dataclass(frozen=True)
class Slot:
    """One of our slots at the end of the watch."""

    side: str
    name: str
    active: bool
    wal_status: str | None
    retained_bytes: int
    safe_wal_size: int | None


@dataclass(frozen=True)
class Limits:
    """None: no limit."""

    lag_bytes: int | None = None
    lag_seconds: float | None = None
    wal_budget: int | None = None
    errors: int | None = 0
    conflicts: int | None = 0


@dataclass(frozen=True)
class Watch:
    """What was seen."""

    migration: str
    writable: str
    subscription: str
    samples: tuple[Sample, ...]
    slots: tuple[Slot, ...]

    @property
    def direction(self) -> str:
        """Where changes flow to."""
        return SOURCE if self.writable == NODE else NODE

    @property
    def last(self) -> Sample:
        """The last sample."""
        return self.samples[-1]

    def values(self, name: str) -> list[float]:
        """What is known of a figure, in the order of time."""
        found = (getattr(sample, name) for sample in self.samples)
        return [float(value) for value in found if value is not None]

    def grown(self, name: str) -> int:
        """By how much a counter has grown while it was watched."""
        known = [getattr(s, name) for s in self.samples if s.state not in ("missing", "unreachable")]
        return max(0, known[-1] - known[0]) if known else 0


def watch(name: str, node: str, logins: Mapping[str, Login], samples: int, interval: float) -> Watch:
    """Look ``samples`` times. A server that does not answer in between is a sample too; at the beginning an error."""
    names = Names.of(name, node)
    with connect(logins[SOURCE]) as conn, connect(logins[NODE]):
        control = read(conn, name)
    writable = control.writable if control else SOURCE
    publisher, subscriber, subscription = (
        (SOURCE, NODE, names.subscription) if writable == SOURCE else (NODE, SOURCE, names.back_subscription)
    )
    taken: list[Sample] = []
    due = time.monotonic()
    for _number in range(samples):
        time.sleep(max(0.0, due - time.monotonic()))
        taken.append(_look(logins[publisher], logins[subscriber], subscription))
        due += interval
    slots = [slot for side in (SOURCE, NODE) for slot in _slots(side, logins[side], names)]
    return Watch(name, writable, subscription, tuple(taken), tuple(slots))


def _look(publisher: Login, subscriber: Login, subscription: str) -> Sample:
    try:
        with connect(publisher) as there, connect(subscriber) as here:
            found = all_subscriptions(here, [subscription], there)
    except CrossoverError as exc:
        return Sample(time.time(), "unreachable", message=str(exc))
    if not found:
        return Sample(time.time(), "missing")
    row = found[0]
    errors: Mapping[str, int] = row["errors"]
    return Sample(
        at=time.time(),
        state=row["state"],
        lag_bytes=None if row["lag_bytes"] is None else max(0, row["lag_bytes"]),
        lag_seconds=row["lag_seconds"],
        retained_bytes=row["retained_bytes"],
        errors=sum(n for key, n in errors.items() if key.endswith("error_count")),
        conflicts=sum(n for key, n in errors.items() if key.startswith("confl_")),
        tables_ready=row["tables_ready"],
        tables_total=row["tables_total"],
        message=row["last_error"] or "",
    )


def _slots(side: str, login: Login, names: Names) -> list[Slot]:
    try:
        with connect(login) as conn:
            rows = all_slots(conn, [names.slot, names.back_slot])
    except CrossoverError:
        return []  # the samples tell it
    return [
        Slot(side, r["name"], r["active"], r["wal_status"], max(0, r["retained_bytes"] or 0), r["safe_wal_size"])
        for r in rows
    ]


def judge(seen: Watch, limits: Limits) -> list[str]:
    """What is beyond the limits, each as one clause. A lag counts when it was too long all the time."""
    found = []
    last = seen.last
    if last.state != STREAMING:
        why = f": {last.message}" if last.message else ""
        found.append(f"the subscription {seen.subscription} on the {seen.direction} is {last.state}{why}")
    for name, limit, show in (
        ("lag_bytes", limits.lag_bytes, size),
        ("lag_seconds", limits.lag_seconds, lambda value: f"{value:.1f} s"),
    ):
        values = seen.values(name)
        if limit is not None and values and min(values) > limit:
            found.append(
                f"the {seen.direction} has been {show(min(values))} to {show(max(values))} behind all the time, "
                f"the limit is {show(limit)}"
            )
    for name, limit, what in (
        ("errors", limits.errors, "error(s)"),
        ("conflicts", limits.conflicts, "conflict(s)"),
    ):
        if limit is not None and seen.grown(name) > limit:
            why = f", the last: {last.message}" if last.message and name == "errors" else ""
            found.append(f"{seen.grown(name)} new {what} in the subscription {seen.subscription}{why}")
    return found + [problem for slot in seen.slots for problem in _judge_slot(slot, limits.wal_budget)]


def _judge_slot(slot: Slot, budget: int | None) -> Iterable[str]:
    name = f"the slot {slot.name} on the {slot.side}"
    if slot.wal_status == "lost":
        yield f"{name} is lost: what it should have sent is gone, and the copy has to begin again"
    elif slot.wal_status == "unreserved":
        yield f"{name} is about to be lost"
    elif budget is not None and slot.retained_bytes > budget:
        yield f"{name} holds back {size(slot.retained_bytes)} of WAL, the budget is {size(budget)}"


def summary(seen: Watch, problems: Sequence[str]) -> dict[str, Any]:
    """The figures of a watch."""
    lag, seconds, last = seen.values("lag_bytes"), seen.values("lag_seconds"), seen.last
    return {
        "direction": f"to the {seen.direction}",
        "state": last.state,
        "problems": len(problems),
        "lag_bytes": int(lag[-1]) if lag else None,
        "lag_bytes_max": int(max(lag)) if lag else None,
        "lag_seconds_max": round(max(seconds), 3) if seconds else None,
        "retained_bytes": max((slot.retained_bytes for slot in seen.slots), default=0),
        "new_errors": seen.grown("errors"),
        "new_conflicts": seen.grown("conflicts"),
        "tables_ready": last.tables_ready,
        "tables_total": last.tables_total,
        "samples": len(seen.samples),
        "slots": [asdict(slot) for slot in seen.slots],
    }


def growth(seen: Watch) -> float:
    """Bytes of WAL a second by which the slot's retention has grown."""
    known = [s for s in seen.samples if s.retained_bytes is not None]
    if len(known) < 2 or known[-1].at <= known[0].at:
        return 0.0
    return ((known[-1].retained_bytes or 0) - (known[0].retained_bytes or 0)) / (known[-1].at - known[0].at)


def screen(seen: Watch, limits: Limits, problems: Sequence[str]) -> list[str]:
    """The watch on one screen."""
    last = seen.last
    took = seen.samples[-1].at - seen.samples[0].at
    lines = [
        f"migration {seen.migration}: the {seen.writable} is writable, changes flow to the {seen.direction}",
        f"  {seen.subscription}: {last.state}, {last.tables_ready}/{last.tables_total} tables in sync",
        f"  {'in ' + format(took, '.0f') + ' s':<18}{'least':>12}{'most':>12}{'last':>12}{'limit':>12}",
    ]
    for label, name, limit, show in (
        ("behind", "lag_bytes", limits.lag_bytes, size),
        ("behind, seconds", "lag_seconds", limits.lag_seconds, lambda v: f"{v:.2f}"),
    ):
        values = seen.values(name)
        cells = [show(min(values)), show(max(values)), show(values[-1])] if values else ["?", "?", "?"]
        cells.append("-" if limit is None else show(limit))
        lines.append(f"  {label:<18}" + "".join(f"{cell:>12}" for cell in cells))
    for label, name, limit in (("errors", "errors", limits.errors), ("conflicts", "conflicts", limits.conflicts)):
        cells = ["", f"{seen.grown(name)} new", f"{getattr(last, name)} in all", "-" if limit is None else str(limit)]
        lines.append(f"  {label:<18}" + "".join(f"{cell:>12}" for cell in cells))
    for slot in seen.slots:
        state = "active" if slot.active else "inactive"
        budget = "" if limits.wal_budget is None else f", budget {size(limits.wal_budget)}"
        room = "" if slot.safe_wal_size is None else f", {size(max(0, slot.safe_wal_size))} until it may be lost"
        lines.append(f"  slot {slot.name} on the {slot.side}: {state}, {slot.wal_status or 'no WAL'},")
        lines.append(f"    holds back {size(slot.retained_bytes)}{budget}{room}")
    rate = growth(seen)
    if limits.wal_budget is not None and rate > 0 and last.retained_bytes is not None:
        left = (limits.wal_budget - last.retained_bytes) / rate
        if 0 < left < 86400:
            lines.append(f"  at {size(rate)}/s the WAL budget is used up in {left / 60:.0f} min")
    return lines + ([""] + [f"! {problem}" for problem in problems] if problems else ["", "within all limits"])


def size(value: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")
