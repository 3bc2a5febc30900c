# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unlogged tables: whether one has changed, and bringing its rows to the other side (private to the collection)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ._migration_compare_columns import read_shapes
from ._migration_compare_hash import EXACT, mixed, row_hash
from ._pg_catalog import Table
from ._pg_sql import quote_ident

_WRITABLE = """
SELECT attrelid::int8 AS oid, attname AS name FROM pg_attribute
WHERE attrelid = ANY (%s::int8[]::oid[]) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""


@dataclass(frozen=True)
class Rows:
    """One unlogged table, and how its rows are hashed and copied."""

    name: str  # quoted, with its schema
    hashed: str
    columns: str  # the list for COPY; empty for a table without columns
    bytes: int


def unlogged(tables: Iterable[Table]) -> list[Table]:
    """Those with rows of their own."""
    return [table for table in tables if table.persistence == "u" and not table.partitioned]


def describe(conn: Any, tables: Iterable[Table]) -> list[Rows]:
    """Read their columns. Hashes are compared with earlier ones of the same server, so the text of a value decides."""
    found = unlogged(tables)
    oids = [table.oid for table in found]
    shapes = read_shapes(conn, oids) if oids else {}
    columns: dict[int, list[str]] = {}
    for row in conn.execute(_WRITABLE, [oids]):
        columns.setdefault(row["oid"], []).append(quote_ident(row["name"]))
    return [
        Rows(
            table.full_name,
            mixed(row_hash([(column, EXACT) for column in shapes[table.oid].columns.values()])),
            f"({', '.join(columns[table.oid])})" if table.oid in columns else "",
            table.bytes,
        )
        for table in found
    ]


def state(conn: Any, table: Rows) -> tuple[int, str]:
    """Changes when a row does."""
    row = conn.execute(
        f"SELECT count(*) AS n, coalesce(sum({table.hashed}), 0)::text AS hash FROM ONLY {table.name} t".encode()
    ).fetchone()
    return row["n"], row["hash"]


def bring(reader: Any, writer: Any, table: Rows, encoding: str, in_time: Callable[[], None]) -> tuple[int, int]:
    """All rows anew, in one transaction; how many rows and bytes came.

    DELETE, for TRUNCATE wants a lock that keeps out the session which holds autovacuum off the tables.
    """
    copy = f"COPY {table.name} {table.columns}"
    size = 0
    with writer.transaction(), reader.cursor() as out, writer.cursor() as into:
        writer.execute(f"DELETE FROM ONLY {table.name}".encode())
        in_time()
        with (
            out.copy(f"{copy} TO STDOUT (ENCODING '{encoding}')".encode()) as rows,
            into.copy(f"{copy} FROM STDIN (ENCODING '{encoding}')".encode()) as written,
        ):
            for block in rows:
                written.write(block)
                size += len(block)
        in_time()
        return into.rowcount, size
