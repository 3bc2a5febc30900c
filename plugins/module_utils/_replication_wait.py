# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for a subscription: a waiter knows when it is there, and when it never will be (private to the collection)."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, Protocol

from ._errors import CrossoverError
from ._progress_words import size
from ._replication_lag import slot_state, subscription_state
from ._replication_last_error import last_error
from ._replication_progress import Name, measure

FAILURES = 2  # errors in a row, without any progress between them, that make it a failure
CONNECTING = 75.0  # seconds that one worker may take to hear from its publisher; decoding may have to catch up first
SILENCE = 20.0  # seconds without a worker that lives


class Waiter(Protocol):
    """What :func:`wait` waits for."""

    def look(self) -> dict[str, Any]:
        """Measure."""

    def met(self, measured: Mapping[str, Any]) -> bool:
        """Whether that is it."""

    def describe(self, measured: Mapping[str, Any]) -> str:
        """What is missing, for the message of a timeout."""


def wait(
    waiter: Waiter,
    timeout: float,
    interval: float = 0.25,
    on_look: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Look until it is met and return the last measurement, which a timeout carries too."""
    until = time.monotonic() + timeout
    while True:
        measured = waiter.look()
        if waiter.met(measured):
            return measured
        if on_look:
            on_look(measured)
        if time.monotonic() >= until:
            raise CrossoverError(
                f"it took longer than {timeout:g} s: {waiter.describe(measured)}",
                code="timeout",
                untouched="replication goes on",
                hint="wait again, or raise timeout",
                data={"measurement": measured},
            )
        time.sleep(min(interval, max(0.0, until - time.monotonic())))
        interval = min(interval * 1.2, 2.0)


class Health:
    """Tells a subscription that will never arrive from one that needs time."""

    def __init__(self, conn: Any, name: str) -> None:
        self.conn, self.name = conn, name
        self._errors: dict[str, int] | None = None
        self._progress: Any = None
        self._alive = self._pid_since = time.monotonic()
        self._pid: int | None = None

    def check(self, state: Mapping[str, Any] | None, progress: Any, measured: Mapping[str, Any]) -> None:
        """Raise when waiting is no use. ``progress`` is anything that changes as long as work gets done."""
        if state is None:
            raise self._broken("does not exist", measured, hint="create it first, with crossover.pgedge.subscription")
        if not state["enabled"]:
            raise self._broken("is disabled", measured, hint="mend what stopped it, then enable it")
        now, errors = time.monotonic(), dict(state["errors"])
        if self._errors is None or progress != self._progress:
            self._errors, self._progress = errors, progress
        risen = sum(max(0, n - self._errors.get(k, 0)) for k, n in errors.items() if k.endswith("error_count"))
        if risen >= FAILURES:
            raise self._broken(f"fails again and again ({risen} errors without any progress)", measured)
        # a worker that cannot connect is a new one each time; one that hangs in connecting never hears anything
        pid = state["worker_pid"]
        if pid != self._pid:
            self._pid, self._pid_since = pid, now
        elif pid and (state["heard_seconds_ago"] is not None or now - self._pid_since < CONNECTING):
            self._alive = now
        if now - self._alive > SILENCE:
            raise self._broken(
                f"has not reached its publisher for {now - self._alive:.0f} s",
                measured,
                hint="check the subscription's connection, and max_logical_replication_workers where it subscribes",
            )

    def _broken(self, what: str, measured: Mapping[str, Any], hint: str | None = None) -> CrossoverError:
        reason, unknown = self._reason()
        return CrossoverError(
            f"the subscription {self.name} {what}" + (f": {reason}" if reason else ""),
            code="subscription_broken",
            object=self.name,
            untouched="waiting longer is no use",
            hint=hint or (None if reason else f"the reason is in the log of the server that subscribes ({unknown})"),
            data={"measurement": dict(measured)},
        )

    def _reason(self) -> tuple[str | None, str]:
        state = subscription_state(self.conn, self.name)
        return last_error(self.conn, self.name, state["oid"]) if state else (None, "")


class Synced:
    """Every table of a subscription is ready."""

    def __init__(self, conn: Any, name: str, sizes: Mapping[Name, int], publisher: Any = None) -> None:
        self.conn, self.name, self.sizes, self.publisher = conn, name, sizes, publisher
        self.health = Health(conn, name)

    def look(self) -> dict[str, Any]:
        """Measure, and raise when it will never be."""
        measured = measure(self.conn, self.name, self.sizes)
        found = measured or {"subscription": self.name}
        copied = [(c["table"], c["bytes"]) for c in found.get("copying", ())]
        self.health.check(measured, (found.get("waiting"), copied), found)
        slot = slot_state(self.publisher, found["slot"]) if self.publisher and found["slot"] else None
        found["lag_bytes"] = slot["lag_bytes"] if slot else None
        return found

    def met(self, measured: Mapping[str, Any]) -> bool:
        """Whether there are tables, and all are ready."""
        return bool(measured["tables_total"]) and measured["tables_ready"] == measured["tables_total"]

    def describe(self, measured: Mapping[str, Any]) -> str:
        """Count what is ready, and name some that are not."""
        text = f"{measured['tables_ready']} of {measured['tables_total']} tables are in sync"
        text += f"; not yet: {', '.join(measured['waiting'][:3])}" if measured["waiting"] else ""
        if measured.get("bytes_total"):
            text += f"; {size(measured['bytes_total'] - measured['bytes_done'])} left to copy"
        if measured.get("lag_bytes") is not None:
            text += f"; {size(max(0, measured['lag_bytes']))} behind"
        return text


class Lag:
    """No slot has more than so many bytes to hand over. For eyes: a cutover waits for a barrier."""

    def __init__(self, publisher: Any, slots: list[str], limit: int, subscriber: Any, subscription: str) -> None:
        self.publisher, self.slots, self.limit = publisher, slots, limit
        self.subscriber, self.subscription = subscriber, subscription
        self.health = Health(subscriber, subscription)

    def look(self) -> dict[str, Any]:
        """Measure, and raise when a slot or the subscription is lost."""
        slots = {name: slot_state(self.publisher, name) for name in self.slots}
        for name, slot in slots.items():
            if slot is None or slot["wal_status"] == "lost":
                raise CrossoverError(
                    f"the slot {name} {'does not exist' if slot is None else 'is lost: WAL that it needs is gone'}",
                    code="no_slot",
                    object=name,
                    hint="the subscription that reads it has to be made, and its tables copied, anew",
                )
        lags = {name: slot["lag_bytes"] for name, slot in slots.items() if slot}
        state = subscription_state(self.subscriber, self.subscription)
        measured = {"slots": lags, "lag_bytes": max(lags.values()), "limit_bytes": self.limit}
        self.health.check(state, lags, measured)
        return measured

    def met(self, measured: Mapping[str, Any]) -> bool:
        """Whether all are under the limit."""
        return bool(measured["lag_bytes"] <= self.limit)

    def describe(self, measured: Mapping[str, Any]) -> str:
        """Name the lag and the limit."""
        return f"the lag is {measured['lag_bytes']} bytes, the limit {self.limit}"


class Every:
    """All of several nodes, each with a waiter of its own."""

    def __init__(self, waiters: Mapping[str, Waiter]) -> None:
        self.waiters = waiters

    def look(self) -> dict[str, Any]:
        """Measure each; what is broken is told with its node."""
        nodes: dict[str, Any] = {}
        for name, waiter in self.waiters.items():
            try:
                nodes[name] = waiter.look()
            except CrossoverError as exc:
                exc.message = f"{name}: {exc.message}"
                exc.data["measurement"] = {"nodes": {**nodes, name: exc.data.get("measurement", {})}}
                raise
        return {"nodes": nodes, **overall(nodes)}

    def met(self, measured: Mapping[str, Any]) -> bool:
        """Whether it is met on every node."""
        return all(waiter.met(measured["nodes"][name]) for name, waiter in self.waiters.items())

    def describe(self, measured: Mapping[str, Any]) -> str:
        """The nodes that are late, and by how much."""
        nodes = measured["nodes"]
        return ". ".join(
            f"{name}: {waiter.describe(nodes[name])}"
            for name, waiter in self.waiters.items()
            if not waiter.met(nodes[name])
        )


def overall(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over all nodes; of the lags the largest."""
    found: dict[str, Any] = {}
    for key in ("tables_total", "tables_ready", "bytes_total", "bytes_done"):
        values = [node[key] for node in nodes.values() if node.get(key) is not None]
        if values:
            found[key] = sum(values)
    lags = [node["lag_bytes"] for node in nodes.values() if node.get("lag_bytes") is not None]
    return {**found, "lag_bytes": max(lags)} if lags else found
