# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long nothing was acknowledged: pure arithmetic on times (seconds, CLOCK_MONOTONIC)."""

from __future__ import annotations

import bisect
from typing import Sequence


def longest_gap(times: Sequence[float], begin: float, end: float) -> tuple[float, float]:
    """The longest interval without any of ``times`` (sorted) that overlaps [begin, end]: its length and its start.

    An interval that begins before the window or ends after it counts in full: that is how long the application waited.
    Before the first time and after the last one, only what lies within the window counts.
    """
    if begin >= end:
        return 0.0, begin
    first = max(bisect.bisect_right(times, begin) - 1, 0)
    last = bisect.bisect_left(times, end) + 1
    inside = list(times[first:last])
    if not inside or inside[0] > begin:
        inside.insert(0, begin)
    if inside[-1] < end:
        inside.append(end)
    return max((later - earlier, earlier) for earlier, later in zip(inside, inside[1:]))


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the maximum; empty without values."""
    if not values:
        return {}
    ranked = sorted(values)
    top = len(ranked) - 1
    found = {f"p{p}": round(ranked[round(top * p / 100)], 3) for p in (50, 95, 99)}
    return {**found, "max": round(ranked[-1], 3)}
