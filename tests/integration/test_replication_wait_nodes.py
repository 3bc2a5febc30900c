# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""replication_wait on several nodes at once: one source (16), two nodes (18)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.cluster import Cluster
from support.database import Database

SCHEMA = """
CREATE SCHEMA crossover;
CREATE TABLE crossover.canary (side text PRIMARY KEY, token text NOT NULL,
                               at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE public.t (id int PRIMARY KEY, v text);
"""


class Mesh:
    """A source with a publication, and two nodes that subscribe to it."""

    def __init__(self, source: Database, nodes: list[Database], run_module: Callable[..., dict[str, Any]]) -> None:
        self.source, self.run = source, run_module
        self.nodes = {f"n{number}": node for number, node in enumerate(nodes, 1)}
        for db in (source, *nodes):
            db.sql(SCHEMA)
        source.sql("INSERT INTO public.t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i")
        source.sql("CREATE PUBLICATION p FOR TABLE crossover.canary, public.t")

    def name(self, node: str) -> str:
        return f"s_{self.nodes[node].name}_{node}"

    def subscribe(self, *names: str) -> None:
        for node in names:
            text = f"CREATE SUBSCRIPTION {self.name(node)} CONNECTION '{self.source.dsn}' PUBLICATION p"
            self.nodes[node].sql(text)

    def wait(self, condition: str, check: bool = False, **args: Any) -> dict[str, Any]:
        nodes = [{"name": n, "subscription": self.name(n), **db.login} for n, db in self.nodes.items()]
        options = {"condition": condition, "source": self.source.login, "nodes": nodes, **args}
        found = self.run("replication_wait", options, check=check)
        assert not found["changed"] and self.source.login["login_password"] not in str(found)
        assert all(db.login["login_password"] not in str(found) for db in self.nodes.values())
        return found


@pytest.fixture
def mesh(source_db: Database, target_db: Database, target_cluster: Cluster, run_module: Any) -> Iterator[Mesh]:
    second = Database(target_cluster).create()
    try:
        yield Mesh(source_db, [target_db, second], run_module)
    finally:
        second.drop()


def test_one_barrier_is_passed_by_all_or_names_who_lags(mesh: Mesh) -> None:
    mesh.subscribe("n1")
    missing = mesh.wait("barrier", timeout=30)
    assert missing["failure"]["code"] == "no_subscription" and f"{mesh.name('n2')} on n2" in missing["msg"], missing
    assert "no such subscription yet" in mesh.wait("barrier", check=True)["msg"]
    assert not mesh.source.sql("SELECT FROM crossover.canary"), "no barrier was taken"
    mesh.subscribe("n2")

    synced = mesh.wait("synced", timeout=60)
    assert synced["met"], synced
    assert {n: one["tables_ready"] for n, one in synced["measurement"]["nodes"].items()} == {"n1": 2, "n2": 2}
    assert synced["tables"] == ["crossover.canary", "public.t"] and synced["rows"] == 10_000

    mesh.source.sql("INSERT INTO public.t SELECT i FROM generate_series(10001, 11000) i")
    slots = [mesh.name(n) for n in mesh.nodes]
    nodes = [{"name": n, "subscription": mesh.name(n), "slots": slots, **db.login} for n, db in mesh.nodes.items()]
    more: list[dict[str, Any]] = [{}, {"nodes": nodes}]
    for given in more:
        passed = mesh.wait("barrier", timeout=30, **given)
        assert passed["met"], passed
        feeds = passed["measurement"]["subscriptions"]
        assert [(f["node"], f["passed"], f["slot"]) for f in feeds] == [(n, True, mesh.name(n)) for n in mesh.nodes]
        tokens = [db.sql("SELECT token FROM crossover.canary") for db in (mesh.source, *mesh.nodes.values())]
        assert tokens[0] == tokens[1] == tokens[2], "one barrier, taken once"
    assert [db.sql("SELECT count(*) AS n FROM t")[0]["n"] for db in mesh.nodes.values()] == [6000, 6000]
    before = tokens[0]
    assert "has passed a barrier" in mesh.wait("barrier", check=True)["msg"]
    assert mesh.source.sql("SELECT token FROM crossover.canary") == before, "check mode takes none"

    # one node applies nothing more: its writes wait
    with mesh.nodes["n2"].connect() as holder:
        holder.execute("BEGIN; LOCK TABLE public.t IN SHARE MODE")
        mesh.source.sql("INSERT INTO public.t SELECT i, repeat('y', 100) FROM generate_series(20001, 25000) i")
        late = mesh.wait("barrier", timeout=2)
        assert late["failed"] and late["failure"]["code"] == "barrier_timeout", late
        assert f"n2: {mesh.name('n2')}: canary not seen, " in late["msg"] and "iB behind" in late["msg"]
        assert "n1:" not in late["msg"] and late["failure"]["object"] == mesh.name("n2")
        states = {f["node"]: f for f in late["measurement"]["subscriptions"]}
        assert states["n1"]["passed"] and not states["n2"]["passed"] and states["n2"]["lag_bytes"] > 500_000
        behind = mesh.wait("lag", timeout=2, max_lag_bytes=100_000)
        assert behind["failed"] and "n2: the lag is " in behind["msg"] and "n1:" not in behind["msg"], behind
        lags = {n: one["lag_bytes"] for n, one in behind["measurement"]["nodes"].items()}
        assert lags["n1"] < 100_000 < lags["n2"] == behind["measurement"]["lag_bytes"]
        planned = mesh.wait("lag", check=True, max_lag_bytes=100_000)
        assert not planned["failed"] and not planned["met"] and planned["measurement"]["nodes"]
    for _twice in range(2):
        assert mesh.wait("barrier", timeout=30)["met"] and mesh.wait("lag", timeout=30)["met"]


def test_who_is_not_in_sync_and_who_is_broken(mesh: Mesh) -> None:
    with mesh.nodes["n2"].connect() as holder:
        holder.execute("BEGIN; LOCK TABLE public.t IN SHARE MODE")
        mesh.subscribe("n1", "n2")
        late = mesh.wait("synced", timeout=4)
        assert late["failed"] and "n2: 1 of 2 tables are in sync; not yet: public.t; " in late["msg"], late
        assert "left to copy" in late["msg"] and "n1:" not in late["msg"]
        assert late["measurement"]["nodes"]["n1"]["percent"] == 100 and late["measurement"]["tables_ready"] == 3
    assert mesh.wait("synced", timeout=60)["met"]
    mesh.nodes["n2"].sql(f"ALTER SUBSCRIPTION {mesh.name('n2')} DISABLE")
    for condition in ("synced", "barrier", "lag"):
        broken = mesh.wait(condition, timeout=60, max_lag_bytes=-1)
        assert broken["failed"] and f"{mesh.name('n2')} is disabled" in broken["msg"] and "n2: " in broken["msg"]
    twice = mesh.wait("lag", nodes=[{"name": "n1", "subscription": "s", **mesh.nodes["n1"].login}] * 2)
    assert twice["failed"] and "nodes names n1 twice" in twice["msg"]
    both = mesh.wait("lag", subscription="s")
    assert both["failed"] and "mutually exclusive" in both["msg"]
    back = mesh.wait("lag", direction="back")
    assert back["failed"] and "subscription" in back["msg"]
