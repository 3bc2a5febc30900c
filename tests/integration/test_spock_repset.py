# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module spock_repset on real Spock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.database import Database
from support.mesh import DDL, ON_SPOCK
from support.spock import Modules, dsn, prepare, wait_for

pytestmark = ON_SPOCK

ORDER = 'shop."Order"'
SETS = """SELECT s.set_name::text AS repset, t.set_reloid::text AS name FROM spock.replication_set_table t
          JOIN spock.replication_set s USING (set_id) ORDER BY 1, 2"""


@pytest.fixture
def run(run_module: Callable[..., dict[str, Any]]) -> Modules:
    return Modules(run_module)


@pytest.fixture
def one(mesh_dbs: list[Database], run: Modules) -> Database:
    prepare(mesh_dbs[:1])
    run("spock_node", mesh_dbs[0], again=False, name="n1", dsn=dsn(mesh_dbs[0]))
    return mesh_dbs[0]


def test_life(one: Database, run: Modules) -> None:
    wanted: dict[str, Any] = {
        "replicate_truncate": False,
        "tables": [
            {"name": "shop.Order", "columns": ["total", "id", "region"], "row_filter": "region = 'EU' and total>0"},
            "shop.part",
        ],
        "sequences": ["shop.seq"],
    }
    made = run("spock_repset", one, name="eu", **wanted)
    assert made["queries"][0] == "SELECT spock.repset_create('eu', replicate_truncate := false)"
    found = made["repset"]
    assert found["replicate_truncate"] is False and found["replicate_update"] is True
    assert set(found["tables"]) == {ORDER, "shop.part", "shop.part_1"} and found["sequences"] == ["shop.seq"]
    assert found["tables"][ORDER]["columns"] == ["id", "region", "total"]
    assert made["diff"]["before"] == {} and made["diff"]["after"] == found

    again = run("spock_repset", one, name="eu", replicate_delete=False, replicate_truncate=True)
    assert again["queries"] == [
        "SELECT spock.repset_alter('eu', replicate_delete := false, replicate_truncate := true)"
    ]
    assert not run("spock_repset", one, name="eu", tables=[], sequences=[])["changed"], "nothing leaves it by itself"
    fewer = run("spock_repset", one, name="eu", tables=["shop.part"], exact=True)
    assert fewer["queries"] == [
        "SELECT spock.repset_remove_table('eu', 'shop.\"Order\"'::regclass, include_partitions := false)"
    ]
    assert fewer["repset"]["sequences"] == ["shop.seq"], "sequences were not given"
    assert run("spock_repset", one, name="eu", sequences=[], exact=True)["repset"]["sequences"] == []
    gone = run("spock_repset", one, name="eu", state="absent")
    assert gone["queries"] == ["SELECT spock.repset_drop('eu')"] and gone["repset"] == {}
    run.fails("spock_repset", one, "default is one of the sets that Spock itself makes", name="default", state="absent")


def test_filters_and_columns(one: Database, run: Modules) -> None:
    def order(text: str | None, *columns: str) -> list[dict[str, Any]]:
        return [{"name": "shop.Order", "columns": list(columns), "row_filter": text}]

    run("spock_repset", one, name="default", tables=order("region = 'EU' and total>0", "id", "region", "total"))
    for text in (
        "((region = 'EU'::text) AND (total > 0))",
        "region='EU' AND\n total > 0",
        "(region = 'EU' and total > 0)",
    ):
        same = run("spock_repset", one, name="default", tables=order(text, "region", "id", "total"))
        assert not same["changed"], text
    other = run("spock_repset", one, name="default", tables=order("region = 'US'", "id", "region", "total"))
    assert len(other["queries"]) == 2 and "'US'" in other["repset"]["tables"][ORDER]["row_filter"]
    assert run("spock_repset", one, name="default", tables=order("region = 'US'"))["changed"], "all columns again"
    assert run("spock_repset", one, name="default", tables=order(None))["repset"]["tables"][ORDER]["row_filter"] is None

    before = one.sql(SETS, superuser=True)
    for text in ("no_such > 1", "true); DROP TABLE shop.log; --", "id IN (SELECT 1)"):
        result = run.raw("spock_repset", one, name="default", tables=order(text))
        assert result["failed"] and "the set default could not be changed" in result["msg"], result["msg"]
        assert "Nothing was changed" in result["msg"]
    assert one.sql(SETS, superuser=True) == before and one.sql("SELECT FROM pg_class WHERE relname = 'log'")
    run.fails("spock_repset", one, "no index as replica identity", name="default", tables=["shop.log"])
    run.fails("spock_repset", one, "there is no table shop.none, no shop.seq", name="default",
              tables=["shop.seq", "shop.none"])  # fmt: skip
    run.fails("spock_repset", one, "there is no sequence shop.log", name="default", sequences=["shop.log"])
    run.fails("spock_repset", one, "an entry of tables has table", name="default", tables=[{"table": "x"}])


def test_a_filter_is_compared_without_a_lock(one: Database, run: Modules) -> None:
    run("spock_repset", one, name="default", tables=[{"name": "shop.Order", "row_filter": "total>0"}])
    with one.connect(superuser=True) as writer, writer.transaction():
        writer.execute(f"INSERT INTO {ORDER} VALUES (1, 'EU', 5)")
        same = run.raw(
            "spock_repset", one, name="default", tables=[{"name": "shop.Order", "row_filter": "(total > 0)"}]
        )
        assert not same["failed"] and not same["changed"]


def test_partitions(one: Database, run: Modules) -> None:
    part = {"name": "shop.part", "row_filter": "at > 0"}
    made = run("spock_repset", one, name="default", tables=[part])
    assert made["repset"]["tables"]["shop.part_1"]["row_filter"] == "(at > 0)"
    one.sql("CREATE TABLE shop.part_2 (at int, id int PRIMARY KEY); "
            "ALTER TABLE shop.part ATTACH PARTITION shop.part_2 FOR VALUES FROM (100) TO (200)",
            superuser=True)  # fmt: skip
    later = run("spock_repset", one, name="default", tables=[part], exact=True)
    assert len(later["queries"]) == 1 and later["repset"]["tables"]["shop.part_2"]["row_filter"] == "(at > 0)"
    own = run("spock_repset", one, name="default", tables=[part, {"name": "shop.part_2", "columns": ["id"]}])
    assert own["repset"]["tables"]["shop.part_2"] == {"columns": ["id"], "row_filter": None}
    alone = [{**part, "include_partitions": False}]
    assert not run("spock_repset", one, name="default", tables=alone)["changed"]
    only = run("spock_repset", one, name="default", tables=alone, exact=True)
    assert set(only["repset"]["tables"]) == {"shop.part"}


def test_a_table_that_spock_would_not_take(one: Database, run: Modules) -> None:
    refused = {"name": "default", "tables": ["shop.log", "shop.Order"]}
    run.fails("spock_repset", one, "shop.log has no index as replica identity", "default_insert_only", **refused)
    assert run("spock_repset", one, name="default_insert_only", tables=["shop.log"])["changed"]
    run.fails("spock_repset", one, "shop.log has no index", name="default_insert_only", replicate_update=True)
    one.sql(f"ALTER TABLE {ORDER} REPLICA IDENTITY FULL", superuser=True)
    run.fails("spock_repset", one, "REPLICA IDENTITY FULL", "REPLICA IDENTITY DEFAULT on every node",
              name="default", tables=["shop.Order"])  # fmt: skip
    one.sql(f"ALTER TABLE {ORDER} REPLICA IDENTITY DEFAULT", superuser=True)
    run("spock_repset", one, name="default", tables=["shop.Order"])
    one.sql(f"ALTER TABLE {ORDER} REPLICA IDENTITY FULL", superuser=True)
    run.fails("spock_repset", one, "REPLICA IDENTITY FULL", name="default", tables=["shop.Order"])


def test_a_table_that_got_full_while_in_a_set(one: Database, run: Modules) -> None:
    both = ["shop.Order", "shop.part"]
    run("spock_repset", one, name="default", tables=both)
    full = f"ALTER TABLE {ORDER} REPLICA IDENTITY FULL"
    one.sql(full, superuser=True)
    assert {"repset": "default", "name": ORDER} in one.sql(SETS, superuser=True), "as if it still were replicated"
    told = run.raw("spock_repset", one, name="default", tables=["shop.part"])
    assert not told["failed"] and not told["changed"] and "REPLICA IDENTITY FULL" in str(told["warnings"]), told
    run.fails("spock_repset", one, "REPLICA IDENTITY FULL", "REPLICA IDENTITY DEFAULT", name="default", tables=both)
    # a session that replicates DDL takes it out of its set, without a word
    one.sql(f"ALTER TABLE {ORDER} REPLICA IDENTITY DEFAULT", superuser=True)
    one.sql("; ".join([*(f"SET {name} = on" for name in DDL), full]), superuser=True)
    assert {"repset": "default", "name": ORDER} not in one.sql(SETS, superuser=True)
    run.fails("spock_repset", one, "REPLICA IDENTITY FULL", name="default", tables=both)
    one.sql(f"ALTER TABLE {ORDER} REPLICA IDENTITY DEFAULT", superuser=True)
    assert ORDER in run("spock_repset", one, name="default", tables=both)["repset"]["tables"]


def test_assign(one: Database) -> None:
    from ansible_collections.crossover.pgedge.plugins.module_utils._spock_repset import assign

    one.sql("CREATE TABLE shop.soon (id int)", superuser=True)
    tables = [ORDER, "shop.log", "shop.part_1", "shop.soon"]
    with one.connect(superuser=True) as conn:
        for step in assign(conn, tables, keyed=["shop.soon"])[:3]:
            conn.execute(step.sql.encode())
        conn.execute("ALTER TABLE shop.soon ADD PRIMARY KEY (id)")
        for step in assign(conn, tables):
            conn.execute(step.sql.encode())
        assert assign(conn, tables) == [], "those that are in a set stay there"
    found = {row["name"]: row["repset"] for row in one.sql(f"SET search_path = pg_catalog; {SETS}", superuser=True)}
    assert found == {
        ORDER: "default", "shop.log": "default_insert_only", "shop.part_1": "default", "shop.soon": "default",
    }  # fmt: skip


def test_what_is_in_a_set_goes_out(mesh_dbs: list[Database], one: Database, run: Modules) -> None:
    two = mesh_dbs[1]
    prepare([two])
    run("spock_node", two, name="n2", dsn=dsn(two))
    tables = [{"name": "shop.Order", "columns": ["id", "region"], "row_filter": "region = 'EU'"}, "shop.part"]
    run("spock_repset", one, name="eu", tables=tables)
    run("spock_subscription", two, name="sub", provider_dsn=dsn(one), replication_sets=["eu"], wait_timeout=60)
    one.sql(
        f"INSERT INTO {ORDER} VALUES (1, 'US', 1, 'x'), (2, 'EU', 1, 'x'); INSERT INTO shop.part VALUES (7, 7)",
        superuser=True,
    )
    wait_for(lambda: two.sql("SELECT FROM shop.part", superuser=True))
    assert two.sql(f"SELECT * FROM {ORDER}", superuser=True) == [{"id": 2, "region": "EU", "total": None, "note": None}]
