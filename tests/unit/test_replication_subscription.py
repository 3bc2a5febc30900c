# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subscriptions: parameters, connection strings and plans, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils import _replication_conninfo as conninfo
from ansible_collections.crossover.pgedge.plugins.module_utils import _replication_subscription_options as options
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_lsn import Lsn
from ansible_collections.crossover.pgedge.plugins.module_utils._replication_subscription import (
    Subscription,
    Wanted,
    detach,
    drop,
    plan,
    predicted,
    shown,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._replication_subscription_actions import Removed, told

CONNECTION = {"host": "db", "password": "s3cr3t"}
STORED = {
    "enabled": True,
    "slot_name": "s",
    "synchronous_commit": "off",
    "streaming": "parallel",
    "two_phase": False,
    "failover": False,
    "origin": "any",
    "binary": False,
}


def there(**more: Any) -> Subscription:
    options_ = {**STORED, **more.pop("options", {})}
    return Subscription(**{"oid": 1, "owner": "me", "comment": "", "publications": ("p",), "connection": CONNECTION,
                           "options": options_, **more})  # fmt: skip


def lines(actual: Subscription | None, version: int = 180000, **wanted: Any) -> list[str]:
    return [str(statement) for statement in plan(Wanted("s", **wanted), actual, version)]


def test_create_hides_the_password_and_nothing_else() -> None:
    wanted = Wanted("S s", ("p", "Q"), {"host": "s3cr3t", "password": "s3cr3t"}, options={"enabled": False})
    (statement,) = plan(wanted, None, 180000)
    assert statement.sql == (
        'CREATE SUBSCRIPTION "S s" CONNECTION \'host=s3cr3t password=s3cr3t\' PUBLICATION p, "Q" WITH (enabled = false)'
    )
    assert str(statement) == statement.sql.replace("password=s3cr3t", "password=********")


def test_create_needs_where_and_what() -> None:
    for wanted in ({"connection": CONNECTION}, {"publications": ("p",)}):
        with pytest.raises(CrossoverError, match="is needed"):
            lines(None, **wanted)


def test_nothing_asked_nothing_done() -> None:
    assert lines(there()) == []
    same = {**STORED, "synchronous_commit": "false", "origin": "ANY", "copy_data": True, "create_slot": False}
    assert lines(there(), connection=dict(reversed(CONNECTION.items())), publications=("p",), options=same) == []


def test_connection() -> None:
    assert lines(there(), connection={**CONNECTION, "password": "other"}) == [
        "ALTER SUBSCRIPTION s CONNECTION 'host=db password=********'"
    ]
    hidden = there(connection=None)
    assert lines(hidden, connection=CONNECTION) == []
    assert len(lines(hidden, connection=CONNECTION, always_connection=True)) == 1


@pytest.mark.parametrize(
    ("enabled", "wanted", "expected"),
    [
        (True, {"binary": True}, ["SET (binary = true)"]),
        (True, {"enabled": False, "binary": True}, ["DISABLE", "SET (binary = true)"]),
        (False, {"enabled": True, "binary": True}, ["ENABLE", "SET (binary = true)"]),
        (True, {"failover": True}, ["DISABLE", "SET (failover = true)", "ENABLE"]),
        (False, {"failover": True}, ["SET (failover = true)"]),
        (False, {"failover": True, "enabled": True}, ["SET (failover = true)", "ENABLE"]),
        (
            True,
            {"two_phase": True, "failover": True, "origin": "none", "enabled": False},
            ["DISABLE", "SET (origin = none)", "SET (two_phase = true)", "SET (failover = true)"],
        ),
        (True, {"slot_name": None, "enabled": False}, ["DISABLE", "SET (slot_name = NONE)"]),
        (True, {"slot_name": "9x"}, ["SET (slot_name = '9x')"]),
    ],
)
def test_disable_only_where_it_must_be(enabled: bool, wanted: dict[str, Any], expected: list[str]) -> None:
    found = lines(there(options={"enabled": enabled}), options=wanted)
    assert found == [f"ALTER SUBSCRIPTION s {line}" for line in expected]


def test_a_slot_comes_before_enabling() -> None:
    actual = there(options={"enabled": False, "slot_name": None})
    assert lines(actual, options={"enabled": True, "slot_name": "x"})[-1] == "ALTER SUBSCRIPTION s ENABLE"
    with pytest.raises(CrossoverError, match="without a slot"):
        lines(actual, options={"enabled": True})
    assert lines(actual, options={"slot_name": None}) == []


def test_publications_of_a_disabled_subscription_are_refreshed_once_it_is_enabled() -> None:
    disabled = there(options={"enabled": False})
    assert lines(disabled, publications=("q",)) == ["ALTER SUBSCRIPTION s SET PUBLICATION q WITH (refresh = false)"]
    assert lines(disabled, publications=("q",), options={"enabled": True}) == [
        "ALTER SUBSCRIPTION s SET PUBLICATION q WITH (refresh = false)",
        "ALTER SUBSCRIPTION s ENABLE",
        "ALTER SUBSCRIPTION s REFRESH PUBLICATION",
    ]
    assert lines(there(), publications=("q",), options={"copy_data": False}) == [
        "ALTER SUBSCRIPTION s SET PUBLICATION q WITH (copy_data = false)"
    ]


def test_skip() -> None:
    assert lines(there(), skip="0/ff") == ["ALTER SUBSCRIPTION s SKIP (lsn = '0/FF')"]
    assert lines(there(skip_lsn=Lsn(255)), skip="0/FF") == []
    assert lines(there(skip_lsn=Lsn(255)), skip="none") == ["ALTER SUBSCRIPTION s SKIP (lsn = NONE)"]
    assert lines(there(), skip="none") == []


def test_owner_and_comment() -> None:
    assert lines(there(), owner="me", comment="") == []
    assert lines(there(), owner="You", comment="it's") == [
        'ALTER SUBSCRIPTION s OWNER TO "You"',
        "COMMENT ON SUBSCRIPTION \"s\" IS 'it''s'",
    ]


def test_drop_and_detach() -> None:
    assert [str(s) for s in drop("S", True)] == ['DROP SUBSCRIPTION "S" CASCADE']
    assert [str(s) for s in detach("s", False)] == [
        "ALTER SUBSCRIPTION s DISABLE",
        "ALTER SUBSCRIPTION s SET (slot_name = NONE)",
        "DROP SUBSCRIPTION s",
    ]
    assert told("s", Removed([])) == ""
    assert "SELECT pg_drop_replication_slot('s')" in told("s", Removed([], ["s"], "no route"))


@pytest.mark.parametrize(
    ("given", "version", "words"),
    [
        ({"enable": True}, 180000, "no subscription has"),
        ({"binary": "perhaps"}, 180000, "true or false"),
        ({"streaming": "sideways"}, 180000, "true or false"),
        ({"failover": True}, 160000, "PostgreSQL 17"),
        ({"two_phase": True}, 140000, "PostgreSQL 15"),
    ],
)
def test_parameters_that_are_wrong(given: dict[str, Any], version: int, words: str) -> None:
    with pytest.raises(CrossoverError, match=words):
        options.check(given, version)


def test_parameters() -> None:
    given = {"streaming": "parallel", "binary": "on", "slot_name": "NONE", "synchronous_commit": True, "origin": "none"}
    assert options.check(given, 180000) == {
        "streaming": "parallel", "binary": True, "slot_name": None, "synchronous_commit": "true", "origin": "none",
    }  # fmt: skip
    assert options.check({"retain_dead_tuples": True}, 190000) == {"retain_dead_tuples": True}
    with pytest.raises(CrossoverError, match="PostgreSQL 18"):
        lines(there(), 170000, options={"two_phase": True})


def test_what_is_stored() -> None:
    row = {"subenabled": True, "substream": "p", "subtwophasestate": "p", "subslotname": None, "subsynccommit": "on"}
    found = options.stored(row)
    assert found == {
        "enabled": True,
        "streaming": "parallel",
        "two_phase": True,
        "slot_name": None,
        "synchronous_commit": "on",
    }
    assert options.stored({"substream": True})["streaming"] is True
    assert options.same("synchronous_commit", "true", "on") and not options.same("synchronous_commit", "local", "on")


def test_connection_strings_survive_what_is_in_them() -> None:
    for value in ("plain", "with space", "it's", "back\\slash", "", "=", "é\n\t"):
        parameters = {"host": "db", "password": value}
        assert conninfo.read(conninfo.write(parameters)) == parameters
    assert conninfo.write({"password": "a b"}, hide=True) == "password=********"
    assert conninfo.wanted({"port": 5432, "keepalives": True, "user": None}) == {"port": "5432", "keepalives": "true"}
    assert conninfo.read("postgresql://u:p@h:1/d") == {
        "user": "u",
        "password": "p",
        "host": "h",
        "port": "1",
        "dbname": "d",
    }
    assert conninfo.read("nonsense") is None and conninfo.read(None) is None
    assert conninfo.shown({"port": "5432", "password": "1"}) == {"port": 5432, "password": "********"}


def test_the_diff_tells_a_new_password_without_telling_it() -> None:
    actual = there()
    after = predicted(Wanted("s", connection={**CONNECTION, "password": "other"}), actual)
    assert after["conninfo"] != shown(actual)["conninfo"] and "other" not in str(after["conninfo"].values()).replace(
        "another one", ""
    )
    assert shown(None)["owner"] is None and shown(actual)["synccommit"] is False and shown(actual)["slotname"] == "s"
