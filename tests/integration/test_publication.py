# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module publication against a real source (16, no superuser) and node (18, superuser)."""

from __future__ import annotations

import pytest

TABLES = """
CREATE TABLE prices (id int PRIMARY KEY, amount numeric, note text);
CREATE TABLE vehicles (id int PRIMARY KEY, name text);
CREATE SCHEMA acme;
CREATE TABLE acme.stores (id int PRIMARY KEY, city text);
CREATE SCHEMA "My Schema";
CREATE TABLE "My Schema"."Order.Lines" (id int PRIMARY KEY, "Total" int);
CREATE TABLE events (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
"""


@pytest.fixture(params=["source", "node"])
def db(request, source_db, target_db):
    found = {"source": source_db, "node": target_db}[request.param]
    found.as_owner(TABLES)
    return found


@pytest.fixture
def node(target_db):
    target_db.as_owner(TABLES)
    return target_db


@pytest.fixture
def publication(run_module):
    def run(db, check=False, login=None, **args):
        return run_module("publication", {**(login or db.login), "name": "acme", **args}, check=check)

    return run


def rows(db, query):
    return db.sql(query, superuser=True)


def test_life(db, publication):
    """check, apply, repeat, absent in check mode, absent, absent again."""
    args = {
        "tables": ["prices", "acme.stores", '"My Schema"."Order.Lines"'],
        "parameters": {"publish": "insert, update"},
    }
    checked = publication(db, check=True, **args)
    assert checked["changed"] and not checked["exists"] and checked["diff"]["before"] == {}
    assert not rows(db, "SELECT 1 FROM pg_publication")
    made = publication(db, **args)
    assert made["changed"] and made["exists"], made
    assert (
        made["queries"]
        == checked["queries"]
        == [
            'CREATE PUBLICATION "acme" FOR TABLE "public"."prices", "acme"."stores", "My Schema"."Order.Lines" WITH '
            + "(publish = 'insert, update')"
        ]
    )
    assert made["tables"] == ['"public"."prices"', '"acme"."stores"', '"My Schema"."Order.Lines"']
    assert made["parameters"]["publish"] == {"insert": True, "update": True, "delete": False, "truncate": False}
    assert made["owner"] == "crossover" and made["alltables"] is False and made["comment"] == ""
    assert made["diff"]["after"]["tables"] == checked["diff"]["after"]["tables"] == made["tables"]
    again = publication(db, **args)
    assert not again["changed"] and again["queries"] == [] and again["diff"]["before"] == again["diff"]["after"]
    checked = publication(db, check=True, state="absent")
    assert checked["changed"] and checked["exists"] and rows(db, "SELECT 1 FROM pg_publication")
    gone = publication(db, state="absent")
    assert gone["changed"] and not gone["exists"]
    assert gone["queries"] == checked["queries"] == ['DROP PUBLICATION "acme"']
    assert gone["diff"]["before"]["tables"] and gone["diff"]["after"] == {}
    assert not publication(db, state="absent")["changed"]
    assert not publication(db, state="absent", cascade=True)["queries"]


def test_tables_are_added_and_taken_out(db, publication):
    publication(db, tables=["prices", "vehicles"])
    args = {"tables": ["vehicles", "acme.stores"], "owner": db.owner, "comment": "it's ours"}
    checked, done = publication(db, check=True, **args), publication(db, **args)
    assert (
        done["queries"]
        == checked["queries"]
        == [
            'ALTER PUBLICATION "acme" ADD TABLE "acme"."stores"',
            'ALTER PUBLICATION "acme" DROP TABLE "public"."prices"',
            f'ALTER PUBLICATION "acme" OWNER TO "{db.owner}"',
            "COMMENT ON PUBLICATION \"acme\" IS 'it''s ours'",
        ]
    )
    assert done["owner"] == db.owner and done["comment"] == "it's ours"
    assert not publication(db, **args)["changed"]
    assert not publication(db)["changed"]
    reset = publication(db, comment="")
    assert reset["queries"] == ["COMMENT ON PUBLICATION \"acme\" IS ''"] and reset["comment"] == ""
    assert not publication(db, comment="")["changed"]


def test_a_partitioned_table_is_no_change_the_second_time(db, publication):
    args = {"tables": ["events"], "parameters": {"publish_via_partition_root": True}}
    made = publication(db, **args)
    assert made["queries"] == [
        'CREATE PUBLICATION "acme" FOR TABLE "public"."events" WITH (publish_via_partition_root = \'true\')'
    ]
    assert made["parameters"]["publish_via_partition_root"] is True
    assert not publication(db, **args)["changed"]
    args["parameters"] = {"publish_via_partition_root": "off"}
    assert publication(db, **args)["queries"] == ["ALTER PUBLICATION \"acme\" SET (publish_via_partition_root = 'off')"]
    assert not publication(db, **args)["changed"]
    assert publication(db, **args)["tables"] == ['"public"."events"']


def test_columns_and_filters(db, publication):
    args = {"columns": {"prices": ["id", "amount"], "vehicles": None}, "rowfilters": {"prices": "amount>10"}}
    made = publication(db, **args)
    assert made["queries"] == [
        'CREATE PUBLICATION "acme" FOR TABLE "public"."prices" ("id", "amount") WHERE (amount>10), "public"."vehicles"'
    ]
    assert made["columns"]['"public"."prices"'] == ["id", "amount"]
    assert made["rowfilters"] == {'"public"."prices"': "(amount > (10)::numeric)"}
    assert not publication(db, **args)["changed"]
    same = {**args, "rowfilters": {"prices": 'WHERE ((  "amount" >   10::numeric  ))'}}
    assert not publication(db, check=True, **same)["changed"]
    args["rowfilters"] = {"prices": "WHERE (amount > 20) AND (id <> 0)"}
    checked, done = publication(db, check=True, **args), publication(db, **args)
    assert (
        done["queries"]
        == checked["queries"]
        == [
            'ALTER PUBLICATION "acme" SET TABLE "public"."prices" ("id", "amount") '
            + 'WHERE ((amount > 20) AND (id <> 0)), "public"."vehicles"'
        ]
    )
    args["columns"]["prices"] = ["amount", "id", "note"]
    assert publication(db, **args)["changed"]
    assert not publication(db, **args)["changed"]
    args["columns"] = {"prices": None, "vehicles": None}
    assert publication(db, **args)["changed"]
    assert not publication(db, **args)["changed"]


def test_filter_in_tables_mode_is_one_transaction(db, publication):
    publication(db, tables=["prices", "vehicles"], rowfilters={"prices": "(id < 10)"})
    args = {"tables": ["prices", "vehicles"], "rowfilters": {"prices": "(id > 100)"}}
    done = publication(db, **args)
    assert done["queries"] == [
        'ALTER PUBLICATION "acme" DROP TABLE "public"."prices"',
        'ALTER PUBLICATION "acme" ADD TABLE "public"."prices" WHERE (id > 100)',
    ]
    wrong = publication(db, tables=["prices", "vehicles"], rowfilters={"prices": "(nothing > 100)"})
    assert wrong["failed"] and "nothing was changed" in wrong["msg"].lower() and "nothing" in wrong["msg"]
    assert (
        rows(db, "SELECT rowfilter FROM pg_publication_tables WHERE tablename = 'prices'")[0]["rowfilter"]
        == "(id > 100)"
    )


@pytest.mark.parametrize("text", ["(true); DROP TABLE vehicles; --", "true); COMMIT; DROP TABLE vehicles; --"])
def test_a_filter_cannot_smuggle_a_statement(db, publication, text):
    """Neither when the publication is made, nor when the filter is compared with the one that is there."""
    assert publication(db, tables=["prices"], rowfilters={"prices": text})["failed"]
    assert not rows(db, "SELECT 1 FROM pg_publication")
    publication(db, tables=["prices"], rowfilters={"prices": "id > 0"})
    publication(db, check=True, tables=["prices"], rowfilters={"prices": text})
    assert publication(db, tables=["prices"], rowfilters={"prices": text})["failed"]
    assert rows(db, "SELECT to_regclass('vehicles') AS t")[0]["t"]


def test_a_filter_is_compared_by_the_owner_of_the_publication(source_db, publication):
    """Who may change the publication can compare: CREATE on the database is not needed for that."""
    source_db.as_owner(TABLES)
    args = {"tables": ["prices"], "rowfilters": {"prices": "amount>10 and note='x'"}}
    publication(source_db, **args)
    source_db.sql(f"REVOKE CREATE ON DATABASE {source_db.name} FROM crossover, {source_db.owner}", superuser=True)
    source_db.sql(f"ALTER DATABASE {source_db.name} OWNER TO postgres", superuser=True)
    try:
        again = publication(source_db, **args)
        assert not again["changed"] and not again["failed"], again
    finally:
        source_db.sql(f"ALTER DATABASE {source_db.name} OWNER TO {source_db.owner}", superuser=True)


def test_all_tables_and_schemas_need_the_node(node, publication):
    made = publication(node)
    assert (
        made["queries"] == ['CREATE PUBLICATION "acme" FOR ALL TABLES'] and made["alltables"] and made["tables"] == []
    )
    assert not publication(node)["changed"]
    refused = publication(node, tables=["prices"])
    assert refused["failed"] and "FOR ALL TABLES" in refused["msg"] and refused["failure"]["code"] == "all_tables"
    publication(node, state="absent")
    assert publication(node, tables_in_schema="acme")["queries"] == [
        'CREATE PUBLICATION "acme" FOR TABLES IN SCHEMA "acme"'
    ]
    two = {"tables_in_schema": ["acme", "My Schema"]}
    done = publication(node, **two)
    assert done["queries"] == ['ALTER PUBLICATION "acme" ADD TABLES IN SCHEMA "My Schema"']
    assert done["schemas"] == ["acme", "My Schema"]
    assert not publication(node, **two)["changed"]
    assert publication(node, tables_in_schema=[])["schemas"] == []
    assert not publication(node, tables_in_schema=[])["changed"]


def test_generated_columns_of_18(node, publication):
    args = {"tables": ["prices"], "parameters": {"publish_generated_columns": "stored"}}
    assert publication(node, **args)["parameters"]["publish_generated_columns"] == "stored"
    assert not publication(node, **args)["changed"]


def test_parameter_of_a_later_version(source_db, publication):
    source_db.as_owner(TABLES)
    refused = publication(source_db, tables=["prices"], parameters={"publish_generated_columns": "stored"})
    assert refused["failed"] and "PostgreSQL 18" in refused["msg"]


def test_mixed_case_and_quotes(db, publication, run_module):
    for name in ("Mixed-Case", "with \"quotes\" and 'more'", "select"):
        args = {**db.login, "name": name, "tables": ["prices"], "comment": "x"}
        assert run_module("publication", args)["changed"]
        assert not run_module("publication", args)["changed"]
        assert run_module("publication", {**db.login, "name": name, "state": "absent"})["changed"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"parameters": {"publsh": "insert"}}, "publsh"),
        ({"parameters": {"publish": "insert,merge"}}, "merge"),
        ({"parameters": {"publish_via_partition_root": "maybe"}}, "true or false"),
        ({"tables": ["a.b.c"]}, "too many parts"),
        ({"tables": ["nothing"]}, "does not exist"),
        ({"tables": ["prices"], "columns": {"prices": None}}, "mutually exclusive"),
        ({"tables": ["prices"], "owner": "nobody_there"}, "does not exist"),
        ({"name": "x'; DROP TABLE prices; --", "trust_input": False}, "is potentially dangerous"),
    ],
)
def test_bad_input(db, publication, args, words):
    done = publication(db, **args)
    assert done["failed"] and words in done["msg"], done
    assert "Traceback" not in done["msg"]
    assert not rows(db, "SELECT 1 FROM pg_publication")


def test_wrong_password_and_missing_privilege(source_db, publication):
    source_db.as_owner(TABLES)
    wrong = publication(source_db, login={**source_db.login, "login_password": "wr0ng-pass"}, tables=["prices"])
    assert wrong["failed"] and wrong["failure"]["code"] == "bad_password" and "wr0ng-pass" not in str(wrong)
    denied = publication(source_db)
    assert denied["failed"] and "superuser" in denied["msg"] and denied["failure"]["sqlstate"] == "42501"
    source_db.sql("CREATE TABLE theirs (id int)", superuser=True)
    denied = publication(source_db, tables=["theirs"])
    assert denied["failed"] and "must be owner of table theirs" in denied["msg"]
    assert "Nothing was changed" in denied["msg"]


def test_options_that_do_nothing_are_told(db, publication):
    publication(db, tables=["prices"])
    assert len(publication(db, check=True, state="absent", tables=["prices"], owner="x")["warnings"]) == 2
    assert "cascade" in str(publication(db, cascade=True)["warnings"])
    assert "vehicles" in str(publication(db, tables=["prices"], rowfilters={"vehicles": "true"})["warnings"])
