# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snowflake sequences: the node's number, what is refused, what is told."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login
from ansible_collections.crossover.pgedge.plugins.module_utils._spock_snowflake import (
    Draw,
    Number,
    convert,
    number,
    obstacle,
    refuse,
)

LOGIN = Login(host="n1")
DRAW = Draw("shop.o_id_seq", ("shop.o.id",), ("integer",), False, False, ("shop.i.o",), True, 0)


def changed(**fields: Any) -> Draw:
    return Draw(**{**vars(DRAW), **fields})


def column(**fields: Any) -> dict[str, Any]:
    found = {"table": "shop.o", "column": "id", "owns": True, "identity": False, "partition": None}
    return {**found, "default": "nextval('shop.o_id_seq'::regclass)", **fields}


def test_a_number_is_set_and_read_again() -> None:
    assert [str(s) for s in number(3, Number(0), [1, 2], LOGIN)] == [
        "ALTER SYSTEM SET snowflake.node = 3",
        "SELECT pg_reload_conf()",
    ]
    assert number(3, Number(3), [1, 2], LOGIN) == [] == number(None, Number(3), [], LOGIN)
    assert number(3, Number(3, "database", (("3", "database shop"),)), [], LOGIN) == []


@pytest.mark.parametrize(
    ("wanted", "there", "taken", "words"),
    [
        (None, Number(0), [], "snowflake.node is 0"),
        (0, Number(4), [], "0 is no number"),
        (1024, Number(4), [], "1024 is no number"),
        (None, Number(4), [4], "4 is another node's number"),
        (5, Number(4), [5], "5 is another node's number"),
        (5, Number(4, "database", (("4", "database shop"),)), [], "is 4 for database shop"),
        (5, Number(5, "configuration file", (("4", "role app"),)), [], "is 4 for role app"),
        (None, Number(5, "configuration file", (("4", "role app"),)), [], "is 4 for role app"),
        (5, Number(4, "command line"), [], "by the server's command line"),
    ],
)
def test_a_number_that_would_not_be_the_nodes_own(
    wanted: int | None, there: Number, taken: list[int], words: str
) -> None:
    with pytest.raises(CrossoverError, match=words) as caught:
        number(wanted, there, taken, LOGIN)
    assert caught.value.code == "bad_number" and "Nothing was changed" in str(caught.value)


def test_what_fits_back() -> None:
    assert DRAW.fits_back is False and changed(narrow=False).fits_back is True
    assert changed(converted=True, narrow=False).fits_back is None, "the source's columns may be narrower"
    assert DRAW.shown()["follows"] == ["shop.i.o"] and "narrow" not in DRAW.shown()


def test_rows_are_rewritten_only_when_told_to() -> None:
    refuse([DRAW, changed(converted=True, rewrites=9, obstacle="x")], False, LOGIN)
    with pytest.raises(CrossoverError, match=r"shop\.o\.id; 2\.0 MiB would be rewritten"):
        refuse([changed(rewrites=2 << 20)], False, LOGIN)
    refuse([changed(rewrites=2 << 20)], True, LOGIN)
    with pytest.raises(CrossoverError, match=r"shop\.o_id_seq: a view"):
        refuse([changed(obstacle="a view")], True, LOGIN)


@pytest.mark.parametrize(
    ("columns", "user", "words"),
    [
        ([column()], None, ""),
        ([column(identity=True, default="")], None, ""),
        ([column(default="nextval('shop.\"it''s\"'::regclass)")], None, ""),
        ([column(owns=False), column(owns=False, column="b")], None, ""),
        ([column(), column(owns=False, column="b")], None, "shop.o.id owns it, but shop.o.b"),
        ([column(default="")], None, "has no default"),
        ([column(default="('X'::text || nextval('s'::regclass))")], None, "not nextval() alone"),
        ([column(default="(nextval('s'::regclass) * 2)")], None, "not nextval() alone"),
        ([column(identity=True, partition="shop.p1")], None, "(shop.p1)"),
        ([column()], "rule _RETURN on view shop.v", "rule _RETURN on view shop.v depends on it"),
    ],
)
def test_obstacles(columns: list[dict[str, Any]], user: str | None, words: str) -> None:
    found = obstacle(columns, [{"table": "shop.o", "column": "id", "user": user}])
    assert words in found if words else found == ""


def test_a_name_is_quoted() -> None:
    [step] = convert(changed(name='shop."it\'s"'))
    assert str(step) == "SELECT snowflake.convert_sequence_to_snowflake('shop.\"it''s\"'::regclass)"
