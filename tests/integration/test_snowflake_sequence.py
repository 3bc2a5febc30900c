# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""snowflake_sequence with pgEdge's extension."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.database import Database
from support.mesh import DDL, ON_SPOCK, in_step, join
from support.schema import structure

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
CUSTOMER = "(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text)"
PARTITIONS = """
CREATE TABLE shop.parted (id serial, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE shop.parted1 PARTITION OF shop.parted FOR VALUES IN (1);
INSERT INTO shop.parted (part) SELECT 1 FROM generate_series(1, 100);
CREATE TABLE shop.parent (id serial, note text);
CREATE TABLE shop.child () INHERITS (shop.parent);
INSERT INTO shop.child (note) VALUES ('x');
CREATE TABLE shop.gone (id serial);
INSERT INTO shop.gone DEFAULT VALUES;
DELETE FROM shop.gone;
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
            assert done["queries"] == planned["queries"] and len(done["queries"]) == 7
            again = run_module("snowflake_sequence", args)
            assert not again["changed"] and not again["queries"], again
        of = {sequence["name"]: sequence for sequence in done["sequences"]}
        assert of['shop."Order_id_seq"']["follows"] == ["shop.item.orders", "shop.note.orders"]
        assert not of['shop."Order_id_seq"']["fits_back"] and of["shop.note_id_seq"]["fits_back"]
        assert of["shop.customer_id_seq"]["identity"] and of["shop.alone"]["columns"] == []
        assert {sequence["fits_back"] for sequence in again["sequences"]} == {None}, "the columns are wide by now"
        assert {row["type"] for row in nodes[0].sql(TYPES, superuser=True)} == {"bigint"}
        ids = set()
        for number, database in enumerate(nodes, 1):
            for _time in range(50):
                row = database.sql(DRAW, superuser=True)[0]
                assert row["n"] == number
                ids.add(row["id"])
        assert len(ids) == 100, "no id twice"

    def test_what_was_an_identity_can_be_dumped(self, nodes: list[Database], run_module: Run) -> None:
        one, two = nodes
        args = {**one.login, "node_number": 1, "sequences": ["shop.customer_id_seq"]}
        assert not run_module("snowflake_sequence", args)["failed"]
        two.sql("DROP SCHEMA shop CASCADE", superuser=True)
        two.sql(structure(one, "--schema=shop"), superuser=True)
        assert two.sql(DRAWN, superuser=True)
        # as the extension alone leaves it
        bound = """UPDATE pg_depend SET deptype = %s WHERE objid = 'shop.customer_id_seq'::regclass
                   AND refclassid = 'pg_class'::regclass AND refobjsubid > 0"""
        one.sql(bound, ["i"], superuser=True)
        again = run_module("snowflake_sequence", args)
        assert len(again["queries"]) == 1 and not run_module("snowflake_sequence", args)["changed"]

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

    def test_rows_in_partitions_and_rows_that_are_gone(self, nodes: list[Database], run_module: Run) -> None:
        one = nodes[0]
        one.sql(PARTITIONS, superuser=True)
        args = {**one.login, "node_number": 1}
        for table in ("shop.parted", "shop.parent"):
            refused = run_module("snowflake_sequence", {**args, "tables": [table]}, check=True)
            assert refused["failed"] and f"{table}.id" in refused["msg"] and "would be rewritten" in refused["msg"]
        done = run_module("snowflake_sequence", {**args, "tables": ["shop.parent.id"], "rewrite": True})
        assert not done["failed"] and [s["columns"] for s in done["sequences"]] == [["shop.parent.id"]], done["msg"]
        gone = run_module("snowflake_sequence", {**args, "sequences": ["shop.gone_id_seq"]})
        assert not gone["failed"] and gone["sequences"][0]["rewrites"] == 0, gone["msg"]

    @pytest.mark.parametrize(
        ("tables", "words"),
        [
            ('CREATE VIEW shop.v AS SELECT customer FROM shop."Order"', 'shop."Order".customer cannot change: rule'),
            ("CREATE TABLE shop.t (id text DEFAULT 'X' || nextval('shop.alone'))", "not nextval() alone"),
            ("CREATE TABLE shop.t (id int); ALTER SEQUENCE shop.alone OWNED BY shop.t.id", "has no default that draws"),
            (
                "CREATE TABLE shop.t (id serial); CREATE TABLE shop.u (id int DEFAULT nextval('shop.t_id_seq'))",
                "shop.t.id owns it, but shop.u.id draws from it too",
            ),
            (
                "CREATE TABLE shop.t (id int DEFAULT nextval('shop.alone'), d int GENERATED ALWAYS AS (id + 1) STORED)",
                "shop.t.id cannot change",
            ),
        ],
    )
    def test_what_would_be_refused_is_refused_at_once(
        self, nodes: list[Database], run_module: Run, tables: str, words: str
    ) -> None:
        one = nodes[0]
        one.sql(tables, superuser=True)
        for check in (True, False):
            found = run_module("snowflake_sequence", {**one.login, "node_number": 1}, check=check)
            assert found["failed"] and words in found["msg"] and "Nothing was changed" in found["msg"], found["msg"]
        assert not one.sql(DRAWN, superuser=True)

    def test_two_columns_that_draw_from_one(self, nodes: list[Database], run_module: Run) -> None:
        one = nodes[0]
        for table in ("shop.t", "shop.u"):
            one.sql(f"CREATE TABLE {table} (id int DEFAULT nextval('shop.alone'))", superuser=True)
        args = {**one.login, "node_number": 1, "sequences": ["shop.alone"]}
        done = run_module("snowflake_sequence", args)
        assert not done["failed"] and done["sequences"][0]["columns"] == ["shop.t.id", "shop.u.id"], done["msg"]
        assert len(one.sql(DRAWN, superuser=True)) == 2 and not run_module("snowflake_sequence", args)["changed"]

    @pytest.mark.parametrize("whose", ["DATABASE {0.name}", "ROLE {0.owner}", "ROLE {0.owner} IN DATABASE {0.name}"])
    def test_a_number_that_some_sessions_would_not_have(
        self, nodes: list[Database], run_module: Run, whose: str
    ) -> None:
        one = nodes[0]
        args = {**one.login, "node_number": 2, "sequences": ["shop.customer_id_seq"]}
        one.sql(f"ALTER {whose.format(one)} SET snowflake.node = 5", superuser=True)
        found = run_module("snowflake_sequence", args)
        assert found["failed"] and "snowflake.node is 5 for" in found["msg"], found["msg"]
        assert "Nothing was changed" in found["msg"] and not one.sql(DRAWN, superuser=True)
        one.sql(f"ALTER {whose.format(one)} SET snowflake.node = 2", superuser=True)
        done = run_module("snowflake_sequence", args)
        assert not done["failed"], done["msg"]
        assert not run_module("snowflake_sequence", args)["changed"]

    def test_it_stays_on_its_node(self, nodes: list[Database], run_module: Run) -> None:
        for database in nodes:
            database.sql("DROP SCHEMA shop CASCADE; DROP EXTENSION spock", superuser=True)
        join(nodes, "default", "default_insert_only", "ddl_sql")
        one, two = nodes
        ddl = "".join(f"SET {name} = {value};" for name, value in DDL.items())
        one.sql(f"{ddl} CREATE SCHEMA shop; CREATE TABLE shop.customer {CUSTOMER}", superuser=True)
        for database in nodes:
            for name, value in DDL.items():
                database.sql(f"ALTER DATABASE {database.name} SET {name} = {value}", superuser=True)
        in_step(nodes)
        unset = "SELECT FROM spock.tables WHERE relname = 'customer' AND set_name IS NULL"
        assert two.sql(unset, superuser=True), "the apply worker that made it there puts tables in no set"
        two.sql("SELECT spock.repset_add_table('default', 'shop.customer')", superuser=True)
        done = run_module("snowflake_sequence", {**one.login, "node_number": 1})
        assert not done["failed"] and len(done["queries"]) == 4, done
        in_step(nodes)
        assert one.sql(DRAWN, superuser=True) and not two.sql(DRAWN, superuser=True)
        assert two.sql(TYPES, superuser=True)[0]["type"] == "integer", "the other node is as it was"
        assert not run_module("snowflake_sequence", {**two.login, "node_number": 2, "taken": [1]})["failed"]
        for database in nodes:
            database.sql("INSERT INTO shop.customer (name) SELECT 'x' FROM generate_series(1, 200)", superuser=True)
        in_step(nodes)
        counts = "SELECT snowflake.get_node(id) AS node, count(*) AS n FROM shop.customer GROUP BY 1 ORDER BY 1"
        for database in nodes:
            assert database.sql(counts, superuser=True) == [{"node": 1, "n": 200}, {"node": 2, "n": 200}]

    def test_a_login_that_may_not_set_the_number(self, nodes: list[Database], run_module: Run) -> None:
        one = nodes[0]
        one.sql(f"ALTER ROLE {one.owner} LOGIN PASSWORD 'own'; ALTER SCHEMA shop OWNER TO {one.owner}", superuser=True)
        for table in ("customer", '"Order"', "item", "note"):
            one.sql(f"ALTER TABLE shop.{table} OWNER TO {one.owner}", superuser=True)
        weak = {**one.login, "login_user": one.owner, "login_password": "own"}
        found = run_module("snowflake_sequence", {**weak, "node_number": 1, "sequences": ["shop.note_id_seq"]})
        assert found["failed"] and "the node could not be given its number: permission denied" in found["msg"]
        one.sql("ALTER SYSTEM SET snowflake.node = 1", superuser=True)
        one.sql("SELECT pg_reload_conf()", superuser=True)
        time.sleep(0.5)
        done = run_module("snowflake_sequence", {**weak, "sequences": ["shop.note_id_seq"]})
        assert not done["failed"], done["msg"]

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
