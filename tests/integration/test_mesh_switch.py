# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch onto a mesh of three real Spock nodes, and back: nothing that was written on any node is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.cluster import Cluster
from support.database import Database
from support.mesh import WHY, raise_nodes, spock_bindir
from support.mesh_switch import MeshLab, exactly_once, replicating_mesh, wait_all_equal
from support.pooler import Pooler, binary
from support.switch import PASSWORD
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
