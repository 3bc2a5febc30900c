# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""snowflake_sequence with pgEdge's extension."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.database import Database
from support.mesh import ON_SPOCK

Run = Callable[..., dict[str, Any]]
TABLES = """
CREATE SCHEMA shop;
CREATE TABLE shop.customer (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
CREATE TABLE shop."Order" (id serial PRIMARY KEY, customer int REFERENCES shop.customer);
CREATE TABLE shop.item (orders int REFERENCES shop."Order", line int, PRIMARY KEY (orders, line));
CREATE TABLE shop.note (
    orders int, line int, id bigserial PRIMARY KEY, FOREIGN KEY (orders, line) REFERENCES shop.item);
CREATE SEQUENCE shop.alone;
"""
DRAWN = """SELECT FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
           WHERE pg_get_expr(adbin, adrelid) ~ 'snowflake' AND relnamespace = 'shop'::regnamespace"""
DRAW = "INSERT INTO shop.customer (name) VALUES ('x') RETURNING id, snowflake.get_node(id) AS n"
TYPES = """SELECT format('%I.%I', c.relname, a.attname) AS name, format_type(a.atttypid, NULL) AS type
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'shop'::regnamespace
           AND c.relkind = 'r' AND a.attnum > 0 AND a.attname IN ('id', 'customer', 'orders')"""


@pytest.fixture
def nodes(mesh_dbs: list[Database]) -> Iterator[list[Database]]:
    """Two databases with the extension."""
    two = mesh_dbs[:2]
    if not two[0].sql("SELECT FROM pg_available_extensions WHERE name = 'snowflake'", superuser=True):
        pytest.skip("the PostgreSQL with Spock that was found has no extension snowflake")
    for database in two:
        database.sql("CREATE EXTENSION snowflake", superuser=True)
        database.sql(TABLES, superuser=True)
    yield two
    for database in two:
        database.sql("ALTER SYSTEM RESET snowflake.node", superuser=True)
        database.sql("SELECT pg_reload_conf()", superuser=True)


def test_without_the_extension(source_db: Database, run_module: Run) -> None:
    found = run_module("snowflake_sequence", {**source_db.login, "node_number": 1})
    assert found["failed"] and "extension snowflake is not in this database" in found["msg"], found["msg"]


class TestOnSpock:
    """What needs the extension."""

    pytestmark = ON_SPOCK

    def test_all_of_a_schema(self, nodes: list[Database], run_module: Run) -> None:
        for number, database in enumerate(nodes, 1):
            args = {**database.login, "node_number": number, "taken": [3 - number]}
            planned = run_module("snowflake_sequence", args, check=True)
            assert not planned["failed"], planned["msg"]
            assert planned["changed"] and not database.sql(DRAWN, superuser=True)
            done = run_module("snowflake_sequence", args)
            assert not done["failed"], done["msg"]
            assert done["queries"] == planned["queries"] and len(done["queries"]) == 6
            again = run_module("snowflake_sequence", args)
            assert not again["changed"] and not again["queries"], again
        of = {sequence["name"]: sequence for sequence in done["sequences"]}
        assert of['shop."Order_id_seq"']["follows"] == ["shop.item.orders", "shop.note.orders"]
        assert not of['shop."Order_id_seq"']["fits_back"] and of["shop.note_id_seq"]["fits_back"]
        assert of["shop.customer_id_seq"]["identity"] and of["shop.alone"]["column"] == ""
        assert {row["type"] for row in nodes[0].sql(TYPES, superuser=True)} == {"bigint"}
        ids = set()
        for number, database in enumerate(nodes, 1):
            for _time in range(50):
                row = database.sql(DRAW, superuser=True)[0]
                assert row["n"] == number
                ids.add(row["id"])
        assert len(ids) == 100, "no id twice"

    def test_rows_that_would_have_to_be_rewritten(self, nodes: list[Database], run_module: Run) -> None:
        one = nodes[0]
        one.sql("INSERT INTO shop.customer (name) SELECT 'x' FROM generate_series(1, 1000)", superuser=True)
        args = {**one.login, "node_number": 7, "sequences": ["shop.customer_id_seq"]}
        refused = run_module("snowflake_sequence", args)
        assert refused["failed"] and "would be rewritten" in refused["msg"] and "Nothing was changed" in refused["msg"]
        assert not run_module("snowflake_sequence", {**args, "rewrite": True})["failed"]
        assert one.sql("SELECT min(id) AS least, max(id) < 2000 AS old FROM shop.customer", superuser=True) == [
            {"least": 1, "old": True}
        ]

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({}, "snowflake.node is 0"),
            ({"node_number": 1024}, "1024 is no number"),
            ({"node_number": 2, "taken": [1, 2]}, "2 is another node's number"),
            ({"node_number": 1, "sequences": ["shop.none"]}, "shop.none"),
        ],
    )
    def test_bad_input(self, nodes: list[Database], run_module: Run, more: dict[str, Any], words: str) -> None:
        found = run_module("snowflake_sequence", {**nodes[0].login, **more})
        assert found["failed"] and words in found["msg"] and "Nothing was changed" in found["msg"], found["msg"]
        assert "Traceback" not in found["msg"]
