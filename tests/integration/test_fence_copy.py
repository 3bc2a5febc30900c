# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large objects and unlogged tables, copied at the fence on real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from support.database import Database
from support.pooler import Pooler, binary
from support.switch import PASSWORD, SCHEMA, Lab, PooledLab, Stop, ended, replicating
from support.writers import Writers

pytestmark = pytest.mark.skipif(binary() is None, reason="no pgbouncer on this machine")

UNLOGGED = """
CREATE UNLOGGED TABLE shop."odd Name" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text, n int,
    doubled int GENERATED ALWAYS AS (n * 2) STORED);
CREATE UNLOGGED TABLE shop.none ();
"""
ROWS = """SELECT count(*) AS n, md5(string_agg(t::text, chr(10) ORDER BY id)) AS h FROM shop."odd Name" t"""
LARGE = """
SELECT m.oid::int8 AS oid, pg_get_userbyid(lomowner) AS owner, md5(lo_get(m.oid)) AS bytes,
       obj_description(m.oid, 'pg_largeobject') AS comment,
       ARRAY(SELECT g.grantee::regrole::text || ' ' || privilege_type || is_grantable
             FROM aclexplode(coalesce(lomacl, acldefault('L', lomowner))) g ORDER BY 1) AS grants
FROM pg_largeobject_metadata m ORDER BY 1
"""
COPY: dict[str, Any] = {"large_objects": "copy", "unlogged": "copy", "fence_copy_budget": 2.0}


@pytest.fixture
def lab(source_db: Database, target_db: Database, run_module: Any) -> Iterator[PooledLab]:
    """With unlogged tables, a PgBouncer in front, and the same owner on both sides."""
    made = PooledLab(source_db, target_db, run_module)
    target_db.cluster.sql(f"CREATE ROLE {source_db.owner}")
    try:
        with replicating(made, SCHEMA + UNLOGGED), Pooler(source_db.login, made.app, PASSWORD) as pooler:
            made.through(pooler)
            yield made
    finally:
        target_db.cluster.sql(f"DROP ROLE {source_db.owner}")


def fill(lab: Lab, side: Database, count: int = 20, size: int = 300_000) -> list[int]:
    """Rows and large objects as the application makes them; the OIDs."""
    rows = side.as_owner(
        f"""INSERT INTO shop."odd Name" (note, n) SELECT E'a\\tb\\\\' || i, i FROM generate_series(1, {count}) i;
            INSERT INTO shop.none DEFAULT VALUES;
            SELECT lo_from_bytea(0, convert_to(repeat('x' || i, {size} * (i % 3)), 'UTF8'))::int8 AS oid
            FROM generate_series(1, {count}) i"""
    )
    oids = [row["oid"] for row in rows]
    side.as_owner(
        f"""GRANT SELECT ON LARGE OBJECT {oids[0]} TO {lab.app} WITH GRANT OPTION;
            COMMENT ON LARGE OBJECT {oids[1]} IS 'it''s one'"""
    )
    return oids


def large(side: Database) -> list[dict[str, Any]]:
    return side.sql(LARGE, superuser=True)


def same(lab: Lab) -> None:
    """Both sides have the same, not nothing."""
    here, there = (side.sql(ROWS, superuser=True) for side in (lab.source, lab.target))
    assert here == there and here[0]["n"], (here, there)
    assert large(lab.source) == large(lab.target) and large(lab.source)
    assert lab.source.sql("SELECT FROM shop.none") == lab.target.sql("SELECT FROM shop.none") != []


def step(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(s["detail"] for s in result["steps"] if s["name"] == name)


class Blobs(threading.Thread):
    """The application through the pooler: rows in an unlogged table, large objects made, changed and removed."""

    def __init__(self, lab: PooledLab) -> None:
        super().__init__(daemon=True)
        self.lab, self.stop, self.number = lab, threading.Event(), 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self.lab.pooler.dsn, autocommit=True, prepare_threshold=None) as conn:
                while not self.stop.wait(0.01):
                    self.number += 1
                    with conn.transaction():
                        conn.execute(f"""INSERT INTO shop."odd Name" (note, n) VALUES ('w', {self.number})""")
                        conn.execute(f"SELECT lo_from_bytea({500000 + self.number}, 'number {self.number}')")
                        if self.number > 5:
                            conn.execute(f"SELECT lo_put({500000 + self.number - 1}, 0, 'changed')")
                            conn.execute(f"SELECT lo_unlink({500000 + self.number - 5})")
        except BaseException as exc:
            self.error = exc

    def __enter__(self) -> Blobs:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.join(20)
        assert self.error is None and self.number, self.error


def test_what_changes_up_to_the_switch_arrives_whole(lab: PooledLab) -> None:
    fill(lab, lab.source)
    lab.source.sql(f"GRANT {lab.app} TO crossover", superuser=True)
    with Writers(lab.pooler.dsn) as writers, Blobs(lab) as blobs:
        writers.go_on()
        result = lab.cutover(**COPY)
        assert not result["failed"] and result["writable"] == "node" and "warnings" not in result, result
        again, last = step(result, "fence_copy_again"), step(result, "fence_copy")
        at_switch = blobs.number
        time.sleep(0.3)
    assert not writers.failed and result["hold_ms"] < 1500
    assert 0 < again["predicted_seconds"] < 2 and last["seconds"] <= again["predicted_seconds"] * 3
    assert last["tables_copied"] == 1 and last["large_objects"] == 25 and 0 < last["large_objects_copied"] < 20
    assert blobs.number > at_switch, "the application went on"
    kept = [row["n"] for row in lab.target.sql("""SELECT n FROM shop."odd Name" WHERE note = 'w' ORDER BY n""")]
    assert kept == list(range(1, blobs.number + 1)), "every row, from before the switch and after it"
    found = {row["oid"] for row in large(lab.target) if row["oid"] > 500000}
    assert found == {500000 + blobs.number - n for n in range(5)}
    assert "fence_copy" in [s["step"] for s in lab.target.sql("SELECT step FROM crossover.step")]


def test_there_and_back_and_there_again(lab: PooledLab) -> None:
    oids = fill(lab, lab.source)
    first = lab.cutover(**COPY)
    assert not first["failed"], first
    same(lab)
    nothing = step(first, "fence_copy")
    assert (nothing["tables_copied"], nothing["large_objects_copied"]) == (0, 0), "what has not changed is not copied"
    lab.target.sql(
        f"""SELECT lo_unlink({oids[0]}); SELECT lo_put({oids[1]}, 5, 'changed'); SELECT lo_from_bytea(600001, 'new');
            GRANT UPDATE ON LARGE OBJECT {oids[2]} TO {lab.app}; COMMENT ON LARGE OBJECT {oids[3]} IS 'three';
            COMMENT ON LARGE OBJECT {oids[1]} IS NULL; ALTER LARGE OBJECT 600001 OWNER TO {lab.source.owner};
            DELETE FROM shop."odd Name" WHERE id < 5""",
        superuser=True,
    )
    refused = lab.cutover("back", **COPY)
    assert refused["failed"] and refused["failure"]["code"] == "no_replication_role", refused
    assert "crossover_unlogged: skip" in refused["msg"] and lab.writable() == "node" and lab.agrees()
    lab.source.sql("GRANT SET ON PARAMETER session_replication_role TO crossover", superuser=True)
    try:
        back = lab.cutover("back", **COPY)
    finally:
        lab.source.sql("REVOKE SET ON PARAMETER session_replication_role FROM crossover", superuser=True)
    assert not back["failed"] and back["writable"] == "source", back
    same(lab)
    assert oids[0] not in [row["oid"] for row in large(lab.source)]
    lab.source.as_owner(f"SELECT lo_put({oids[5]}, 0, 'later'); SELECT lo_unlink(600001)")
    third = lab.cutover(**COPY)
    assert not third["failed"], third
    same(lab)
    assert lab.target.sql("SELECT count(*) AS n FROM pg_largeobject_metadata")[0]["n"] == 19


def test_an_owner_that_was_left_out(lab: PooledLab) -> None:
    role = f"{lab.source.name}_only"
    lab.source.sql(f"CREATE ROLE {role}; GRANT {role} TO crossover; GRANT {role} TO {lab.source.owner}", superuser=True)
    try:
        lab.source.sql(f"SELECT lo_from_bytea(900001, 'x'); ALTER LARGE OBJECT 900001 OWNER TO {role}", superuser=True)
        copy: dict[str, Any] = {"large_objects": "copy", "fence_copy_budget": 2.0}
        there = lab.cutover(**copy)
        assert not there["failed"] and f"({role}): what is new there belongs to crossover" in str(there["warnings"])
        assert large(lab.target)[0]["owner"] == "crossover"
        lab.target.sql("SELECT lo_put(900001, 1, 'y')")
        back = lab.cutover("back", **copy)
        assert not back["failed"] and "warnings" not in back, back
        mine = large(lab.source)[0]
        assert mine["owner"] == role and mine["grants"] == [f"{role} SELECTfalse", f"{role} UPDATEfalse"], mine
        assert lab.source.sql("SELECT lo_get(900001) = 'xy' AS same")[0]["same"]
    finally:
        lab.source.sql(f"DROP OWNED BY {role}; DROP ROLE {role}", superuser=True)


def test_over_the_budget_nothing_is_held(lab: PooledLab) -> None:
    fill(lab, lab.source, 3000, size=10)
    with Writers(lab.pooler.dsn) as writers:
        result = lab.cutover(**{**COPY, "fence_copy_budget": 0.005})
        assert result["failed"] and result["failure"]["code"] == "fence_copy_over_budget", result
        assert "3000 large object(s)" in result["msg"] and "allowed are 0.005 s" in result["msg"]
        assert "othing was held: the source is writable" in result["msg"] and "hold" not in result["table"]
        assert not lab.slots(lab.target) and lab.epoch() == 1
        rehearsed = lab.cutover(check=True, **{**COPY, "fence_copy_budget": 0.005})
        assert (
            "is predicted to take" in rehearsed["problems"][0] and rehearsed["fence_copy"]["predicted_seconds"] > 0.005
        )
        writers.go_on()
    assert not writers.failed


def test_check_mode_predicts_and_writes_nothing(lab: PooledLab) -> None:
    fill(lab, lab.source)
    result = lab.cutover(check=True, **COPY)
    assert not result["failed"] and result["problems"] == [], result
    assert 0 < result["fence_copy"]["predicted_seconds"] < 2 and "20 large object(s)" in result["fence_copy"]["what"]
    assert "would do: fence_copy" in result["table"]
    assert not large(lab.target) and not lab.target.sql("""SELECT FROM shop."odd Name" """)
    assert lab.cutover(check=True)["fence_copy"] is None


def test_what_cannot_be_read_is_named(lab: PooledLab) -> None:
    oid = lab.source.sql("SELECT lo_from_bytea(0, 'x')::int8 AS oid", superuser=True)[0]["oid"]
    for check in (True, False):
        result = lab.cutover(check=check, **COPY)
        said = " ".join(result["problems"]) if check else result["msg"]
        assert f"1 large object(s) cannot be read, the first is {oid} of postgres" in said, result
    assert lab.epoch() == 1 and not large(lab.target)


def test_past_its_deadline_the_source_goes_on(lab: PooledLab) -> None:
    fill(lab, lab.source)
    with Writers(lab.pooler.dsn) as writers, lab.target.connect(superuser=True) as beside:
        with Stop(lab, "quiet") as stop:
            process = lab.start(**{**COPY, "fence_copy_budget": 0.6})
            stop.reached(process)
            lab.source.as_owner("""UPDATE shop."odd Name" SET note = 'changed'""")
            beside.execute("BEGIN")
            beside.execute("""LOCK shop."odd Name" IN ROW EXCLUSIVE MODE""")
            beside.execute("SET LOCAL session_replication_role = replica")
            beside.execute("""UPDATE shop."odd Name" SET note = 'mine'""")  # its rows are locked now
        result = ended(process)
        assert result["failed"] and result["failure"]["code"] == "fence_copy_timeout", result
        assert "The source is writable and the application goes on there" in result["msg"]
        writers.go_on()
        beside.execute("ROLLBACK")
        assert lab.writable() == "source" and lab.agrees() and not lab.slots(lab.target)
        again = lab.cutover(**COPY)
        assert not again["failed"], again
    assert not writers.failed and writers.longest < 3
    same(lab)


def test_large_objects_in_use_beside_the_route(lab: PooledLab) -> None:
    oids = fill(lab, lab.source)
    with lab.source.connect(superuser=True) as beside:
        beside.execute("BEGIN")
        beside.execute(f"SELECT lo_put({oids[0]}, 0, 'beside')")
        result = lab.cutover(**{**COPY, "fence_copy_budget": 0.3}, long_transaction=60.0)
        assert result["failed"] and result["failure"]["code"] == "fence_copy_timeout", result
        assert "in use beside the route" in result["msg"] and f"pid {beside.info.backend_pid}" in result["msg"]
        beside.execute("COMMIT")
    assert lab.writable() == "source"
    again = lab.cutover(**COPY)
    assert not again["failed"], again
    same(lab)


def test_what_is_written_behind_the_fence_is_told(lab: PooledLab) -> None:
    oids = fill(lab, lab.source)
    with Stop(lab, "lift") as stop:
        process = lab.start(**COPY)
        stop.reached(process)
        lab.source.as_owner(f"SELECT lo_put({oids[0]}, 0, 'too late')")
    result = ended(process)
    assert not result["failed"] and result["writable"] == "node", result
    told = str(result["warnings"])
    assert "1 large object(s) were changed on the source" in told and str(oids[0]) in told


def test_killed_after_the_copy_and_run_again(lab: PooledLab) -> None:
    oids = fill(lab, lab.source)
    with Writers(lab.pooler.dsn) as writers:
        with Stop(lab, "sequences") as stop:
            process = lab.start(**COPY)
            stop.reached(process)
            process.kill()
            stop.let_go()
            writers.go_on(within=5)
            process.communicate()
        assert lab.writable() == "source" and lab.agrees()
        lab.source.as_owner(f"SELECT lo_unlink({oids[0]}), lo_put({oids[1]}, 0, 'later'); DELETE FROM shop.none")
        lab.source.as_owner("""INSERT INTO shop.none DEFAULT VALUES; UPDATE shop."odd Name" SET note = 'later'""")
        again = lab.cutover(**COPY)
        assert not again["failed"] and again["writable"] == "node", again
    assert not writers.failed
    same(lab)


def test_a_rollback_that_removes_takes_them_away(lab: PooledLab) -> None:
    fill(lab, lab.source)
    lab.target.sql("SELECT lo_from_bytea(700001, 'nor this')")
    assert lab.cutover(**{**COPY, "fence_copy_budget": 0.0001})["failed"]
    assert len(large(lab.target)) == 21
    args = {**lab.target.login, "migration": lab.source.name, "source": lab.source.login, "state": "absent"}
    rehearsed = lab.run("schema_sync", args, check=True)
    assert "SELECT lo_unlink" in rehearsed["queries"][0] and "19 more large object(s)" in rehearsed["queries"][1]
    removed = lab.run("schema_sync", args)
    assert not removed["failed"] and removed["changed"] and removed["queries"] == rehearsed["queries"], removed
    assert [row["oid"] for row in large(lab.target)] == [700001] and len(large(lab.source)) == 20
    assert not lab.run("schema_sync", args)["changed"]


def test_others_are_left_alone(lab: PooledLab) -> None:
    oids = fill(lab, lab.source)
    lab.target.sql(f"SELECT lo_from_bytea({oids[0]}, 'not ours'), lo_from_bytea(700001, 'nor this')")
    result = lab.cutover(**COPY)
    assert result["failed"] and result["failure"]["code"] == "large_object_taken", result
    lab.target.sql(f"SELECT lo_unlink({oids[0]})")
    again = lab.cutover(**COPY)
    assert not again["failed"], again
    assert lab.target.sql("SELECT lo_get(700001) = 'nor this' AS there")[0]["there"]
