# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VACUUM and autovacuum hold a lock that the switch wants: it waits for them before it holds the application."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Iterator

import psycopg
import pytest
from support.database import Database
from support.pooler import binary
from support.switch import PooledLab, check_nothing_lost, ended, wait_equal
from support.writers import Writers

pytestmark = pytest.mark.skipif(binary() is None, reason="no pgbouncer on this machine")

LEASE = 1.2  # shorter than the waiting for VACUUM, longer than hold and drain
WAITING = "SELECT FROM pg_locks WHERE mode = 'ShareUpdateExclusiveLock' AND NOT granted"


def until(side: Database, query: str, what: str) -> None:
    end = time.monotonic() + 30
    while not side.sql(query, superuser=True):
        assert time.monotonic() < end, f"not within 30 s: {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def vacuuming(side: Database) -> Iterator[None]:
    """A VACUUM that takes minutes."""

    def run() -> None:
        with side.connect(superuser=True) as conn, contextlib.suppress(psycopg.errors.QueryCanceled):
            conn.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")
            conn.execute("VACUUM (DISABLE_PAGE_SKIPPING) shop.entry")

    thread = threading.Thread(target=run)
    thread.start()
    mine = "FROM pg_stat_progress_vacuum WHERE datname = current_database()"
    until(side, f"SELECT {mine}", "VACUUM begins")
    try:
        yield
    finally:
        side.sql(f"SELECT pg_cancel_backend(pid) {mine}", superuser=True)
        thread.join()


def fill(lab: PooledLab) -> None:
    lab.source.sql("INSERT INTO shop.entry (client, number) SELECT -1, n FROM generate_series(1, 30000) n")
    wait_equal(lab)


@pytest.mark.parametrize("side", ["the new side", "the old side"])
def test_a_long_vacuum_is_waited_for(lab: PooledLab, side: str) -> None:
    fill(lab)
    limits = {"lease": LEASE, "hold_timeout": 1.1, "drain_timeout": 1.1}
    with Writers(lab.pooler.dsn) as writers:
        switches = [("forward", lab.source, lab.target), ("back", lab.target, lab.source)]
        for direction, old, new in switches if side == "the new side" else switches[:1]:
            vacuumed = new if side == "the new side" else old
            with vacuuming(vacuumed):
                process = lab.start(direction, **limits)
                until(vacuumed, WAITING, "the switch waits for VACUUM")
                time.sleep(LEASE + 0.5)
                assert process.poll() is None and not int(lab.pooler.show()["paused"])
            result = ended(process)
            assert not result["failed"] and result["hold_ms"] < 1000, result
            assert lab.agrees() and lab.sides[lab.writable()] is new
            writers.go_on()
    assert not writers.failed and writers.longest < 2
    check_nothing_lost(writers, lab.sides[lab.writable()])


def test_one_that_does_not_end_stops_it_before_anything_is_held(lab: PooledLab) -> None:
    fill(lab)
    with Writers(lab.pooler.dsn) as writers, vacuuming(lab.target):
        result = lab.cutover()
        assert result["failed"] and result["failure"]["code"] == "fence_timeout", result
        assert "(postgres, active) holds shop.entry" in result["msg"], result["msg"]
        assert "Nothing was held: the source is writable" in result["msg"], result["msg"]
        assert not any(step["held"] for step in result["steps"]) and lab.epoch() == 1
        assert not lab.slots(lab.target), "a slot of no use would hold WAL back"
    assert not writers.failed and writers.longest < 2


def test_autovacuum_gives_way(lab: PooledLab) -> None:
    clusters = [side.cluster for side in lab.sides.values()]
    for cluster in clusters:
        cluster.sql("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        cluster.sql("SELECT pg_reload_conf()")
    try:
        fill(lab)
        worker = "SELECT FROM pg_stat_progress_vacuum JOIN pg_stat_activity USING (pid) WHERE backend_type ~ '^autovac'"
        for side in lab.sides.values():
            side.as_owner(
                "ALTER TABLE shop.entry SET (autovacuum_vacuum_insert_threshold = 1, autovacuum_vacuum_threshold = 1, "
                "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_scale_factor = 0, "
                "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"
            )
        with Writers(lab.pooler.dsn) as writers:
            for direction in ("forward", "back"):
                for name, side in lab.sides.items():
                    until(side, worker, f"autovacuum works on the {name}")
                result = lab.cutover(direction)
                assert not result["failed"] and result["hold_ms"] < 1000, result
                writers.go_on()
        assert not writers.failed and writers.longest < 2
        check_nothing_lost(writers, lab.source)
        wait_equal(lab)
    finally:
        for cluster in clusters:
            cluster.sql("ALTER SYSTEM RESET autovacuum_naptime")
            cluster.sql("SELECT pg_reload_conf()")
