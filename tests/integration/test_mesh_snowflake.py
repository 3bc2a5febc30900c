# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations onto real Spock nodes that draw snowflakes in the end, by the playbooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.database import Database
from support.mesh import DISCARDED, ON_SPOCK, in_step, join
from support.play import Inventory
from support.whole import NOTHING, QUICK, SCHEMA, leftovers, ok
from support.writers import Writers

pytestmark = ON_SPOCK

HOW = """SELECT a.attrelid::regclass || '.' || a.attname AS name, a.atttypid::regtype::text AS type,
                COALESCE(pg_get_expr(d.adbin, d.adrelid) ~ '^snowflake', false) AS drawn
         FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid IN ('shop.customer'::regclass, 'shop."Order"'::regclass, 'shop.line'::regclass)
         AND a.attname IN ('id', 'order') ORDER BY 1"""
LINE = 'CREATE TABLE shop.line (id bigserial PRIMARY KEY, "order" int NOT NULL REFERENCES shop."Order");'
WIDE_DRAWN = [("shop.customer.id", "bigint", True), ("shop.line.id", "bigint", True)]


def how(node: Database) -> list[tuple[str, str, bool]]:
    return [(row["name"].replace('"', ""), row["type"], row["drawn"]) for row in node.sql(HOW)]


AT_FIRST = sorted([*WIDE_DRAWN, ("shop.Order.id", "integer", False), ("shop.line.order", "integer", False)])
IN_THE_END = sorted([*WIDE_DRAWN, ("shop.Order.id", "bigint", True), ("shop.line.order", "bigint", False)])


class Orders(Writers):
    """Customers with an order each, all keys drawn by the server."""

    rest = 0.02

    def transaction(self, conn: psycopg.Connection[Any], client: int, number: int) -> None:
        conn.execute(
            """WITH c AS (INSERT INTO shop.customer (name) VALUES (%s) RETURNING id),
                    o AS (INSERT INTO shop."Order" (customer, total) SELECT id, 1 FROM c RETURNING id)
               INSERT INTO shop.line ("order") SELECT id FROM o""",
            [f"{client}/{number}"],
        )


def all_there(node: Database, *writers: Writers) -> None:
    written = {f"{client}/{number}" for some in writers for client, number in list(some.acknowledged)}
    there = [row["name"] for row in node.sql("SELECT name FROM shop.customer WHERE name ~ '/'")]
    assert len(there) == len(set(there)) and written <= set(there), written - set(there)
    # total is 1 of one that SCHEMA has made, too
    assert node.sql("""SELECT (SELECT count(*) FROM shop."Order" WHERE total = 1) - 1 =
                              (SELECT count(*) FROM shop.customer WHERE name ~ '/') AS same""") == [{"same": True}]


@pytest.fixture
def nodes(mesh_dbs: list[Database]) -> Iterator[list[Database]]:
    if not mesh_dbs[0].sql("SELECT FROM pg_available_extensions WHERE name = 'snowflake'", superuser=True):
        pytest.skip("the PostgreSQL with Spock that was found has no extension snowflake")
    yield mesh_dbs
    for node in mesh_dbs:
        node.sql("ALTER SYSTEM RESET snowflake.node", superuser=True)
        node.sql("SELECT pg_reload_conf()", superuser=True)


@pytest.fixture
def inventory(source_db: Database, nodes: list[Database], tmp_path: Path) -> Inventory:
    source_db.as_owner(SCHEMA + LINE)
    made = Inventory(tmp_path, source_db.login, nodes[0].login, **QUICK, crossover_sequences="snowflake")
    made.set(crossover_route={"type": "none"}, crossover_snowflake_rewrite=True)
    for number, node in enumerate(nodes[1:], 2):
        made.data["pgedge"]["hosts"][f"n{number}"] = {"crossover_node": node.login}
    made.write()
    return made


def test_on_a_mesh(inventory: Inventory, source_db: Database, nodes: list[Database]) -> None:
    for node in nodes:
        node.sql("DROP EXTENSION spock", superuser=True)  # join() makes it
    join(nodes)
    ok(inventory.play("assess"))
    without = inventory.play("prepare")
    assert without.rc != 0 and "snowflake" in without.failure, without.output[-3000:]
    for node in nodes:
        node.sql("CREATE EXTENSION snowflake", superuser=True)
    sides = [source_db, *nodes]
    with Orders(source_db.dsn, 2, first=0) as old:
        ok(inventory.play("migrate", timeout=600))
        assert [how(node) for node in nodes] == [AT_FIRST] * 3
        again = ok(inventory.play("migrate", timeout=600))
        assert again.changed == 0, again.output
        ok(inventory.play("cutover", crossover_cutover=source_db.name))
        news = [Orders(node.dsn, 1, first=10 * number) for number, node in enumerate(nodes, 1)]
        for writers in news:
            writers.__enter__()
        try:
            for writers in news:
                writers.go_on()
            ok(inventory.play("rollback"))
            old.go_on()
            all_there(source_db, old, *news)
            ok(inventory.play("validate", crossover_validate_force=True))
            ok(inventory.play("cutover", crossover_cutover=source_db.name))
            ok(inventory.play("validate", crossover_validate_force=True))
            planned = ok(inventory.play("finish", "--check", "-v", crossover_finish=source_db.name))
            assert planned.output.count("SELECT snowflake.convert_column_to_int8") >= 3, planned.output[-6000:]
            assert [how(node) for node in nodes] == [AT_FIRST] * 3
            ok(inventory.play("finish", crossover_finish=source_db.name))
            for writers in news:
                writers.go_on()
        finally:
            for writers in news:
                writers.__exit__()
    in_step(nodes)
    assert [how(node) for node in nodes] == [IN_THE_END] * 3
    assert [leftovers(side) for side in sides] == [NOTHING] * 4
    assert not [failed for writers in news for failed in writers.failed if failed[:5] not in ("25006", "42P01")]
    for node in nodes:
        all_there(node, *news)
        assert not node.sql(DISCARDED, superuser=True)


def test_where_the_others_join_later(inventory: Inventory, source_db: Database, nodes: list[Database]) -> None:
    inventory.set(crossover_topology="expand", crossover_mesh_passwords=True)
    nodes[0].sql("CREATE EXTENSION snowflake", superuser=True)
    for phase in ("assess", "prepare", "replicate", "validate"):
        ok(inventory.play(phase))
    assert how(nodes[0]) == AT_FIRST
    ok(inventory.play("cutover", crossover_cutover=source_db.name))
    with Orders(nodes[0].dsn, 1, first=10) as first:
        ok(inventory.play("expand"))
        again = ok(inventory.play("expand"))
        assert again.changed == 0, again.output
        assert [how(node) for node in nodes] == [AT_FIRST] * 3
        with Orders(nodes[1].dsn, 1, first=20) as second, Orders(nodes[2].dsn, 1, first=30) as third:
            second.go_on()
            third.go_on()
            ok(inventory.play("finish", crossover_finish=source_db.name))
            for writers in (first, second, third):
                writers.go_on()
    in_step(nodes)
    assert [how(node) for node in nodes] == [IN_THE_END] * 3
    numbers = [node.sql("SHOW snowflake.node")[0]["snowflake.node"] for node in nodes]
    assert len(set(numbers)) == 3, numbers
    for node in nodes:
        all_there(node, first, second, third)
        assert not node.sql(DISCARDED, superuser=True)
