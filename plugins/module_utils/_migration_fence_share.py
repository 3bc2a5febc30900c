# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The share of the pause that copying at the fence takes (private to the collection). Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from ._errors import CrossoverError

# What an ordinary server does without being measured: for check mode and the assessment, which write nothing.
_READ = 300e6  # bytes of large objects a second, read and hashed
_EACH = 80e-6  # seconds for a large object, however small
_ROWS = 8e6  # bytes of a table a second, hashed, its former rows deleted, and written with its indexes
_BASE = 0.01  # seconds, whatever there is


@dataclass(frozen=True)
class Wish:
    """What is copied at the fence, and the seconds of the pause that it may take."""

    large_objects: bool = False
    unlogged: bool = False
    budget: float = 0.5

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return self.large_objects or self.unlogged


@dataclass(frozen=True)
class Load:
    """How much it is. ``table_bytes`` with indexes, as the server counts them."""

    large_objects: int = 0
    large_object_bytes: int = 0
    tables: int = 0
    table_bytes: int = 0

    def __str__(self) -> str:
        parts = []
        if self.large_objects:
            parts.append(f"{self.large_objects} large object(s) ({_size(self.large_object_bytes)})")
        if self.tables:
            parts.append(f"{self.tables} unlogged table(s) ({_size(self.table_bytes)})")
        return " and ".join(parts) or "nothing"


def _size(count: int) -> str:
    return f"{count / 1048576:.1f} MiB"


def estimate(load: Load) -> float:
    """Seconds of the pause, from sizes alone: every table is taken as changed, of the large objects none."""
    if not (load.large_objects or load.tables):
        return 0.0
    large = load.large_objects * _EACH + load.large_object_bytes / _READ
    return _BASE + large + load.table_bytes / _ROWS


def predict(looked: float, brought: float, tables: float) -> float:
    """Seconds of the pause, from a rehearsal while the application writes.

    ``looked``: finding out what has changed. ``brought``: bringing the large objects that changed meanwhile.
    ``tables``: bringing every unlogged table, which may well have changed; twice, as the former rows are deleted first,
    which takes no longer than writing the new ones.
    """
    return looked + brought + 2 * tables


def within(what: Load | str, seconds: float, budget: float) -> None:
    """Refuse what is over the budget, before anything is held."""
    if seconds <= budget:
        return
    raise CrossoverError(
        f"copying {what} at the fence is predicted to take {seconds:.2f} s of the pause, allowed are {budget:g} s",
        code="fence_copy_over_budget",
        hint="raise crossover_fence_copy_budget, make them smaller, or leave them behind "
        "(crossover_large_objects, crossover_unlogged: skip)",
    )
