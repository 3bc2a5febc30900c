# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A switch that is killed: the application goes on within seconds, on one side only, and the next run goes forward."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.database import Database
from support.play import Inventory
from support.pooler import binary
from support.switch import PooledLab, Stop, check_nothing_lost, wait_equal
from support.writers import Writers

pytestmark = pytest.mark.skipif(binary() is None, reason="no pgbouncer on this machine")


def kill_at(lab: PooledLab, writers: Writers, direction: str, step: str) -> None:
    """Kill the switch just before it begins this step; everything must be right again within 5 s."""
    with Stop(lab, step) as stop:
        process = lab.start(direction)
        stop.reached(process)
        process.kill()
        begun = time.monotonic()
        stop.let_go()
        goes_on(lab, writers, begun)
        process.communicate()


def goes_on(lab: PooledLab, writers: Writers, begun: float) -> None:
    writers.go_on(within=5)
    assert time.monotonic() - begun < 5
    assert not int(lab.pooler.show()["paused"])
    assert lab.pooler.show()["port"] == lab.sides[lab.writable()].login["login_port"]
    assert lab.agrees()


def check_let_go(lab: PooledLab, side: str) -> None:
    """What the playbook rollback calls first: it changes no sides."""
    result = lab.cutover("back", only_agree=True)
    assert not result["failed"] and not result["changed"] and result["writable"] == side, result
    assert lab.agrees()


@pytest.mark.parametrize(
    ("step", "side"),
    [("commit", "source"), ("lift", "node"), ("release", "node")],
)
def test_forward(lab: PooledLab, step: str, side: str) -> None:
    with Writers(lab.pooler.dsn) as writers:
        kill_at(lab, writers, "forward", step)
        assert lab.writable() == side
        assert lab.slots(lab.target) == [lab.names.back_slot], "what a killed switch leaves is of use to the next one"
        check_let_go(lab, side)
        again = lab.cutover()
        assert not again["failed"] and again["changed"] and again["writable"] == "node", again
        assert not lab.cutover()["changed"] and lab.agrees()
        writers.go_on()
    assert not writers.failed, writers.failed[:3]
    check_nothing_lost(writers, lab.target)
    wait_equal(lab)
    assert not lab.slots(lab.source) and lab.slots(lab.target) == [lab.names.back_slot]


@pytest.mark.parametrize(("step", "side"), [("commit", "node"), ("point", "source")])
def test_back(lab: PooledLab, step: str, side: str) -> None:
    assert lab.cutover()["changed"]
    with Writers(lab.pooler.dsn) as writers:
        kill_at(lab, writers, "back", step)
        assert lab.writable() == side
        check_let_go(lab, side)
        again = lab.cutover("back")
        assert not again["failed"] and again["changed"] and again["writable"] == "source", again
        assert not lab.cutover("back")["changed"] and lab.agrees()
        writers.go_on()
    assert not writers.failed, writers.failed[:3]
    check_nothing_lost(writers, lab.source)
    wait_equal(lab)


def test_back_between_its_two_commits(lab: PooledLab) -> None:
    assert lab.cutover()["changed"]
    with Writers(lab.pooler.dsn) as writers, lab.source.connect() as other, Stop(lab, "commit") as stop:
        process = lab.start("back")
        stop.reached(process)
        with other.transaction():
            other.execute("SELECT FROM crossover.control FOR UPDATE")  # the second commit waits for this row
            stop.let_go()
            assert lab.refuses(lab.target), "it waits behind the locks, until the first commit is through"
            assert lab.refuses(lab.source) and lab.writable() == "node"
            process.kill()
            begun = time.monotonic()
        goes_on(lab, writers, begun)
        process.communicate()
        assert lab.writable() == "node"
        check_let_go(lab, "node")
        assert lab.cutover("back")["writable"] == "source"
        writers.go_on()
    assert not writers.failed, writers.failed[:3]
    check_nothing_lost(writers, lab.source)
    wait_equal(lab)


@pytest.mark.parametrize("first", ["forward", "back"])
def test_the_other_way_at_once(lab: PooledLab, first: str) -> None:
    """Nobody has to know that replication has not turned round yet."""
    other = "back" if first == "forward" else "forward"
    if first == "back":
        assert lab.cutover()["changed"]
    with Writers(lab.pooler.dsn) as writers:
        kill_at(lab, writers, first, "lift")
        assert lab.cutover(other, check=True)["problems"] == []
        result = lab.cutover(other)
        assert not result["failed"] and result["changed"], result
        assert result["writable"] == {"forward": "node", "back": "source"}[other] and lab.agrees()
        writers.go_on()
    assert not writers.failed, writers.failed[:3]
    check_nothing_lost(writers, lab.sides[result["writable"]])
    wait_equal(lab)


def left(side: Database) -> int:
    """What a migration could have left on one side."""
    return side.sql(
        """SELECT (SELECT count(*) FROM pg_namespace WHERE nspname ~ '^crossover')
                  + (SELECT count(*) FROM pg_publication)
                  + (SELECT count(*) FROM pg_trigger WHERE tgname ~ '^crossover')
                  + (SELECT count(*) FROM pg_subscription WHERE subdbid = d.oid)
                  + (SELECT count(*) FROM pg_replication_slots WHERE database = d.datname) AS n
           FROM pg_database d WHERE datname = current_database()""",
        superuser=True,
    )[0]["n"]


def test_rollback_after_a_cutover_that_was_killed_removes_everything(lab: PooledLab, tmp_path: Path) -> None:
    with Writers(lab.pooler.dsn) as writers:
        kill_at(lab, writers, "forward", "commit")
        assert lab.slots(lab.target) == [lab.names.back_slot]
        inventory = Inventory(tmp_path, lab.source.login, lab.target.login, crossover_route=lab.route)
        play = inventory.play("rollback")
        assert play.rc == 0, play.output[-4000:]
        writers.go_on()
        assert left(lab.source) == left(lab.target) == 0
    assert not writers.failed, writers.failed[:3]
    check_nothing_lost(writers, lab.source)
