# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequences of several servers, for a switch (private to the collection)."""

from __future__ import annotations

from typing import Any, Mapping

from ._migration_sequences import Carry
from ._migration_sides import Migration


class Carries:
    """The sequences from every server of the old side to every one of the new."""

    def __init__(self, migration: Migration, conn: Mapping[str, Any]) -> None:
        self.parts = [
            Carry(conn[old], conn[new], migration.scope, migration.limits.sequence_gap)
            for old in migration.places(migration.old)
            for new in migration.places(migration.new)
        ]

    def first_pass(self) -> dict[str, Any]:
        """Before anything is held."""
        return self._sum([part.first_pass() for part in self.parts])

    def last_pass(self) -> dict[str, Any]:
        """Behind the fence."""
        return self._sum([part.last_pass() for part in self.parts])

    @staticmethod
    def _sum(found: list[dict[str, Any]]) -> dict[str, Any]:
        return {**found[0], "moved": sum(one["moved"] for one in found)}
