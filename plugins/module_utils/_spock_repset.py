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
from ._pg_sql import Statement, qualified, quote_literal
from ._replication_publication_wanted import table_name

DEFAULT, INSERT_ONLY = "default", "default_insert_only"
OWN_SETS = (DEFAULT, INSERT_ONLY, "ddl_sql")  # what Spock makes with a node
OPERATIONS = ("insert", "update", "delete", "truncate")

# What Spock asks of a table whose updates or deletes it replicates: the index of its replica identity. With FULL there is
# none, and Spock then says, misleadingly, that the table has no primary key.
_TABLES = """
SELECT w.name, c.oid::int8 AS oid, c.relreplident AS identity,
       CASE c.relreplident
            WHEN 'i' THEN EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisreplident)
            WHEN 'd' THEN EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary AND x.indimmediate)
            ELSE false END AS has_index,
       EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary) AS has_key,
       EXISTS (SELECT FROM spock.replication_set_table t JOIN spock.replication_set s USING (set_id)
               JOIN spock.local_node l ON l.node_id = s.set_nodeid WHERE t.set_reloid = c.oid) AS placed
FROM unnest(%s::text[]) WITH ORDINALITY w (name, at) JOIN pg_class c ON c.oid = to_regclass(w.name) ORDER BY w.at
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
_PARTITIONS = """
SELECT w.name AS parent, p.relid::text AS name FROM unnest(%s::text[]) w (name), pg_partition_tree(w.name::regclass) p
WHERE p.level > 0 ORDER BY 1, p.level, 2
"""


@dataclass(frozen=True)
class Member:
    """One table of a set. ``columns`` None: all of them."""

    columns: tuple[str, ...] | None = None
    filter: str | None = None

    def shown(self) -> dict[str, Any]:
        """For results and diffs."""
        return {"columns": sorted(self.columns) if self.columns else None, "row_filter": self.filter}

    def same(self, other: Member | None) -> bool:
        """Whether the same rows and columns go out."""
        return other is not None and (set(self.columns or ()), self.filter) == (set(other.columns or ()), other.filter)


@dataclass(frozen=True)
class Repset:
    """A set as it is, or as it is wanted. Names are those that PostgreSQL shows with an empty search_path.

    In what is wanted, None means: as it is.
    """

    name: str
    operations: Mapping[str, bool | None]
    tables: Mapping[str, Member] | None = field(default_factory=dict)
    sequences: Collection[str] | None = ()

    def shown(self) -> dict[str, Any]:
        """For results and diffs."""
        return {
            "name": self.name,
            **{f"replicate_{operation}": self.operations[operation] for operation in OPERATIONS},
            "tables": {name: member.shown() for name, member in sorted((self.tables or {}).items())},
            "sequences": sorted(self.sequences or ()),
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
    sequences = [s["name"] for s in conn.execute(_SEQUENCES, [row["id"]])]
    return Repset(name, {operation: row[operation] for operation in OPERATIONS}, members, sequences)


def resolve(conn: Any, names: Iterable[str], login: Login, what: str = "table", kinds: str = "rp") -> dict[str, str]:
    """Each name as it was written -> as PostgreSQL shows it; one that is not there is an error before anything runs."""
    wanted = {name: qualified(*table_name(name)) for name in names}
    rows = conn.execute(
        """SELECT w AS name, c.oid::regclass::text AS shown FROM unnest(%s::text[]) w
           LEFT JOIN pg_class c ON c.oid = to_regclass(w) AND c.relkind::text = ANY (%s)""",
        [list(wanted.values()), list(kinds)],
    ).fetchall()
    shown = {row["name"]: row["shown"] for row in rows}
    if missing := sorted(name for name, full in wanted.items() if shown[full] is None):
        raise CrossoverError(
            f"there is no {what} {', no '.join(missing[:5])}{' …' if missing[5:] else ''}",
            code=f"no_{what}",
            object=missing[0],
            server=str(login),
            untouched="nothing was changed",
            hint="give the schema too, and put double quotes around a part with a dot in it",
        )
    return {name: shown[full] for name, full in wanted.items()}


def with_partitions(conn: Any, members: Mapping[str, Member], parents: Iterable[str]) -> dict[str, Member]:
    """The partitions of these parents too, like their parent where they are not named themselves.

    Spock's include_partitions does so only when the parent is added, and not for partitions that come later.
    """
    found = dict(members)
    for row in conn.execute(_PARTITIONS, [list(parents)]).fetchall():
        found.setdefault(row["name"], members[row["parent"]])
    return found


def settle_filters(conn: Any, want: Repset, actual: Repset | None) -> Repset:
    """Replace a row filter that is written differently, but means the same to PostgreSQL, by what is there."""
    if actual is None or want.tables is None:
        return want
    members = dict(want.tables)
    for name, member in members.items():
        there = (actual.tables or {}).get(name)
        if not (there and there.filter and member.filter) or there.filter == member.filter:
            continue
        if _as_shown(conn, name, member.filter) == there.filter:
            members[name] = replace(member, filter=there.filter)
    return replace(want, tables=members)


def _as_shown(conn: Any, table: str, text: str) -> str | None:
    """Spock reads a row filter as PostgreSQL reads a check: so an empty copy of the table gets one, and is rolled back."""
    try:
        with conn.transaction(force_rollback=True):  # a lock on the table itself would make writers wait
            conn.execute(f"CREATE TEMPORARY TABLE crossover_filter (LIKE {table})", prepare=False)
            add = f"ALTER TABLE pg_temp.crossover_filter ADD CONSTRAINT crossover_filter CHECK ({text})"
            conn.execute(add, prepare=False, binary=True)  # one statement
            row = conn.execute(
                """SELECT pg_get_expr(conbin, conrelid) AS filter FROM pg_constraint
                   WHERE conrelid = 'pg_temp.crossover_filter'::regclass AND conname = 'crossover_filter'"""
            ).fetchone()
            return str(row["filter"])
    except driver().Error:
        return None  # the plan then sets the filter, and Spock says what is wrong with it


# -- plans -----------------------------------------------------------------------------------------------------------


def plan(want: Repset, actual: Repset | None, exact: bool) -> list[Statement]:
    """From what is there to what is wanted, in one transaction. With ``exact``, what is not wanted leaves the set."""
    name = quote_literal(want.name)
    chosen = {operation: value for operation, value in want.operations.items() if value is not None}
    steps: list[Statement] = []
    if actual is None:
        steps.append(_call("repset_create", name, *_flags(chosen)))
    elif differ := {operation: v for operation, v in chosen.items() if actual.operations[operation] != v}:
        steps.append(_call("repset_alter", name, *_flags(differ)))
    tables = (actual.tables if actual else None) or {}
    changed = [table for table, member in sorted((want.tables or {}).items()) if not member.same(tables.get(table))]
    gone = sorted(set(tables) - set(want.tables)) if exact and want.tables is not None else []
    # out first: a set that is to replicate updates too may not have a table without an index in it
    out = [remove(want.name, table) for table in [*gone, *(table for table in changed if table in tables)]]
    steps = [*out, *steps] if actual else steps
    steps += [add(want.name, table, (want.tables or {})[table]) for table in changed]
    sequences = set((actual.sequences if actual else None) or ())
    for sequence in sorted(sequences - set(want.sequences)) if exact and want.sequences is not None else []:
        steps.append(_call("repset_remove_seq", name, f"{quote_literal(sequence)}::regclass"))
    for sequence in sorted(set(want.sequences or ()) - sequences):
        steps.append(_call("repset_add_seq", name, f"{quote_literal(sequence)}::regclass"))
    return steps


def predicted(want: Repset, actual: Repset | None, exact: bool) -> Repset:
    """What the plan leads to."""
    before = actual or Repset(want.name, dict.fromkeys(OPERATIONS, True))
    operations = {o: before.operations[o] if want.operations[o] is None else want.operations[o] for o in OPERATIONS}
    tables = {**({} if exact and want.tables is not None else before.tables or {}), **(want.tables or {})}
    kept = () if exact and want.sequences is not None else before.sequences or ()
    return Repset(want.name, operations, tables, {*kept, *(want.sequences or ())})


def drop(name: str) -> Statement:
    """The set goes, its tables stay."""
    return _call("repset_drop", quote_literal(name))


def add(repset: str, table: str, member: Member) -> Statement:
    """One table, without its partitions, and without its rows."""
    arguments = [quote_literal(repset), f"{quote_literal(table)}::regclass", "synchronize_data := false"]
    if member.columns:
        arguments.append(f"columns := ARRAY[{', '.join(quote_literal(column) for column in member.columns)}]")
    if member.filter:
        arguments.append(f"row_filter := {quote_literal(member.filter)}")
    return _call("repset_add_table", *arguments, "include_partitions := false")


def remove(repset: str, table: str) -> Statement:
    """One table, without its partitions."""
    return _call(
        "repset_remove_table", quote_literal(repset), f"{quote_literal(table)}::regclass", "include_partitions := false"
    )


def _call(function: str, *arguments: str) -> Statement:
    return Statement.of(f"SELECT spock.{function}({', '.join(arguments)})")


def _flags(operations: Mapping[str, bool | None]) -> list[str]:
    return [f"replicate_{operation} := {str(value).lower()}" for operation, value in operations.items()]


# -- which set a table belongs into ----------------------------------------------------------------------------------


def refuse_without_index(conn: Any, want: Repset, actual: Repset | None, after: Repset, login: Login) -> list[str]:
    """Tables that Spock does not take into a set that replicates updates or deletes, with what mends it.

    One that was taken in before, and lost its index or got REPLICA IDENTITY FULL since, is not replicated any more, and
    nothing says so: if it is not asked for either, that is a warning.
    """
    if not (after.operations["update"] or after.operations["delete"]) or not after.tables:
        return []
    bad = [row for row in conn.execute(_TABLES, [sorted(after.tables)]).fetchall() if not row["has_index"]]
    asked = bad if actual is None or after.operations != actual.operations else []
    asked = asked or [row for row in bad if row["name"] in (want.tables or {})]
    if not asked:
        return [f"{message}, and is not replicated: {hint}" for message, hint in _told(after.name, bad)]
    (message, hint), *_rest = _told(after.name, asked)
    raise CrossoverError(
        message,
        code="no_identity",
        object=asked[0]["name"],
        server=str(login),
        untouched="nothing was changed",
        hint=hint,
    )


def _told(repset: str, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """For each reason a clause, and what to do."""
    full = [row["name"] for row in rows if row["identity"] == "f" and row["has_key"]]
    none = [row["name"] for row in rows if row["name"] not in full]
    reasons = (
        (
            full,
            "REPLICA IDENTITY FULL, which Spock cannot use",
            "run ALTER TABLE … REPLICA IDENTITY DEFAULT on every node",
        ),
        (none, "no index as replica identity", f"add a primary key, or use the set {INSERT_ONLY} (inserts only)"),
    )
    return [
        (
            f"the set {repset} replicates updates and deletes, but {', '.join(names[:5])}{' …' if names[5:] else ''} "
            f"{'has' if len(names) == 1 else 'have'} {what}",
            hint,
        )
        for names, what, hint in reasons
        if names
    ]


def assign(conn: Any, tables: Sequence[str], keyed: Collection[str] = ()) -> list[Statement]:
    """Put each table that is in no set yet into C(default), or into C(default_insert_only) where it has no index.

    ``tables`` are quoted names; ``keyed`` those that will have an index by then. Partitions are named one by one.
    """
    steps = []
    for row in conn.execute(_TABLES, [list(tables)]).fetchall():
        if not row["placed"]:
            repset = DEFAULT if row["has_index"] or row["name"] in keyed else INSERT_ONLY
            steps.append(add(repset, row["name"], Member()))
    return steps
