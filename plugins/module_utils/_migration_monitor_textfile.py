# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A watch as Prometheus metrics, for the textfile collector of the node exporter (private to the collection). Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from ._migration_control import NODE, SOURCE
from ._migration_monitor_seen import Feed, Watch


def _labels(**labels: str) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"


def render(seen: Watch, problems: int) -> str:
    """Every figure of the last sample. No messages: the file is for all to read."""
    own = {"migration": seen.migration}
    lines: list[str] = []

    def metric(name: str, kind: str, words: str, *points: tuple[str, float | int | None]) -> None:
        known = [f"crossover_{name}{labels} {value}" for labels, value in points if value is not None]
        if known:
            lines.extend([f"# HELP crossover_{name} {words}", f"# TYPE crossover_{name} {kind}", *known])

    def stream(feed: Feed) -> str:
        return _labels(**own, subscription=feed.subscription, subscriber=feed.subscriber)

    ours, all_feeds = ([(stream(f), f.last) for f in feeds] for feeds in (seen.feeds, seen.feeds + seen.mesh))
    at = round(max(last.at for _feed, last in ours), 3)
    metric("problems", "gauge", "Limits that are exceeded.", (_labels(**own), problems))
    metric("sampled_timestamp_seconds", "gauge", "When it was looked at.", (_labels(**own), at))
    metric(
        "writable", "gauge", "Which side takes the application's writes.",
        *((_labels(**own, side=side), int(side == seen.writable)) for side in (SOURCE, NODE)),
    )  # fmt: skip
    metric(
        "streaming",
        "gauge",
        "Whether changes flow.",
        *((stream(feed), int(feed.last.state == feed.flowing)) for feed in seen.feeds + seen.mesh),
    )
    words = "WAL that the subscriber has not confirmed."
    metric("lag_bytes", "gauge", words, *((one, s.lag_bytes) for one, s in all_feeds))
    metric("lag_seconds", "gauge", "How old that is.", *((one, s.lag_seconds) for one, s in all_feeds))
    metric("tables_ready", "gauge", "Tables in sync.", *((one, s.tables_ready) for one, s in ours))
    metric("tables", "gauge", "Tables of the subscription.", *((one, s.tables_total) for one, s in ours))
    metric("errors_total", "counter", "Errors of the subscription.", *((one, s.errors) for one, s in ours))
    words = "Conflicts that the server has counted."
    metric("conflicts_total", "counter", words, *((one, s.conflicts) for one, s in ours))
    metric(
        "node_up",
        "gauge",
        "Whether the node answers.",
        *((_labels(**own, node=member.name), int(member.reachable)) for member in seen.members),
    )
    metric(
        "exceptions_total",
        "counter",
        "Exceptions in the log of Spock.",
        *((_labels(**own, node=member.name), member.exceptions) for member in seen.members),
    )
    slots = [(_labels(**own, side=slot.side, slot=slot.name), slot) for slot in seen.slots]
    metric("slot_active", "gauge", "Whether the slot is read.", *((labels, int(s.active)) for labels, s in slots))
    metric(
        "slot_retained_bytes",
        "gauge",
        "WAL that the slot holds back.",
        *((labels, s.retained_bytes) for labels, s in slots),
    )
    metric(
        "slot_safe_bytes",
        "gauge",
        "WAL until the slot may be lost.",
        *((labels, s.safe_wal_size) for labels, s in slots),
    )
    metric("slot_lost", "gauge", "Whether it is lost.", *((labels, int(s.wal_status == "lost")) for labels, s in slots))
    return "\n".join(lines) + "\n"
