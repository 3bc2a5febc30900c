# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pg_restore prints, split into entries, and freed of what a target cannot take."""

from __future__ import annotations

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_restore import Entry, adapt, parse, skipped


def header(
    number: int, name: str, kind: str, schema: str = "shop", address: str = "class 1259 OID 5", deps: str = ""
) -> str:
    depends = f"-- Dependencies: {deps}\n" if deps else ""
    return (
        f"--\n-- TOC entry {number} ({address})\n{depends}"
        f"-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: bob\n-- Data Pos: 0\n--\n\n"
    )


START = "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n\n-- Started on today\n\nSET row_security = off;\n\n"
END = "-- Completed on 2026-01-01\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict x\n"


def entry(kind: str, sql: str, owner: str = "bob", name: str = "t") -> Entry:
    return Entry(1, (1259, 5), (), name, kind, "shop", owner, sql)


def test_parse() -> None:
    script = START + header(7, "a; Type: VIEW; b", "TABLE", deps="5 6") + "CREATE TABLE x ();\n\n\n" + END
    (found,) = parse(script)
    assert found == Entry(7, (1259, 5), (5, 6), "a; Type: VIEW; b", "TABLE", "shop", "bob", "CREATE TABLE x ();")
    assert parse(START + END) == [] and parse("") == []


@pytest.mark.parametrize(
    "text",
    [
        "'{}'",
        "$$ {} $$",
        "$_x1$ $$ {} $_y$ $_x1$",
        "E'\\' {}'",
        "E'\\\\', ''' {}'",
        '"{}"',
        "'it''s', '{}'",
        "$$it's$$, '{}'",
    ],
)
def test_a_header_inside_of_a_string_is_text(text: str) -> None:
    fake = "\n" + header(99, "evil", "ACL") + "DROP TABLE y;\n" + END + "\n"
    body = f"SELECT {text.format(fake)};"
    first, second = parse(
        START + header(1, "f()", "FUNCTION") + body + "\n\n" + header(2, "t", "TABLE") + "CREATE;\n" + END
    )
    assert (first.id, first.sql) == (1, body)
    assert (second.id, second.sql) == (2, "CREATE;")


def test_settings_between_entries_belong_to_what_follows() -> None:
    script = (
        START
        + "SET default_tablespace = '';\n\nSET default_table_access_method = heap;\n\n"
        + header(1, "a", "TABLE")
        + "CREATE TABLE a ();\n\nSET default_table_access_method = columnar;\n\n"
        + header(2, "b", "TABLE")
        + "CREATE TABLE b ();\n\n"
        + header(3, "v", "VIEW")
        + "CREATE VIEW v AS SELECT 1;\n\n"
        + END
    )
    a, b, v = parse(script)
    assert a.sql == "CREATE TABLE a ();" and v.sql == "CREATE VIEW v AS SELECT 1;"
    assert b.sql.splitlines()[0] == "SET LOCAL default_table_access_method = columnar;"
    assert b.sql.splitlines()[-1] == "SET LOCAL default_table_access_method = heap;"


def test_skipped() -> None:
    assert skipped(entry("EVENT TRIGGER", "", name="guard"))
    assert skipped(entry("COMMENT", "", name="EVENT TRIGGER guard"))
    assert skipped(entry("TRIGGER", "", name="orders crossover_fence"))
    assert not skipped(entry("TRIGGER", "", name="crossover_fence mine"))
    assert not skipped(entry("TABLE", "", name="EVENTS"))


def test_roles_that_are_left_out() -> None:
    acl = entry(
        "ACL",
        "GRANT SELECT ON TABLE shop.t TO app;\n"
        'GRANT SELECT ON TABLE shop.t TO rds_superuser;\nREVOKE ALL ON TABLE shop.t FROM "Rds X" ;\n'
        "SET SESSION AUTHORIZATION rds_superuser;\nGRANT SELECT ON TABLE shop.t TO app;\nRESET SESSION AUTHORIZATION;\n"
        "GRANT SELECT ON TABLE shop.t TO rds_superuser WITH GRANT OPTION;",
    )
    adapted = adapt(acl, ["rds_superuser"])
    assert adapted is not None and "rds_superuser" not in adapted.sql
    assert adapted.sql.count("TO app;") == 2 and "AUTHORIZATION" not in adapted.sql
    assert adapt(entry("ACL", "GRANT USAGE ON SCHEMA s TO awsrole;"), ["awsrole"]) is None
    assert adapt(entry("DEFAULT ACL", "ALTER DEFAULT PRIVILEGES FOR ROLE x GRANT …;", owner="x"), ["x"]) is None
    table = entry("TABLE", "CREATE TABLE shop.t ();\n\n\nALTER TABLE shop.t OWNER TO x;", owner="x")
    adapted = adapt(table, ["x"])
    assert adapted is not None and adapted.sql == "CREATE TABLE shop.t ();"
    body = "CREATE FUNCTION f() … $$\nGRANT SELECT ON TABLE t TO x;\nALTER TABLE t OWNER TO x;\n$$;"
    assert adapt(entry("FUNCTION", body), ["x"]) == entry("FUNCTION", body), "a body is not touched"
    assert adapt(acl, []) == acl
    odd = 'GRANT SELECT ON TABLE "S"."two\nlines; TO y" TO x;\nGRANT SELECT ON TABLE "S"."two\nlines; TO y" TO z;'
    assert adapt(entry("ACL", odd), ["x", "y"]) == entry(
        "ACL", odd.splitlines(keepends=True)[2] + odd.rsplit("\n", 1)[1]
    )
    odd = 'CREATE TABLE "two\nlines" ();\n\n\nALTER TABLE s."two\nlines" OWNER TO x;'
    assert adapt(entry("TABLE", odd, owner="x"), ["x"]) == entry("TABLE", 'CREATE TABLE "two\nlines" ();', owner="x")


def test_options_that_no_server_takes() -> None:
    one = "ALTER TABLE ONLY shop.t ALTER COLUMN a SET (pg_attver=3);"
    two = "ALTER TABLE ONLY shop.t ALTER COLUMN b SET (n_distinct=5, pg_attver=3);"
    adapted = adapt(entry("TABLE", f"CREATE TABLE shop.t ();\n{one}\n{two}"), [])
    assert adapted is not None
    assert [line for line in adapted.sql.splitlines() if line] == [
        "CREATE TABLE shop.t ();",
        "ALTER TABLE ONLY shop.t ALTER COLUMN b SET (n_distinct=5);",
    ]
    assert adapt(entry("TABLE", one), []) is None
    odd = 'ALTER TABLE ONLY "S.1"."a ""b""" ALTER COLUMN "two\nlines;" SET (pg_attver=3);'
    assert adapt(entry("TABLE", odd), []) is None, "names may hold anything"


def test_a_user_mappings_password_is_not_shown() -> None:
    mapping = entry("USER MAPPING", "CREATE USER MAPPING FOR bob SERVER s OPTIONS (\n    password 's3cret)('\n);")
    assert "s3cret" not in str(mapping.statement) and "s3cret" in mapping.statement.sql
