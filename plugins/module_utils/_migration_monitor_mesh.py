# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a mesh, looked at for the monitor (private to the collection). Reads only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from ._migration_mesh import spock_node
from ._migration_monitor_seen import MISSING, REPLICATING, UNREACHABLE, Feed, Member, Sample, Slot
from ._pg_connect import Login, connect
from ._replication_lag import slot_state
from ._spock_info import mesh_of

_CONNECT = {"connect_timeout": "5"}
_STOPPED = "SUB_DISABLE"


@dataclass(frozen=True)
class Look:
    """One look at one node. ``name`` is Spock's, empty where it has none."""

    name: str = ""
    problem: str = ""
    subscriptions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by provider
    slots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    exceptions: int | None = None
    last_exception: str = ""


Round = Mapping[str, Look]  # one look at each of them, by our names


def look_at_member(login: Login) -> Look:
    """What Spock tells on one node."""
    with connect(login.at(connect_params={**_CONNECT, **login.connect_params})) as conn:
        if spock_node(conn) is None:
            return Look()
        mesh = mesh_of(conn)
        slots = {row["name"]: slot_state(conn, row["name"]) for row in mesh["slots"]}
    logged = mesh["exceptions"]
    return Look(
        name=mesh["local"],
        subscriptions={one["provider"]: one for one in mesh["subscriptions"].values()},
        slots={name: state for name, state in slots.items() if state},
        exceptions=logged["count"],
        last_exception=_words(logged["last"]),
    )


def _words(logged: Sequence[Mapping[str, Any]]) -> str:
    """The newest. That it has stopped the subscription Spock logs as one more."""
    if not logged:
        return ""
    last = next((one for one in logged if one["operation"] != _STOPPED), logged[0])
    table = f" {last['schema']}.{last['table']}" if last["table"] else ""  # none of a table that is not there
    return f"{last['operation']}{table}: {last['error']} ({last['at']})"


def mesh_feeds(rounds: Sequence[Round]) -> list[Feed]:
    """Every subscription that there should be; none of a node that never was one of Spock's."""
    known = {name: next((r[name].name for r in rounds if r[name].name), "") for name in rounds[0]}
    here_and_there = permutations((name for name in known if known[name]), 2)
    return [_feed(rounds, here, there, known) for here, there in here_and_there]


def _feed(rounds: Sequence[Round], here: str, there: str, known: Mapping[str, str]) -> Feed:
    provider = known[there]
    named = (r[here].subscriptions[provider]["name"] for r in rounds if provider in r[here].subscriptions)
    samples = tuple(_sample(r[here], r[there], provider) for r in rounds)
    return Feed(next(named, f"to {provider}"), here, samples, REPLICATING)


def _sample(here: Look, there: Look, provider: str) -> Sample:
    if here.problem or there.problem:
        return Sample(time.time(), UNREACHABLE, message=here.problem or there.problem)
    one = here.subscriptions.get(provider)
    if one is None:
        return Sample(time.time(), MISSING)
    slot = there.slots.get(one["slot"], {})
    stopped = one["status"] != REPLICATING and here.last_exception
    return Sample(
        at=time.time(),
        state=one["status"],
        lag_bytes=None if slot.get("lag_bytes") is None else max(0, slot["lag_bytes"]),
        lag_seconds=slot.get("lag_seconds"),
        retained_bytes=slot.get("retained_bytes"),
        message=f"the last exception there was {here.last_exception}" if stopped else "",
    )


def members(rounds: Sequence[Round], needed: bool) -> list[Member]:
    """Each node by itself. Before the switch there need not be a mesh, and the feeds tell which node is away."""
    return [_member(name, [r[name] for r in rounds], needed) for name in rounds[0]]


def _member(name: str, looks: Sequence[Look], needed: bool) -> Member:
    counts = [look.exceptions for look in looks if look.exceptions is not None]
    last = looks[-1]
    lacking = "" if last.name or last.problem else "it is no Spock node: nothing replicates to it"
    return Member(
        name=name,
        reachable=not last.problem,
        problem=(last.problem or lacking) if needed else "",
        exceptions=counts[-1] if counts else None,
        new_exceptions=max(0, counts[-1] - counts[0]) if counts else 0,
        last_exception=last.last_exception,
    )


def mesh_slots(last: Round) -> list[Slot]:
    """Spock's slots, those that nobody reads as well."""
    return [
        Slot(node, name, s["active"], s["wal_status"], max(0, s["retained_bytes"] or 0), s["safe_wal_size"], mesh=True)
        for node, look in last.items()
        for name, s in look.slots.items()
    ]
