# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong in community.postgresql 4.2.0's publication, subscription and slot is right in ours.

Each test uses options of both collections only, and fails with theirs. To see that, put their collection on PYTHONPATH
and run ``CROSSOVER_TEST_FAULTS_IN=community.postgresql pytest tests/integration/test_superset_faults.py``: every test
must fail. The docstrings say how.
"""

from __future__ import annotations

import os
import time

import pytest

THEIRS = os.environ.get("CROSSOVER_TEST_FAULTS_IN", "")
TABLES = """
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
"""
PASSWORD = "it's a \\ secret"


@pytest.fixture
def module(run_module):
    def run(kind, db, check=False, login=None, **args):
        if THEIRS:
            kind = f"ansible_collections.{THEIRS}.plugins.modules.postgresql_{kind}"
        return run_module(kind, {**(login or db.login), **args}, check=check)

    return run


@pytest.fixture
def publisher(source_db):
    source_db.sql(TABLES)
    source_db.sql("CREATE PUBLICATION p FOR TABLE t")
    return source_db


@pytest.fixture
def subscribe(publisher, target_db, module):
    """Run the module for one subscription of the node to the publisher, with connparams changed where asked."""
    target_db.sql(TABLES)
    login, name = publisher.login, f"s_{target_db.name}"
    connparams = {"host": "127.0.0.1", "port": login["login_port"], "user": login["login_user"]}
    connparams |= {"password": login["login_password"], "dbname": publisher.name}

    def run(check=False, state="present", login=None, change=None, **args):
        if state == "present":
            args = {"publications": ["p"], "connparams": {**connparams, **(change or {})}, **args}
        return module("subscription", target_db, check, login, **{"name": name, "state": state, **args})

    run.name, run.db, run.publisher, run.password = name, target_db, publisher, login["login_password"]
    return run


def stored(subscribe, column):
    row = subscribe.db.sql(f"SELECT {column} AS found FROM pg_subscription WHERE subname = %s", [subscribe.name])
    return row[0]["found"]


def test_1_publish_via_partition_root_is_read_back(publisher, module):
    """Theirs: changed on every run."""
    args = {"name": "a", "tables": ["parts"], "parameters": {"publish_via_partition_root": True}}
    assert module("publication", publisher, **args)["changed"]
    again = module("publication", publisher, **args)
    assert not again["changed"] and again["queries"] == []


def test_2_publish_with_a_space(publisher, module):
    """Theirs: changed on every run."""
    args = {"name": "a", "tables": ["t"], "parameters": {"publish": "insert, update"}}
    assert module("publication", publisher, **args)["changed"]
    assert not module("publication", publisher, **args)["changed"]


@pytest.mark.parametrize(("enabled", "commit"), [(True, "off"), (False, "on")])
def test_3_synccommit_shows_synchronous_commit(subscribe, enabled, commit):
    """Theirs: it shows whether the subscription is enabled."""
    done = subscribe(subsparams={"enabled": enabled, "synchronous_commit": commit})
    assert done["final_state"]["synccommit"] is (commit == "on") and done["final_state"]["enabled"] is enabled


def test_4_the_password_is_shown_nowhere(subscribe):
    """Theirs: it stands in the queries."""
    made = subscribe()
    changed = subscribe(change={"connect_timeout": 7})
    assert made["changed"] and changed["changed"]
    assert subscribe.password not in str([made, changed, subscribe(state="absent")])


@pytest.mark.parametrize("name", ["Mixed-Case", "with space", "select"])
def test_5_names_are_quoted(subscribe, name):
    """Theirs: a syntax error."""
    args = {"name": f"{name} {subscribe.db.name}", "subsparams": {"slot_name": subscribe.name}}
    made = subscribe(**args)
    assert made["changed"] and made["exists"], made
    assert subscribe(name=args["name"], state="absent")["changed"]


def test_5_a_password_with_a_space_and_a_quote(subscribe):
    """Theirs: a broken connection string."""
    quoted = PASSWORD.replace("'", "''")
    made = f"CREATE ROLE odd LOGIN REPLICATION PASSWORD '{quoted}'; GRANT SELECT ON t TO odd"
    subscribe.publisher.sql(made, superuser=True)
    try:
        made = subscribe(change={"user": "odd", "password": PASSWORD})
        assert made["changed"] and made["exists"], made
        assert subscribe(state="absent")["changed"]
    finally:
        subscribe.publisher.sql("DROP OWNED BY odd; DROP ROLE odd", superuser=True)


@pytest.mark.parametrize(
    ("parameter", "value", "column", "there"),
    [
        ("binary", True, "subbinary", True),
        ("streaming", False, "substream", "f"),
        ("disable_on_error", True, "subdisableonerr", True),
        ("run_as_owner", True, "subrunasowner", True),
        ("password_required", False, "subpasswordrequired", False),
        ("origin", "none", "suborigin", "none"),
    ],
)
def test_6_and_8_subsparams_of_a_subscription_that_exists(subscribe, parameter, value, column, there):
    """Theirs: they are ignored without a word. (two_phase and failover: test_subscription_versions.py.)"""
    subscribe()
    done = subscribe(subsparams={parameter: value})
    assert done["changed"] and not done["failed"], done
    assert stored(subscribe, column) == there
    assert not subscribe(subsparams={parameter: value})["changed"]


def test_7_a_slot_with_another_output_plugin(publisher, module):
    """Theirs: ok, nothing changed, and the slot is not what was asked for."""
    name = f"x_{publisher.name}"
    assert module("slot", publisher, name=name, slot_type="logical", output_plugin="pgoutput")["changed"]
    other = module("slot", publisher, name=name, slot_type="logical", output_plugin="test_decoding")
    assert other["failed"] and "output plugin is pgoutput" in other["msg"]


def test_8_an_idle_refresh_is_no_change(subscribe):
    """Theirs: always changed."""
    subscribe()
    assert not subscribe(state="refresh")["changed"]


def test_8_there_is_a_diff(subscribe, publisher, module):
    """Theirs: none."""
    assert subscribe()["diff"]["after"]["publications"] == ["p"]
    assert module("publication", publisher, name="a", tables=["t"])["diff"]["after"]["owner"] == "crossover"


def test_8_a_row_filter_is_compared_by_its_meaning(publisher, module):
    """Theirs: only quotes and spaces are left out of the comparison, so that this is a change on every run."""
    args = {"name": "a", "tables": ["t"], "rowfilters": {"t": "id in (1, 2) and v like 'x%'"}}
    assert module("publication", publisher, **args)["changed"]
    again = module("publication", publisher, **args)
    assert not again["changed"] and not again["failed"], again


def test_8_absent_with_a_dead_publisher(subscribe):
    """Theirs: an error, and the subscription stays."""
    subscribe()
    subscribe.db.sql(f"ALTER SUBSCRIPTION {subscribe.name} CONNECTION 'host=127.0.0.1 port=1'")
    gone = subscribe(state="absent")
    assert gone["changed"] and not gone["failed"], gone
    assert subscribe.name in str(gone["warnings"]) and "pg_drop_replication_slot" in str(gone["warnings"])


def test_9_a_connection_that_may_not_be_read(subscribe, target_db):
    """What can be compared is: theirs leaves out the rest too, with the columns that it never reads."""
    subscribe()
    target_db.sql("CREATE ROLE limited LOGIN PASSWORD 'limited'")
    target_db.sql(f"GRANT pg_create_subscription TO limited; GRANT CREATE ON DATABASE {target_db.name} TO limited")
    target_db.sql(f"ALTER SUBSCRIPTION {subscribe.name} OWNER TO limited")
    try:
        login = {**target_db.login, "login_user": "limited", "login_password": "limited"}
        done = subscribe(login=login, subsparams={"disable_on_error": True, "synchronous_commit": "on"})
        assert done["changed"] and not done["failed"], done
        assert "subconninfo is not accessible" in str(done["warnings"])
        assert stored(subscribe, "subdisableonerr") is True
        again = subscribe(login=login, subsparams={"disable_on_error": True, "synchronous_commit": "on"})
        assert not again["changed"] and not again["failed"], again
    finally:
        until = time.monotonic() + 20
        subscribe(state="absent")
        while target_db.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'limited'") and time.monotonic() < until:
            time.sleep(0.1)
        target_db.sql("DROP OWNED BY limited; DROP ROLE limited")
