# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part is lost while the sides are switched, a pooler or the node: the rest of the application goes on."""

from __future__ import annotations

import signal
from typing import Iterator

import pytest
from support.pooler import Pooler, binary
from support.switch import PASSWORD, PooledLab, Stop, check_nothing_lost, ended, wait_equal
from support.writers import Writers

pytestmark = pytest.mark.skipif(binary() is None, reason="no pgbouncer on this machine")


@pytest.fixture
def second(lab: PooledLab) -> Iterator[Pooler]:
    """Another PgBouncer; it is the first in the route, the application's the second."""
    with Pooler(lab.source.login, lab.app, PASSWORD) as pooler:
        alive = lab.pooler
        lab.through(pooler, alive)
        lab.pooler = alive
        yield pooler


def without(lab: PooledLab) -> None:
    """The operator takes the lost pooler out of the route."""
    lab.through(lab.pooler)


def test_a_pooler_that_is_dead_already(lab: PooledLab, second: Pooler) -> None:
    second.kill()
    with Writers(lab.pooler.dsn) as writers:
        result = lab.cutover()
        assert result["failed"] and result["failure"]["code"] == "unreachable", result
        assert f"pooler 127.0.0.1:{second.port}" in result["msg"] and "Nothing was changed" in result["msg"]
        assert not any(step["held"] for step in result["steps"])
        assert lab.epoch() == 1 and lab.agrees() and not lab.slots(lab.target)
        assert lab.cutover(check=True)["problems"] != []
    assert not writers.failed and writers.longest < 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stalled"])
def test_a_pooler_that_is_lost_when_it_shall_hold(lab: PooledLab, second: Pooler, number: signal.Signals) -> None:
    with Writers(lab.pooler.dsn) as writers:
        with Stop(lab, "hold") as stop:
            process = lab.start()
            stop.reached(process)
            second.signal(number)
        writers.go_on(within=5)
        result = ended(process)
        assert result["failed"] and f"pooler 127.0.0.1:{second.port}" in result["msg"], result
        assert "the source is writable and the application goes on there" in result["msg"].lower(), result["msg"]
        assert lab.writable() == "source" and lab.agrees() and not int(lab.pooler.show()["paused"])
        without(lab)
        again = lab.cutover()
        assert not again["failed"] and again["hold_ms"] < 1000, again
        writers.go_on()
    assert not writers.failed and writers.longest < 5
    check_nothing_lost(writers, lab.target)


def test_a_pooler_that_dies_while_it_holds(lab: PooledLab, second: Pooler) -> None:
    with Writers(lab.pooler.dsn) as writers:
        with Stop(lab, "commit") as stop:
            process = lab.start()
            stop.reached(process)
            second.kill()
        writers.go_on(within=5)
        result = ended(process)
        assert result["failed"] and f"pooler 127.0.0.1:{second.port}" in result["msg"], result
        assert "the switch is done, the node is writable" in result["msg"].lower(), result["msg"]
        assert lab.agrees() and lab.pooler.show()["port"] == lab.target.login["login_port"]
        second.start()
        assert lab.cutover()["writable"] == "node"
        assert not lab.cutover()["changed"]
        assert second.show()["port"] == lab.target.login["login_port"] and not int(second.show()["paused"])
    assert not writers.failed and writers.longest < 5
    check_nothing_lost(writers, lab.target)
    wait_equal(lab)


@pytest.mark.parametrize("how", ["stopped", "stalled"])
def test_the_node_is_lost_before_the_point_of_no_return(lab: PooledLab, how: str) -> None:
    node = lab.target.cluster
    with Writers(lab.pooler.dsn) as writers:
        with Stop(lab, "drain") as stop:
            process = lab.start(window_timeout=2.0)
            stop.reached(process)
            try:
                node.stop("immediate") if how == "stopped" else node.signal(signal.SIGSTOP)
                writers.go_on(within=5)
                result = ended(process)
                assert result["failed"] and result["failure"]["code"] != "defect", result
                assert "the source is writable and the application goes on there" in result["msg"].lower(), result[
                    "msg"
                ]
                assert result["writable"] == "source" and not lab.refuses(lab.source)
            finally:
                node.start() if how == "stopped" else node.signal(signal.SIGCONT)
        assert lab.agrees()
        again = lab.cutover()
        assert not again["failed"] and again["writable"] == "node", again
        writers.go_on()
    assert not writers.failed, writers.failed[:3]
    check_nothing_lost(writers, lab.target)
    wait_equal(lab)


def test_the_source_is_lost_after_the_point_of_no_return(lab: PooledLab) -> None:
    source = lab.source.cluster
    with Writers(lab.pooler.dsn) as writers:
        with Stop(lab, "stop_feed") as stop:
            process = lab.start()
            stop.reached(process)
            source.stop("immediate")
        try:
            writers.go_on(within=5)
            result = ended(process)
            assert result["failed"] and str(lab.source.login["login_port"]) in result["msg"], result
            assert "the node is writable and the application goes on there" in result["msg"].lower(), result["msg"]
            assert result["writable"] == "unknown" and result["table"]
        finally:
            source.start()
        again = lab.cutover()
        assert not again["failed"] and again["changed"] and again["writable"] == "node" and lab.agrees(), again
        writers.go_on()
    assert not writers.failed, writers.failed[:3]
    check_nothing_lost(writers, lab.target)
    wait_equal(lab)
