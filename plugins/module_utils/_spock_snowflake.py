# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snowflake sequences: what a conversion would change, and the plan (private to the collection).

The extension's convert_sequence_to_snowflake() makes the column that draws from the sequence, and every foreign key
that refers to it, int8, and its default snowflake.nextval(). An identity column loses its identity by a change of
the catalogue, which no DDL replication carries: so each node is converted by itself. The sequence stays bound to the
column as that of an identity, and of such a one pg_dump writes what no server takes (GENERATED AS IDENTITY without
ALWAYS or BY DEFAULT; seen with 2.6.0): so it is made one that the column owns, as a serial's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Iterable

from ._errors import CrossoverError
from ._migration_sequences import definitions
from ._migration_sequences_choice import Choice, when_to_convert
from ._pg_catalog import Scope
from ._pg_connect import Login, driver, sql_error
from ._pg_sql import Statement, quote_literal

FIRST, LAST = 1, 1023  # numbers of nodes
SMALLEST = 1 << 52  # a snowflake id has milliseconds since 2023 in its upper bits: all are far above this
RELOAD = 10.0  # seconds within which new sessions must have a setting

# the columns that draw, the owning one first; of an identity column, which of its partitions have it too
_COLUMNS = """
WITH draws AS (
    SELECT d.refobjid AS relation, d.refobjsubid AS number, true AS owns, d.deptype = 'i' AS bound FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.objid = %s::regclass
      AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    UNION ALL
    SELECT ad.adrelid, ad.adnum, false, false FROM pg_depend d JOIN pg_attrdef ad ON ad.oid = d.objid
    WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %s::regclass)
SELECT w.relation::int8 AS relation, w.number, format('%%I.%%I', n.nspname, c.relname) AS table,
       quote_ident(a.attname) AS column, format_type(a.atttypid, a.atttypmod) AS type, bool_or(w.owns) AS owns,
       bool_or(w.bound) AND a.attidentity = '' AS half,
       a.attidentity <> '' AS identity, coalesce(pg_get_expr(ad.adbin, ad.adrelid), '') AS default,
       CASE WHEN a.attidentity <> '' THEN (
           SELECT min(format('%%I.%%I', pn.nspname, pc.relname)) FROM pg_partition_tree(a.attrelid) t
           JOIN pg_class pc ON pc.oid = t.relid JOIN pg_namespace pn ON pn.oid = pc.relnamespace
           JOIN pg_attribute pa ON pa.attrelid = t.relid AND pa.attname = a.attname AND pa.attidentity <> ''
           WHERE t.level > 0) END AS partition
FROM draws w JOIN pg_attribute a ON a.attrelid = w.relation AND a.attnum = w.number
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
WHERE a.attinhcount = 0
GROUP BY 1, 2, 3, 4, 5, a.attidentity, 9, 10 ORDER BY owns DESC, 3, 4
"""
# every column that follows by foreign keys, with those themselves, and each in the partitions and in what inherits it
_CHANGING = """
WITH RECURSIVE follows (relation, number) AS (
    SELECT w.relation::oid, w.number FROM unnest(%(relations)s::int8[], %(numbers)s::int2[]) AS w (relation, number)
    UNION
    SELECT k.conrelid, k.conkey[array_position(k.confkey, f.number)]
    FROM follows f JOIN pg_constraint k ON k.contype = 'f' AND k.confrelid = f.relation AND f.number = ANY (k.confkey)),
columns (relation, number) AS (
    SELECT * FROM follows
    UNION
    SELECT i.inhrelid, c.attnum FROM columns p JOIN pg_inherits i ON i.inhparent = p.relation
    JOIN pg_attribute a ON a.attrelid = p.relation AND a.attnum = p.number
    JOIN pg_attribute c ON c.attrelid = i.inhrelid AND c.attname = a.attname)
SELECT format('%%I.%%I', n.nspname, c.relname) AS table, quote_ident(a.attname) AS column,
       a.attinhcount > 0 AS inherited, a.atttypid <> 'int8'::regtype AS changes,
       c.relkind = 'r' AND pg_relation_size(c.oid) > 0 AS filled, pg_total_relation_size(c.oid) AS bytes,
       (SELECT min(pg_describe_object(d.classid, d.objid, 0)) FROM pg_depend d
        LEFT JOIN pg_attrdef g ON d.classid = 'pg_attrdef'::regclass AND g.oid = d.objid
        LEFT JOIN pg_attribute ga ON ga.attrelid = g.adrelid AND ga.attnum = g.adnum
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
          AND (d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass)
               OR ga.attgenerated <> '')) AS user
FROM columns f JOIN pg_attribute a ON a.attrelid = f.relation AND a.attnum = f.number
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2
"""
_SETTING = "SELECT setting::int AS number, source FROM pg_settings WHERE name = 'snowflake.node'"
# what ALTER DATABASE and ALTER ROLE have set goes before what the server has
_OVERRIDES = """
SELECT substr(o.setting, 16) AS number,
       concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname) AS whose
FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS o (setting)
LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE o.setting ~ '^snowflake\\.node=' AND (d.oid IS NULL OR d.datname = current_database()) ORDER BY 2
"""
_PLAIN = re.compile(r"nextval\('(?:[^']|'')+'::regclass\)\Z")
_CONVERTED = "snowflake.nextval("


@dataclass(frozen=True)
class Draw:
    """A sequence and what draws from it; no columns where the application itself calls nextval()."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    identity: bool
    converted: bool
    follows: tuple[str, ...]  # columns that refer to them, directly or not
    narrow: bool  # whether one of all these is no int8 yet
    rewrites: int  # bytes of the tables that have rows and such a column
    obstacle: str = ""  # why the extension or PostgreSQL would refuse, as a clause
    spots: tuple[tuple[str, str], ...] = ()  # table and column of each of C(columns), quoted
    half: bool = False  # converted from an identity, and still bound like one

    @property
    def fits_back(self) -> bool | None:
        """Whether a source with the same columns could take a snowflake id; of converted ones this is not known."""
        return None if self.converted else not self.narrow

    def shown(self) -> dict[str, Any]:
        """For results and diffs."""
        found = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return {
            **{key: value for key, value in found.items() if key not in ("narrow", "spots", "half")},
            "fits_back": self.fits_back,
        }


@dataclass(frozen=True)
class Number:
    """The node's number as a new session has it, and who has set it differently for some."""

    now: int
    source: str = "default"
    overrides: tuple[tuple[str, str], ...] = ()  # number, whose


def require(conn: Any, login: Login) -> Number:
    """The node's number, where the extension is usable; else one sentence."""
    if conn.execute("SELECT FROM pg_extension WHERE extname = 'snowflake'").fetchone() is None:
        raise CrossoverError(
            "the extension snowflake is not in this database",
            code="no_snowflake",
            server=str(login),
            untouched="nothing was changed",
            hint="install pgEdge's package for it and run CREATE EXTENSION snowflake, or crossover.pgedge.node",
        )
    try:
        conn.execute("SELECT snowflake.get_node(0)")  # any call loads the library, which brings the setting
        row = conn.execute(_SETTING).fetchone()
        overrides = tuple((one["number"], one["whose"]) for one in conn.execute(_OVERRIDES))
    except driver().Error as exc:
        raise sql_error(
            exc, login, "the extension snowflake does not answer", code="no_snowflake", untouched="nothing was changed"
        ) from None
    return Number(row["number"], row["source"], overrides)


def read(conn: Any, scope: Scope, names: Iterable[str], tables: Iterable[str], login: Login) -> list[Draw]:
    """The sequences of the scope: those that are named, or that these tables or columns draw from, or all."""
    known, names, tables = definitions(conn, scope), list(names), list(tables)
    missing = [name for name in names if name not in known]
    draws = [_draw(conn, name) for name in (known if tables or not names else names) if name in known]
    if tables:
        missing += [table for table in tables if not any(_of(draw, [table]) for draw in draws)]
        draws = [draw for draw in draws if draw.name in names or _of(draw, tables)]
    if missing:
        raise CrossoverError(
            f"{len(missing)} sequence(s), or tables that draw from one, are not there: {', '.join(missing[:5])}",
            code="no_relation",
            object=missing[0],
            server=str(login),
            untouched="nothing was changed",
            hint="give the schema too, and quote names that PostgreSQL would quote",
        )
    return draws


def _of(draw: Draw, tables: Iterable[str]) -> bool:
    return any(column == table or column.startswith(f"{table}.") for column in draw.columns for table in tables)


def _draw(conn: Any, name: str) -> Draw:
    columns = conn.execute(_COLUMNS, [name, name]).fetchall()
    if not columns:
        last = conn.execute(f"SELECT last_value AS v FROM {name}").fetchone()["v"]
        return Draw(name, (), (), False, abs(last) >= SMALLEST, (), False, 0)
    spots = {"relations": [c["relation"] for c in columns], "numbers": [c["number"] for c in columns]}
    found = conn.execute(_CHANGING, spots).fetchall()
    own = tuple(f"{c['table']}.{c['column']}" for c in columns)
    changing = [row for row in found if row["changes"]]
    converted = all(c["default"].startswith(_CONVERTED) for c in columns)
    return Draw(
        name,
        own,
        tuple(c["type"] for c in columns),
        any(c["identity"] for c in columns),
        converted,
        tuple(n for n in (f"{r['table']}.{r['column']}" for r in found if not r["inherited"]) if n not in own),
        bool(changing),
        sum(row["bytes"] for row in changing if row["filled"] and _has_rows(conn, row["table"])),
        "" if converted else obstacle(columns, changing),
        tuple((c["table"], c["column"]) for c in columns),
        converted and any(c["half"] for c in columns),
    )


def _has_rows(conn: Any, table: str) -> bool:
    return bool(conn.execute(f"SELECT EXISTS (SELECT FROM ONLY {table}) AS rows").fetchone()["rows"])


def obstacle(columns: list[dict[str, Any]], changing: list[dict[str, Any]]) -> str:
    """Why a conversion would fail, or leave one of the columns as it is; empty: it would not."""
    for column in columns:
        where = f"{column['table']}.{column['column']}"
        if column["partition"]:
            return f"{where} is an identity column, and of its partitions too ({column['partition']})"
        if column["identity"] or column["default"].startswith(_CONVERTED):
            continue
        if not column["default"]:
            return f"{where} owns it, but has no default that draws from it"
        if not _PLAIN.match(column["default"]):
            return f"the default of {where} is {column['default']}, not nextval() alone"
    if len(columns) > 1 and columns[0]["owns"]:
        others = ", ".join(f"{c['table']}.{c['column']}" for c in columns[1:])
        return f"{columns[0]['table']}.{columns[0]['column']} owns it, but {others} draws from it too"
    if used := next((row for row in changing if row["user"]), None):
        return f"the type of {used['table']}.{used['column']} cannot change: {used['user']} depends on it"
    return ""


def refuse(draws: Iterable[Draw], rewrite: bool, login: Login) -> None:
    """What cannot be converted; and, unless told to, what would rewrite tables that nobody can use meanwhile."""
    left = [draw for draw in draws if not draw.converted]
    if stuck := [draw for draw in left if draw.obstacle]:
        raise CrossoverError(
            f"{len(stuck)} sequence(s) cannot be converted: "
            + "; ".join(f"{draw.name}: {draw.obstacle}" for draw in stuck[:5]),
            code="cannot_convert",
            object=stuck[0].name,
            server=str(login),
            untouched="nothing was changed",
            hint="change that first, or leave them out (sequences, tables, exclude_tables); a step and an offset for "
            "each node (crossover.pgedge.sequence_sync) keep ids apart too",
        )
    heavy = [] if rewrite else [draw for draw in left if draw.rewrites]
    if heavy:
        size = sum(draw.rewrites for draw in heavy) / 1048576
        raise CrossoverError(
            f"{len(heavy)} sequence(s) are drawn from by columns narrower than 64 bits in tables that have rows: "
            f"{', '.join(column for draw in heavy[:5] for column in draw.columns)}; {size:.1f} MiB would be rewritten, "
            "locked meanwhile",
            code="has_rows",
            object=heavy[0].name,
            server=str(login),
            untouched="nothing was changed",
            hint="convert while the tables are empty, or set rewrite to true",
        )


def selected(draws: Iterable[Draw], choice: Choice, source: Iterable[Draw] | None) -> list[Draw]:
    """Those to convert now: before the switch what the source could take back, at the end all that were chosen."""
    wide = {draw.name: bool(draw.fits_back and draw.columns) for draw in source or ()}
    found = []
    for draw in draws:
        when = when_to_convert(choice.chosen(draw.name), bool(draw.columns), wide.get(draw.name, False))
        if when == "prepare" or (when == "finish" and source is None):
            found.append(draw)
    return found


def widen(draw: Draw) -> Statement:
    """The columns that draw, and all that refer to them, without drawing snowflakes yet."""
    spots = ", ".join(f"({quote_literal(table)}::regclass, {quote_literal(column)})" for table, column in draw.spots)
    return Statement.of(
        "SELECT snowflake.convert_column_to_int8(attrelid, attnum) FROM pg_catalog.pg_attribute "
        f"WHERE attnum > 0 AND (attrelid, quote_ident(attname)) IN ({spots})"
    )


def convert(draw: Draw) -> list[Statement]:
    """Convert one, on this node only; or end what was begun."""
    literal = f"{quote_literal(draw.name)}::regclass"
    steps = [] if draw.converted else [Statement.of(f"SELECT snowflake.convert_sequence_to_snowflake({literal})")]
    if draw.identity or draw.half:
        steps += [
            Statement.of(
                "UPDATE pg_catalog.pg_depend SET deptype = 'a' WHERE deptype = 'i' AND refobjsubid > 0 AND "
                f"classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND objid = {literal}"
            )
        ]
    return steps


def number(wanted: int | None, there: Number, taken: Iterable[int], login: Login) -> list[Statement]:
    """Give the node its number, which no other node may have: two would draw the same ids."""
    effective = wanted if wanted is not None else there.now
    problem, hint = "", f"give each node a number of its own, {FIRST} to {LAST} (node_number)"
    overrides = [(whose, value) for value, whose in there.overrides if value != str(effective)]
    if not FIRST <= effective <= LAST:
        problem = f"snowflake.node is {effective}" if wanted is None else f"{wanted} is no number of a node"
    elif effective in set(taken):
        problem = f"{effective} is another node's number"
    elif overrides:
        whose, value = overrides[0]
        problem = f"snowflake.node is {value} for {whose}, whatever the server's is"
        hint = "ALTER that with RESET snowflake.node first: some sessions would draw ids with another number"
    elif effective != there.now and there.source not in ("default", "configuration file", "session"):
        if not there.overrides:
            problem = f"snowflake.node is {there.now} by the server's {there.source}, which goes before ALTER SYSTEM"
            hint = "take it away there, or name that number"
    if problem:
        raise CrossoverError(problem, code="bad_number", server=str(login), untouched="nothing was changed", hint=hint)
    if effective == there.now:
        return []
    return [Statement.of(f"ALTER SYSTEM SET snowflake.node = {wanted}"), Statement.of("SELECT pg_reload_conf()")]


def in_force(wanted: int, conn: Any, fresh: Callable[[], Any], login: Login) -> None:
    """Wait until this session and new ones have the number: no id may be drawn with the old one."""
    until = time.monotonic() + RELOAD
    while True:
        seen = {require(conn, login).now, require(fresh(), login).now}
        if seen == {wanted}:
            return
        if time.monotonic() > until:
            raise CrossoverError(
                f"the node was given the number {wanted}, but its sessions still have "
                f"{', '.join(str(one) for one in sorted(seen - {wanted}))}",
                code="bad_number",
                server=str(login),
                untouched="no sequence was changed",
                hint="see the server's log for what its configuration lacks, and run again",
            )
        time.sleep(0.05)
