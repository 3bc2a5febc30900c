# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module subscription on a real node (18) that reads a real source (16), and the other way round."""

from __future__ import annotations

import time

import pytest

SHOWN = "host=127.0.0.1 port={port} user=crossover password=******** dbname={db}"


class Feed:
    """A publisher with publications ``p`` and ``p2``, and the module run on the subscriber."""

    def __init__(self, publisher, subscriber, run_module):
        self.publisher, self.subscriber, self._run = publisher, subscriber, run_module
        self.name = f"s_{subscriber.name}"
        for db in (publisher, subscriber):
            db.sql("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE t2 (id int PRIMARY KEY)")
        publisher.sql("CREATE PUBLICATION p FOR TABLE t; CREATE PUBLICATION p2 FOR TABLE t2")
        login = publisher.login
        self.connparams = {
            "host": "127.0.0.1",
            "port": login["login_port"],
            "user": "crossover",
            "password": login["login_password"],
            "dbname": publisher.name,
        }
        self.shown = SHOWN.format(port=login["login_port"], db=publisher.name)
        self.args = {"publications": ["p"], "connparams": self.connparams}

    def run(self, check=False, login=None, **args):
        found = self._run("subscription", {**(login or self.subscriber.login), "name": self.name, **args}, check=check)
        assert self.connparams["password"] not in str(found)
        return found

    def same(self, **args):
        """Run in check mode, then for real: the plan is the same. Run again: no change."""
        checked, done = self.run(check=True, **args), self.run(**args)
        assert not done["failed"], done
        assert checked["queries"] == done["queries"] and checked["changed"] is True and done["changed"] is True
        assert checked["final_state"] == checked["initial_state"] or not checked["exists"]
        again = self.run(**args)
        assert not again["changed"] and again["queries"] == [], again
        assert again["diff"]["before"] == again["diff"]["after"]
        return done

    def sql(self, query, *params):
        return self.subscriber.sql(query, params or None, superuser=True)

    def slots(self):
        rows = self.publisher.sql("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
        return [row["slot_name"] for row in rows]


@pytest.fixture
def feed(source_db, target_db, run_module):
    return Feed(source_db, target_db, run_module)


@pytest.fixture
def back(source_db, target_db, run_module):
    """The way back: the source subscribes, its login is no superuser and may not read subconninfo."""
    if source_db.cluster.version < 16:
        pytest.skip("before PostgreSQL 16 only a superuser may subscribe")
    return Feed(target_db, source_db, run_module)


def test_life(feed):
    made = feed.same(**feed.args, comment="it's made")
    assert made["queries"] == [
        f"CREATE SUBSCRIPTION {feed.name} CONNECTION '{feed.shown}' PUBLICATION p",
        f"COMMENT ON SUBSCRIPTION \"{feed.name}\" IS 'it''s made'",
    ]
    assert made["initial_state"] == {} and made["exists"] and made["name"] == feed.name
    state = made["final_state"]
    assert state["owner"] == "crossover" and state["enabled"] is True and state["publications"] == ["p"]
    assert state["synccommit"] is False and state["slotname"] == feed.name and state["comment"] == "it's made"
    assert state["conninfo"]["port"] == feed.connparams["port"] and state["conninfo"]["password"] == "********"
    assert made["diff"]["before"] == {} and made["diff"]["after"]["publications"] == ["p"]
    assert feed.slots() == [feed.name]
    assert not feed.run()["changed"]
    assert feed.run(comment="", check=True)["queries"] == [f"COMMENT ON SUBSCRIPTION \"{feed.name}\" IS ''"]

    checked = feed.run(check=True, state="absent")
    assert checked["changed"] and checked["exists"] and feed.slots() == [feed.name]
    gone = feed.run(state="absent")
    assert gone["changed"] and not gone["exists"] and gone["remaining_slots"] == []
    assert gone["queries"] == checked["queries"] == [f"DROP SUBSCRIPTION {feed.name}"]
    assert gone["final_state"]["owner"] is None and gone["diff"]["after"] == {}
    assert feed.slots() == []
    again = feed.run(state="absent", cascade=True)
    assert not again["changed"] and again["queries"] == []


def test_the_way_back_compares_what_it_may_read(back):
    made = back.run(**back.args, subsparams={"origin": "any"})
    assert made["changed"] and made["exists"], made
    assert made["final_state"]["conninfo"] == {} and made["final_state"]["publications"] == ["p"]
    again = back.run(**back.args, subsparams={"origin": "any"})
    assert not again["changed"] and "subconninfo is not accessible" in str(again["warnings"])
    done = back.run(**back.args, subsparams={"disable_on_error": True})
    assert done["queries"] == [f"ALTER SUBSCRIPTION {back.name} SET (disable_on_error = true)"]
    forced = back.run(**back.args, force_connparams=True)
    assert forced["queries"] == [f"ALTER SUBSCRIPTION {back.name} CONNECTION '{back.shown}'"]
    assert back.run(state="absent")["changed"] and back.slots() == []


def test_every_parameter_can_be_changed(feed):
    feed.same(**feed.args, subsparams={"streaming": False, "synchronous_commit": "off", "enabled": True})
    everything = {
        "synchronous_commit": "remote_apply",
        "binary": True,
        "streaming": "parallel",
        "disable_on_error": "on",
        "password_required": False,
        "run_as_owner": True,
        "origin": "none",
        "copy_data": False,
        "create_slot": True,
        "connect": True,
    }
    done = feed.same(**feed.args, subsparams=everything)
    line = (
        f"ALTER SUBSCRIPTION {feed.name} SET (synchronous_commit = remote_apply, binary = true, streaming = parallel, "
        "disable_on_error = true, password_required = false, run_as_owner = true, origin = none)"
    )
    assert done["queries"] == [line]
    state = done["final_state"]
    assert state["synccommit"] == "remote_apply" and state["streaming"] == "parallel" and state["origin"] == "none"
    assert state["binary"] and state["disable_on_error"] and state["run_as_owner"] and not state["password_required"]
    assert state["enabled"]
    done = feed.same(**feed.args, subsparams={"enabled": False, "synchronous_commit": True})
    assert done["queries"] == [
        f"ALTER SUBSCRIPTION {feed.name} DISABLE",
        f"ALTER SUBSCRIPTION {feed.name} SET (synchronous_commit = true)",
    ]
    assert done["final_state"]["synccommit"] is True and done["final_state"]["enabled"] is False
    assert feed.same(subsparams={"enabled": True})["queries"] == [f"ALTER SUBSCRIPTION {feed.name} ENABLE"]


def test_parameters_that_need_it_disabled(target_db, target_cluster, run_module):
    """18 to 18 on one server: failover and two_phase are changed on the publisher's slot too."""
    from support.database import Database

    other = Database(target_cluster).create()
    try:
        feed = Feed(other, target_db, run_module)
        feed.publisher.sql(f"SELECT pg_create_logical_replication_slot('{feed.name}', 'pgoutput')")
        feed.same(**feed.args, subsparams={"create_slot": False, "slot_name": feed.name})
        done = feed.same(subsparams={"failover": True, "two_phase": True, "streaming": "on"})
        alter = f"ALTER SUBSCRIPTION {feed.name}"
        assert done["queries"] == [
            f"{alter} DISABLE",
            f"{alter} SET (streaming = true)",
            f"{alter} SET (failover = true)",
            f"{alter} SET (two_phase = true)",
            f"{alter} ENABLE",
        ]
        assert done["final_state"]["failover"] and done["final_state"]["two_phase"] and done["final_state"]["enabled"]
        assert feed.publisher.sql("SELECT failover, two_phase FROM pg_replication_slots WHERE failover AND two_phase")
        assert feed.same(subsparams={"enabled": False, "slot_name": "NONE"})["final_state"]["slotname"] is None
        refused = feed.run(subsparams={"enabled": True, "slot_name": None})
        assert refused["failed"] and "without a slot" in refused["msg"]
        back = feed.same(subsparams={"enabled": True, "slot_name": feed.name})
        assert back["final_state"]["slotname"] == feed.name
        assert feed.run(state="absent")["changed"]
    finally:
        other.drop()


def test_two_phase_and_failover_of_versions_that_lack_them(back):
    back.run(**back.args, subsparams={"two_phase": False})
    refused = back.run(subsparams={"two_phase": True})
    assert refused["failed"] and "PostgreSQL 18" in refused["msg"]
    refused = back.run(subsparams={"failover": True})
    assert refused["failed"] and "PostgreSQL 17" in refused["msg"]


def test_publications(feed):
    feed.run(**feed.args)
    both = {"publications": ["p2", "p"], "connparams": feed.connparams}
    assert feed.same(**both)["queries"] == [f"ALTER SUBSCRIPTION {feed.name} SET PUBLICATION p2, p"]
    assert feed.run(publications=["p", "p2"])["changed"] is False
    feed.run(subsparams={"enabled": False})
    one = feed.same(publications=["p2"])
    assert one["queries"] == [f"ALTER SUBSCRIPTION {feed.name} SET PUBLICATION p2 WITH (refresh = false)"]
    done = feed.same(publications=["p"], subsparams={"enabled": True, "copy_data": False})
    assert done["queries"] == [
        f"ALTER SUBSCRIPTION {feed.name} SET PUBLICATION p WITH (refresh = false)",
        f"ALTER SUBSCRIPTION {feed.name} ENABLE",
        f"ALTER SUBSCRIPTION {feed.name} REFRESH PUBLICATION WITH (copy_data = false)",
    ]
    rels = feed.sql(
        "SELECT srrelid::regclass::text AS t FROM pg_subscription_rel JOIN pg_subscription ON oid = srsubid"
    )
    assert [row["t"] for row in rels] == ["t"]


def test_the_password_is_compared_and_applied(feed):
    feed.run(**feed.args)
    feed.publisher.sql(
        "CREATE ROLE other LOGIN REPLICATION PASSWORD 'p w''s \\ one'; GRANT SELECT ON t TO other", superuser=True
    )
    try:
        changed = {**feed.connparams, "user": "other", "password": "p w's \\ one"}
        args = {**feed.args, "connparams": changed}
        done = feed.same(**args)
        assert done["queries"][0].endswith(f"user=other password=******** dbname={feed.publisher.name}'")
        assert "p w" not in str(done) and done["final_state"]["conninfo"]["user"] == "other"
        wrong = {**args, "connparams": {**changed, "password": 12345678901}}
        checked = feed.run(check=True, **wrong)
        assert checked["changed"] and "12345678901" not in str(checked)
        assert checked["diff"]["before"] != checked["diff"]["after"]
        feed.publisher.sql("INSERT INTO t VALUES (1)")
        until = time.monotonic() + 20
        while not feed.sql("SELECT 1 FROM t") and time.monotonic() < until:
            time.sleep(0.1)
        assert feed.sql("SELECT 1 FROM t")
    finally:
        feed.run(state="absent")
        feed.publisher.sql("DROP OWNED BY other; DROP ROLE other", superuser=True)


def test_the_password_reaches_no_log(feed, target_cluster):
    target_cluster.sql(f"ALTER DATABASE {feed.subscriber.name} SET log_statement = 'all'")
    target_cluster.sql(f"ALTER DATABASE {feed.subscriber.name} SET log_min_duration_statement = 0")
    feed.run(**feed.args)
    feed.run(**{**feed.args, "connparams": {**feed.connparams, "connect_timeout": 7}})
    failed = feed.run(name="another", **{**feed.args, "connparams": {**feed.connparams, "port": 1}})
    assert failed["failed"]
    log = target_cluster.log()
    assert feed.subscriber.name in log and "has_column_privilege" in log  # it does log this session
    assert (
        feed.connparams["password"] not in log and "CREATE SUBSCRIPTION" not in log.split("has_column_privilege", 1)[1]
    )


def test_names_that_need_quotes(feed, run_module):
    feed.publisher.sql('CREATE PUBLICATION "Mixed-Case" FOR TABLE t')
    name = f'Mixed "{feed.subscriber.name}"'
    args = {**feed.args, "publications": ["Mixed-Case"], "name": name}
    args["subsparams"] = {"slot_name": f"9_{feed.name}"}
    made = feed.run(**args)
    assert made["exists"], made
    quoted = '"' + name.replace('"', '""') + '"'
    before = f"CREATE SUBSCRIPTION {quoted} CONNECTION '{feed.shown}' PUBLICATION"
    assert made["queries"] == [f"{before} \"Mixed-Case\" WITH (slot_name = '9_{feed.name}')"]
    assert not feed.run(**args)["changed"]
    assert feed.run(name=name, state="absent")["changed"]


def test_refresh_tells_whether_it_changed_anything(feed):
    feed.run(**feed.args)
    same = feed.run(state="refresh")
    assert not same["changed"] and same["queries"] == [f"ALTER SUBSCRIPTION {feed.name} REFRESH PUBLICATION"]
    assert not feed.run(state="refresh", check=True)["changed"]
    feed.publisher.sql("ALTER PUBLICATION p ADD TABLE t2")
    checked = feed.run(state="refresh", check=True, subsparams={"copy_data": False})
    assert checked["changed"] and checked["tables_added"] == ["public.t2"]
    done = feed.run(state="refresh", subsparams={"copy_data": False})
    assert done["changed"] and done["tables_added"] == ["public.t2"] and done["tables_removed"] == []
    assert (
        done["queries"]
        == checked["queries"]
        == [f"ALTER SUBSCRIPTION {feed.name} REFRESH PUBLICATION WITH (copy_data = false)"]
    )
    assert done["diff"]["after"]["tables"] == ["public.t", "public.t2"]
    feed.publisher.sql("ALTER PUBLICATION p DROP TABLE t")
    assert feed.run(state="refresh")["tables_removed"] == ["public.t"]
    feed.run(subsparams={"enabled": False})
    refused = feed.run(state="refresh")
    assert refused["failed"] and "is disabled" in refused["msg"]
    assert "does not exist" in feed.run(name="nothing", state="refresh")["msg"]


def test_refresh_in_check_mode_without_the_publisher(back):
    back.run(**back.args)
    checked = back.run(state="refresh", check=True)
    assert checked["changed"] and "cannot be asked" in str(checked["warnings"])
    assert not back.run(state="refresh")["changed"]


def test_absent_with_a_dead_publisher_detaches_the_slot(feed):
    feed.run(**feed.args)
    feed.run(**{**feed.args, "connparams": {**feed.connparams, "port": 1}})
    gone = feed.run(state="absent")
    assert gone["changed"] and not gone["exists"], gone
    assert gone["remaining_slots"] == [feed.name] and feed.slots() == [feed.name]
    assert f"pg_drop_replication_slot(\\'{feed.name}\\')" in str(gone["warnings"])
    assert gone["queries"] == [
        f"ALTER SUBSCRIPTION {feed.name} DISABLE",
        f"ALTER SUBSCRIPTION {feed.name} SET (slot_name = NONE)",
        f"DROP SUBSCRIPTION {feed.name}",
    ]
    assert not feed.run(state="absent")["changed"]


def test_absent_when_the_slot_is_gone(feed):
    feed.run(**feed.args, subsparams={"enabled": False})
    until = time.monotonic() + 20
    while feed.slots() and time.monotonic() < until:
        feed.publisher.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
    gone = feed.run(state="absent")
    assert (
        gone["changed"] and gone["remaining_slots"] == [] and "gone from the publisher already" in str(gone["warnings"])
    )


def test_skip(feed):
    feed.run(**feed.args, subsparams={"enabled": False})
    done = feed.same(skip_lsn="FF/FF000000")
    assert done["queries"] == [f"ALTER SUBSCRIPTION {feed.name} SKIP (lsn = 'FF/FF000000')"]
    assert done["final_state"]["skip_lsn"] == "FF/FF000000"
    assert feed.same(skip_lsn="none")["queries"] == [f"ALTER SUBSCRIPTION {feed.name} SKIP (lsn = NONE)"]
    assert "no LSN" in feed.run(skip_lsn="soon")["msg"]


def test_skip_a_transaction_that_cannot_be_applied(back):
    """The source's login may not read the origin's progress: the second run is no change all the same."""
    back.run(**back.args, subsparams={"disable_on_error": True})
    back.subscriber.sql("INSERT INTO t VALUES (1, 'here')")
    back.publisher.sql("INSERT INTO t VALUES (1, 'there')")
    until = time.monotonic() + 30
    while back.run()["final_state"]["enabled"] and time.monotonic() < until:
        time.sleep(0.2)
    line = [text for text in back.subscriber.cluster.log().splitlines() if "finished at" in text][-1]
    lsn = line.rsplit("finished at ", 1)[1].split()[0].strip('".')
    done = back.run(skip_lsn=lsn, subsparams={"enabled": True})
    assert done["changed"] and done["queries"][-1] == f"ALTER SUBSCRIPTION {back.name} SKIP (lsn = '{lsn}')"
    back.publisher.sql("INSERT INTO t VALUES (2, 'there')")
    while not back.sql("SELECT 1 FROM t WHERE id = 2") and time.monotonic() < until:
        time.sleep(0.2)
    assert [r["v"] for r in back.sql("SELECT v FROM t ORDER BY id")] == ["here", "there"]
    again = back.run(skip_lsn=lsn, subsparams={"enabled": True})
    assert not again["changed"] and not again["failed"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "connparams is needed"),
        ({"connparams": {"host": "127.0.0.1"}}, "publications is needed"),
        ({"subsparams": {"enable": True}}, "subsparams has 'enable'"),
        ({"subsparams": {"binary": "perhaps"}}, "true or false"),
        (
            {"session_role": 'curious"; SELECT * FROM information_schema.tables; --', "trust_input": False},
            "potentially dangerous",
        ),
    ],
)
def test_bad_input(feed, args, words):
    for check in (True, False):
        done = feed.run(check=check, **args)
        assert done["failed"] and words in done["msg"], done
    assert not feed.sql("SELECT 1 FROM pg_subscription WHERE subname = %s", feed.name)


def test_a_publisher_that_refuses_or_is_not_there(feed):
    for change, words in (
        ({"password": "wr0ng-pass"}, "password authentication failed"),
        ({"port": 1}, "Connection refused"),
        ({"dbname": "nothing_here"}, "does not exist"),
        ({"hots": "x"}, "hots"),
    ):
        begun = time.monotonic()
        done = feed.run(**{**feed.args, "connparams": {**feed.connparams, **change}})
        assert done["failed"] and words in done["msg"], done
        assert "Nothing was changed" in done["msg"] and "wr0ng-pass" not in str(done)
        assert time.monotonic() - begun < 8
    assert not feed.sql("SELECT 1 FROM pg_subscription WHERE subname = %s", feed.name) and feed.slots() == []


def test_an_old_transaction_on_the_publisher_is_not_waited_for_for_ever(feed):
    with feed.publisher.connect() as busy:
        busy.autocommit = False
        busy.execute("SELECT pg_current_xact_id()")
        done = feed.run(**feed.args, timeout=2)
        assert done["failed"] and "open there for long" in done["msg"]
    assert feed.slots() == [] and feed.run(**feed.args)["changed"]


def test_wrong_password_and_missing_privilege(back):
    wrong = back.run(login={**back.subscriber.login, "login_password": "wr0ng-pass"}, **back.args)
    assert wrong["failed"] and wrong["failure"]["code"] == "bad_password"
    refused = back.run(**back.args, subsparams={"password_required": False})
    assert refused["failed"] and refused["failure"]["sqlstate"] == "42501" and "superuser" in refused["msg"]
    back.subscriber.sql("CREATE ROLE plain LOGIN PASSWORD 'plain'", superuser=True)
    try:
        login = {**back.subscriber.login, "login_user": "plain", "login_password": "plain"}
        refused = back.run(login=login, **back.args)
        assert (
            refused["failed"] and "permission denied" in refused["msg"] and "pg_create_subscription" in refused["msg"]
        )
    finally:
        back.subscriber.sql("DROP ROLE plain", superuser=True)


def test_owner(feed):
    feed.run(**feed.args)
    feed.subscriber.sql("CREATE ROLE keeper SUPERUSER", superuser=True)
    try:
        done = feed.same(**feed.args, owner="keeper")
        assert done["queries"] == [f'ALTER SUBSCRIPTION {feed.name} OWNER TO "keeper"']
        assert done["final_state"]["owner"] == "keeper"
    finally:
        feed.run(state="absent")
        feed.subscriber.sql("DROP ROLE keeper", superuser=True)
