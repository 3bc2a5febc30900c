# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock barrier (private to the collection).

On a mesh the later commit wins, by the clock of the server that made it; and what native apply brings to a node bears
the source's time. A node whose clock is behind the source's newest commit would lose its own writes to such rows on the
other nodes. So writes are let in on the nodes only when the clock of each is past it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from ._errors import CrossoverError

_CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8 AS at"
_LOOKS = 3


@dataclass(frozen=True)
class Offset:
    """By how many seconds a server's clock is ahead of ours, at least and at most."""

    least: float
    most: float


def now(conn: Any) -> float:
    """The server's clock, in seconds since 1970."""
    at: float = conn.execute(_CLOCK, prepare=True).fetchone()["at"]
    return at


def offset(conn: Any) -> Offset:
    """From a few looks; the shortest round trip says most."""
    found = []
    for _look in range(_LOOKS):
        before = time.time()
        at = now(conn)
        found.append(Offset(at - time.time(), at - before))
    return Offset(max(one.least for one in found), min(one.most for one in found))


def skew(offsets: Mapping[str, Offset], nodes: Iterable[str]) -> tuple[float, str, str]:
    """By how many seconds at least the slowest node is behind the fastest server; the names of both."""
    slow = min(nodes, key=lambda name: offsets[name].most)
    fast = max(offsets, key=lambda name: offsets[name].least)
    return max(0.0, offsets[fast].least - offsets[slow].most), slow, fast


def check_clocks(conn: Mapping[str, Any], nodes: Iterable[str], named: Mapping[str, str], limit: float) -> float:
    """The skew in seconds; more than the limit is refused: a smaller one is waited out in the window."""
    seconds, slow, fast = skew({place: offset(one) for place, one in conn.items()}, nodes)
    if seconds > limit:
        raise CrossoverError(
            f"the clock of the {named[slow]} is {seconds:.2f} s behind that of the {named[fast]}, allowed are "
            f"{limit:g} s: what is written there would lose against rows that are older",
            code="clock_skew",
            untouched="nothing was changed",
            hint="synchronise the clocks (chrony, NTP), then run the playbook again",
        )
    return seconds


def wait_past(conn: Any, stamp: float, timeout: float) -> float:
    """Until the server's clock is past the stamp; the milliseconds waited."""
    begun = time.monotonic()
    while (behind := stamp - now(conn)) >= 0:
        if behind > timeout - (time.monotonic() - begun):
            raise CrossoverError(
                f"its clock is still {behind:.2f} s behind the source's newest commit",
                code="clock_skew",
                hint="synchronise the clocks (chrony, NTP), then run the playbook again",
            )
        time.sleep(behind + 0.0005)
    return round((time.monotonic() - begun) * 1000, 1)
