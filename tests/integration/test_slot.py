# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module slot against a real source (16, no superuser) and node (18)."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["source", "node"])
def db(request, source_db, target_db):
    return {"source": source_db, "node": target_db}[request.param]


@pytest.fixture
def slot(run_module):
    def run(db, check=False, login=None, **args):
        return run_module("slot", {**(login or db.login), "name": f"x_{db.name}", **args}, check=check)

    return run


LOGICAL = {"slot_type": "logical", "output_plugin": "pgoutput"}


@pytest.mark.parametrize("args", [{}, {"immediately_reserve": True}, LOGICAL])
def test_life(db, slot, args):
    name = f"x_{db.name}"
    line = (
        f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"
        if args == LOGICAL
        else f"SELECT pg_create_physical_replication_slot('{name}', {str(bool(args)).lower()})"
    )
    checked = slot(db, check=True, **args)
    assert checked["changed"] and not checked["exists"] and checked["planned"] == [line]
    assert checked["queries"] == []  # as in community.postgresql
    made = slot(db, **args)
    assert made["changed"] and made["exists"] and made["queries"] == made["planned"] == [line], made
    assert made["name"] == name
    assert made["slot"]["type"] == args.get("slot_type", "physical") and made["slot"]["active"] is False
    assert checked["diff"] == made["diff"] and made["diff"]["before"] == {}
    again = slot(db, **args)
    assert not again["changed"] and again["queries"] == [] and again["diff"]["before"] == again["diff"]["after"]
    checked = slot(db, check=True, state="absent")
    assert checked["changed"] and checked["exists"]
    gone = slot(db, state="absent")
    assert gone["changed"] and not gone["exists"]
    assert gone["queries"] == checked["planned"] == [f"SELECT pg_drop_replication_slot('{name}')"]
    assert gone["diff"]["after"] == {} and gone["slot"] == {}
    assert not slot(db, state="absent")["changed"] and slot(db, state="absent")["queries"] == []


def test_another_plugin_type_or_database_is_an_error(db, slot, source_db, target_db):
    slot(db, **LOGICAL)
    for args, words in (
        ({"slot_type": "logical"}, "output plugin is pgoutput, and test_decoding was asked for"),
        ({}, "type is logical, and physical was asked for"),
        ({**LOGICAL, "login": {**db.login, "login_db": "postgres"}}, f"database is {db.name}, and postgres"),
    ):
        for check in (True, False):
            refused = slot(db, check=check, **args)
            assert refused["failed"] and words in refused["msg"] and refused["failure"]["code"] == "other_slot"


def test_flags(target_db, slot):
    made = slot(target_db, **LOGICAL, two_phase=True, failover=True)
    assert made["queries"][0].endswith("'pgoutput', twophase => true, failover => true)")
    assert made["slot"]["two_phase"] and made["slot"]["failover"]
    assert not slot(target_db, **LOGICAL, two_phase=True, failover=True)["changed"]
    assert not slot(target_db, **LOGICAL)["changed"]
    checked = slot(target_db, check=True, **LOGICAL, two_phase=False, failover=False)
    done = slot(target_db, **LOGICAL, two_phase=False, failover=False)
    name = f"x_{target_db.name}"
    assert (
        done["queries"]
        == checked["planned"]
        == [
            f"ALTER_REPLICATION_SLOT {name} (TWO_PHASE false)",
            f"ALTER_REPLICATION_SLOT {name} (FAILOVER false)",
        ]
    )
    assert not done["slot"]["two_phase"] and not done["slot"]["failover"]
    assert done["diff"] == checked["diff"] and done["diff"]["before"] != done["diff"]["after"]


def test_flags_of_later_versions(source_db, slot):
    refused = slot(source_db, **LOGICAL, failover=True)
    assert refused["failed"] and "PostgreSQL 17" in refused["msg"]
    slot(source_db, **LOGICAL, two_phase=False)
    refused = slot(source_db, **LOGICAL, two_phase=True)
    assert refused["failed"] and "PostgreSQL 18" in refused["msg"]


def test_an_open_transaction_is_named(db, slot):
    with db.connect() as busy:
        busy.autocommit = False
        busy.execute("SELECT pg_current_xact_id()")
        done = slot(db, **LOGICAL, timeout=1)
        assert done["failed"] and f"pid {busy.info.backend_pid} (crossover)" in done["msg"]
    assert not db.sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [f"x_{db.name}"])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"name": "Not-A-Name"}, "no name for a slot"),
        ({**LOGICAL, "immediately_reserve": True}, "mutually exclusive"),
        ({"two_phase": True}, "for logical slots only"),
        ({**LOGICAL, "output_plugin": "nothing_there"}, "nothing_there"),
        (
            {"session_role": 'x"; SELECT * FROM information_schema.tables; --', "trust_input": False},
            "potentially dangerous",
        ),
        ({"login_password": "wr0ng-pass"}, "password authentication failed"),
    ],
)
def test_bad_input(db, slot, args, words):
    done = slot(db, **args)
    assert done["failed"] and words in done["msg"], done
    assert "nothing was changed" in done["msg"].lower() and "wr0ng-pass" not in str(done)


def test_a_slot_in_use_and_a_login_without_replication(source_db, target_db, slot):
    name = f"x_{source_db.name}"
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t")
    target_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    target_db.sql(f"CREATE SUBSCRIPTION {name} CONNECTION '{source_db.dsn}' PUBLICATION p")
    refused = slot(source_db, state="absent")
    assert refused["failed"] and "is active" in refused["msg"] and "disable it" in refused["msg"]
    source_db.sql("CREATE ROLE plain LOGIN PASSWORD 'plain'", superuser=True)
    try:
        login = {**source_db.login, "login_user": "plain", "login_password": "plain"}
        refused = slot(source_db, login=login, name="another")
        assert refused["failed"] and refused["failure"]["sqlstate"] == "42501"
    finally:
        source_db.sql("DROP ROLE plain", superuser=True)
