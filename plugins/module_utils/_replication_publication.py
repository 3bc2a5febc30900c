# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publications: what is there, and the statements that lead to what is wanted (private to the collection)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._errors import CrossoverError
from ._pg_connect import driver
from ._pg_sql import Statement, quote_always, quote_literal
from ._replication_publication_wanted import OPERATIONS, PARAMETERS, TRUE, Member, Name, Wanted, operations

_GENERATED = {"n": "none", "s": "stored"}
_FILTER = "pg_get_expr(r.prqual, r.prrelid)"
_COLUMNS = """(SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
               WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[]))"""


@dataclass(frozen=True)
class Publication:
    """A publication as it is."""

    owner: str
    comment: str
    all_tables: bool
    members: Mapping[Name, Member]
    schemas: tuple[str, ...]
    parameters: Mapping[str, Any]
    published: Mapping[Name, tuple[str, ...]]  # the columns that really go out


# -- what is there ---------------------------------------------------------------------------------------------------


def read(conn: Any, name: str) -> Publication | None:
    """The publication, or None. Tables are those that it names, not the partitions that these bring along."""
    row = conn.execute(
        """SELECT p.oid::int8 AS oid, pg_get_userbyid(p.pubowner) AS owner,
                  coalesce(obj_description(p.oid, 'pg_publication'), '') AS comment, to_jsonb(p) AS found
           FROM pg_publication p WHERE p.pubname = %s""",
        [name],
    ).fetchone()
    if row is None:
        return None
    found = row["found"]
    parameters: dict[str, Any] = {"publish": {op: found[f"pub{op}"] for op in OPERATIONS}}
    for parameter, (column, _since) in PARAMETERS.items():
        if column and column in found:
            parameters[parameter] = _GENERATED.get(found[column], found[column])
    newer = conn.info.server_version >= 150000  # has row filters, column lists and whole schemas
    members = conn.execute(
        f"""SELECT n.nspname AS schema, c.relname AS name, {_FILTER if newer else "NULL"} AS filter,
                   {_COLUMNS if newer else "NULL"} AS columns
            FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE r.prpubid = %s::int8::oid ORDER BY r.prrelid""",
        [row["oid"]],
    ).fetchall()
    published = conn.execute(
        f"""SELECT schemaname AS schema, tablename AS name, {"attnames::text[]" if newer else "NULL"} AS columns
            FROM pg_publication_tables WHERE pubname = %s""",
        [name],
    ).fetchall()
    schemas = (
        conn.execute(
            """SELECT n.nspname AS schema FROM pg_publication_namespace r JOIN pg_namespace n ON n.oid = r.pnnspid
           WHERE r.pnpubid = %s::int8::oid ORDER BY r.oid""",
            [row["oid"]],
        ).fetchall()
        if newer
        else []
    )
    return Publication(
        owner=row["owner"],
        comment=row["comment"],
        all_tables=found["puballtables"],
        members={
            (m["schema"], m["name"]): Member(tuple(m["columns"]) if m["columns"] else None, m["filter"])
            for m in members
        },
        schemas=tuple(s["schema"] for s in schemas),
        parameters=parameters,
        published={(p["schema"], p["name"]): tuple(p["columns"] or ()) for p in published},
    )


def settle_filters(conn: Any, wanted: Wanted, actual: Publication | None) -> Wanted:
    """Replace a row filter that is written differently, but means the same to PostgreSQL, by what is there.

    PostgreSQL itself is asked: it takes the wanted filter into the publication, shows it, and that is rolled back.
    """
    if actual is None or not wanted.members:
        return wanted
    members = dict(wanted.members)
    for name, member in members.items():
        there = actual.members.get(name)
        if not (there and there.filter and member.filter) or there.filter == member.filter:
            continue
        if _as_shown(conn, wanted.name, name, member.filter) == there.filter:
            members[name] = Member(member.columns, there.filter)
    return dataclasses.replace(wanted, members=members)


def _as_shown(conn: Any, publication: str, name: Name, text: str) -> str | None:
    alter = f"ALTER PUBLICATION {quote_always(publication)}"
    try:
        with conn.transaction(force_rollback=True):  # in this publication: another would need CREATE on the database
            conn.execute(f"{alter} DROP TABLE {_table(name)}", prepare=False)
            conn.execute(f"{alter} ADD TABLE {_table(name)} WHERE {text}", prepare=False, binary=True)  # one statement
            row = conn.execute(
                f"""SELECT {_FILTER} AS filter FROM pg_publication_rel r
                    JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid
                    JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE p.pubname = %s AND n.nspname = %s AND c.relname = %s""",
                [publication, *name],
            ).fetchone()
            return str(row["filter"])
    except driver().Error:
        return None  # the plan then sets the filter, and PostgreSQL says what is wrong with it


# -- the plan --------------------------------------------------------------------------------------------------------


def plan(wanted: Wanted, actual: Publication | None) -> list[Statement]:
    """List the statements that turn ``actual`` into ``wanted``.

    They are to be run in one transaction: a table that is dropped and added again must not be missing for a moment, or
    its changes of that moment are lost.
    """
    name = quote_always(wanted.name)
    if actual is None:
        lines = [f"CREATE PUBLICATION {name} {_target(wanted)}{_with(wanted.parameters)}"]
    else:
        lines = [f"ALTER PUBLICATION {name} {change}" for change in _changes(wanted, actual)]
    if wanted.owner and (actual is None or actual.owner != wanted.owner):
        lines.append(f"ALTER PUBLICATION {name} OWNER TO {quote_always(wanted.owner)}")
    if wanted.comment is not None and (actual is None or actual.comment != wanted.comment):
        lines.append(f"COMMENT ON PUBLICATION {name} IS {quote_literal(wanted.comment)}")
    return [Statement(line, line) for line in lines]


def drop(name: str, cascade: bool) -> list[Statement]:
    """The statement that removes it."""
    line = f"DROP PUBLICATION {quote_always(name)}{' CASCADE' if cascade else ''}"
    return [Statement(line, line)]


def _table(name: Name) -> str:
    return ".".join(quote_always(part) for part in name)


def _member(name: Name, member: Member) -> str:
    columns = f" ({', '.join(map(quote_always, member.columns))})" if member.columns else ""
    return _table(name) + columns + (f" WHERE {member.filter}" if member.filter else "")


def _members(members: Mapping[Name, Member]) -> str:
    return ", ".join(_member(name, member) for name, member in members.items())


def _schemas(schemas: Sequence[str]) -> str:
    return f"TABLES IN SCHEMA {', '.join(map(quote_always, schemas))}"


def _target(wanted: Wanted) -> str:
    if wanted.members:
        return f"FOR TABLE {_members(wanted.members)}"
    return f"FOR {_schemas(wanted.schemas)}" if wanted.schemas else "FOR ALL TABLES"


def _with(parameters: Mapping[str, str]) -> str:
    pairs = [f"{name} = {quote_literal(text)}" for name, text in parameters.items()]
    return f" WITH ({', '.join(pairs)})" if pairs else ""


def _same_parameter(name: str, text: str, actual: Any) -> bool:
    if name == "publish":
        return set(operations(text)) == {op for op, on in actual.items() if on}
    if isinstance(actual, bool):
        return (text.lower() in TRUE) == actual
    return text.lower() == actual


def _changes(wanted: Wanted, actual: Publication) -> list[str]:
    changes: list[str] = []
    if (wanted.members or wanted.schemas) and actual.all_tables:
        raise CrossoverError(
            f"the publication {wanted.name} is FOR ALL TABLES, which cannot be narrowed down",
            code="all_tables",
            object=wanted.name,
            untouched="nothing was changed",
            hint="drop it first (state=absent), then create it with its tables",
        )
    if wanted.members:
        changes += _table_changes(wanted.members, wanted.by_columns, actual.members)
    if wanted.schemas is not None:
        changes += [f"ADD {_schemas([s])}" for s in wanted.schemas if s not in actual.schemas]
        changes += [f"DROP {_schemas([s])}" for s in actual.schemas if s not in wanted.schemas]
    for name, text in wanted.parameters.items():
        if name not in actual.parameters or not _same_parameter(name, text, actual.parameters[name]):
            changes.append(f"SET ({name} = {quote_literal(text)})")
    return changes


def _same(wanted: Member, actual: Member) -> bool:
    return wanted.filter == actual.filter and set(wanted.columns or ()) == set(actual.columns or ())


def _table_changes(wanted: Mapping[Name, Member], by_columns: bool, actual: Mapping[Name, Member]) -> list[str]:
    differing = [name for name, member in wanted.items() if name in actual and not _same(member, actual[name])]
    if differing and by_columns:
        return [f"SET TABLE {_members(wanted)}"]
    changes: list[str] = []
    for name, member in wanted.items():
        if name in differing:
            changes.append(f"DROP TABLE {_table(name)}")
        if name in differing or name not in actual:
            changes.append(f"ADD TABLE {_member(name, member)}")
    return changes + [f"DROP TABLE {_table(name)}" for name in actual if name not in wanted]


# -- what is shown ---------------------------------------------------------------------------------------------------


def shown(actual: Publication | None) -> dict[str, Any]:
    """The keys that the module returns."""
    if actual is None:
        return {
            "alltables": False, "tables": [], "parameters": {}, "owner": "", "schemas": [], "columns": {},
            "rowfilters": {}, "comment": "",
        }  # fmt: skip
    names = [*actual.members, *(n for n in actual.published if n not in actual.members and n[0] in actual.schemas)]
    columns = {
        n: actual.published.get(n) or (actual.members[n].columns if n in actual.members else None) for n in names
    }
    return {
        "alltables": actual.all_tables,
        "tables": [_table(n) for n in names],
        "parameters": dict(actual.parameters),
        "owner": actual.owner,
        "schemas": list(actual.schemas),
        "columns": {_table(n): list(found) for n, found in columns.items() if found},
        "rowfilters": {_table(n): m.filter for n, m in actual.members.items() if m.filter},
        "comment": actual.comment,
    }


def predicted(wanted: Wanted, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """What :func:`shown` would return after the plan, for the diff of check mode."""
    after = {**(before or shown(None))}
    if wanted.members:
        after["tables"] = [_table(n) for n in wanted.members]
        kept = {t: c for t, c in after["columns"].items() if t in after["tables"]}
        after["columns"] = {**kept, **{_table(n): list(m.columns) for n, m in wanted.members.items() if m.columns}}
        after["rowfilters"] = {_table(n): m.filter for n, m in wanted.members.items() if m.filter}
    elif before is None and not wanted.schemas:
        after["alltables"] = True
    if wanted.schemas is not None:
        after["schemas"] = list(wanted.schemas)
    after["parameters"] = dict(after["parameters"])
    for name, text in wanted.parameters.items():
        after["parameters"][name] = {op: op in operations(text) for op in OPERATIONS} if name == "publish" else text
    for key in ("owner", "comment"):
        if getattr(wanted, key) is not None:
            after[key] = getattr(wanted, key)
    return after
