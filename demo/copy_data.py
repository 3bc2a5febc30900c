# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database that bench-copy copies: half of it one table, a quarter wide rows in TOAST, a quarter small tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support.cluster import Cluster

DATABASE = "bench"
SMALL_TABLES = 200
BIG_ROW, WIDE_ROW, SMALL_ROW = 170, 8300, 130  # bytes a row takes, about

SCHEMA = """
CREATE TABLE big (id bigint PRIMARY KEY, customer int NOT NULL, at timestamptz NOT NULL,
                  amount numeric(12, 2) NOT NULL, status text NOT NULL, note text NOT NULL);
CREATE TABLE wide (id bigint PRIMARY KEY, kind int NOT NULL, doc text STORAGE EXTERNAL NOT NULL);
"""
SMALL = """
CREATE TABLE small_{n} (id int PRIMARY KEY, parent int, at timestamptz NOT NULL, name text NOT NULL);
"""
INDEXES = """
CREATE INDEX big_customer ON big (customer);
CREATE INDEX big_at ON big (at);
CREATE INDEX big_status ON big (status, customer);
CREATE INDEX wide_kind ON wide (kind);
"""
SMALL_INDEXES = "CREATE INDEX small_{n}_parent ON small_{n} (parent); CREATE INDEX small_{n}_name ON small_{n} (name);"
BIG_ROWS = """
INSERT INTO big SELECT i, (random() * 1000000)::int, timestamptz '2024-01-01' + i * interval '1 second',
       (random() * 10000)::numeric(12, 2), (ARRAY['new', 'paid', 'sent', 'gone'])[1 + i % 4],
       md5(i::text) || md5((i * 7)::text) FROM generate_series({a}::bigint, {b}) i
"""
WIDE_ROWS = """
INSERT INTO wide SELECT i, i % 100, (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 250) j)
FROM generate_series({a}::bigint, {b}) i
"""
SMALL_ROWS = """
INSERT INTO small_{n} SELECT i, i / 2, timestamptz '2024-01-01' + i * interval '1 minute',
       md5(i::text) || md5({n}::text) FROM generate_series(1, {rows}) i
"""


def make(source: Cluster, size: int, jobs: int) -> dict[str, Any]:
    """Fill the source; returns what it holds."""
    source.sql(f"CREATE DATABASE {DATABASE}")
    run(source, SCHEMA + "".join(SMALL.format(n=n) for n in range(SMALL_TABLES)))
    steps = [*_ranges(BIG_ROWS, size // 2 // BIG_ROW), *_ranges(WIDE_ROWS, size // 4 // WIDE_ROW)]
    rows = max(1, size // 4 // SMALL_TABLES // SMALL_ROW)
    steps += [SMALL_ROWS.format(n=n, rows=rows) for n in range(SMALL_TABLES)]
    in_parallel(source, steps, jobs)
    in_parallel(source, [*INDEXES.split(";")[:-1], *(SMALL_INDEXES.format(n=n) for n in range(SMALL_TABLES))], jobs)
    run(source, "VACUUM ANALYZE")
    run(source, "CHECKPOINT")
    return described(source)


def _ranges(template: str, rows: int, pieces: int = 16) -> list[str]:
    edges = [rows * n // pieces for n in range(pieces + 1)]
    return [template.format(a=a + 1, b=b) for a, b in zip(edges, edges[1:]) if b > a]


def run(side: Cluster, sql: str) -> list[dict[str, Any]]:
    """As the superuser, in the database."""
    return side.sql(sql, database=DATABASE)


def in_parallel(side: Cluster, statements: list[str], jobs: int) -> None:
    """Several sessions at a time."""
    with ThreadPoolExecutor(jobs) as threads:
        list(threads.map(lambda sql: run(side, sql), statements))


def described(side: Cluster) -> dict[str, Any]:
    """What is there: to be the same on both sides."""
    tables = run(side, "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = "
                       "'public'::regnamespace ORDER BY 1")  # fmt: skip
    counts = " UNION ALL ".join(f"SELECT count(*) AS n FROM {t['name']}" for t in tables) or "SELECT 0 AS n"
    row = run(
        side,
        f"""SELECT (SELECT sum(n)::int8 FROM ({counts}) c) AS rows,
                   (SELECT sum(hashint8(id)::int8)::int8 FROM big) AS hash,
                   (SELECT count(*) FROM pg_index WHERE indisvalid AND indrelid IN
                        (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)) AS indexes,
                   (SELECT count(*) FROM pg_stat_user_tables WHERE schemaname = 'public'
                        AND (last_analyze IS NOT NULL OR last_autoanalyze IS NOT NULL)) AS analyzed""",
    )[0]
    return {"tables": len(tables), **row}


def sizes(side: Cluster) -> dict[str, int]:
    """Bytes: tables with TOAST, and their indexes."""
    return run(
        side,
        """SELECT sum(pg_table_size(oid))::int8 AS tables, sum(pg_indexes_size(oid))::int8 AS indexes
           FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace""",
    )[0]
