# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has to come into the mesh with a copy, and who cannot be linked without one (private to the collection).

A node is in the mesh if another one follows it, whether that subscription is on or off: an exception turns it off.
"""

from __future__ import annotations

from typing import Sequence

from ._errors import CrossoverError
from ._pg_sql import quote_ident
from ._spock_mesh import OWN_SCHEMAS, Member


def newcomers(alive: Sequence[Member], data: str) -> list[Member]:
    """First whose join is under way; then who has no link with anybody, while others have rows to give."""
    begun = [member for member in alive if member.begun]
    rest = [member for member in alive if not member.begun]
    if data == "same":
        return begun
    followed = {provider for member in alive for provider in member.have}
    full = [member for member in rest if member.tables]
    if followed:
        lone = [member for member in rest if member.name not in followed and not member.have]
    else:
        lone = [member for member in rest if member not in full] if len(full) == 1 else []
    if not any(member.tables for member in rest if member not in lone):
        return begun
    if strange := [member.name for member in lone if member.tables]:
        raise CrossoverError(
            f"{', '.join(strange)} is not in the mesh and is not empty, while others are one",
            code="not_empty",
            untouched="nothing was changed",
            hint="empty its database, so that it comes in with a copy; or, if it has the same rows and nothing is "
            "being written, set crossover_mesh_data to same",
        )
    return begun + lone


def refuse_gaps(missing: Sequence[tuple[Member, Member]]) -> None:
    """A subscription begins with what is written from now on."""
    for member, provider in missing:
        full = next((one for one in (member, provider) if _has_rows(one)), None)
        if full:
            raise CrossoverError(
                f"{member.name} does not follow {provider.name}, {full.name} has rows, and a new subscription would "
                "bring nothing of what was written until now",
                code="rows_would_be_missing",
                server=str(member.login),
                object=member.name,
                untouched="nothing was changed",
                hint="if both have the same rows and nothing is being written, set crossover_mesh_data to same; else "
                "take one of them out (crossover_mesh_remove), empty its database, and add it again",
            )


def _has_rows(member: Member) -> bool:
    tables = member.do(_TABLES, [list(OWN_SCHEMAS)]).fetchall() if member.tables else []
    return any(
        member.do(f"SELECT FROM {quote_ident(row['nspname'])}.{quote_ident(row['relname'])} LIMIT 1").fetchone()
        is not None
        for row in tables
    )


_TABLES = """
SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND relpersistence = 'p' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
  AND nspname <> ALL (%s) ORDER BY 1, 2
"""
