# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slots, progress, logs, lines and input checks, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils import _replication_slot as slots
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_sql import hide
from ansible_collections.crossover.pgedge.plugins.module_utils._progress_words import duration, line, number, size
from ansible_collections.crossover.pgedge.plugins.module_utils._replication_apply import check_input, ignored
from ansible_collections.crossover.pgedge.plugins.module_utils._replication_last_error import find
from ansible_collections.crossover.pgedge.plugins.module_utils._replication_progress import as_task, share

SLOT = {"name": "s", "type": "logical", "plugin": "pgoutput", "database": "d", "two_phase": False, "failover": False}


def wanted(**more: Any) -> slots.Wanted:
    return slots.Wanted(**{"name": "s", "logical": True, "plugin": "pgoutput", "database": "d", **more})


def lines(want: slots.Wanted, actual: dict[str, Any] | None, version: int = 180000) -> list[str]:
    return [str(statement) for statement in slots.plan(want, actual, version)]


def test_slot_plans() -> None:
    assert lines(slots.Wanted("s", reserve=True), None) == ["SELECT pg_create_physical_replication_slot('s', true)"]
    assert lines(wanted(two_phase=True, failover=False), None) == [
        "SELECT pg_create_logical_replication_slot('s', 'pgoutput', twophase => true)"
    ]
    assert lines(wanted(), SLOT) == [] and lines(wanted(failover=False), SLOT) == []
    assert lines(wanted(failover=True), SLOT) == ["ALTER_REPLICATION_SLOT s (FAILOVER true)"]


@pytest.mark.parametrize(
    ("want", "version", "words"),
    [
        (wanted(plugin="test_decoding"), 180000, "output plugin is pgoutput"),
        (wanted(database="e"), 180000, "database is d"),
        (slots.Wanted("s"), 180000, "type is logical"),
        (wanted(two_phase=True), 170000, "PostgreSQL 18"),
        (wanted(failover=True), 160000, "PostgreSQL 17"),
        (wanted(name="S"), 180000, "no name for a slot"),
        (wanted(reserve=True), 180000, "mutually exclusive"),
        (slots.Wanted("s", failover=True), 180000, "logical slots only"),
    ],
)
def test_slots_that_cannot_be(want: slots.Wanted, version: int, words: str) -> None:
    with pytest.raises(CrossoverError, match=words):
        slots.plan(want, SLOT, version)


def test_progress_goes_by_bytes_where_they_are_known() -> None:
    states = {("s", "a"): "r", ("s", "b"): "d", ("s", "c"): "i"}
    sizes = {("s", "a"): 100, ("s", "b"): 300, ("s", "c"): 600}
    found = share(states, {("s", "b"): 200}, sizes)
    assert found == {"tables_total": 3, "tables_ready": 1, "bytes_total": 1000, "bytes_done": 300, "percent": 30.0}
    assert share(states, {("s", "b"): 10**9}, sizes)["bytes_done"] == 400  # text can be larger than the table
    assert share(states, {}, {})["percent"] == pytest.approx(33.3) and share(states, {}, {})["bytes_total"] is None
    almost = share({("s", "a"): "r", ("s", "b"): "s"}, {}, {("s", "a"): 1, ("s", "b"): 1})
    assert almost["percent"] == 99.9  # not before all are ready
    assert share({("s", "a"): "r"}, {}, {})["percent"] == 100.0
    assert share({}, {}, {})["percent"] == 0.0


LOG = """\
00:00:01 [100] LOG:  logical replication table synchronization worker for subscription "s", table "t" has started
00:00:01 [200] ERROR:  relation "x" does not exist at character 15
00:00:01 [200] STATEMENT:  SELECT * FROM x
00:00:02 [100] ERROR:  duplicate key value violates unique constraint "t_pkey"
00:00:02 [100] DETAIL:  Key (id)=(7)
\talready exists.
00:00:02 [100] CONTEXT:  COPY t, line 7
00:00:03 [300] ERROR:  column "v" is of another type
00:00:03 [300] CONTEXT:  processing remote data for replication origin "pg_17" during message type "INSERT"
"""


def test_the_last_error_in_a_log() -> None:
    assert find(LOG, "s", 1) == 'duplicate key value violates unique constraint "t_pkey" Key (id)=(7) already exists.'
    assert find(LOG, "another", 17) == 'column "v" is of another type'
    assert find(LOG, "another", 1) is None and find("", "s", 1) is None and find("no log at all", "s", 1) is None


def test_lines() -> None:
    gib = 1024**3
    seen = {"percent": 37.4, "tables_ready": 41, "tables_total": 112, "bytes_done": 182 * gib, "bytes_total": 490 * gib}
    row = {**as_task({**seen, "lag_bytes": 1258291}), "rate": 210 * 1024**2}
    assert line(row, 90) == "sync 37% · 182/490 GiB · 41/112 tables · 210 MiB/s · ETA 25m · lag 1.2 MiB"
    assert line(as_task({**seen, "bytes_done": 100})) == "sync 0% · 100 B/490 GiB · 41/112 tables"
    assert line(as_task({"tables_ready": 1, "tables_total": 3})) == "sync 33% · 1/3 tables"
    assert [number(n) for n in (0, 9999, 12345, 350_000_000, 10**15)] == ["0", "9999", "12.3k", "350M", "1000T"]
    assert [size(n) for n in (0, 1023, 1024, 10**15)] == ["0 B", "1023 B", "1.0 KiB", "909 TiB"]
    assert [duration(n) for n in (0, 59, 60, 3599, 3660)] == ["0s", "59s", "1m", "59m", "1h01m"]


@pytest.mark.parametrize(
    "value",
    ['x"; SELECT * FROM information_schema.tables; --', "a'--", ["fine", "1 UNION SELECT 2"], {"a": "; drop table x"}],
)
def test_what_looks_like_sql_is_refused_when_asked(value: Any) -> None:
    with pytest.raises(CrossoverError, match="is potentially dangerous"):
        check_input(value)


def test_what_does_not_look_like_sql_passes() -> None:
    check_input("a-b", 'with "quotes"', None, 5, ["t"], {"k": "v; and more"}, "selection; updated_at")


def test_secrets_are_taken_out_of_messages() -> None:
    assert hide("invalid 's3cr3t' in s3cr", ["s3cr3t", "", "s3cr"]) == "invalid '********' in ********"


def test_options_without_effect() -> None:
    assert ignored("absent", {"owner": "x", "comment": ""}, ("owner", "comment", "tables"), "present") == [
        "parameter 'owner' is ignored when state is not 'present'",
        "parameter 'comment' is ignored when state is not 'present'",
    ]
    assert ignored("present", {"owner": "x"}, ("owner",), "present") == []
