# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch onto a mesh of three real Spock nodes, and back: nothing that was written on any node is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.cluster import Cluster, wheel_bindir
from support.database import Database
from support.mesh import WHY, raise_nodes, spock_bindir
from support.mesh_switch import MeshLab, exactly_once, replicating_mesh, wait_all_equal
from support.pooler import Pooler, binary
from support.switch import PASSWORD, Stop, ended
from support.writers import Writers

BINDIR = spock_bindir()
pytestmark = [
    pytest.mark.mesh,
    pytest.mark.skipif(BINDIR is None, reason=WHY),
    pytest.mark.skipif(binary() is None, reason="no pgbouncer on this machine"),
]


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Cluster]]:
    assert BINDIR is not None
    made = raise_nodes(3, BINDIR)
    try:
        yield made
    finally:
        for node in made:
            node.remove()


@pytest.fixture
def lab(source_db: Database, nodes: list[Cluster], run_module: Any) -> Iterator[MeshLab]:
    """A source, three nodes, and a PgBouncer in front."""
    made = MeshLab(source_db, [Database(node, source_db.name).create() for node in nodes], run_module)
    with replicating_mesh(made), Pooler(source_db.login, made.app, PASSWORD) as pooler:
        made.through(pooler)
        yield made


FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
CLOCK = "the source's clock cannot be set apart: no libfaketime on this machine"


@pytest.fixture
def ahead(request: pytest.FixtureRequest, nodes: list[Cluster], run_module: Any) -> Iterator[tuple[MeshLab, Writers]]:
    """The same with a source of its own, whose clock is ahead of the nodes'; and writers through the pooler."""
    fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": request.param, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    bindir = os.environ.get("CROSSOVER_TEST_SOURCE_BIN") or wheel_bindir(16)
    cluster = Cluster(bindir, fast=True, environment=fake)
    try:
        source = Database(cluster.create()).create()
        made = MeshLab(source, [Database(node, source.name).create() for node in nodes], run_module)
        with replicating_mesh(made), Pooler(source.login, made.app, PASSWORD) as pooler:
            made.through(pooler)
            with Twice(pooler.dsn) as writers:
                yield made, writers
    finally:
        cluster.remove()


class Twice(Writers):
    """Each transaction makes a row, and changes the one that was made a few transactions before."""

    BEFORE = 20

    def transaction(self, conn: psycopg.Connection[Any], client: int, number: int) -> None:
        with conn.transaction():
            super().transaction(conn, client, number)
            conn.execute(
                "UPDATE shop.entry SET version = version + 1 WHERE client = %s AND number = %s",
                [client, number - self.BEFORE],
            )


def on_every_node(lab: MeshLab, stack: contextlib.ExitStack, first: int) -> list[Writers]:
    """Clients that write on each node itself, beside the pooler."""
    return [
        stack.enter_context(Writers(lab.app_dsn(node), 2, first=first + 10 * number))
        for number, node in enumerate(lab.nodes)
    ]


def test_there_and_back_and_there(lab: MeshLab) -> None:
    with Writers(lab.pooler.dsn) as pooled:
        there = lab.cutover()
        assert not there["failed"] and there["writable"] == "node" and not there.get("warnings"), there
        assert lab.agrees()
        with contextlib.ExitStack() as stack:
            beside = on_every_node(lab, stack, 100)
            for writers in beside:
                writers.go_on()
            lab.burst(200)
            back = lab.cutover("back")
            assert not back["failed"] and back["writable"] == "source", back
            assert lab.agrees()
            pooled.go_on()
        assert {failure[:5] for writers in beside for failure in writers.failed} == {"25006"}
        exactly_once(lab.source, pooled, *beside)
        assert lab.source.sql("SELECT count(*) AS n FROM shop.entry WHERE client >= 200") == [{"n": 1500}]
        time.sleep(0.3)
        again = lab.cutover()
        assert not again["failed"] and again["writable"] == "node", again
        with contextlib.ExitStack() as stack:
            after = on_every_node(lab, stack, 300)
            for writers in after:
                writers.go_on()
        assert not any(writers.failed for writers in after)
    assert not pooled.failed and pooled.longest < 2
    for side in lab.all_sides:
        wait_all_equal(lab)
        exactly_once(side, pooled, *beside, *after)


def go_on(lab: MeshLab, writers: Writers, begun: float) -> None:
    """The application goes on within seconds, on the side that the control row names and on no other."""
    writers.go_on(within=5)
    assert time.monotonic() - begun < 6
    assert not int(lab.pooler.show()["paused"])
    assert lab.pooler.show()["port"] == lab.sides[lab.writable()].login["login_port"]
    assert lab.agrees()


def kill_at(lab: MeshLab, writers: Writers, direction: str, step: str) -> None:
    with Stop(lab, step) as stop:
        process = lab.start(direction)
        stop.reached(process)
        process.kill()
        begun = time.monotonic()
        stop.let_go()
        go_on(lab, writers, begun)
        process.communicate()


@pytest.mark.parametrize(("step", "side"), [("drain", "source"), ("commit", "source"), ("lift", "node")])
def test_killed_on_the_way_there(lab: MeshLab, step: str, side: str) -> None:
    with Writers(lab.pooler.dsn) as pooled:
        kill_at(lab, pooled, "forward", step)
        assert lab.writable() == side
        again = lab.cutover()
        assert not again["failed"] and again["changed"] and again["writable"] == "node", again
        assert not lab.cutover()["changed"] and lab.agrees()
        pooled.go_on()
    assert not pooled.failed, pooled.failed[:3]
    wait_all_equal(lab)
    exactly_once(lab.nodes[2], pooled)


@pytest.mark.parametrize(
    ("step", "side"), [("drain_further", "node"), ("drain", "node"), ("commit", "node"), ("point", "source")]
)
def test_killed_on_the_way_back(lab: MeshLab, step: str, side: str) -> None:
    assert lab.cutover()["changed"]
    with Writers(lab.pooler.dsn) as pooled, Writers(lab.app_dsn(lab.nodes[1]), 2, first=100) as beside:
        beside.go_on()
        kill_at(lab, pooled, "back", step)
        assert lab.writable() == side
        if side == "node":
            beside.go_on()
        again = lab.cutover("back")
        assert not again["failed"] and again["changed"] and again["writable"] == "source", again
        assert not lab.cutover("back")["changed"] and lab.agrees()
        pooled.go_on()
    assert not pooled.failed and {failure[:5] for failure in beside.failed} == {"25006"}, pooled.failed[:3]
    wait_all_equal(lab)
    exactly_once(lab.source, pooled, beside)


@pytest.mark.parametrize(("direction", "step"), [("forward", "drain"), ("back", "drain_further"), ("back", "fence")])
def test_a_further_node_freezes_in_the_window(lab: MeshLab, direction: str, step: str) -> None:
    frozen = lab.nodes[2].cluster
    old = "source" if direction == "forward" else "node"
    if direction == "back":
        assert lab.cutover()["changed"]
    with Writers(lab.pooler.dsn) as pooled:
        with Stop(lab, step) as stop:
            process = lab.start(direction, window_timeout=2.0)
            stop.reached(process)
            try:
                frozen.signal(signal.SIGSTOP)
                stop.let_go()
                pooled.go_on(within=6)
                result = ended(process)
                assert lab.writable() == old and not lab.refuses(lab.sides[old])
            finally:
                frozen.signal(signal.SIGCONT)
        assert result["failed"] and result["failure"]["code"] != "defect", result
        assert f"the {old} is writable and the application goes on there" in result["msg"].lower(), result["msg"]
        until = time.monotonic() + 10
        while not lab.agrees():
            assert time.monotonic() < until, "the node that was frozen is not let in on"
            time.sleep(0.2)
        again = lab.cutover(direction)
        assert not again["failed"] and again["changed"], again
        pooled.go_on()
    assert not pooled.failed and pooled.longest < 6, pooled.failed[:3]
    wait_all_equal(lab)
    exactly_once(lab.source, pooled)


def test_a_further_node_freezes_once_the_switch_is_done(lab: MeshLab) -> None:
    """It keeps nobody from going on on the others, and is told; the next run lets it in on."""
    frozen = lab.nodes[2].cluster
    with Writers(lab.pooler.dsn) as pooled:
        with Stop(lab, "lift") as stop:
            process = lab.start()
            stop.reached(process)
            frozen.signal(signal.SIGSTOP)
            try:
                stop.let_go()
                pooled.go_on(within=5)
                with Writers(lab.app_dsn(lab.nodes[1]), 1, first=100) as beside:
                    beside.go_on()
                result = ended(process, timeout=120)
            finally:
                frozen.signal(signal.SIGCONT)
        assert not result["failed"] and result["writable"] == "node", result
        told = str(result["warnings"])
        assert "n3 " in told and "still fenced" in told, told
        assert lab.slots(lab.source) == [], "nothing more is sent to it"
        again = lab.cutover()
        assert not again["failed"] and again["changed"] and lab.agrees(), again
        assert not lab.cutover()["changed"]
        back = lab.cutover("back")
        assert not back["failed"] and back["writable"] == "source", back
    assert not pooled.failed and pooled.longest < 5
    wait_all_equal(lab)
    exactly_once(lab.source, pooled, beside)


@pytest.mark.parametrize("direction", ["forward", "back"])
def test_a_further_node_is_dead_already(lab: MeshLab, direction: str) -> None:
    if direction == "back":
        assert lab.cutover()["changed"]
        lab.burst(200)
    epoch, dead = lab.epoch(), lab.nodes[2].cluster
    with Writers(lab.pooler.dsn) as pooled:
        dead.stop("immediate")
        try:
            begun = time.monotonic()
            result = lab.cutover(direction)
            assert time.monotonic() - begun < 20
            planned = lab.cutover(direction, check=True)
        finally:
            dead.start()
        assert result["failed"] and "n3 " in result["msg"] and "nothing was changed" in result["msg"].lower(), result
        if direction == "back":
            assert result["failure"]["code"] == "node_away", result
            assert "what was written on n3 may not have reached n1" in result["msg"]
        assert not any(step["held"] for step in result["steps"]) and lab.epoch() == epoch
        assert any("n3 " in problem for problem in planned["problems"]), planned
        assert pooled.longest < 2
        until = time.monotonic() + 30
        while (again := lab.cutover(direction))["failed"]:
            assert again["failure"]["code"] in ("mesh_unhealthy", "feed_unhealthy") and time.monotonic() < until, again
            time.sleep(1)
        assert again["changed"] and lab.agrees()
    assert not pooled.failed
    wait_all_equal(lab)
    exactly_once(lab.source, pooled)


def test_the_publishing_node_is_lost_after_the_cutover(lab: MeshLab) -> None:
    assert lab.cutover()["changed"]
    lab.burst(200)
    lost = lab.target.cluster
    with contextlib.ExitStack() as stack:
        beside = [
            stack.enter_context(Writers(lab.app_dsn(node), 2, first=100 + 10 * number))
            for number, node in enumerate(lab.nodes[1:])
        ]
        lost.stop("immediate")
        try:
            for writers in beside:
                writers.go_on()
            begun = time.monotonic()
            refused = lab.cutover("back")
            assert time.monotonic() - begun < 15
            assert refused["failed"] and refused["failure"]["code"] == "node_away", refused
            assert "goes to the source through n1, which cannot be reached" in refused["msg"]
            status = lab.run("migration_info", {**lab.target.login, **lab.status_args()})
            assert not status["failed"] and not status["reachable"] and status["writable"] == "node", status
            screen = "\n".join(status["screen"])
            assert "the application goes on on n2, n3" in screen and "rollback refuses until then" in screen, screen
            assert (
                status["nodes"]["n1"]
                == {
                    **status["nodes"]["n1"],
                    "publishing": True,
                    "reachable": False,
                }
                and status["nodes"]["n2"]["fenced"] is False
            )
        finally:
            lost.start()
        until = time.monotonic() + 60
        while (back := lab.cutover("back"))["failed"]:
            assert back["failure"]["code"] in ("mesh_unhealthy", "feed_unhealthy") and time.monotonic() < until, back
            time.sleep(1)
        assert back["changed"] and lab.agrees()
    assert not any(lab.refuses(side) for side in [lab.source])
    wait_all_equal(lab)
    exactly_once(lab.source, *beside)
    assert lab.source.sql("SELECT count(*) AS n FROM shop.entry WHERE client >= 200") == [{"n": 1500}]


STATUS = "SELECT status FROM spock.sub_show_status()"
SLOW = """
CREATE FUNCTION shop.slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.number = -2 THEN PERFORM pg_sleep(2); END IF; RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE UPDATE ON shop.entry FOR EACH ROW EXECUTE FUNCTION shop.slow();
ALTER TABLE shop.entry ENABLE ALWAYS TRIGGER slow;
"""


def deadlock(one: Database, two: Database) -> None:
    """The second node's apply worker and a session of its own wait for each other, and the worker gives way."""
    one.sql("INSERT INTO shop.entry (client, number) SELECT 900, -n FROM generate_series(1, 3) n")
    waited(lambda: two.sql("SELECT count(*) AS n FROM shop.entry WHERE client = 900") == [{"n": 3}])
    two.sql(SLOW, superuser=True)
    with two.connect(superuser=True) as app:
        app.autocommit = False
        app.execute("SET deadlock_timeout = '60s'")
        app.execute("UPDATE shop.entry SET version = 1 WHERE number = -3")
        one.sql("UPDATE shop.entry SET version = 2 WHERE client = 900")
        asleep = "SELECT FROM pg_stat_activity WHERE backend_type ~ '^spock apply' AND wait_event = 'PgSleep'"
        waited(lambda: bool(two.sql(asleep, superuser=True)))
        app.execute("UPDATE shop.entry SET version = 1 WHERE number = -1")
        app.commit()
    two.sql("DROP FUNCTION shop.slow CASCADE", superuser=True)


def waited(ready: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_a_node_has_discarded_is_seen(lab: MeshLab) -> None:
    """Spock 5 discards a transaction that meets a deadlock, and goes on replicating; Spock 6 tries it again."""
    assert not lab.cutover()["failed"]
    two = lab.nodes[1]
    deadlock(lab.nodes[0], two)
    lost = "SELECT FROM spock.exception_log"
    there = "SELECT FROM shop.entry WHERE number = -2 AND version = 2"
    waited(lambda: bool(two.sql(lost, superuser=True) or two.sql(there)))
    if two.sql(there):
        assert not lab.cutover("back")["failed"]
        return
    waited(lambda: all(row["status"] == "replicating" for row in two.sql(STATUS, superuser=True)))
    refused = lab.cutover("back")
    assert refused["failed"] and "1 transaction(s) of other nodes were discarded there" in refused["msg"], refused
    assert "deadlock detected" in refused["msg"] and refused["failure"]["code"] == "mesh_unhealthy" and lab.agrees()


def test_a_burst_on_every_node_right_before_the_fence(lab: MeshLab) -> None:
    assert lab.cutover()["changed"]
    with Stop(lab, "fence_further") as stop:
        process = lab.start("back")
        stop.reached(process)
        lab.burst(200)
    result = ended(process)
    assert not result["failed"] and result["writable"] == "source", result
    assert lab.source.sql("SELECT count(*) AS n FROM shop.entry WHERE client >= 200") == [{"n": 1500}]
    wait_all_equal(lab)


@pytest.mark.skipif(FAKETIME is None, reason=CLOCK)
@pytest.mark.parametrize("ahead", ["+4s"], indirect=True)
def test_a_source_clock_that_is_far_ahead_is_refused(ahead: tuple[MeshLab, Writers]) -> None:
    lab, writers = ahead
    assert any("clock" in problem for problem in lab.cutover(check=True)["problems"])
    result = lab.cutover()
    assert result["failed"] and result["failure"]["code"] == "clock_skew", result
    assert "behind that of the source" in result["msg"] and "nothing was changed" in result["msg"].lower()
    assert lab.epoch() == 1 and lab.names.back_slot not in lab.slots(lab.target)
    assert not any(step["held"] for step in result["steps"])
    assert writers.longest < 1 and not writers.failed


@pytest.mark.skipif(FAKETIME is None, reason=CLOCK)
@pytest.mark.parametrize("ahead", ["+1.5s"], indirect=True)
def test_a_source_clock_that_is_ahead_a_little_is_waited_out(ahead: tuple[MeshLab, Writers]) -> None:
    """Else what is changed on a node at once would lose, on the others, against what the source had written."""
    lab, writers = ahead
    result = lab.cutover(clock_skew=2.0)
    assert not result["failed"], result
    waited = next(step for step in result["steps"] if step["name"] == "clock")
    assert waited["held"] and 200 < waited["ms"] < 1600, waited
    writers.go_on()
    writers.stop.set()
    for thread in writers.threads:
        thread.join(20)
    wait_all_equal(lab)
    exactly_once(lab.nodes[1], writers)
    changed = "SELECT count(*) AS n FROM shop.entry WHERE version <> 1"
    assert lab.nodes[1].sql(changed) == [{"n": Twice.BEFORE * 3}], "all but each client's last ones were changed once"
