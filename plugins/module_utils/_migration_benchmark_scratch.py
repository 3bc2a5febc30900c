# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's own schema on both sides, and the default script (private to the collection).

Keys of the largest tables are drawn once, on the source, and given to both sides, so that both read the same rows.
The tables with keys are unlogged: no publication sends them anywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ._errors import CrossoverError
from ._migration_benchmark_script import GUARD, SCHEMA
from ._pg_catalog import Scope, Table, tables
from ._pg_connect import Login, connect, driver, sql_error
from ._pg_sql import quote_ident

COMMENT = "made by crossover.pgedge.benchmark, dropped after it"
ROWS = 10000
KEYS = 1000
# On a mesh none of this travels.
SETTINGS = {"spock.enable_ddl_replication": "off", "spock.include_ddl_repset": "off", "client_min_messages": "warning"}

_DDL = (
    f"CREATE SCHEMA {SCHEMA}",
    f"COMMENT ON SCHEMA {SCHEMA} IS '{COMMENT}'",
    f"CREATE UNLOGGED TABLE {SCHEMA}.guard (n int, CONSTRAINT {GUARD} UNIQUE (n) DEFERRABLE INITIALLY DEFERRED)",
)
_WRITE_DDL = (
    f"CREATE TABLE {SCHEMA}.scratch (id int PRIMARY KEY, n bigint NOT NULL, filler text NOT NULL)",
    f"INSERT INTO {SCHEMA}.scratch SELECT i, 0, repeat('x', 80) FROM generate_series(1, {ROWS}) i",
    f"""CREATE TABLE {SCHEMA}.journal (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, client int, scratch int, at timestamptz DEFAULT now())""",
    f"ANALYZE {SCHEMA}.scratch",
)


@dataclass(frozen=True)
class Target:
    """A table to read from: by its primary key, from the drawn keys."""

    number: int
    table: Table
    key: tuple[str, ...]
    rows: int  # the planner's estimate, partitions included

    @property
    def keys_table(self) -> str:
        """Where the drawn keys are."""
        return f"{SCHEMA}.key_{self.number}"

    def columns(self, prefix: str = "t.") -> str:
        """The key's columns under the names that the table of keys has."""
        return ", ".join(f"{prefix}{quote_ident(name)} AS k{i}" for i, name in enumerate(self.key))

    def draw(self) -> list[str]:
        """Queries for some keys: spread over the table, and should that miss, the first ones."""
        part = min(100.0, max(0.01, 400.0 * KEYS / max(self.rows, 1)))
        select = f"SELECT {self.columns()} FROM {self.table.full_name} t"
        return [f"{select} TABLESAMPLE SYSTEM ({part}) LIMIT {KEYS}", f"{select} LIMIT {KEYS}"]

    def query(self) -> str:
        """One row, by its key."""
        same = " AND ".join(f"t.{quote_ident(name)} = k.k{i}" for i, name in enumerate(self.key))
        return (
            f"SELECT t.* FROM {self.table.full_name} t JOIN {self.keys_table} k ON {same} WHERE k.n = :n{self.number};"
        )


def choose(conn: Any, scope: Scope, most: int) -> list[Target]:
    """The largest tables with a primary key; a partitioned table counts as one."""
    found = tables(conn, scope)
    parents = {t.oid: t.parent for t in found}

    def root(oid: int) -> int:
        while (parent := parents[oid]) is not None and parent in parents:
            oid = parent
        return oid

    size = {t.oid: 0 for t in found}
    rows = dict(size)
    for table in found:
        size[root(table.oid)] += table.bytes
        rows[root(table.oid)] += table.rows
    whole = [t for t in found if t.has_key and t.persistence == "p" and root(t.oid) == t.oid]
    whole.sort(key=lambda t: (-size[t.oid], t.full_name))
    targets: list[Target] = []
    for table in whole:
        key = _key(conn, table)
        # pgbench takes a colon for the begin of a variable, wherever it stands.
        if len(targets) < most and ":" not in table.full_name + "".join(key):
            targets.append(Target(len(targets) + 1, table, key, rows[table.oid]))
    return targets


def _key(conn: Any, table: Table) -> tuple[str, ...]:
    rows = conn.execute(
        """SELECT a.attname AS name
           FROM pg_index x CROSS JOIN unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, at)
           JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
           WHERE x.indrelid = %s AND x.indisprimary AND k.at <= x.indnkeyatts ORDER BY k.at""",
        [table.oid],
    )
    return tuple(row["name"] for row in rows)


def default_script(targets: list[Target], writes: bool) -> str:
    """Read a row of each table; update and insert in our own."""
    lines = [f"\\set n{t.number} random(1, {KEYS})" for t in targets]
    body = [t.query() for t in targets]
    if writes:
        lines += [f"\\set id random(1, {ROWS})"]
        body += [
            f"UPDATE {SCHEMA}.scratch SET n = n + 1 WHERE id = :id;",
            f"INSERT INTO {SCHEMA}.journal (client, scratch) VALUES (:client_id, :id);",
        ]
        body = ["BEGIN;", *body, "END;"]
    return "\n".join([*lines, *body, ""])


@contextlib.contextmanager
def scratch(logins: dict[str, Login], targets: list[Target], writes: bool) -> Iterator[None]:
    """Make the schema on both sides, and drop it whatever happens; one benchmark at a time."""
    with contextlib.ExitStack() as stack:
        conns = {side: stack.enter_context(connect(login, settings=SETTINGS)) for side, login in logins.items()}
        for side, conn in conns.items():
            _alone(conn, logins[side], writes)
        try:
            for side, conn in conns.items():
                try:
                    _make(conn, writes)
                except driver().Error as exc:
                    raise sql_error(
                        exc, logins[side], f"the schema {SCHEMA} could not be made", hint=_hint(logins[side])
                    ) from None
            for target in targets:
                _keys(conns["source"], conns["node"], target, logins)
            yield
        finally:
            failures = [failure for side, conn in conns.items() if (failure := _drop(conn, logins[side]))]
            if failures:
                raise failures[0]


def _hint(login: Login) -> str:
    return f"the login {login.user} needs CREATE on the database {login.database}"


def _alone(conn: Any, login: Login, writes: bool) -> None:
    row = conn.execute(
        """SELECT pg_try_advisory_lock(hashtext(%(schema)s)) AS mine, n.oid IS NOT NULL AS there,
                  coalesce(obj_description(n.oid, 'pg_namespace'), '') AS comment,
                  (SELECT min(pubname) FROM pg_publication WHERE puballtables) AS all_tables
           FROM (SELECT to_regnamespace(%(schema)s) AS oid) n""",
        {"schema": SCHEMA},
    ).fetchone()
    if not row["mine"]:
        raise CrossoverError(
            "another benchmark is running there",
            code="busy",
            server=str(login),
            untouched="nothing was changed",
            hint="wait for its end",
        )
    if row["there"] and row["comment"] != COMMENT:
        raise CrossoverError(
            f"there is a schema {SCHEMA} that is not the benchmark's",
            code="name_taken",
            server=str(login),
            untouched="nothing was changed",
            hint="rename it",
        )
    if writes and row["all_tables"]:
        raise CrossoverError(
            f"the publication {row['all_tables']} is for all tables: it would send the benchmark's own along",
            code="published",
            server=str(login),
            untouched="nothing was changed",
            hint="set crossover_benchmark_writes: false to measure reads only",
        )


def _make(conn: Any, writes: bool) -> None:
    conn.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")  # ours, of a run that was killed
    for statement in (*_DDL, *(_WRITE_DDL if writes else ())):
        conn.execute(statement)


def _keys(source: Any, node: Any, target: Target, logins: dict[str, Login]) -> None:
    """Draw keys on the source and give both sides the same ones."""
    like = f"SELECT 0 AS n, {target.columns()} FROM {target.table.full_name} t WITH NO DATA"
    create = f"CREATE UNLOGGED TABLE {target.keys_table} AS {like}"
    conns, side = {"source": source, "node": node}, "source"
    try:
        source.execute(create)
        filled = 0
        for query in target.draw():
            cursor = source.execute(
                f"INSERT INTO {target.keys_table} SELECT row_number() OVER (), d.* FROM ({query}) d"
            )
            if filled := cursor.rowcount:
                break
        if filled:  # fewer rows than keys: some come more than once
            source.execute(
                f"INSERT INTO {target.keys_table} SELECT i, {', '.join(f'k{c}' for c in range(len(target.key)))} "
                f"FROM generate_series({filled + 1}, {KEYS}) i "
                f"JOIN {target.keys_table} k ON k.n = (i - 1) % {filled} + 1"
            )
        side = "node"
        node.execute(create)
        _copy(source, node, target.keys_table)
        for side in conns:
            conns[side].execute(f"ALTER TABLE {target.keys_table} ADD PRIMARY KEY (n)")
            conns[side].execute(f"ANALYZE {target.keys_table}")
    except driver().Error as exc:
        raise sql_error(
            exc,
            logins[side],
            f"keys of {target.table.full_name} could not be taken",
            hint="look at crossover.pgedge.status",
        ) from None


def _copy(source: Any, node: Any, table: str) -> None:
    with source.cursor() as out, node.cursor() as into:
        with out.copy(f"COPY {table} TO STDOUT") as reading, into.copy(f"COPY {table} FROM STDIN") as writing:
            for data in reading:
                writing.write(data)


def _drop(conn: Any, login: Login) -> CrossoverError | None:
    """On a session of its own if the other one is gone. Says why it could not be done."""
    drop = f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"
    try:
        if conn.closed or conn.broken:
            with connect(login, settings=SETTINGS) as again:
                again.execute(drop)
        else:
            conn.execute(drop)
    except (CrossoverError, driver().Error) as exc:
        return CrossoverError(
            f"the schema {SCHEMA} could not be dropped: {' '.join(str(exc).split())}",
            code="not_cleaned",
            server=str(login),
            hint=f"run the benchmark again, or DROP SCHEMA {SCHEMA} CASCADE",
        )
    return None
