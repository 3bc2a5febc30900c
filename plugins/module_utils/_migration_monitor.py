# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replication watched for a while, and judged by limits (private to the collection).

It watches the direction that carries the application's writes: to the node before the cutover, to the source after it.
Its figures are for alarms. No phase is gated on them; a barrier is what proves that everything has arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from ._errors import CrossoverError
from ._migration_control import NODE, SOURCE, read
from ._migration_deadline import together
from ._migration_monitor_mesh import Look, look_at_member, members, mesh_feeds, mesh_slots
from ._migration_monitor_seen import (
    MISSING,
    STREAMING,
    UNREACHABLE,
    Feed,
    Limits,
    Member,
    Sample,
    Slot,
    Watch,
    spoken,
)
from ._migration_names import Names
from ._migration_sides import FurtherNode
from ._pg_connect import Login, connect
from ._replication_overview import all_slots, all_subscriptions

ANSWER = 30.0  # seconds for all servers, at each look


def watch(
    name: str,
    node: str,
    logins: Mapping[str, Login],
    samples: int,
    interval: float,
    further: Sequence[FurtherNode] = (),
) -> Watch:
    """Look ``samples`` times. A server that does not answer in between is a sample too; at the beginning an error.

    A further node that does not answer is a sample at the beginning, too.
    """
    names = Names.of(name, node)
    with connect(logins[SOURCE]) as conn, connect(logins[NODE]):
        control = read(conn, name)
    writable = control.writable if control else SOURCE
    first = node if further else NODE
    nodes = {first: logins[NODE], **{one.name: one.login for one in further}}
    landing = {first: names, **{one.name: one.names for one in further if one.landing}}
    feeds = {
        (at, n.subscription): partial(_look, logins[SOURCE], nodes[at], n.subscription) for at, n in landing.items()
    }
    if writable == NODE:
        back = names.back_subscription
        feeds = {(SOURCE, back): partial(_look, nodes[first], logins[SOURCE], back)}
    taken: dict[tuple[str, str], list[Sample]] = {key: [] for key in feeds}
    rounds: list[dict[str, Look]] = []
    due = time.monotonic()
    for _number in range(samples):
        time.sleep(max(0.0, due - time.monotonic()))
        due += interval
        acts: dict[Any, Callable[[], Any]] = {**feeds}
        if further:
            acts.update({at: partial(look_at_member, login) for at, login in nodes.items()})
        done, failed = together(acts, ANSWER)
        for key, kept in taken.items():
            kept.append(done.get(key) or Sample(time.time(), UNREACHABLE, message=_reason(failed[key])))
        if further:
            rounds.append({at: done.get(at) or Look(problem=_reason(failed[at])) for at in nodes})
    ours = [*(n.slot for n in landing.values()), names.back_slot]
    slots = _slots(SOURCE, logins[SOURCE], ours) + _slots(first, nodes[first], ours)
    return Watch(
        migration=name,
        writable=writable,
        feeds=tuple(Feed(subscription, at, tuple(taken[at, subscription])) for at, subscription in feeds),
        slots=tuple(slots + (mesh_slots(rounds[-1]) if rounds else [])),
        mesh=tuple(mesh_feeds(rounds)) if rounds else (),
        members=tuple(members(rounds, writable == NODE)) if rounds else (),
    )


def _reason(problem: Exception) -> str:
    return problem.message if isinstance(problem, CrossoverError) else str(problem)


def _look(publisher: Login, subscriber: Login, subscription: str) -> Sample:
    with connect(publisher) as there, connect(subscriber) as here:
        found = all_subscriptions(here, [subscription], there)
    if not found:
        return Sample(time.time(), MISSING)
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


def _slots(side: str, login: Login, names: Sequence[str]) -> list[Slot]:
    try:
        with connect(login) as conn:
            rows = all_slots(conn, names)
    except CrossoverError:
        return []  # the samples tell it
    return [
        Slot(side, r["name"], r["active"], r["wal_status"], max(0, r["retained_bytes"] or 0), r["safe_wal_size"])
        for r in rows
    ]


def judge(seen: Watch, limits: Limits) -> list[str]:
    """What is beyond the limits, each as one clause. A lag counts when it was too long all the time."""
    found = [problem for feed in seen.feeds for problem in _judge_feed(feed, limits)]
    found += [problem for member in seen.members for problem in _judge_member(member, limits)]
    for feed in seen.mesh:
        if feed.last.state != UNREACHABLE:  # that is said of the node
            found += _judge_feed(feed, limits)
    return found + [problem for slot in seen.slots for problem in _judge_slot(slot, limits.wal_budget)]


def _judge_feed(feed: Feed, limits: Limits) -> Iterable[str]:
    last, place = feed.last, spoken(feed.subscriber)
    if last.state != feed.flowing:
        why = f": {last.message}" if last.message else ""
        yield f"the subscription {feed.subscription} on {place} is {last.state}{why}"
    for name, limit, show in (
        ("lag_bytes", limits.lag_bytes, size),
        ("lag_seconds", limits.lag_seconds, lambda value: f"{value:.1f} s"),
    ):
        values = feed.values(name)
        if limit is not None and values and min(values) > limit:
            whose = place if feed.flowing == STREAMING else f"the subscription {feed.subscription} on {place}"
            yield (
                f"{whose} has been {show(min(values))} to {show(max(values))} behind all the time, "
                f"the limit is {show(limit)}"
            )
    for name, limit, what in (
        ("errors", limits.errors, "error(s)"),
        ("conflicts", limits.conflicts, "conflict(s)"),
    ):
        if limit is not None and feed.grown(name) > limit:
            why = f", the last: {last.message}" if last.message and name == "errors" else ""
            yield f"{feed.grown(name)} new {what} in the subscription {feed.subscription}{why}"


def _judge_member(member: Member, limits: Limits) -> Iterable[str]:
    if member.problem:
        yield f"node {member.name}: {member.problem}"
    if limits.errors is not None and member.new_exceptions > limits.errors:
        yield f"{member.new_exceptions} new exception(s) on node {member.name}, the last: {member.last_exception}"


def _judge_slot(slot: Slot, budget: int | None) -> Iterable[str]:
    name = f"the slot {slot.name} on {spoken(slot.side)}"
    if slot.wal_status == "lost":
        yield f"{name} is lost: what it should have sent is gone, and the copy has to begin again"
    elif slot.wal_status == "unreserved":
        yield f"{name} is about to be lost"
    elif budget is not None and slot.retained_bytes > budget:
        yield f"{name} holds back {size(slot.retained_bytes)} of WAL, the budget is {size(budget)}"


def summary(seen: Watch, problems: Sequence[str]) -> dict[str, Any]:
    """The figures of a watch; of several feeds the worst."""
    feeds = seen.feeds
    lag = [feed.values("lag_bytes") for feed in feeds if feed.values("lag_bytes")]
    seconds = [value for feed in feeds for value in feed.values("lag_seconds")]
    return {
        "direction": f"to the {seen.direction}",
        "state": next((feed.last.state for feed in feeds if feed.last.state != STREAMING), STREAMING),
        "problems": len(problems),
        "lag_bytes": int(max(values[-1] for values in lag)) if lag else None,
        "lag_bytes_max": int(max(map(max, lag))) if lag else None,
        "lag_seconds_max": round(max(seconds), 3) if seconds else None,
        "retained_bytes": max((slot.retained_bytes for slot in seen.slots), default=0),
        "new_errors": sum(feed.grown("errors") for feed in feeds),
        "new_conflicts": sum(feed.grown("conflicts") for feed in feeds),
        "tables_ready": sum(feed.last.tables_ready for feed in feeds),
        "tables_total": sum(feed.last.tables_total for feed in feeds),
        "samples": len(feeds[0].samples),
        "slots": [asdict(slot) for slot in seen.slots],
        "nodes": [asdict(member) for member in seen.members],
        "mesh": {f"{feed.subscription} on {feed.subscriber}": feed.last.state for feed in seen.mesh},
    }


def growth(feed: Feed) -> float:
    """Bytes of WAL a second by which the slot's retention has grown."""
    known = [s for s in feed.samples if s.retained_bytes is not None]
    if len(known) < 2 or known[-1].at <= known[0].at:
        return 0.0
    return ((known[-1].retained_bytes or 0) - (known[0].retained_bytes or 0)) / (known[-1].at - known[0].at)


def screen(seen: Watch, limits: Limits, problems: Sequence[str]) -> list[str]:
    """The watch on one screen."""
    lines = [f"migration {seen.migration}: the {seen.writable} is writable, changes flow to the {seen.direction}"]
    for feed in seen.feeds:
        lines += _feed_lines(feed, limits, several=len(seen.feeds) > 1)
    for slot in seen.slots:
        if not slot.mesh:
            lines += _slot_lines(slot, limits)
    for feed in seen.feeds:
        rate, retained = growth(feed), feed.last.retained_bytes
        if limits.wal_budget is not None and rate > 0 and retained is not None:
            left = (limits.wal_budget - retained) / rate
            if 0 < left < 86400:
                lines.append(f"  at {size(rate)}/s the WAL budget is used up in {left / 60:.0f} min")
    lines += _mesh_lines(seen)
    return lines + ([""] + [f"! {problem}" for problem in problems] if problems else ["", "within all limits"])


def _feed_lines(feed: Feed, limits: Limits, several: bool) -> list[str]:
    last = feed.last
    took = last.at - feed.samples[0].at
    where = f" on {spoken(feed.subscriber)}" if several else ""
    lines = [
        f"  {feed.subscription}{where}: {last.state}, {last.tables_ready}/{last.tables_total} tables in sync",
        f"  {'in ' + format(took, '.0f') + ' s':<18}{'least':>12}{'most':>12}{'last':>12}{'limit':>12}",
    ]
    for label, name, limit, show in (
        ("behind", "lag_bytes", limits.lag_bytes, size),
        ("behind, seconds", "lag_seconds", limits.lag_seconds, lambda v: f"{v:.2f}"),
    ):
        values = feed.values(name)
        cells = [show(min(values)), show(max(values)), show(values[-1])] if values else ["?", "?", "?"]
        cells.append("-" if limit is None else show(limit))
        lines.append(f"  {label:<18}" + "".join(f"{cell:>12}" for cell in cells))
    for label, name, limit in (("errors", "errors", limits.errors), ("conflicts", "conflicts", limits.conflicts)):
        cells = ["", f"{feed.grown(name)} new", f"{getattr(last, name)} in all", "-" if limit is None else str(limit)]
        lines.append(f"  {label:<18}" + "".join(f"{cell:>12}" for cell in cells))
    return lines


def _slot_lines(slot: Slot, limits: Limits) -> list[str]:
    state = "active" if slot.active else "inactive"
    budget = "" if limits.wal_budget is None else f", budget {size(limits.wal_budget)}"
    room = "" if slot.safe_wal_size is None else f", {size(max(0, slot.safe_wal_size))} until it may be lost"
    return [
        f"  slot {slot.name} on {spoken(slot.side)}: {state}, {slot.wal_status or 'no WAL'},",
        f"    holds back {size(slot.retained_bytes)}{budget}{room}",
    ]


def _mesh_lines(seen: Watch) -> list[str]:
    if not seen.mesh:
        return []
    well = sum(feed.last.state == feed.flowing for feed in seen.mesh)
    behind = max((value for feed in seen.mesh for value in feed.values("lag_bytes")[-1:]), default=None)
    kept = max((slot.retained_bytes for slot in seen.slots if slot.mesh), default=0)
    new = sum(member.new_exceptions for member in seen.members)
    behind_words = "?" if behind is None else size(behind)
    nodes = ", ".join(member.name for member in seen.members)
    return [
        f"  mesh of {nodes}: {well} of {len(seen.mesh)} subscriptions replicate,",
        f"    {behind_words} behind, {new} new exception(s), a slot holds back {size(kept)} at most",
    ]


def size(value: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")
