# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is copied, in which parts and in which format (private to the collection).

A part is what one transaction on the node takes over: a whole table, or a range of a large heap's blocks. Ranges are
sized by heap and TOAST together: a small heap can have a huge TOAST table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ._errors import CrossoverError
from ._pg_catalog import Scope, Table, leaves, tables
from ._pg_connect import Login
from ._pg_sql import quote_ident

MIB = 1 << 20
SMALLEST, LARGEST = 64 * MIB, 1024 * MIB  # of the parts that a table is split into
SHARES = 4  # parts for each worker, if they were all of the same size: the last ones end together


@dataclass(frozen=True)
class Part:
    """One part. ``start`` None: the whole table; ``end`` None: to the end, wherever that is."""

    table: int  # OID on the source
    number: int
    start: int | None
    end: int | None
    bytes: int

    @property
    def whole(self) -> bool:
        """Whether this is all of the table."""
        return self.start is None


@dataclass(frozen=True)
class CopyTable:
    """A table that holds rows, as it was before the snapshot was taken."""

    table: Table
    filenode: int
    blocks: int
    bytes: int
    heap: bool
    columns: tuple[str, ...]
    binary: bool
    parts: tuple[Part, ...] = field(default=())

    @property
    def name(self) -> str:
        """As SQL needs it."""
        return self.table.full_name

    @property
    def _list(self) -> str:
        return ", ".join(quote_ident(name) for name in self.columns)

    @property
    def _format(self) -> str:
        return "binary" if self.binary else "text"

    def reading(self, part: Part) -> str:
        """What the source is asked. COPY of a table leaves out generated columns and what inherits from it."""
        if part.whole:
            what = f"{self.name} ({self._list})" if self.columns else self.name
        else:
            upper = f" AND ctid < '({part.end},0)'" if part.end is not None else ""
            what = f"(SELECT {self._list} FROM ONLY {self.name} WHERE ctid >= '({part.start},0)'{upper})"
        return f"COPY {what} TO STDOUT (FORMAT {self._format})"

    def writing(self, part: Part) -> str:
        """What the node is told. FREEZE: rows that everybody may see at once are not written again by whoever reads
        them first, and not by the first VACUUM; it wants a table that was truncated in this very transaction."""
        columns = f" ({self._list})" if self.columns else ""
        return f"COPY {self.name}{columns} FROM STDIN (FORMAT {self._format}{', FREEZE' if part.whole else ''})"


# Types whose binary form is the same on every server of these versions. Not those of extensions (they may change it),
# not those that stand for an OID or have one inside (reg*, composites, arrays of anything that initdb did not make).
_BINARY = """
    SELECT count(*) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype END
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      AND NOT (coalesce(b.oid, t.oid) < 10000 AND coalesce(b.typtype, t.typtype) IN ('b', 'r', 'm')
               AND coalesce(b.typname, t.typname) !~ '^_?(reg|aclitem|record|xml|pg_)'
               AND coalesce(b.typsend, t.typsend) <> 0
               OR t.typtype = 'e')
"""
_COLUMNS = """
    SELECT coalesce(json_agg(json_build_array(a.attname, format_type(a.atttypid, NULL)) ORDER BY a.attnum), '[]')
    FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
"""
_MEASURED = f"""
SELECT c.oid::int8 AS oid, pg_relation_filenode(c.oid)::int8 AS filenode,
       (pg_relation_size(c.oid) / current_setting('block_size')::int)::int8 AS blocks,
       pg_relation_size(c.oid) + coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS bytes,
       coalesce(m.amname = 'heap', false) AS heap, ({_BINARY}) = 0 AS binary,
       ({_COLUMNS}) AS columns
FROM pg_class c LEFT JOIN pg_am m ON m.oid = c.relam WHERE c.oid = ANY (%s::oid[])
"""


_NODE = f"""
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name, ({_COLUMNS}) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')
"""


def _same(source: list[list[str]], node: list[list[str]]) -> bool:
    """A column that was given another type on the node reads the text of the source's, but not its binary form."""
    return dict(map(tuple, source)).items() <= dict(map(tuple, node)).items()  # type: ignore[arg-type]


def read(source: Any, node: Any, scope: Scope) -> list[CopyTable]:
    """Every permanent table of the scope that holds rows itself, largest first. Read it before the snapshot is taken:
    a table that is rewritten later is noticed by its file."""
    found = {t.oid: t for t in leaves(tables(source, scope))}
    types = {row["name"]: row["columns"] for row in node.execute(_NODE)}
    rows = source.execute(_MEASURED, [list(found)]).fetchall()
    every = [
        CopyTable(
            table=found[row["oid"]],
            filenode=row["filenode"],
            blocks=row["blocks"],
            bytes=row["bytes"],
            heap=row["heap"],
            columns=tuple(name for name, _type in row["columns"]),
            binary=row["binary"] and _same(row["columns"], types.get(found[row["oid"]].full_name, [])),
        )
        for row in rows
    ]
    return sorted(every, key=lambda t: (-t.bytes, t.name))


def part_size(total: int, jobs: int) -> int:
    """How large a part of a split table is."""
    return max(SMALLEST, min(LARGEST, total // (SHARES * max(jobs, 1))))


def split(table: CopyTable, size: int) -> list[Part]:
    """The table's parts. Only a heap can be read by ranges of ctid; a table without columns is not worth it."""
    count = min(table.bytes // size, table.blocks)
    if not table.heap or not table.columns or count < 2:
        return [Part(table.table.oid, 0, None, None, table.bytes)]
    edges: list[int | None] = [table.blocks * n // count for n in range(count)]
    # no upper edge for the last: the heap grows between here and the snapshot
    return [
        Part(table.table.oid, n, edges[n], edges[n + 1] if n + 1 < count else None, table.bytes // count)
        for n in range(count)
    ]


def plan(found: Iterable[CopyTable], size: int) -> list[Part]:
    """All parts, in the order in which they are copied: largest tables first."""
    return [part for table in found for part in split(table, size)]


def check_node(node: Any, found: Iterable[CopyTable], login: Login, empty: bool, planned: bool = False) -> None:
    """The node has every table (unless all is ``planned``), and (``empty``) no row in them that somebody else made."""
    names = [t.name for t in found]
    there = {t.full_name for t in tables(node)}
    if not planned and (missing := [name for name in names if name not in there]):
        raise _refused(
            login, f"{len(missing)} table(s) are missing: {', '.join(missing[:5])}", "no_table", missing[0],
            "run the playbook crossover.pgedge.prepare first",
        )  # fmt: skip
    if not empty:
        return
    rows = node.execute(
        """SELECT name FROM unnest(%s::text[]) AS name WHERE pg_relation_size(name::regclass) > 0""",
        [[name for name in names if name in there]],
    ).fetchall()
    for row in rows:
        if node.execute(f"SELECT EXISTS (SELECT FROM ONLY {row['name']}) AS rows".encode()).fetchone()["rows"]:
            raise _refused(
                login, f"the table {row['name']} is not empty", "target_not_empty", row["name"],
                "empty it if nobody needs these rows; the copy overwrites nothing",
            )  # fmt: skip


def _refused(login: Login, message: str, code: str, what: str, hint: str) -> CrossoverError:
    return CrossoverError(
        message, code=code, server=str(login), object=what, untouched="nothing was changed", hint=hint
    )
