# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch on real servers, with a real PgBouncer and writers that never stop."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import psycopg
import pytest
from support.database import Database
from support.pooler import ADMIN, Pooler, binary
from support.pooler import PASSWORD as ADMIN_PASSWORD
from support.switch import PASSWORD, PooledLab, check_nothing_lost, ended, wait_equal
from support.writers import Writers

pytestmark = pytest.mark.skipif(binary() is None, reason="no pgbouncer on this machine")


def _session(side: Database) -> Any:
    """A session with an open transaction, beside the pooler."""
    conn = side.connect(superuser=True)
    conn.execute("BEGIN")
    return conn


def test_there_and_back_and_there_again(lab: PooledLab) -> None:
    with Writers(lab.pooler.dsn) as writers:
        first = lab.cutover()
        assert not first["failed"] and first["changed"] and first["writable"] == "node", first["msg"]
        assert first["diff"] == {"before": {"writable": "source"}, "after": {"writable": "node"}}
        assert 0 < first["hold_ms"] < 1000
        assert lab.refuses(lab.source) and not lab.refuses(lab.target)
        assert lab.pooler.show()["port"] == lab.target.login["login_port"]
        again = lab.cutover()
        assert not again["failed"] and not again["changed"], again
        time.sleep(0.3)
        back = lab.cutover("back")
        assert not back["failed"] and back["changed"] and back["writable"] == "source", back
        assert not lab.refuses(lab.source) and lab.refuses(lab.target)
        again = lab.cutover("back")
        assert not again["failed"] and not again["changed"], again
        third = lab.cutover()
        assert not third["failed"] and third["changed"], third
        time.sleep(0.3)
    assert not writers.failed and writers.longest < 2
    check_nothing_lost(writers, lab.target)
    wait_equal(lab)
    ids = lab.target.sql("SELECT nextval('shop.entry_id_seq') AS next, (SELECT max(id) FROM shop.entry) AS last")[0]
    assert ids["next"] > ids["last"]


def test_check_mode_changes_nothing(lab: PooledLab) -> None:
    result = lab.cutover(check=True)
    assert not result["failed"] and result["changed"] and result["problems"] == [], result
    assert lab.writable() == "source" and lab.epoch() == 1
    assert not lab.slots(lab.target)


def test_a_writer_beside_the_pooler_stops_it_and_the_source_goes_on(lab: PooledLab) -> None:
    with _session(lab.source) as beside, Writers(lab.pooler.dsn) as writers:
        beside.execute("INSERT INTO shop.part VALUES (1, '2021-01-01')")
        result = lab.cutover(fence_timeout=0.4)
        assert result["failed"] and result["failure"]["code"] == "fence_timeout", result
        assert "part" in result["msg"] and "the source is writable" in result["msg"].lower()
        writers.go_on()
        assert not writers.failed
        assert lab.writable() == "source" and not lab.refuses(lab.source)
        beside.execute("ROLLBACK")
        assert lab.cutover()["writable"] == "node"
        time.sleep(0.2)
    check_nothing_lost(writers, lab.target)


def test_transactions_that_would_hold_it_up_are_named(lab: PooledLab) -> None:
    with _session(lab.source) as conn:
        conn.execute("INSERT INTO shop.part VALUES (1, '2021-01-01')")
        conn.execute("PREPARE TRANSACTION 'left over'")
    time.sleep(0.3)
    result = lab.cutover(long_transaction=0.2)
    assert result["failed"] and result["failure"]["code"] == "long_transactions" and "left over" in result["msg"], (
        result
    )
    lab.source.sql("ROLLBACK PREPARED 'left over'", superuser=True)


def test_two_at_once_switch_once(lab: PooledLab) -> None:
    with Writers(lab.pooler.dsn) as writers:
        results = [ended(process) for process in [lab.start(), lab.start()]]
        assert [r["failed"] for r in results] == [False, False], results
        assert sorted(r["changed"] for r in results) == [False, True], results
        assert lab.writable() == "node" and lab.epoch() == 2
        back = [ended(process) for process in [lab.start("back"), lab.start("back")]]
        assert not any(r["failed"] for r in back) and sorted(r["changed"] for r in back) == [False, True], back
        assert lab.writable() == "source" and lab.epoch() == 3
    check_nothing_lost(writers, lab.source)
    wait_equal(lab)


def test_what_a_dead_runner_left_held_goes_on_before_anything_is_checked(lab: PooledLab) -> None:
    """A runner that loses its power takes its watchdog with it."""
    admin: dict[str, Any] = {"dbname": "pgbouncer", "user": ADMIN, "password": ADMIN_PASSWORD, "autocommit": True}
    with psycopg.connect(host="127.0.0.1", port=lab.pooler.port, **admin) as conn:
        conn.execute(f"PAUSE {lab.source.name}")
    with _session(lab.source) as conn:
        conn.execute("INSERT INTO shop.part VALUES (1, '2021-01-01')")
        time.sleep(0.3)
        result = lab.cutover(long_transaction=0.2)
    assert result["failed"] and result["failure"]["code"] == "long_transactions", result
    assert not int(lab.pooler.show()["paused"]), "the application waits although nothing is switched"


def _until_waiting(lab: PooledLab) -> None:
    """Until the switch waits at the fence, with the pooler held."""
    until = time.monotonic() + 60
    while not int(lab.pooler.show()["paused"]):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stalled"])
def test_the_source_is_writable_again_by_itself(lab: PooledLab, number: signal.Signals) -> None:
    with _session(lab.source) as beside, Writers(lab.pooler.dsn) as writers:
        beside.execute("INSERT INTO shop.part VALUES (1, '2021-01-01')")
        process = lab.start(fence_timeout=20.0, window_timeout=2.0, lease=3.0)
        _until_waiting(lab)
        os.kill(process.pid, number)
        writers.go_on(within=5)
        assert lab.writable() == "source" and lab.epoch() == 2 and not int(lab.pooler.show()["paused"])
        beside.execute("ROLLBACK")
        if number == signal.SIGSTOP:
            os.kill(process.pid, signal.SIGCONT)
            result = ended(process)
            assert result["failed"], result
        else:
            process.communicate()
        assert lab.writable() == "source" and not lab.refuses(lab.source) and lab.refuses(lab.target)
        assert lab.cutover()["writable"] == "node"
        time.sleep(0.2)
    assert not writers.failed
    check_nothing_lost(writers, lab.target)


def test_a_pooler_in_session_mode_is_refused(lab: PooledLab) -> None:
    with Pooler(lab.source.login, lab.app, PASSWORD, mode="session") as pooler:
        result = lab.run("cutover", lab.args(route=pooler.route))
    assert result["failed"] and result["failure"]["code"] == "session_pooling", result
    assert lab.writable() == "source"


def test_a_wrong_pooler_database_is_told_before_anything_is_held(lab: PooledLab) -> None:
    route = lab.pooler.route
    route["poolers"][0]["database"] = "nonsense"
    result = lab.run("cutover", lab.args(route=route))
    assert result["failed"] and "nonsense" in result["msg"] and lab.epoch() == 1, result


def test_without_replicate_there_is_nothing_to_switch(
    source_db: Database, target_db: Database, run_module: Any
) -> None:
    result = run_module("cutover", {**target_db.login, "name": "shop", "source": source_db.login})
    assert result["failed"] and result["failure"]["code"] == "no_control_row" and "replicate" in result["msg"], result


def test_a_table_made_since_replicate_stops_it(lab: PooledLab) -> None:
    lab.source.as_owner("CREATE TABLE shop.part_newer (id int PRIMARY KEY)")
    result = lab.cutover()
    assert result["failed"] and result["failure"]["code"] == "catalogue_changed" and "part_newer" in result["msg"], (
        result
    )
    lab.target.as_owner("CREATE TABLE shop.part_newer (id int PRIMARY KEY)")
    for side in (lab.source, lab.target):
        lab.run("fence", {**side.login, "name": lab.source.name})
    lab.source.sql(f"ALTER PUBLICATION {lab.names.publication} ADD TABLE shop.part_newer")
    result = lab.cutover()
    assert result["failed"] and "not part of subscription" in result["msg"], result
    assert any("part_newer" in problem for problem in lab.cutover(check=True)["problems"])
    assert lab.epoch() == 1


def test_no_slot_is_left_behind_to_hold_wal(lab: PooledLab) -> None:
    assert lab.cutover()["changed"]
    assert not lab.slots(lab.source) and lab.slots(lab.target) == [lab.names.back_slot]


def test_clients_that_connect_while_the_pooler_is_held(lab: PooledLab) -> None:
    with Writers(lab.pooler.dsn, fresh=True) as writers:
        assert lab.cutover()["changed"]
        time.sleep(0.3)
        assert lab.cutover("back")["changed"]
        time.sleep(0.3)
    assert not writers.failed
    check_nothing_lost(writers, lab.source)
