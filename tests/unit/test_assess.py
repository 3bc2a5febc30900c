# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waivers, order, summary and table of the assessment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_assess import (
    fill,
    open_blockers,
    sentence,
    table,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_assess_facts import version_key
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_assess_finding import (
    BLOCKER,
    CODES,
    INFO,
    UNUSED_WAIVER,
    WARNING,
    Finding,
    shorten,
    waive,
    waivers_of,
)

NO_KEY = Finding("no_replica_identity", BLOCKER, "shop.a", "It means something. " * 6, "ALTER TABLE " + "x" * 100)
OTHER = Finding("no_replica_identity", BLOCKER, "shop.b", "It means something.", "")
README = Path(__file__).resolve().parents[2] / "roles" / "assess" / "README.md"


def test_a_waiver_covers_code_and_object() -> None:
    found = waive([NO_KEY, OTHER], waivers_of([{"code": "no_replica_identity", "object": "shop.a"}]))
    assert [(f.object, f.waived) for f in found] == [("shop.a", True), ("shop.b", False)]
    assert [f.object for f in open_blockers(found)] == ["shop.b"]


def test_a_star_covers_every_object() -> None:
    assert not open_blockers(waive([NO_KEY, OTHER], waivers_of([{"code": "no_replica_identity", "object": "*"}])))


def test_a_waiver_that_meets_nothing_is_told() -> None:
    found = waive([NO_KEY], waivers_of([{"code": "no_replica_identity", "object": "shop.typo"}]))
    assert [(f.code, f.severity, f.object) for f in found[1:]] == [
        (UNUSED_WAIVER, WARNING, "no_replica_identity shop.typo")
    ]


def test_an_unknown_code_is_an_error() -> None:
    with pytest.raises(
        CrossoverError, match=r"no finding has the code no_replica_idendity.*no_replica_identity"
    ) as error:
        waivers_of([{"code": "no_replica_idendity", "object": "*"}])
    assert error.value.code == "unknown_waiver"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_keeps_its_width(width: int) -> None:
    lines = table([NO_KEY, Finding("x", INFO, "source", "m", "", waived=True)], width)
    assert max(map(len, lines)) <= width
    assert any(line.startswith("waived") for line in lines)
    assert not [line for line in lines if line != line.rstrip()]


def test_names_are_broken_where_it_reads_well() -> None:
    assert fill("no_replica_identity", 18) == ["no_replica_", "identity"]
    assert fill("shop.orders", 18) == ["shop.orders"]
    assert fill("shop.a_very_long_name_of_a_table", 12) == ["shop.a_very_", "long_name_", "of_a_table"]
    assert fill("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert fill("", 10) == [""]


def test_an_empty_table_says_so() -> None:
    assert table([])[-1] == "nothing was found"


def test_the_sentence() -> None:
    figures = {"blockers": 1, "warnings": 2, "infos": 3, "waived": 0}
    assert sentence(figures).startswith("1 blocker(s) stop")
    assert sentence({**figures, "blockers": 0}).startswith("no blocker")


def test_shorten() -> None:
    assert shorten("abc", 3) == "a, b, c"
    assert shorten("abcd", 3) == "a, b, c and 1 more"


def test_versions_are_numbers() -> None:
    assert sorted(["1.10", "1.9", "1.9-beta", "2"], key=version_key) == ["1.9", "1.9-beta", "1.10", "2"]


def test_every_code_is_explained_in_the_readme() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", README.read_text(encoding="utf-8"), re.M))
    assert explained == {*CODES, UNUSED_WAIVER}
