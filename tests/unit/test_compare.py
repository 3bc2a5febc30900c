# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a comparison that need no server."""

from __future__ import annotations

import dataclasses
import re

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils import _migration_compare_hash as hashing
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_compare_columns import Column
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_compare_drill import differing_keys, unequal
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_compare_recheck import Rechecker, Seen
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_compare_report import (
    Tally,
    message,
    report,
    screen,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_compare_scope import NODE, SOURCE, Plan, Unit
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_compare_sql import Region, SideSql
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_gates import Known, failures
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_catalog import Table
from ansible_collections.crossover.pgedge.plugins.module_utils._progress_words import line


def column(name, type_, base, leaves=None):
    return Column(name, type_, base, frozenset(leaves or {base}), base in (25, 1042, 1043), True, None)


def table(name="t"):
    return Table(1, "public", name, "me", False, None, "p", "d", True, True, False, 10, 100)


def unit(*columns, key=("id",), exact=False):
    return Unit(table(), table(), [hashing.pair(c, c, exact) for c in columns], key, True)


ID = column("id", "bigint", 20)


def test_types_that_share_no_oid_are_compared_as_texts():
    enum = column("e", "public.color", 16999)
    other = dataclasses.replace(enum, base=17123)
    assert hashing.pair(enum, other, False).form == hashing.TEXT
    assert not hashing.pair(enum, other, False).loose
    same_oid_by_chance = hashing.pair(enum, enum, False)
    assert same_oid_by_chance.form == hashing.TEXT
    mixed = hashing.pair(column("v", "integer", 23), column("v", "bigint", 20), False)
    assert (mixed.form, mixed.loose, mixed.retyped) == (hashing.TEXT, True, True)
    domain = hashing.pair(column("v", "public.d", 23), column("v", "public.d", 25), False)
    assert (domain.form, domain.loose) == (hashing.TEXT, True)


def test_text_and_varchar_are_the_same():
    pairing = hashing.pair(column("v", "text", 25), column("v", "character varying", 1043), False)
    assert (pairing.form, pairing.loose) == (hashing.DIRECT, False)


@pytest.mark.parametrize("base", [1083, 1114, 1184, 1186, 1700, 3802, 1007, 790, 114, 1560, 17000])
def test_types_with_a_blind_hash_are_never_hashed_as_they_are(base):
    one = column("v", "x", base)
    hashed = hashing.row_hash([(one, hashing.pair(one, one, False).form)])
    assert "t.v::text" in hashed or "_send(t.v)" in hashed or "trim_scale(t.v)::text" in hashed


def test_every_column_has_a_seed_and_a_null_of_its_own():
    columns = [(column(f"c{at}", "integer", 23), hashing.DIRECT) for at in range(100)]
    numbers = re.findall(r"\d{10,}", hashing.row_hash(columns) + hashing.key_hash(columns))
    assert len(numbers) == len(set(numbers)) == 400 and all(int(n) < 2**63 for n in numbers)


def test_names_cannot_break_out_of_the_queries():
    nasty = column('a"; DROP TABLE x; --', "text", 25)
    sql = SideSql(unit(ID, nasty), SOURCE)
    for query in (sql.sums(Region(1)), sql.observe([("1'; x",)]), sql.contents(["1"], frozenset())):
        assert 't."a""; DROP TABLE x; --"' in query or "v.k0" in query
        assert "'1'; x'" not in query


class FakePair:
    """Answers the drill's queries from two dicts of key -> value, hashing keys by their number."""

    def __init__(self, left, right):
        self.sides, self.most, self.queries = (left, right), 0, 0

    def both(self, *queries):
        self.queries += 1
        answers = [query(rows) for query, rows in zip(queries, self.sides)]
        self.most = max([self.most, *map(len, answers)])
        return answers


class FakeSql:
    def groups(self, region, bits, parent_bits, parents):
        def run(rows):
            found = {}
            for key, value in rows.items():
                if key % (1 << parent_bits) in parents:
                    n, h = found.get(key % (1 << bits), (0, 0))
                    found[key % (1 << bits)] = (n + 1, h + hash((key, value)))
            return [{"b": b, "n": n, "h": h} for b, (n, h) in found.items()]

        return run

    def rows(self, region, bits, groups):
        return lambda rows: [
            {"k": [str(key)], "n": 1, "h": value} for key, value in rows.items() if key % (1 << bits) in groups
        ]


@pytest.mark.parametrize("size", [1, 300, 5000, 20_000])
@pytest.mark.parametrize("places", [[0], [-1], [0, 1, 2], "all"])
def test_drill_finds_exactly_the_keys_that_differ_in_bounded_answers(size, places):
    left = dict.fromkeys(range(size), 0)
    right = dict(left)
    wanted = range(size) if places == "all" else {place % size for place in places if place < size}
    for key in wanted:
        right[key] = 1
    right[size + 7] = 0
    del right[size // 2]
    pair = FakePair(left, right)
    found = [key for keys in differing_keys(pair, {SOURCE: FakeSql(), NODE: FakeSql()}, Region(size)) for key in keys]
    assert sorted(int(key) for (key,) in found) == sorted({*wanted, size // 2, size + 7})
    assert len(found) == len(set(found))
    assert pair.most <= 8192
    if places != "all":
        assert pair.queries < 10


def test_unequal_sees_keys_of_one_side_only():
    assert unequal({1: "a", 2: "b"}, {2: "b", 3: "c"}) == [1, 3]


class Looks(Rechecker):
    """A rechecker that sees what it is told: (source, node) for each look."""

    def __init__(self, looks, follower=NODE, attempts=10):
        self.looks, self.barriers = iter(looks), 0
        super().__init__(lambda: None, self.count, follower, attempts, 60)

    def count(self):
        self.barriers += 1

    def _look(self, unit, sql, keys):
        left, right = next(self.looks)
        return {keys[0]: left} if left else {}, {keys[0]: right} if right else {}, set()

    def settle(self, *args):
        self._pair = type("Pair", (), {"alive": True})()
        return super().settle(*args)


def settle(looks, **how):
    pairs = unit(ID, column("a", "text", 25), column("b", "text", 25))
    rechecker = Looks(looks, **how)
    return rechecker.settle(pairs, {}, [("1",)]), rechecker


def seen(a, b, version):
    return Seen(1, ("1", a, b), version)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def test_equal_once_is_in_flight():
    settled, rechecker = settle(
        [(seen("x", "y", "2"), seen("x", "z", "9")), (seen("x", "y", "2"), seen("x", "y", "10"))]
    )
    assert (settled.in_flight, settled.differences, settled.unsettled, rechecker.barriers) == (1, [], [], 2)


def test_gone_on_both_sides_is_in_flight():
    settled, _rest = settle([(seen("x", "y", "2"), None), (None, None)])
    assert (settled.in_flight, settled.differences) == (1, [])


def test_unwritten_rows_that_differ_twice_differ():
    settled, rechecker = settle([(seen("x", "y", "2"), seen("x", "z", "9"))] * 2)
    assert [(d.kind, d.columns) for d in settled.differences] == [("different", ("b",))] and rechecker.barriers == 2


def test_missing_and_extra():
    settled, _rest = settle([(seen("x", "y", "2"), None)] * 2)
    assert [d.kind for d in settled.differences] == ["missing"]
    settled, _rest = settle([(None, seen("x", "y", "2"))] * 2)
    assert [d.kind for d in settled.differences] == ["extra"]


def toggling(times):
    """A value that goes to and fro: it looks the same each time, and is another version."""
    return [(seen("0", "y", f"s{at}"), seen("1", "y", f"n{at}")) for at in range(times)]


def test_value_that_toggles_is_no_proof():
    settled, _rest = settle([*toggling(3), (seen("0", "y", "s"), seen("0", "y", "n"))])
    assert (settled.in_flight, settled.differences) == (1, [])


def test_row_that_always_changes_is_not_known():
    looks = [(seen(str(at), str(at), f"s{at}"), seen(str(at - 1), str(at - 1), f"n{at}")) for at in range(10)]
    settled, _rest = settle(looks)
    assert (settled.in_flight, settled.differences, settled.unsettled) == (0, [], [("1",)])


def test_column_that_stays_behind_in_a_row_that_always_changes():
    looks = [(seen(str(at), "new", f"s{at}"), seen(str(at), "old", f"n{at}")) for at in range(10)]
    settled, _rest = settle(looks)
    assert [(d.kind, d.columns) for d in settled.differences] == [("different", ("b",))]


@pytest.mark.parametrize("follower", [NODE, SOURCE])
def test_follower_that_never_moves_differs(follower):
    looks = [(seen(str(at), "y", f"s{at}"), seen("old", "y", "n")) for at in range(10)]
    looks = looks if follower == NODE else [(right, left) for left, right in looks]
    settled, _rest = settle(looks, follower=follower)
    assert len(settled.differences) == 1 and not settled.unsettled


def test_few_looks_conclude_nothing_about_a_row_that_is_written():
    settled, _rest = settle(toggling(3), attempts=3)
    assert (settled.differences, settled.unsettled) == ([], [("1",)])


def tally(name="t", **values):
    made = Tally(unit(ID), 1000, 100, frozenset())
    made.unit.source = table(name)
    for what, value in values.items():
        setattr(made, what, value)
    return made


def test_nothing_compared_is_not_equal():
    result = report(Plan(), [], 100, 1.0)
    assert result["verdict"] == "could not compare" and "no table" in message(result)


@pytest.mark.parametrize(
    "values, verdict",
    [
        ({}, "equal"),
        ({"failure": "denied"}, "could not compare"),
        ({"unsettled": 1}, "could not compare"),
        ({"more": True}, "could not compare"),
        ({"counts": {"missing": 1}, "failure": "denied"}, "different"),
    ],
)
def test_verdicts(values, verdict):
    result = report(Plan(), [tally("a"), tally("b", **values)], 100, 1.0)
    assert result["verdict"] == verdict == result["tables"][1]["verdict"]


def test_missing_table_is_a_difference():
    result = report(Plan(missing=["public.gone"]), [tally("a")], 100, 1.0)
    assert result["verdict"] == "different" and result["totals"]["differences"] == 1
    assert result["differences"][0] == {
        "table": "public.gone", "key": None, "kind": "missing", "columns": [], "count": 1
    }  # fmt: skip


def test_screen_fits():
    long = tally("ä" * 200, rows=10**12, counts={"missing": 10**9}, failure="because " * 40)
    lines = screen(report(Plan(), [long, tally("b")], 100, 1.0))
    assert max(map(len, lines)) <= 80


def test_progress_line():
    seen = {"task": "compare", "done": 1200, "total": 4800, "unit": "rows", "tables_done": 3, "tables_total": 41}
    assert line({**seen, "rate": 600.0}) == "compare 25% · 1200/4800 rows · 3/41 tables · 600 rows/s · ETA 6s"
    assert line({**seen, "done": 9_000_000, "total": 0}) == "compare 99% · 9.0M/9.0M rows · 3/41 tables"
    assert line({"task": "compare", "done": 0, "total": 0, "unit": "rows"}) == "compare 0% · 0/0 rows"


@pytest.mark.parametrize("age, met", [(0, True), (3000, True), (3600, False)])
def test_gate_counts_from_the_comparison_and_not_from_the_run_that_let_it_stand(age, met):
    validate = {"status": "done", "age": 100.0, "summary": {"verdict": "equal", "age": age}}
    found = failures("cutover", Known(phases={"validate": validate}, validate_max_age=3600))
    assert (found == []) == met


def test_gate_wants_all_tables():
    validate = {"status": "done", "age": 1.0, "summary": {"verdict": "equal in part"}}
    assert "equal in part" in failures("cutover", Known(phases={"validate": validate}))[0]
