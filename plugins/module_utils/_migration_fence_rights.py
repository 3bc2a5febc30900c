# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What copying at the fence needs, asked before anything is held (private to the collection)."""

from __future__ import annotations

from typing import Any

from . import _migration_fence_large as large_objects
from ._errors import CrossoverError
from ._migration_fence_unlogged import unlogged
from ._migration_sides import Migration
from ._pg_connect import driver, sql_error


def may_carry(m: Migration, reader: Any, writer: Any) -> list[str]:
    """Every large object can be read, and be given to its owner on the other side. The owners that are not there."""
    if hidden := large_objects.unreadable(reader):
        oid, owner = hidden[0]
        raise CrossoverError(
            f"{len(hidden)} large object(s) cannot be read, the first is {oid} of {owner}",
            code="large_object_unreadable",
            server=str(m.logins[m.old]),
            object=str(oid),
            hint=f"grant the role {owner} to the migration's login, as for tables",
        )
    query = "SELECT DISTINCT pg_get_userbyid(lomowner) AS owner FROM pg_largeobject_metadata"
    owners = [row["owner"] for row in reader.execute(query)]
    rows = writer.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND NOT pg_has_role(oid, 'MEMBER') ORDER BY 1",
        [owners],
    ).fetchall()
    if rows:
        raise CrossoverError(
            f"large objects belong to {rows[0]['rolname']}, and the migration's login is no member of it: it could "
            "not write them",
            code="large_object_denied",
            server=str(m.logins[m.new]),
            object=rows[0]["rolname"],
            hint="grant it, or leave large objects behind (crossover_large_objects: skip)",
        )
    there = {row["rolname"] for row in writer.execute("SELECT rolname FROM pg_roles")}
    return sorted(set(owners) - there)


def may_write_tables(m: Migration, writer: Any) -> None:
    """Every unlogged table is there, and this session passes its fence from now on."""
    there = {table.full_name for table in unlogged(m.tables[m.new])}
    if missing := [t.full_name for t in unlogged(m.tables[m.old]) if t.full_name not in there]:
        raise CrossoverError(
            f"{len(missing)} unlogged table(s) of the {m.old} are missing on the {m.new}, or are not unlogged "
            f"there: {', '.join(missing[:5])}",
            code="catalogue_changed",
            object=missing[0],
            hint="make them there, or leave them behind (crossover_unlogged: skip)",
        )
    try:
        writer.execute("SET session_replication_role = replica")  # neither the fence nor anybody's triggers
    except driver().Error as exc:
        raise sql_error(
            exc,
            m.logins[m.new],
            "unlogged tables cannot be written behind the fence",
            code="no_replication_role",
            hint="GRANT SET ON PARAMETER session_replication_role TO the migration's login (PostgreSQL 15 and "
            "newer), or leave the rows behind (crossover_unlogged: skip)",
        ) from None
