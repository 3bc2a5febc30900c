# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which table of the source is compared with which table of the node (private to the collection)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Sequence

from ._errors import CrossoverError
from ._migration_compare_columns import Shape, read_shapes
from ._migration_compare_hash import Pairing, pair
from ._pg_catalog import Scope, Table, tables
from ._pg_sql import split_name

SOURCE, NODE = "source", "node"


@dataclass
class Unit:
    """One table, or one partition, on both sides. ``only``: without the tables that inherit from it."""

    source: Table
    node: Table
    pairings: list[Pairing]
    key: tuple[str, ...]
    only: bool
    filter: str | None = None
    columns_missing: list[str] = field(default_factory=list)
    columns_extra: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As shown in results."""
        return self.source.full_name

    @property
    def keys(self) -> list[Pairing]:
        """The key's columns, in the key's order."""
        by_name = {p.name: p for p in self.pairings}
        return [by_name[name] for name in self.key]


@dataclass
class Plan:
    """All that is compared, and all that is not."""

    units: list[Unit] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # tables that only the source has
    extra: list[str] = field(default_factory=list)  # tables that only the node has
    skipped: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """The options that choose tables and columns."""

    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()
    publication: str = ""
    whole_partitioned: bool = False
    exact: bool = False


class _Side:
    """The tables of one server, with partitions below their roots."""

    def __init__(self, conn: Any, wanted: Wanted) -> None:
        found = tables(conn, Scope(wanted.schemas or None))
        self.schemas = {row["nspname"] for row in conn.execute("SELECT nspname FROM pg_namespace")}
        self.by_oid = {t.oid: t for t in found}
        self.all = found
        self.by_name = {(t.schema, t.name): t for t in found}
        self.leaves: dict[int, list[Table]] = {}
        for table in found:
            if table.parent is not None and not table.partitioned:
                self.leaves.setdefault(self.line(table)[-1].oid, []).append(table)

    def line(self, table: Table) -> list[Table]:
        """A table and what it is a partition of, up to the root. A root in another schema may be out of the scope."""
        line = [table]
        while line[-1].parent in self.by_oid:
            line.append(self.by_oid[line[-1].parent])  # type: ignore[index]
        return line

    def roots(self) -> list[Table]:
        """Tables that are not partitions of one in the scope."""
        return [t for t in self.all if t.parent is None or t.parent not in self.by_oid]

    def named(self, table: Table, names: Iterable[tuple[str, ...]]) -> bool:
        """Whether the table, or what it is a partition of, is among the names."""
        return any((t.schema, t.name) in names for t in self.line(table))


_UNLOGGED = "unlogged: it is not replicated, but copied at the fence where crossover_unlogged is copy"


def _names(option: str, given: Sequence[str], *sides: _Side) -> set[tuple[str, ...]]:
    """Names as (schema, table); one that neither server knows is an error and not an empty comparison."""
    found = set()
    for text in given:
        parts = split_name(text)
        name = parts if len(parts) == 2 else ("public", *parts)
        if not any(name in side.by_name for side in sides):
            raise CrossoverError(
                f"{option} names {text}, and neither server has that table in the scope",
                code="unknown_table",
                object=text,
                untouched="nothing was compared",
                hint="write names as schema.table, as they are in the database",
            )
        found.add(name)
    return found


def make_plan(source_conn: Any, node_conn: Any, wanted: Wanted) -> Plan:
    """Pair the tables of both sides by name."""
    source, node = _Side(source_conn, wanted), _Side(node_conn, wanted)
    for schema in wanted.schemas:
        if schema not in source.schemas | node.schemas:
            raise CrossoverError(
                f"schemas names {schema}, and neither server has it",
                code="unknown_schema",
                object=schema,
                untouched="nothing was compared",
                hint="correct the name: upper and lower case count",
            )
    included = _names("tables", wanted.tables, source, node)
    excluded = _names("exclude_tables", wanted.exclude_tables, source, node)
    published = _Publication(source_conn, wanted.publication, source) if wanted.publication else None
    plan = Plan()

    def chosen(side: _Side, table: Table) -> bool:
        return (not included or side.named(table, included)) and not side.named(table, excluded)

    pairs: list[tuple[Table, Table, bool]] = []
    for table, whole in _compared(source, node, wanted.whole_partitioned):
        if not chosen(source, table):
            continue
        if table.persistence == "u":
            plan.skipped.append({"name": table.full_name, "reason": _UNLOGGED})
        elif published is not None and not published.holds(table):
            plan.skipped.append({"name": table.full_name, "reason": f"not in publication {wanted.publication}"})
        elif (other := node.by_name.get((table.schema, table.name))) is None:
            plan.missing.append(table.full_name)
        else:
            pairs.append((table, other, whole))
    for table, _whole in _compared(node, source, wanted.whole_partitioned):
        if chosen(node, table) and (table.schema, table.name) not in source.by_name and published is None:
            plan.extra.append(table.full_name)
    shapes = {
        SOURCE: read_shapes(source_conn, [s.oid for s, _node, _whole in pairs]),
        NODE: read_shapes(node_conn, [n.oid for _source, n, _whole in pairs]),
    }
    for one, other, whole in pairs:
        rule = published.rule(one) if published else (None, None)
        left, right = shapes[SOURCE][one.oid], shapes[NODE][other.oid]
        plan.units.append(_unit(one, other, whole, left, right, rule, wanted.exact))
    return plan


def _compared(side: _Side, other: _Side, whole_partitioned: bool) -> Iterable[tuple[Table, bool]]:
    """What of one side is compared: tables and leaf partitions, or (True) partitioned tables as one."""
    for root in side.roots():
        twin = other.by_name.get((root.schema, root.name))
        if not root.partitioned and not (twin is not None and twin.partitioned):
            yield root, False
        elif whole_partitioned or twin is None or not (root.partitioned and twin.partitioned):
            yield root, True  # missing as a whole, or partitioned on one side only
        else:
            yield from ((leaf, False) for leaf in side.leaves.get(root.oid, []))


def _unit(
    source: Table,
    node: Table,
    whole: bool,
    left: Shape,
    right: Shape,
    rule: tuple[frozenset[str] | None, str | None],
    exact: bool,
) -> Unit:
    published, row_filter = rule
    listed = {name for name in left.columns if published is None or name in published}
    shared = sorted(listed & set(right.columns))
    unit = Unit(
        source=source,
        node=node,
        pairings=[pair(left.columns[name], right.columns[name], exact) for name in shared],
        key=left.key if set(left.key) <= set(shared) else (),
        only=not whole,
        filter=row_filter,
        columns_missing=sorted(listed - set(right.columns)),
        columns_extra=sorted(set(right.columns) - set(left.columns)),
    )
    for p in unit.pairings:
        if p.retyped:
            unit.notes.append(f"{p.name} is {p.source.type} in the source and {p.node.type} in the node")
    if whole and (source.partitioned or node.partitioned):
        unit.notes.append("compared as one table, with all its partitions")
    return unit


class _Publication:
    """What a publication of the source holds. Column lists and row filters are there since PostgreSQL 15."""

    def __init__(self, conn: Any, name: str, side: _Side) -> None:
        if conn.execute("SELECT FROM pg_publication WHERE pubname = %s", [name]).fetchone() is None:
            raise CrossoverError(
                f"there is no publication {name}",
                code="unknown_publication",
                object=name,
                server=SOURCE,
                untouched="nothing was compared",
                hint="leave the option out to compare all tables",
            )
        self.side = side
        rows = conn.execute(
            """SELECT schemaname AS schema, tablename AS name, to_jsonb(p) ->> 'rowfilter' AS filter
               FROM pg_publication_tables p WHERE pubname = %s""",
            [name],
        )
        self.filters: dict[tuple[str, str], str | None] = {(row["schema"], row["name"]): row["filter"] for row in rows}
        self.columns = self._column_lists(conn, name)

    @staticmethod
    def _column_lists(conn: Any, name: str) -> dict[int, frozenset[str]]:
        # not pg_publication_tables.attnames: without a list it leaves out generated columns
        if conn.info.server_version < 150000:
            return {}
        rows = conn.execute(
            """SELECT r.prrelid::int8 AS oid, array_agg(a.attname::text) AS names
               FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
               JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs)
               WHERE p.pubname = %s AND r.prattrs IS NOT NULL GROUP BY 1""",
            [name],
        )
        return {row["oid"]: frozenset(row["names"]) for row in rows}

    def holds(self, table: Table) -> bool:
        """Whether the table is published: by itself, by what it is a partition of, or by its partitions."""
        near = [*self.side.line(table), *self.side.leaves.get(table.oid, [])]
        return any((t.schema, t.name) in self.filters for t in near)

    def rule(self, table: Table) -> tuple[frozenset[str] | None, str | None]:
        """The published columns (None: all) and the row filter."""
        line = self.side.line(table)
        columns = next((self.columns[t.oid] for t in line if t.oid in self.columns), None)
        return columns, next(filter(None, (self.filters.get((t.schema, t.name)) for t in line)), None)
