# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spock's replication sets: read, plan (private to the collection)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ._errors import CrossoverError
from ._pg_connect import Login, driver
from ._pg_sql import Statement, quote_literal

DEFAULT, INSERT_ONLY = "default", "default_insert_only"
OPERATIONS = ("insert", "update", "delete", "truncate")

# What Spock asks of a table whose updates or deletes it replicates: the index of its replica identity. With FULL there is
# none, and Spock then says, misleadingly, that the table has no primary key.
_HAS_INDEX = """
CASE c.relreplident
     WHEN 'i' THEN EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisreplident)
     WHEN 'd' THEN EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary AND x.indimmediate)
     ELSE false END
"""
_TABLES = f"""
SELECT w.name, c.oid::int8 AS oid, n.nspname || '.' || c.relname AS plain, {_HAS_INDEX} AS has_index,
       c.relreplident AS identity, EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary) AS has_key,
       EXISTS (SELECT FROM spock.replication_set_table t JOIN spock.replication_set s USING (set_id)
               JOIN spock.local_node l ON l.node_id = s.set_nodeid WHERE t.set_reloid = c.oid) AS placed
FROM unnest(%s::text[]) WITH ORDINALITY w (name, at) LEFT JOIN pg_class c ON c.oid = to_regclass(w.name)
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY w.at
"""
_SET = """
SELECT s.set_id::int8 AS id, s.replicate_insert AS insert, s.replicate_update AS update, s.replicate_delete AS delete,
       s.replicate_truncate AS truncate
FROM spock.replication_set s JOIN spock.local_node l ON l.node_id = s.set_nodeid WHERE s.set_name = %s
"""
_MEMBERS = """
SELECT set_reloid::text AS name, set_att_list AS columns, pg_get_expr(set_row_filter, set_reloid) AS filter
FROM spock.replication_set_table WHERE set_id = %s::int8::oid ORDER BY 1
"""
_SEQUENCES = "SELECT set_seqoid::text AS name FROM spock.replication_set_seq WHERE set_id = %s::int8::oid ORDER BY 1"


@dataclass(frozen=True)
class Member:
    """One table of a set. ``columns`` None: all of them."""

    columns: tuple[str, ...] | None = None
    filter: str | None = None
    partitions: bool = True  # with a partitioned table, its partitions too

    def shown(self) -> dict[str, Any]:
        """For results and diffs."""
        return {"columns": sorted(self.columns) if self.columns else None, "row_filter": self.filter}

    def same(self, other: Member) -> bool:
        """Whether the same rows and columns go out."""
        return set(self.columns or ()) == set(other.columns or ()) and self.filter == other.filter


@dataclass(frozen=True)
class Repset:
    """A set as it is, or as it is wanted. Names are those that PostgreSQL shows with an empty search_path."""

    name: str
    operations: Mapping[str, bool | None]  # None: as it is
    tables: Mapping[str, Member] = field(default_factory=dict)
    sequences: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """For results and diffs."""
        return {
            "name": self.name,
            **{f"replicate_{operation}": self.operations[operation] for operation in OPERATIONS},
            "tables": {name: member.shown() for name, member in sorted(self.tables.items())},
            "sequences": sorted(self.sequences),
        }


def read(conn: Any, name: str) -> Repset | None:
    """The set of this node, or None."""
    row = conn.execute(_SET, [name]).fetchone()
    if row is None:
        return None
    members = {
        m["name"]: Member(tuple(m["columns"]) if m["columns"] else None, m["filter"])
        for m in conn.execute(_MEMBERS, [row["id"]])
    }
    sequences = tuple(s["name"] for s in conn.execute(_SEQUENCES, [row["id"]]))
    return Repset(name, {operation: row[operation] for operation in OPERATIONS}, members, sequences)


def resolve(conn: Any, names: Iterable[str], what: str, login: Login) -> dict[str, str]:
    """Each name as it was written -> as PostgreSQL shows it; a missing one is an error before anything runs."""
    rows = conn.execute(
        "SELECT w AS name, to_regclass(w)::text AS shown FROM unnest(%s::text[]) w", [list(names)]
    ).fetchall()
    if missing := [row["name"] for row in rows if row["shown"] is None]:
        raise CrossoverError(
            f"{len(missing)} {what} not there: {', '.join(missing[:5])}",
            code="no_relation",
            object=missing[0],
            server=str(login),
            untouched="nothing was changed",
            hint="give the schema too, and quote names that PostgreSQL would quote",
        )
    return {row["name"]: row["shown"] for row in rows}


def settle_filters(conn: Any, want: Repset, actual: Repset | None) -> Repset:
    """A row filter that is written differently, but means the same to PostgreSQL, becomes what is there.

    Spock itself is asked: it takes the filter into a set that is rolled back.
    """
    members = dict(want.tables)
    for name, member in want.tables.items():
        there = actual.tables.get(name) if actual else None
        if there and there.filter and member.filter and there.filter != member.filter:
            if _as_shown(conn, name, member) == there.filter:
                members[name] = replace(member, filter=there.filter)
    return replace(want, tables=members)


def _as_shown(conn: Any, name: str, member: Member) -> str | None:
    probe = "crossover_probe"
    psycopg = driver()
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(
                "SELECT spock.repset_create(%s, replicate_update := false, replicate_delete := false)", [probe]
            )
            conn.execute(_add(probe, name, replace(member, columns=None, partitions=False)).sql)
            found = read(conn, probe)
            return found.tables[name].filter if found and name in found.tables else None
    except psycopg.Error:
        return None  # the plan sets it, and Spock says what is wrong with it


# -- plans -----------------------------------------------------------------------------------------------------------


def plan(want: Repset, actual: Repset | None, exact: bool) -> list[Statement]:
    """From what is there to what is wanted. With ``exact``, what is not wanted leaves the set."""
    name = quote_literal(want.name)
    steps: list[Statement] = []
    chosen = {operation: value for operation, value in want.operations.items() if value is not None}
    if actual is None:
        steps.append(Statement.of(f"SELECT spock.repset_create({', '.join([name, *_flags(chosen)])})"))
    elif differ := {operation: v for operation, v in chosen.items() if actual.operations[operation] != v}:
        steps.append(Statement.of(f"SELECT spock.repset_alter({', '.join([name, *_flags(differ)])})"))
    tables, sequences = (actual.tables, actual.sequences) if actual else ({}, ())
    for table in sorted(set(tables) - set(want.tables)) if exact else ():
        steps.append(_remove(want.name, table))
    for table, member in sorted(want.tables.items()):
        if (there := tables.get(table)) and there.same(member):
            continue
        steps += [_remove(want.name, table)] if there else []
        steps.append(_add(want.name, table, member))
    for sequence in sorted(set(sequences) - set(want.sequences)) if exact else ():
        steps.append(Statement.of(f"SELECT spock.repset_remove_seq({name}, {quote_literal(sequence)}::regclass)"))
    for sequence in sorted(set(want.sequences) - set(sequences)):
        steps.append(Statement.of(f"SELECT spock.repset_add_seq({name}, {quote_literal(sequence)}::regclass)"))
    return steps


def predicted(want: Repset, actual: Repset | None, exact: bool) -> Repset:
    """What the plan leads to, but for partitions that come with their table."""
    default = {operation: True for operation in OPERATIONS}
    before = actual or Repset(want.name, default)
    operations = {o: before.operations[o] if want.operations.get(o) is None else want.operations[o] for o in OPERATIONS}
    tables = dict(want.tables) if exact else {**before.tables, **want.tables}
    sequences = want.sequences if exact else tuple({*before.sequences, *want.sequences})
    return Repset(want.name, operations, tables, sequences)


def _flags(operations: Mapping[str, bool | None]) -> list[str]:
    return [f"replicate_{operation} := {str(value).lower()}" for operation, value in operations.items()]


def _add(repset: str, table: str, member: Member) -> Statement:
    arguments = [quote_literal(repset), f"{quote_literal(table)}::regclass", "synchronize_data := false"]
    if member.columns:
        arguments.append(f"columns := ARRAY[{', '.join(quote_literal(column) for column in member.columns)}]")
    if member.filter:
        arguments.append(f"row_filter := {quote_literal(member.filter)}")
    if not member.partitions:
        arguments.append("include_partitions := false")
    return Statement.of(f"SELECT spock.repset_add_table({', '.join(arguments)})")


def _remove(repset: str, table: str) -> Statement:
    return Statement.of(
        f"SELECT spock.repset_remove_table({quote_literal(repset)}, {quote_literal(table)}::regclass, "
        "include_partitions := false)"
    )


# -- which set a table belongs into ----------------------------------------------------------------------------------


def refuse_without_index(conn: Any, want: Repset, operations: Mapping[str, bool | None], login: Login) -> None:
    """Tables that Spock would not take into a set that replicates updates or deletes, each with what mends it."""
    if not (operations.get("update") or operations.get("delete")) or not want.tables:
        return
    bad = [row for row in conn.execute(_TABLES, [list(want.tables)]) if not row["has_index"]]
    if not bad:
        return
    full = [row["name"] for row in bad if row["identity"] == "f" and row["has_key"]]
    if full:
        why, hint = (
            "have REPLICA IDENTITY FULL, which Spock does not use",
            "ALTER TABLE … REPLICA IDENTITY DEFAULT on every node",
        )
    else:
        why, hint = "have no index as replica identity", f"give them a primary key, or put them into {INSERT_ONLY}"
    names = full or [row["name"] for row in bad]
    raise CrossoverError(
        f"{len(names)} table(s) {why}: {', '.join(names[:5])}; set {want.name} replicates updates and deletes",
        code="no_identity",
        object=names[0],
        server=str(login),
        untouched="nothing was changed",
        hint=hint,
    )


def assign(conn: Any, tables: Sequence[str], keyed: Collection[str] = ()) -> list[Statement]:
    """Put each table that is in no set yet into C(default), or into C(default_insert_only) where it has no index.

    ``tables`` are quoted names; ``keyed`` those that will have an index by then. Partitions are named one by one.
    """
    steps = []
    for row in conn.execute(_TABLES, [list(tables)]):
        if row["oid"] and not row["placed"]:
            repset = DEFAULT if row["has_index"] or row["name"] in keyed else INSERT_ONLY
            steps.append(_add(repset, row["name"], Member(partitions=False)))
    return steps
