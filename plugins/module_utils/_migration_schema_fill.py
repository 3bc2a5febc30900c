# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes after the rows: materialised views are filled, statistics gathered (private to the collection)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ._pg_catalog import Scope, published_roots, tables
from ._pg_connect import Login, driver, sql_error
from ._pg_sql import Statement, qualified

# Materialised views and what each needs, through ordinary views as well.
_VIEWS = """
WITH RECURSIVE needs AS (
    SELECT DISTINCT r.ev_class AS oid, d.refobjid AS needed
    FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
     AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
    WHERE r.rulename = '_RETURN'
), deep AS (
    SELECT oid, needed FROM needs
    UNION SELECT deep.oid, needs.needed FROM deep JOIN needs ON needs.oid = deep.needed
)
SELECT n.nspname AS schema, c.relname AS name, c.relispopulated AS filled,
       (SELECT count(*) FROM deep JOIN pg_class m ON m.oid = deep.needed AND m.relkind = 'm'
        WHERE deep.oid = c.oid) AS depth
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm'
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY depth, n.nspname COLLATE "C", c.relname COLLATE "C"
"""

# A partitioned table's statistics are gathered with its partitions'.
_ANALYZED = """
SELECT n.nspname AS schema, c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND pg_stat_get_last_analyze_time(c.oid) IS NOT NULL
"""


class Fill(list[Statement]):
    """The statements: first the views in the order of what they need, then ANALYZE."""

    def __init__(self, refresh: Iterable[str], analyze: Iterable[str]) -> None:
        self.refresh = [Statement.of(f"REFRESH MATERIALIZED VIEW {name}") for name in refresh]
        self.analyze = [Statement.of(f"ANALYZE {name}") for name in analyze]
        super().__init__([*self.refresh, *self.analyze])

    def run(self, connect: Callable[[], Any], login: Login, jobs: int) -> None:
        """Run them, ANALYZE several at a time."""
        with connect() as conn:
            for statement in self.refresh:
                _run(conn, statement, login)
        if self.analyze:
            shares = [share for i in range(jobs) if (share := self.analyze[i::jobs])]
            with ThreadPoolExecutor(len(shares)) as threads:
                list(threads.map(lambda share: _run_share(connect, share, login), shares))


def _run_share(connect: Callable[[], Any], share: list[Statement], login: Login) -> None:
    with connect() as conn:
        for statement in share:
            _run(conn, statement, login)


def _run(conn: Any, statement: Statement, login: Login) -> None:
    try:
        conn.execute(statement.sql)
    except driver().Error as exc:
        raise sql_error(
            exc,
            login,
            f"{statement} failed",
            code="refresh_failed",
            untouched="what was created stays, and the next run goes on from there",
        ) from None


def fill(source: Any, node: Any, scope: Scope, refresh: bool, analyze: bool) -> Fill:
    """What is filled on the source and not on the node; what was never analysed on the node."""
    wanted = [row for row in source.execute(_VIEWS) if not scope.schemas or row["schema"] in scope.schemas]
    there = {(row["schema"], row["name"]) for row in node.execute(_VIEWS) if row["filled"]}
    done = {(row["schema"], row["name"]) for row in node.execute(_ANALYZED)}
    empty = [(v["schema"], v["name"]) for v in wanted if v["filled"] and (v["schema"], v["name"]) not in there]
    known = [(t.schema, t.name) for t in published_roots(tables(source, scope))]
    known += [(v["schema"], v["name"]) for v in wanted if v["filled"] and refresh]
    return Fill(
        [qualified(*name) for name in empty] if refresh else [],
        [qualified(*name) for name in known if name not in done or name in empty] if analyze else [],
    )
