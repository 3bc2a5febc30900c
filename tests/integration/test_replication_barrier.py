# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lag and barrier against two real servers, in both directions."""

from __future__ import annotations

import time

import pytest

CANARY = """
CREATE SCHEMA IF NOT EXISTS crossover;
CREATE TABLE IF NOT EXISTS crossover.canary (side text PRIMARY KEY, token text NOT NULL,
                                             at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS public.t (id bigint PRIMARY KEY, v text);
"""


@pytest.fixture
def lag():
    from ansible_collections.crossover.pgedge.plugins.module_utils import _replication_lag

    return _replication_lag


@pytest.fixture
def barrier():
    from ansible_collections.crossover.pgedge.plugins.module_utils import _replication_barrier

    return _replication_barrier


@pytest.fixture
def error():
    from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError

    return CrossoverError


def wait_ready(lag, conn, name):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        state = lag.subscription_state(conn, name)
        if state["tables"] and all(t["state"] == "r" for t in state["tables"]):
            return state
        time.sleep(0.05)
    raise AssertionError(state)


def link(publisher, subscriber, name):
    for db in (publisher, subscriber):
        db.sql(CANARY)
    publisher.sql(f"CREATE PUBLICATION {name} FOR TABLE crossover.canary, public.t")
    subscriber.sql(f"CREATE SUBSCRIPTION {name} CONNECTION '{publisher.dsn}' PUBLICATION {name}")


@pytest.fixture(params=["forward", "back"])
def linked(request, lag, source_db, target_db):
    """(publisher, subscriber, name, direction); the node's login is a superuser, the source's is not."""
    if request.param == "back" and source_db.cluster.version < 16:
        pytest.skip("before PostgreSQL 16 only a superuser may subscribe")
    publisher, subscriber = (source_db, target_db) if request.param == "forward" else (target_db, source_db)
    name = f"s_{publisher.name}"
    link(publisher, subscriber, name)
    with subscriber.connect() as conn:
        wait_ready(lag, conn, name)
    return publisher, subscriber, name, request.param


def test_states(linked, lag):
    publisher, subscriber, name, direction = linked
    with publisher.connect() as pub, subscriber.connect() as sub:
        assert lag.subscription_state(sub, "nothing") is None
        assert lag.slot_state(pub, "nothing") is None
        assert lag.applied_lsn(sub, "nothing") is None
        state, slot = lag.subscription_state(sub, name), lag.slot_state(pub, name)
        assert state["enabled"] and state["worker_pid"] and state["origin"] == f"pg_{state['oid']}"
        assert [(t["schema"], t["name"], t["state"]) for t in state["tables"]] == [
            ("crossover", "canary", "r"),
            ("public", "t", "r"),
        ]
        assert state["errors"]["apply_error_count"] == 0
        assert slot["active"] and slot["active_pid"] and slot["plugin"] == "pgoutput"
        assert slot["database"] == publisher.name and slot["wal_status"] == "reserved"
        assert slot["retained_bytes"] >= 0 and slot["safe_wal_size"] is None
        if direction == "back":
            assert lag.applied_lsn(sub, name) is None
            assert "no EXECUTE on pg_replication_origin_progress" in lag.progress_denied(sub)


def test_barrier_passes_and_covers_what_was_committed(linked, lag, barrier):
    publisher, subscriber, name, direction = linked
    with publisher.connect() as pub, subscriber.connect() as sub:
        for turn in range(5):
            pub.execute("SET synchronous_commit = off")
            pub.execute("INSERT INTO t SELECT %s::int * 1000 + i FROM generate_series(1, 1000) i", [turn])
            taken = barrier.Barrier.take(pub, "source")
            done = taken.wait(pub, [(name, sub, name)], 20)
            assert sub.execute("SELECT count(*) AS n FROM t").fetchone()["n"] == (turn + 1) * 1000
            assert done["barrier_lsn"] == str(taken.lsn)
            (one,) = done["subscriptions"]
            assert one["passed"] and one["proof"] == ("origin" if direction == "forward" else "flush")
        assert done["barrier_ms"] < 2000
        if direction == "forward":
            assert lag.applied_lsn(sub, name) > taken.floor


def test_canary_is_this_very_one(linked, barrier):
    publisher, subscriber, name, _direction = linked
    with publisher.connect() as pub, subscriber.connect() as sub:
        taken = barrier.Barrier.take(pub, "source")
        taken.wait(pub, [(name, sub, name)], 20)
        assert barrier.canary_seen(sub, "source", taken.token)
        assert not barrier.canary_seen(sub, "source", "another")
        assert not barrier.canary_seen(sub, "node", taken.token)
        assert barrier.write_canary(pub, "source", "x'y\\z") > taken.lsn


def test_held_up_barrier_fails_at_the_deadline_and_says_so(linked, barrier, error):
    publisher, subscriber, name, _direction = linked
    with publisher.connect() as pub, subscriber.connect() as sub, subscriber.connect() as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE public.t IN SHARE MODE")
        pub.execute("INSERT INTO t VALUES (1)")
        begun = time.monotonic()
        with pytest.raises(error) as caught:
            barrier.Barrier.take(pub, "source").wait(pub, [(name, sub, name)], 1.5)
        assert 1.4 < time.monotonic() - begun < 3
        assert caught.value.code == "barrier_timeout" and "canary not seen" in str(caught.value)
        assert caught.value.data["measurement"]["subscriptions"][0]["confirmed_flush_lsn"]
        holder.rollback()
        barrier.Barrier.take(pub, "source").wait(pub, [(name, sub, name)], 20)


def test_disabled_subscription_is_told_at_once(linked, barrier, error):
    publisher, subscriber, name, _direction = linked
    with publisher.connect() as pub, subscriber.connect() as sub:
        sub.execute(f"ALTER SUBSCRIPTION {name} DISABLE")
        begun = time.monotonic()
        with pytest.raises(error, match="is disabled"):
            barrier.Barrier.take(pub, "source").wait(pub, [(name, sub, name)], 30)
        assert time.monotonic() - begun < 3


def test_broken_apply_is_told_before_the_deadline(linked, barrier, error):
    publisher, subscriber, name, _direction = linked
    with publisher.connect() as pub, subscriber.connect() as sub:
        sub.execute("INSERT INTO t VALUES (7)")
        pub.execute("INSERT INTO t VALUES (7)")  # a conflict stops native apply for good
        begun = time.monotonic()
        with pytest.raises(error, match="fails again and again"):
            barrier.Barrier.take(pub, "source").wait(pub, [(name, sub, name)], 60)
        assert time.monotonic() - begun < 20


def test_table_that_is_not_ready_holds_the_barrier(linked, lag, barrier, error):
    publisher, subscriber, name, _direction = linked
    with publisher.connect() as pub, subscriber.connect() as sub, subscriber.connect() as holder:
        for conn in (pub, sub):
            conn.execute("CREATE TABLE public.late (id int PRIMARY KEY)")
        pub.execute("INSERT INTO late VALUES (1)")
        pub.execute(f"ALTER PUBLICATION {name} ADD TABLE public.late")
        holder.autocommit = False
        holder.execute("LOCK TABLE public.late IN SHARE MODE")
        sub.execute(f"ALTER SUBSCRIPTION {name} REFRESH PUBLICATION")
        with pytest.raises(error, match="1 table"):
            barrier.Barrier.take(pub, "source").wait(pub, [(name, sub, name)], 1.5)
        holder.rollback()
        barrier.Barrier.take(pub, "source").wait(pub, [(name, sub, name)], 20)
        assert sub.execute("SELECT count(*) AS n FROM late").fetchone()["n"] == 1


def test_subscription_without_a_canary_goes_by_its_slot(linked, lag, barrier):
    publisher, subscriber, name, direction = linked
    if direction == "forward":
        pytest.skip("the node's login may read the origin's progress")
    with publisher.connect() as pub, subscriber.connect() as sub:
        for conn in (pub, sub):
            conn.execute("CREATE TABLE public.hot (id int PRIMARY KEY)")
        pub.execute(f"CREATE PUBLICATION {name}_hot FOR TABLE public.hot")
        sub.execute(f"CREATE SUBSCRIPTION {name}_hot CONNECTION '{publisher.dsn}' PUBLICATION {name}_hot".encode())
        wait_ready(lag, sub, f"{name}_hot")
        pub.execute("INSERT INTO hot SELECT generate_series(1, 100)")
        feeds = [(name, sub, name), (f"{name}_hot", sub, f"{name}_hot")]
        done = barrier.Barrier.take(pub, "source").wait(pub, feeds, 20)
        assert [one["proof"] for one in done["subscriptions"]] == ["flush", "slot"]
        assert sub.execute("SELECT count(*) AS n FROM hot").fetchone()["n"] == 100


def test_barrier_inside_a_transaction_is_refused(linked, barrier, error):
    publisher, _subscriber, _name, _direction = linked
    with publisher.connect() as pub:
        pub.autocommit = False
        pub.execute("SELECT 1")
        with pytest.raises(error, match="open transaction"):
            barrier.Barrier.take(pub, "source")
