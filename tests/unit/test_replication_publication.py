# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publications: from what is there to what is asked for, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._replication_publication import (
    Publication,
    drop,
    plan,
    predicted,
    shown,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._replication_publication_wanted import (
    Member,
    Wanted,
    parameter_text,
    row_filter,
    table_name,
)

ALL = {"insert": True, "update": True, "delete": True, "truncate": True}


def there(members: dict[Any, Member] | None = None, **more: Any) -> Publication:
    found: dict[str, Any] = {
        "owner": "me",
        "comment": "",
        "all_tables": False,
        "members": members or {},
        "schemas": (),
        "parameters": {"publish": ALL, "publish_via_partition_root": False},
        "published": {},
    }
    return Publication(**{**found, **more})


def lines(wanted: Wanted, actual: Publication | None) -> list[str]:
    return [str(statement) for statement in plan(wanted, actual)]


A, B, C = ("public", "a"), ("public", "b"), ("S", "c.d")


def test_create() -> None:
    assert lines(Wanted("p"), None) == ['CREATE PUBLICATION "p" FOR ALL TABLES']
    assert lines(Wanted("p", schemas=("s",)), None) == ['CREATE PUBLICATION "p" FOR TABLES IN SCHEMA "s"']
    wanted = Wanted("p", {A: Member(("x", "y"), "(x > 1)"), C: Member()}, parameters={"publish": "insert"}, owner="me")
    assert lines(wanted, None) == [
        'CREATE PUBLICATION "p" FOR TABLE "public"."a" ("x", "y") WHERE (x > 1), "S"."c.d" WITH (publish = \'insert\')',
        'ALTER PUBLICATION "p" OWNER TO "me"',
    ]


def test_tables_left_out_are_left_alone() -> None:
    assert lines(Wanted("p"), there({A: Member()})) == []
    assert lines(Wanted("p", comment=""), there({A: Member()})) == []
    assert lines(Wanted("p", owner="me"), there({A: Member()})) == []


def test_add_and_drop() -> None:
    assert lines(Wanted("p", {A: Member(), C: Member()}), there({A: Member(), B: Member()})) == [
        'ALTER PUBLICATION "p" ADD TABLE "S"."c.d"',
        'ALTER PUBLICATION "p" DROP TABLE "public"."b"',
    ]


def test_a_changed_table_is_replaced() -> None:
    assert lines(Wanted("p", {A: Member(filter="(x)")}), there({A: Member()})) == [
        'ALTER PUBLICATION "p" DROP TABLE "public"."a"',
        'ALTER PUBLICATION "p" ADD TABLE "public"."a" WHERE (x)',
    ]
    by_columns = Wanted("p", {A: Member(("x",)), B: Member()}, by_columns=True)
    assert lines(by_columns, there({A: Member(), B: Member()})) == [
        'ALTER PUBLICATION "p" SET TABLE "public"."a" ("x"), "public"."b"'
    ]


def test_the_order_of_columns_means_nothing() -> None:
    assert lines(Wanted("p", {A: Member(("y", "x"))}, by_columns=True), there({A: Member(("x", "y"))})) == []


@pytest.mark.parametrize(
    ("parameter", "text", "changes"),
    [
        ("publish", "delete , truncate,insert,UPDATE", False),
        ("publish", "insert", True),
        ("publish", "", True),
        ("publish_via_partition_root", "off", False),
        ("publish_via_partition_root", "true", True),
        ("publish_generated_columns", "stored", True),
    ],
)
def test_parameters(parameter: str, text: str, changes: bool) -> None:
    assert bool(lines(Wanted("p", parameters={parameter: text}), there())) == changes


def test_all_tables_cannot_be_narrowed() -> None:
    with pytest.raises(CrossoverError, match="cannot be narrowed down"):
        plan(Wanted("p", {A: Member()}), there(all_tables=True))
    assert plan(Wanted("p", schemas=()), there(all_tables=True)) == []


def test_schemas() -> None:
    assert lines(Wanted("p", schemas=("s", "u")), there(schemas=("s", "t"))) == [
        'ALTER PUBLICATION "p" ADD TABLES IN SCHEMA "u"',
        'ALTER PUBLICATION "p" DROP TABLES IN SCHEMA "t"',
    ]


def test_drop() -> None:
    assert [str(s) for s in drop('a"b', True)] == ['DROP PUBLICATION "a""b" CASCADE']


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", None),
        ("WHERE", None),
        ("a > 1", "(a > 1)"),
        ("where (a > 1)", "(a > 1)"),
        ("(a) AND (b)", "((a) AND (b))"),
        ("(a = ')')", "(a = ')')"),
        ("(true); DROP TABLE x; --", "((true); DROP TABLE x; --)"),
        ("(a = '(')", "(a = '(')"),
    ],
)
def test_row_filters(text: str, kept: str | None) -> None:
    assert row_filter(text) == kept


def test_names_and_parameters_that_are_wrong() -> None:
    assert table_name(" orders ") == ("public", "orders") and table_name('S."c.d"') == ("S", "c.d")
    assert parameter_text("publish_via_partition_root", True) == "true"
    for name, value in (("publish", "insert, merge"), ("publsh", "insert"), ("publish_via_partition_root", "maybe")):
        with pytest.raises(CrossoverError):
            parameter_text(name, value)


def test_the_diff_of_check_mode_says_what_comes() -> None:
    actual = there({A: Member(("x",)), B: Member()}, published={A: ("x",), B: ("y",)})
    after = predicted(
        Wanted("p", {A: Member(filter="(x)")}, parameters={"publish": "insert"}, comment="c"), shown(actual)
    )
    assert after["tables"] == ['"public"."a"'] and after["rowfilters"] == {'"public"."a"': "(x)"}
    assert after["parameters"]["publish"] == {"insert": True, "update": False, "delete": False, "truncate": False}
    assert after["comment"] == "c" and shown(actual)["tables"] == ['"public"."a"', '"public"."b"']
    assert predicted(Wanted("p"), None)["alltables"] is True
