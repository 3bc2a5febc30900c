# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quoting, names, secrets."""

from __future__ import annotations

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_lsn import Lsn
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_sql import (
    HIDDEN,
    Statement,
    quote_ident,
    quote_literal,
    split_name,
)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("orders", "orders"),
        ("Orders", '"Orders"'),
        ("user", '"user"'),
        ('a"b', '"a""b"'),
        ("a.b", '"a.b"'),
        ("übung", '"übung"'),
    ],
)
def test_quote_ident(name: str, quoted: str) -> None:
    assert quote_ident(name) == quoted


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(CrossoverError):
        quote_ident(name)


@pytest.mark.parametrize(("value", "quoted"), [("a", "'a'"), ("a'b", "'a''b'"), ("a\\b'", "E'a\\\\b'''")])
def test_quote_literal(value: str, quoted: str) -> None:
    assert quote_literal(value) == quoted


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("orders", ("orders",)),
        ("shop.Orders", ("shop", "Orders")),
        ('"My Schema"."a.b"', ("My Schema", "a.b")),
        ('shop."say ""hi"""', ("shop", 'say "hi"')),
    ],
)
def test_split_name(text: str, parts: tuple[str, ...]) -> None:
    assert split_name(text) == parts


@pytest.mark.parametrize("text", ["", "a.", "a b", '"open'])
def test_split_name_refuses(text: str) -> None:
    with pytest.raises(CrossoverError):
        split_name(text)


@pytest.mark.parametrize("secret", ["simple", "a b", "it's", "back\\slash'", "tab\tand\nnewline"])
def test_a_secret_is_hidden_however_it_was_quoted(secret: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    conninfo = psycopg.conninfo.make_conninfo("", host="h", password=secret)
    shown = Statement.of(f"CREATE SUBSCRIPTION s CONNECTION {quote_literal(conninfo)}", (secret,)).shown
    assert secret not in shown and HIDDEN in shown and shown.startswith("CREATE SUBSCRIPTION s CONNECTION ")


def test_lsn() -> None:
    low, high = Lsn.parse("0/FFFFFFFF"), Lsn.parse("1/0")
    assert high - low == 1 and str(high) == "1/0" and str(Lsn.parse("16/B374D848")) == "16/B374D848"
    with pytest.raises(ValueError, match="pg_lsn"):
        Lsn.parse("nonsense")
