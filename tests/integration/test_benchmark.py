# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""benchmark against real servers: what it measures, what it refuses, and that nothing is left."""

from __future__ import annotations

import pathlib
import signal
import time

import pytest
from support.cluster import wheel_bindir
from support.collection import module_result, start_module
from support.database import Database

TABLES = """
    CREATE SCHEMA shop;
    CREATE TYPE shop.kind AS ENUM ('a', 'b');
    CREATE TABLE shop.item (id bigint PRIMARY KEY, name text);
    CREATE TABLE shop."Mixed Case" (kind shop.kind, code text, PRIMARY KEY (kind, code));
    CREATE TABLE shop.part (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE shop.part_1 PARTITION OF shop.part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE shop.nokey (a int);
    INSERT INTO shop.item SELECT i, repeat('x', 50) FROM generate_series(1, 5000) i;
    INSERT INTO shop."Mixed Case" SELECT 'a', 'code ' || i FROM generate_series(1, 100) i;
    INSERT INTO shop.part SELECT i, '2026-05-05' FROM generate_series(1, 3000) i;
    INSERT INTO shop.nokey VALUES (1);
    CREATE SEQUENCE shop.s;
"""
QUICK = {"seconds": 1, "warm_up": 0, "clients": 2, "jobs": 1}


@pytest.fixture(scope="module")
def both(source_cluster, target_cluster):
    """The same tables on both sides; no test may leave anything there."""
    databases = Database(source_cluster).create(), Database(target_cluster).create()
    try:
        for db in databases:
            db.as_owner(TABLES)
        yield databases
    finally:
        for db in databases:
            db.drop()


@pytest.fixture
def arguments(both, tmp_path):
    """Arguments of the module, with a script if its text is given."""
    source_db, target_db = both

    def make(script=None, script_path=None, **options):
        args = {**target_db.login, "source": source_db.login, "bin_dir": str(wheel_bindir(18)), **QUICK, **options}
        if script is not None:
            path = tmp_path / "script.sql"
            path.write_text(script)
            args["script"] = str(path)
        elif script_path:
            args["script"] = script_path
        return args

    return make


@pytest.fixture
def run(run_module, arguments, both):
    """Run it; whatever comes out, nothing may be left of it on either side."""

    def go(script=None, check=False, **options):
        result = run_module("benchmark", arguments(script, **options), check=check)
        assert not result["changed"]
        clean(both)
        return result

    return go


def clean(both):
    for db in both:
        assert not db.sql("SELECT FROM pg_namespace WHERE nspname = 'crossover_bench'")
        assert db.sql("SELECT count(*) AS n FROM shop.item")[0]["n"] == 5000
        assert db.sql("SELECT sum(a) AS s FROM shop.nokey")[0]["s"] == 1


def test_the_default_script(run):
    result = run(tables=3)
    assert result["failed"] is False, result["msg"]
    assert result["ran"] and result["result"]["read_only"] is False
    for side in ("source", "node"):
        figures = result["result"][side]
        assert figures["transactions"] > 20 and figures["failed"] == 0
        assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"] <= figures["max_ms"]
        assert figures["tps"] > 20
    assert 'FROM shop."Mixed Case" t' in result["script"] and "FROM shop.part t" in result["script"]
    assert "UPDATE crossover_bench.scratch" in result["script"] and "nokey" not in result["script"]
    assert result["summary"]["source_tps"] == result["result"]["source"]["tps"]
    assert len(result["table"]) == 7 and max(map(len, result["table"])) <= 80


def test_reads_only(run):
    result = run(tables=1, writes=False, rate=50, protocol="simple")
    assert result["result"]["read_only"] is True
    assert "crossover_bench.scratch" not in result["script"]
    assert result["result"]["source"]["tps"] < 80


def test_check_mode_makes_nothing(run):
    result = run(check=True)
    assert not result["ran"] and result["result"] == {}
    assert "shop.item" in result["script"] and "would measure" in result["msg"]


def test_a_fresh_result_is_not_measured_again(run):
    first = run()
    again = run(previous=first["result"], max_age=60)
    assert not again["ran"] and again["result"] == first["result"] and again["table"] == first["table"]
    assert run(previous=first["result"], max_age=60, clients=1)["ran"]


def test_a_script_that_reads(run):
    result = run("\\set id random(1, 5000)\nBEGIN;\nSELECT name FROM shop.item WHERE id = :id;\nEND;\n")
    assert result["failed"] is False, result["msg"]
    assert result["result"]["read_only"] is True


def test_a_script_that_writes_to_the_scratch_table(run):
    script = """\\set id random(1, 10000)
BEGIN;
SELECT count(*) AS rows FROM shop.nokey \\gset
UPDATE crossover_bench.scratch SET n = n + :rows WHERE id = :id;
COMMIT;
CREATE TEMP TABLE IF NOT EXISTS mine (a int);
INSERT INTO mine VALUES (:id);
"""
    result = run(script)
    assert result["failed"] is False, result["msg"]
    assert result["result"]["read_only"] is False and result["result"]["node"]["transactions"] > 5


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("UPDATE shop.item SET name = 'y' WHERE id = 1;", "script_writes", "shop.item"),
        ("UPDATE shop.item SET name = 'y' WHERE id = -1;", "script_writes", "shop.item"),  # meets no row, this time
        ("BEGIN; DELETE FROM shop.item; COMMIT;", "script_writes", "shop.item"),
        ("BEGIN\\; DELETE FROM shop.item\\; COMMIT;", "script_writes", "shop.item"),
        ("TRUNCATE shop.item;", "script_writes", "shop.item"),
        ("INSERT INTO shop.part VALUES (9999, '2026-01-01');", "script_writes", "shop.part"),
        ("CREATE TABLE shop.new (a int);", "script_writes", "shop.new"),
        ("SELECT nextval('shop.s');", "script_writes", "shop.s"),
        ("SELECT lo_create(0);", "script_writes", "pg_largeobject"),
        ("DO $$ BEGIN DELETE FROM shop.item; END $$;", "script_writes", "shop.item"),
        ("DO $$ BEGIN DELETE FROM shop.item; COMMIT; END $$;", "program_failed", "invalid transaction termination"),
        (
            "\\if 1 = 2\nDELETE FROM shop.item;\n\\endif\nUPDATE crossover_bench.scratch SET n = 1;",
            "script_refused",
            "branches",
        ),
        ("SELECT 1/0;", "program_failed", "division by zero"),
        ("SELECT * FROM shop.nowhere;", "program_failed", "nowhere"),
        ("\\shell true\nSELECT 1;", "script_refused", "runs programs"),
        ("", "script_refused", "no statement"),
        ("SET default_transaction_read_only = off; DELETE FROM shop.item;", "script_refused", "read_only"),
    ],
)
def test_refused(run, script, code, words):
    result = run(script)
    assert result["failed"] and result["failure"]["code"] == code, result["msg"]
    assert words in result["msg"]
    assert "nothing was" in result["msg"].lower()


def test_what_the_lexer_misses_the_server_stops(both, arguments, run_module, monkeypatch):
    """With nothing recognised as transaction control, guard and read-only default still keep the tables whole."""
    from ansible_collections.crossover.pgedge.plugins.module_utils import _migration_benchmark as benchmark
    from ansible_collections.crossover.pgedge.plugins.module_utils import _migration_benchmark_script as parts
    from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
    from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login
    from ansible_collections.crossover.pgedge.plugins.module_utils._pg_programs import Programs

    monkeypatch.setattr(parts.Piece, "controls", property(lambda self: False))
    logins = {"source": Login.of(both[0].login, "source"), "node": Login.of(both[1].login, "node")}
    for script in (
        "DELETE FROM shop.item; COMMIT;",
        "ROLLBACK; DELETE FROM shop.item;",
        "END; BEGIN; DELETE FROM shop.item; END;",
    ):
        setup = benchmark.Setup(1, 1, 1, 0, 0, "simple", 0, True, script)
        with pytest.raises(CrossoverError):
            benchmark.Benchmark(setup, Programs(str(wheel_bindir(18)), 18), logins, []).run()
        clean(both)


def test_the_fence_does_not_mind_reading(run, both):
    """As after replicate: every table of the node refuses writes."""
    both[1].as_owner(
        """CREATE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''fenced''; END';
           CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON shop.item FOR EACH STATEMENT
           EXECUTE FUNCTION shop.refuse()"""
    )
    try:
        assert run()["ran"]
        assert "fenced" in run("UPDATE shop.item SET name = 'y';")["msg"]
    finally:
        both[1].sql("DROP FUNCTION shop.refuse CASCADE")


def test_publications_for_all_tables(run, both):
    both[0].sql("CREATE PUBLICATION everything FOR ALL TABLES", superuser=True)
    try:
        result = run()
        assert result["failed"] and result["failure"]["code"] == "published" and "everything" in result["msg"]
        assert run(writes=False)["ran"]
    finally:
        both[0].sql("DROP PUBLICATION everything", superuser=True)


def test_a_schema_of_that_name_is_left_alone(run_module, arguments, both):
    both[1].sql("CREATE SCHEMA crossover_bench; CREATE TABLE crossover_bench.precious (a int)")
    result = run_module("benchmark", arguments())
    assert result["failed"] and result["failure"]["code"] == "name_taken"
    both[1].sql("DROP TABLE crossover_bench.precious; DROP SCHEMA crossover_bench")


def test_what_a_killed_run_left_is_replaced(run_module, arguments, both):
    process = start_module("benchmark", arguments(seconds=30))
    until = time.monotonic() + 20
    while not both[1].sql("SELECT FROM pg_stat_activity WHERE application_name = 'pgbench'"):
        assert time.monotonic() < until
        time.sleep(0.05)
        if both[0].sql("SELECT FROM pg_stat_activity WHERE application_name = 'pgbench'"):
            break
    process.kill()
    process.communicate()
    assert both[0].sql("SELECT FROM pg_namespace WHERE nspname = 'crossover_bench'")
    for db in both:  # its pgbench lives on for a moment
        db.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'", superuser=True
        )
    result = run_module("benchmark", arguments())
    assert result["failed"] is False, result["msg"]
    clean(both)


def test_told_to_end_it_cleans_up(arguments, both):
    process = start_module("benchmark", arguments(seconds=30))
    until = time.monotonic() + 20
    while not both[0].sql("SELECT FROM pg_stat_activity WHERE application_name = 'pgbench'"):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert module_result("benchmark", out, err)["failure"]["code"] == "interrupted"
    clean(both)
    assert not both[0].sql("SELECT FROM pg_stat_activity WHERE application_name = 'pgbench'")


def test_one_at_a_time(both, arguments, run_module):
    with both[0].connect() as conn:
        conn.execute("SELECT pg_advisory_lock(hashtext('crossover_bench'))")
        result = run_module("benchmark", arguments())
    assert result["failed"] and result["failure"]["code"] == "busy"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"bin_dir": "/nonexistent"}, "missing_programs"),
        ({"script_path": "/nonexistent/script.sql"}, "bad_script"),
        ({"clients": 0}, "bad_option"),
        ({"login_password": "wrong-Secret-5"}, "bad_password"),
    ],
)
def test_bad_input(run, options, code):
    result = run(**options)
    assert result["failed"] and result["failure"]["code"] == code, result["msg"]
    assert "wrong-Secret-5" not in result["msg"]


def test_no_password_on_a_command_line(arguments, both):
    process = start_module("benchmark", arguments(seconds=3))
    seen = ""
    while process.poll() is None:
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen += path.read_bytes().decode(errors="replace")
            except OSError:
                continue
        time.sleep(0.2)
    out, err = process.communicate()
    assert module_result("benchmark", out, err)["ran"]
    assert "pgbench" in seen
    for db in both:
        assert db.cluster.login_password not in seen
