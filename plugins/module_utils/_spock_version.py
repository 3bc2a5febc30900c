# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether and which Spock is in a database (private to the collection)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._errors import CrossoverError
from ._pg_connect import Login

SUPPORTED = (5, 6)

_STATE = """
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'spock') AS created,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'spock') AS available,
       EXISTS (SELECT FROM pg_settings WHERE name = 'spock.conflict_resolution') AS loaded
"""


@dataclass(frozen=True)
class SpockVersion:
    """A version as the extension says it: 5.0.11."""

    text: str

    @property
    def major(self) -> int:
        """5 or 6: they differ in some of the catalogue's columns."""
        return int(self.text.split(".", 1)[0])


def spock_of(conn: Any) -> SpockVersion | None:
    """The Spock of this database; None where the extension was not created in it."""
    created = conn.execute(_STATE).fetchone()["created"]
    return SpockVersion(created) if created else None


def require_spock(conn: Any, login: Login) -> SpockVersion:
    """The same; where it cannot be used, one sentence says why."""
    found = conn.execute(_STATE).fetchone()
    if not found["created"]:
        there = found["available"]
        raise CrossoverError(
            f"the extension spock {'is not in this database' if there else 'is not installed on this server'}",
            code="no_spock",
            server=str(login),
            untouched="nothing was changed",
            hint="run CREATE EXTENSION spock there as a superuser, or the playbook crossover.pgedge.node"
            if there
            else "Spock comes with pgEdge's packages only: run the playbook crossover.pgedge.node",
        )
    version = SpockVersion(found["created"])
    if not found["loaded"]:
        raise CrossoverError(
            "the extension spock is in this database, but the server has not loaded it",
            code="no_spock",
            server=str(login),
            untouched="nothing was changed",
            hint="put spock into shared_preload_libraries and restart the server",
        )
    if version.major not in SUPPORTED:
        raise CrossoverError(
            f"Spock {version.text} is not supported",
            code="spock_unsupported",
            server=str(login),
            untouched="nothing was changed",
            hint=f"update Spock on this node to {SUPPORTED[0]}.x or {SUPPORTED[-1]}.x",
        )
    return version
