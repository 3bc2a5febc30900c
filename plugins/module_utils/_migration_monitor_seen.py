# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a watch has seen (private to the collection). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ._migration_control import NODE, SOURCE

STREAMING = "streaming"
REPLICATING = "replicating"  # the same, as Spock says it
UNREACHABLE = "unreachable"
MISSING = "missing"


def spoken(place: str) -> str:
    """A place in a sentence: one of several nodes is called by its name."""
    return f"the {place}" if place in (SOURCE, NODE) else f"node {place}"


@dataclass(frozen=True)
class Sample:
    """One look at a subscription. ``errors`` and ``conflicts`` count since it was made."""

    at: float  # seconds since 1970
    state: str  # as replication_info or Spock has it, or missing, unreachable
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    retained_bytes: int | None = None
    errors: int = 0
    conflicts: int = 0
    tables_ready: int = 0
    tables_total: int = 0
    message: str = ""  # the last error, or why it could not be looked at


@dataclass(frozen=True)
class Feed:
    """One subscription that was watched: a native one, or one of the mesh."""

    subscription: str
    subscriber: str  # a place
    samples: tuple[Sample, ...]
    flowing: str = STREAMING  # its state when all is well

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
        known = [getattr(s, name) for s in self.samples if s.state not in (MISSING, UNREACHABLE)]
        return max(0, known[-1] - known[0]) if known else 0


@dataclass(frozen=True)
class Slot:
    """One slot at the end of the watch: ours, or of the mesh."""

    side: str  # a place
    name: str
    active: bool
    wal_status: str | None
    retained_bytes: int
    safe_wal_size: int | None
    mesh: bool = False


@dataclass(frozen=True)
class Member:
    """One of several nodes."""

    name: str
    reachable: bool = True
    problem: str = ""  # why it cannot be looked at, or what it lacks
    exceptions: int | None = None  # in Spock's log; None where that is not known
    new_exceptions: int = 0
    last_exception: str = ""


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
    feeds: tuple[Feed, ...]  # from the source to each landing node, or from the publishing node back
    slots: tuple[Slot, ...]
    mesh: tuple[Feed, ...] = ()  # of every node to every other one
    members: tuple[Member, ...] = ()

    @property
    def direction(self) -> str:
        """Where changes flow to."""
        return SOURCE if self.writable == NODE else NODE
