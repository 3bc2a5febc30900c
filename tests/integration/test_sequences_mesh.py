# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences on three nodes, there and back, against real servers; on real Spock what is done on a node stays there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_sequences_carry import Carry
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_sequences_choice import Choice
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login, connect
from support.cluster import Cluster
from support.database import Database
from support.mesh import ON_SPOCK, join

Run = Callable[..., dict[str, Any]]

SEQUENCES = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
CREATE TABLE shop.legacy (id serial PRIMARY KEY, note text);
CREATE SEQUENCE shop.tens INCREMENT 10 START 5;
CREATE SEQUENCE shop.down INCREMENT -2;
CREATE SEQUENCE shop.small AS smallint MAXVALUE 40 START 15;
CREATE SEQUENCE shop.ring MINVALUE 1 MAXVALUE 12 CYCLE;
CREATE SEQUENCE shop.ring_down INCREMENT -1 MINVALUE 1 MAXVALUE 12 CYCLE;
CREATE SEQUENCE shop.cached CACHE 20;
CREATE SEQUENCE shop.untouched START 7;
CREATE SEQUENCE shop."odd; ""Seq"".1";
"""
LINEAR = ["shop.orders_id_seq", "shop.legacy_id_seq", "shop.tens", "shop.down", "shop.small", "shop.cached",
          "shop.untouched", 'shop."odd; ""Seq"".1"']  # fmt: skip


@pytest.fixture
def nodes(target_cluster: Cluster) -> Iterator[list[Database]]:
    """Three databases on one server: nodes that nothing connects."""
    made = [Database(target_cluster).create() for _node in range(3)]
    try:
        yield made
    finally:
        for node in made:
            node.drop()


@pytest.fixture
def all_four(source_db: Database, nodes: list[Database]) -> tuple[Database, list[Database]]:
    source_db.as_owner(SEQUENCES)
    for node in nodes:
        node.sql(SEQUENCES)
    return source_db, nodes


def arguments(all_four: tuple[Database, list[Database]], **more: Any) -> dict[str, Any]:
    source, nodes = all_four
    further = [{**node.login, "name": f"n{k}"} for k, node in enumerate(nodes[1:], 2)]
    return {**nodes[0].login, "source": source.login, "further_nodes": further, "gap": 0, **more}


def draw(database: Database, name: str, calls: int = 1) -> list[int]:
    query = "SELECT nextval(%s::regclass) AS v FROM generate_series(1, %s)"
    return [row["v"] for row in database.sql(query, [name, calls], superuser=True)]


def state(database: Database, name: str) -> tuple[int, bool]:
    (row,) = database.sql(f"SELECT last_value, is_called FROM {name}", superuser=True)
    return row["last_value"], row["is_called"]


class Handed:
    """Every value that any server has handed out, of each sequence."""

    def __init__(self) -> None:
        self.values: dict[str, set[int]] = {}

    def out(self, database: Database, calls: int) -> None:
        for name in LINEAR:
            for value in draw(database, name, calls if name != "shop.small" else min(calls, 1)):
                known = self.values.setdefault(name, set())
                assert value not in known, f"{name}: {value} twice"
                known.add(value)


def test_there_and_back_and_there(all_four: tuple[Database, list[Database]], run_module: Run) -> None:
    source, nodes = all_four
    handed = Handed()
    handed.out(source, 5)

    planned = run_module("sequence_sync", arguments(all_four), check=True)
    assert planned["changed"] and state(nodes[0], "shop.tens") == (5, False)
    done = run_module("sequence_sync", arguments(all_four))
    assert not done["failed"], done
    assert done["queries"] == planned["queries"] and done["diff"] == planned["diff"]
    assert {move["node"] for move in done["moved"]} == {"n1", "n2", "n3"}
    assert "shop.tens on n2" in done["diff"]["after"]
    assert done["diff"]["after"]["shop.orders_id_seq on n2"] == {
        "increment": 3, "is_called": False, "last_value": 8, "maximum": 2147483647, "minimum": 1, "start": 2,
    }  # fmt: skip
    again = run_module("sequence_sync", arguments(all_four))
    assert not again["changed"] and again["queries"] == []

    for calls in (3, 9, 1):
        for node in nodes:
            handed.out(node, calls)
    back = run_module("sequence_sync", arguments(all_four, direction="back"))
    assert not back["failed"] and {move["node"] for move in back["moved"]} == {"source"}, back
    assert not run_module("sequence_sync", arguments(all_four, direction="back"))["changed"]
    handed.out(source, 4)

    forth = run_module("sequence_sync", arguments(all_four))
    assert forth["changed"] and not any("ALTER" in query for query in forth["queries"])
    for node in reversed(nodes):
        handed.out(node, 2)
    (definition,) = source.sql("SELECT seqincrement, seqstart FROM pg_sequence WHERE seqrelid = 'shop.tens'::regclass")
    assert definition == {"seqincrement": 10, "seqstart": 5}, "the source's definitions are left alone"


def test_circles_and_restarts_stay_in_their_classes(all_four: tuple[Database, list[Database]], run_module: Run) -> None:
    source, nodes = all_four
    draw(source, "shop.ring", 14)
    draw(source, "shop.ring_down", 3)
    run_module("sequence_sync", arguments(all_four))
    for name in ("shop.ring", "shop.ring_down"):
        seen = [set(draw(node, name, 9)) for node in nodes]
        assert [len(values) for values in seen] == [4, 4, 4] and not seen[0] & seen[1] | seen[1] & seen[2]
    for k, node in enumerate(nodes):
        node.sql("TRUNCATE shop.orders RESTART IDENTITY")
        assert draw(node, "shop.orders_id_seq") == [1 + k]


def test_keep_exceptions_and_a_stride_with_room(all_four: tuple[Database, list[Database]], run_module: Run) -> None:
    source, nodes = all_four
    draw(source, "shop.tens", 2)
    draw(source, "shop.legacy_id_seq", 3)
    chosen = {"stride": 10, "exceptions": [{"sequence": "shop.tens", "how": "keep"},
                                           {"sequence": "shop.none", "how": "keep"},
                                           {"sequence": "shop.ring", "how": "keep"},
                                           {"sequence": "shop.ring_down", "how": "snowflake"}]}  # fmt: skip
    done = run_module("sequence_sync", arguments(all_four, sequences=chosen))
    assert not done["failed"], done
    assert "there is no sequence shop.none" in str(done["warnings"])
    assert [draw(node, "shop.tens") for node in nodes] == [[25]] * 3
    assert [draw(node, "shop.legacy_id_seq", 2) for node in nodes] == [[11, 21], [12, 22], [13, 23]]


def test_too_few_values_are_refused_before_anything(all_four: tuple[Database, list[Database]], run_module: Run) -> None:
    source, nodes = all_four
    draw(source, "shop.small", 25)  # 39: one value is left
    for check in (True, False):
        failed = run_module("sequence_sync", arguments(all_four), check=check)
        assert failed["failed"] and failed["failure"]["code"] == "sequence_too_small"
        assert "shop.small" in failed["msg"] and "keep" in failed["msg"]
    assert state(nodes[0], "shop.tens") == (5, False)
    draw(source, "shop.small", 1)
    done = run_module("sequence_sync", arguments(all_four))
    assert not done["failed"] and "sequence shop.small on n1: no value is left" in str(done["warnings"])
    with pytest.raises(Exception, match="reached maximum value"):
        draw(nodes[0], "shop.small")
    assert not run_module("sequence_sync", arguments(all_four))["changed"]


def test_a_missing_ownership_is_told(all_four: tuple[Database, list[Database]], run_module: Run) -> None:
    _source, nodes = all_four
    nodes[1].cluster.sql("CREATE ROLE seq_visitor LOGIN PASSWORD 'x'")
    try:
        nodes[1].sql(
            "GRANT USAGE ON SCHEMA shop TO seq_visitor; GRANT ALL ON ALL SEQUENCES IN SCHEMA shop TO seq_visitor"
        )
        args = arguments(all_four)
        args["further_nodes"][0].update(login_user="seq_visitor", login_password="x")
        failed = run_module("sequence_sync", args)
        assert failed["failed"] and failed["failure"]["code"] == "sequence_denied", failed
        assert "ownership" in failed["msg"] and "seq_visitor" in failed["msg"]
    finally:
        nodes[1].sql("DROP OWNED BY seq_visitor")
        nodes[1].cluster.sql("DROP ROLE seq_visitor")


def test_a_wrong_option_is_one_sentence(all_four: tuple[Database, list[Database]], run_module: Run) -> None:
    for chosen in ({"stride": 2}, {"nodes": ["n1", "n2"]}):
        failed = run_module("sequence_sync", arguments(all_four, sequences=chosen))
        assert failed["failed"] and failed["failure"]["code"] == "bad_option"


def test_the_switchs_two_passes(all_four: tuple[Database, list[Database]]) -> None:
    """The definitions change before the window; in it there is one statement on each node, all at once."""
    source, nodes = all_four
    handed = Handed()
    with ExitStack() as stack:
        old = stack.enter_context(connect(Login.of(source.login, "source")))
        new = [stack.enter_context(connect(Login.of(node.login, "node"))) for node in nodes]
        carry = Carry([old], new, choice=Choice(stride=3))
        handed.out(source, 3)
        first = carry.first_pass()
        assert first["sequences"] == 10 and first["altered"] == 30 and first["moved"] == 30
        handed.out(source, 4)
        start = time.perf_counter()
        last = carry.last_pass()
        print(f"last pass: {1000 * (time.perf_counter() - start):.1f} ms")
        assert "altered" not in last and last["moved"] > 0
        assert carry.last_pass()["moved"] == 0
        for node in nodes:
            handed.out(node, 3)
        home = Carry(new, [old], choice=Choice(stride=3), direction="back")
        home.first_pass()
        handed.out(nodes[2], 2)
        home.last_pass()
        handed.out(source, 3)
        old.execute("SELECT 1")
        new[1].close()
        with pytest.raises((CrossoverError, Exception), match="closed|read"):
            home.last_pass()


@pytest.mark.mesh
class TestOnSpock:
    """On real Spock."""

    pytestmark = ON_SPOCK

    def test_definitions_do_not_travel_and_no_row_collides(
        self, source_db: Database, mesh_dbs: list[Database], run_module: Run
    ) -> None:
        source_db.as_owner(SEQUENCES)
        for node in mesh_dbs:
            for setting in ("enable_ddl_replication", "include_ddl_repset", "allow_ddl_from_functions"):
                node.sql(f"ALTER DATABASE {node.name} SET spock.{setting} = on", superuser=True)
            node.sql("SET spock.enable_ddl_replication = off; SET spock.include_ddl_repset = off; " + SEQUENCES,
                     superuser=True)  # fmt: skip
        for node in mesh_dbs:
            node.sql("DROP EXTENSION spock", superuser=True)  # join() makes it
        join(mesh_dbs)
        for node in mesh_dbs:
            for table in ("shop.orders", "shop.legacy"):
                node.sql("SELECT spock.repset_add_table('default', %s, false)", [table], superuser=True)
        draw(source_db, "shop.orders_id_seq", 4)
        done = run_module("sequence_sync", arguments((source_db, mesh_dbs)))
        assert not done["failed"], done
        assert not run_module("sequence_sync", arguments((source_db, mesh_dbs)))["changed"], "none has another's class"
        for k, node in enumerate(mesh_dbs):
            node.sql("INSERT INTO shop.orders (note) SELECT %s FROM generate_series(1, 50)", [f"n{k}"])
        until = time.monotonic() + 30
        while [node.sql("SELECT count(*) AS n FROM shop.orders")[0]["n"] for node in mesh_dbs] != [150] * 3:
            assert time.monotonic() < until
            time.sleep(0.1)
        for node in mesh_dbs:
            assert node.sql("SELECT count(*) AS n FROM spock.resolutions", superuser=True) == [{"n": 0}]
        back = run_module("sequence_sync", arguments((source_db, mesh_dbs), direction="back"))
        assert not back["failed"], back
        taken = {row["id"] for row in mesh_dbs[0].sql("SELECT id FROM shop.orders")}
        assert not taken & set(draw(source_db, "shop.orders_id_seq", 200))

    def test_converted_to_snowflake_it_is_left_alone(
        self, source_db: Database, mesh_dbs: list[Database], run_module: Run
    ) -> None:
        ddl = "CREATE SCHEMA shop; CREATE TABLE shop.t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)"
        source_db.as_owner(ddl)
        for node in mesh_dbs:
            node.sql(ddl)
        for k, node in enumerate(mesh_dbs, 1):
            node.sql("CREATE EXTENSION snowflake", superuser=True)
            done = run_module("snowflake_sequence", {**node.login, "schemas": ["shop"], "node_number": k})
            assert not done["failed"], done
            half = run_module("sequence_sync", arguments((source_db, mesh_dbs)))
            assert half["failed"] is (k < 3) and (k == 3 or "draws snowflakes on some nodes" in half["msg"]), half
        draw(source_db, "shop.t_id_seq", 9)
        forward = run_module("sequence_sync", arguments((source_db, mesh_dbs), sequences={"how": "snowflake"}))
        assert not forward["failed"] and not forward["changed"], forward
        ids = [node.sql("INSERT INTO shop.t (note) VALUES ('x') RETURNING id")[0]["id"] for node in mesh_dbs]
        assert len(set(ids)) == 3 and min(ids) > 2**52
        back = run_module("sequence_sync", arguments((source_db, mesh_dbs), direction="back"))
        assert not back["failed"] and not back["changed"] and state(source_db, "shop.t_id_seq") == (9, True)
