# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""assess_info against real servers: each condition made and found, and none found where there is none."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time

import pytest
from support.cluster import Cluster, wheel_bindir
from support.collection import module_environment
from support.database import Database
from support.mesh import ON_SPOCK
from support.pooler import Pooler, binary

# What a default configuration of the lab's servers always has.
ALWAYS = {"no_spock", "two_phase_commit", "wal_unbounded"}
CLEAN = """
    CREATE SCHEMA shop;
    CREATE TABLE shop.customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
    CREATE TABLE shop.part (id bigint, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE shop.part_1 PARTITION OF shop.part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE VIEW shop.names AS SELECT name FROM shop.customer;
"""


@pytest.fixture
def look(run_module, source_db, target_db):
    """Run the module; what it found by code, the whole result under the key ``result``."""

    def run(**options):
        args = {**target_db.login, "source": source_db.login, "name": "shop", **options}
        result = run_module("assess_info", args)
        assert not result["changed"]
        found = {"result": result}
        for finding in result.get("findings", []):
            found.setdefault(finding["code"], {})[finding["object"]] = finding
        return found

    return run


def codes(found):
    return set(found) - {"result"}


def severity(found, code, name):
    return found[code][name]["severity"]


def test_a_clean_database_has_no_blocker_and_no_warning(look, source_db, target_db):
    source_db.as_owner(CLEAN)
    found = look()
    assert codes(found) == ALWAYS | {"partitioned_table"}
    result = found["result"]
    assert result["blockers"] == [] and result["summary"]["warnings"] == 0
    assert result["summary"]["tables"] == 3 and result["summary"]["sequences"] == 1
    assert result["summary"]["source_version"].startswith("16") and result["summary"]["node_version"].startswith("18")
    assert result["msg"].startswith("no blocker")
    # Nothing of what was tried is left.
    for db in (source_db, target_db):
        assert not db.sql("SELECT FROM pg_subscription", superuser=True)
        assert not db.sql("SELECT FROM pg_replication_slots", superuser=True)
        assert not db.sql("SELECT FROM pg_namespace WHERE nspname = 'crossover'", superuser=True)


def test_check_mode_is_the_same(run_module, source_db, target_db):
    args = {**target_db.login, "source": source_db.login, "name": "shop"}
    assert run_module("assess_info", args, check=True)["findings"] == run_module("assess_info", args)["findings"]


def test_tables(look, source_db):
    source_db.as_owner(
        CLEAN
        + """
        CREATE TABLE shop.nokey (a int, code text NOT NULL);
        CREATE UNIQUE INDEX nokey_code ON shop.nokey (code);
        CREATE TABLE shop.busy (a int);
        CREATE TABLE shop.busy_part (a int) PARTITION BY LIST (a);
        CREATE TABLE shop.busy_part_1 PARTITION OF shop.busy_part FOR VALUES IN (1);
        CREATE TABLE shop.busy_part_2 PARTITION OF shop.busy_part FOR VALUES IN (2);
        INSERT INTO shop.busy VALUES (1); UPDATE shop.busy SET a = 2; DELETE FROM shop.busy;
        INSERT INTO shop.busy_part VALUES (1), (2); UPDATE shop.busy_part SET a = a;
        CREATE TABLE shop.nothing (id bigint PRIMARY KEY); ALTER TABLE shop.nothing REPLICA IDENTITY NOTHING;
        CREATE TABLE shop.full_key (id bigint PRIMARY KEY); ALTER TABLE shop.full_key REPLICA IDENTITY FULL;
        CREATE TABLE shop.full_nokey (id bigint); ALTER TABLE shop.full_nokey REPLICA IDENTITY FULL;
        CREATE UNLOGGED TABLE shop.scratch (id int);
        CREATE TABLE shop.generated (id bigint PRIMARY KEY, twice bigint GENERATED ALWAYS AS (id * 2) STORED);
        CREATE TABLE shop.keys (id int PRIMARY KEY, b int NOT NULL UNIQUE, c int UNIQUE,
            d int NOT NULL, e int4range, UNIQUE (d) DEFERRABLE, EXCLUDE USING gist (e WITH &&));
        CREATE TABLE shop.parent (id bigint PRIMARY KEY);
        CREATE TABLE shop.child (extra text, PRIMARY KEY (id)) INHERITS (shop.parent);
        CREATE TABLE shop.refers (id bigint PRIMARY KEY REFERENCES shop.parent);
        CREATE MATERIALIZED VIEW shop.mv AS SELECT 1 AS one;
        CREATE FUNCTION shop.nop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER always AFTER INSERT ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.nop();
        ALTER TABLE shop.customer ENABLE ALWAYS TRIGGER always;
        """
    )
    source_db.sql("SELECT pg_stat_force_next_flush()")
    for _try in range(50):  # the session that wrote reports when it ends
        found = look()
        if severity(found, "no_replica_identity", "shop.busy") == "blocker":
            break
        time.sleep(0.2)
    keyless = found["no_replica_identity"]
    assert {name: f["severity"] for name, f in keyless.items()} == {
        "shop.busy": "blocker", "shop.busy_part": "blocker", "shop.nokey": "warning", "shop.nothing": "warning",
    }  # fmt: skip
    assert "1 updates and 1 deletes" in keyless["shop.busy"]["meaning"]
    assert "USING INDEX nokey_code" in keyless["shop.nokey"]["action"]
    assert severity(found, "replica_identity_full", "shop.full_key") == "warning"
    assert severity(found, "replica_identity_full", "shop.full_nokey") == "blocker"
    assert severity(found, "unlogged_table", "shop.scratch") == "blocker"
    assert severity(found, "generated_column", "shop.generated") == "info"
    assert list(found["deferrable_key"]) == ["shop.keys"]
    assert list(found["several_unique_indexes"]) == ["shop.keys"]
    assert list(found["weak_unique_index"]) == ["shop.keys"]
    assert "keys_c_key" in found["weak_unique_index"]["shop.keys"]["meaning"]
    assert list(found["exclusion_constraint"]) == ["shop.keys"]
    assert list(found["trigger_fires_on_apply"]) == ["shop.customer"]
    assert {"materialised_view", "inheritance", "foreign_keys", "int4_key", "partitioned_table"} <= codes(found)
    assert [b["object"] for b in found["result"]["blockers"]] == [
        "shop.busy", "shop.busy_part", "shop.full_nokey", "shop.scratch",
    ]  # fmt: skip

    # What the user says about it.
    found = look(
        unlogged="skip",
        exclude_tables=["shop.parent", "shop.busy_part"],
        waivers=[{"code": "no_replica_identity", "object": "shop.busy"}, {"code": "large_objects", "object": "*"}],
    )
    assert severity(found, "unlogged_table", "shop.scratch") == "warning"
    copied = look(unlogged="copy")
    assert severity(copied, "unlogged_table", "shop.scratch") == "info"
    assert "session_replication_role" in copied["unlogged_way_back"]["crossover"]["meaning"]
    assert list(found["foreign_key_to_excluded"]) == ["shop.refers refers_id_fkey"]
    assert (
        found["no_replica_identity"]["shop.busy"]["waived"] and not found["no_replica_identity"]["shop.nokey"]["waived"]
    )
    assert list(found["unused_waiver"]) == ["large_objects *"]
    # Partitions of an excluded table that are still in the scope are told by themselves.
    assert "shop.busy_part_1" in found["no_replica_identity"]


def test_the_rest_of_the_database(look, source_db, target_db):
    source_db.as_owner(
        CLEAN
        + """
        CREATE SEQUENCE shop.low MAXVALUE 100; SELECT setval('shop.low', 80);
        CREATE SEQUENCE shop.down INCREMENT -1 MINVALUE -100; SELECT setval('shop.down', -90);
        CREATE SEQUENCE shop.fine MAXVALUE 100; SELECT setval('shop.fine', 79);
        CREATE SEQUENCE shop.round MAXVALUE 100 CYCLE; SELECT setval('shop.round', 99);
        CREATE TABLE shop.narrow (id serial PRIMARY KEY); SELECT setval('shop.narrow_id_seq', 2000000000);
        SELECT lo_from_bytea(0, 'x');
        """
    )
    target_db.as_owner("CREATE TABLE public.mine (a int); CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1")
    source_db.sql("CREATE EXTENSION vector", superuser=True)
    source_db.sql("CREATE PUBLICATION dwh FOR ALL TABLES", superuser=True)
    found = look()
    assert set(found["sequence_near_end"]) == {"shop.low", "shop.down", "shop.narrow_id_seq"}
    assert severity(found, "large_objects", source_db.name) == "blocker"
    assert severity(look(large_objects="skip"), "large_objects", source_db.name) == "warning"
    copied = look(large_objects="copy", fence_copy_budget=0.001)
    assert severity(copied, "large_objects", source_db.name) == "info"
    assert severity(copied, "fence_copy_share", source_db.name) == "warning"
    hidden = source_db.sql("SELECT lo_from_bytea(0, 'y')::int8::text AS oid", superuser=True)[0]["oid"]
    assert hidden in look(large_objects="copy")["large_object_unreadable"][source_db.name]["meaning"]
    assert "other_publication" in found
    assert "extension_missing" not in found and "extension_older" not in found
    empty = found["target_not_empty"][target_db.name]
    assert empty["severity"] == "blocker" and "public.mine" in empty["meaning"] and "public.f()" in empty["meaning"]


def test_extensions(look, source_db, target_db):
    source_db.sql("CREATE EXTENSION vector", superuser=True)
    source_db.sql("UPDATE pg_extension SET extversion = '0.10.0' WHERE extname = 'vector'", superuser=True)
    found = look()
    assert "the source 0.10.0" in found["extension_older"]["vector"]["meaning"]
    target_db.sql("CREATE EXTENSION vector")
    found = look()
    assert "extension_older" in found
    assert "target_not_empty" not in found  # what an extension brings is its own
    source_db.sql("UPDATE pg_extension SET extname = 'aws_s3' WHERE extname = 'vector'", superuser=True)
    found = look()
    assert severity(found, "extension_missing", "aws_s3") == "blocker"
    assert "managed service" in found["extension_missing"]["aws_s3"]["action"]


def test_event_trigger_and_subscription_of_the_source(look, source_db):
    source_db.sql(
        """CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
           CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watch()""",
        superuser=True,
    )
    feed = f"feed_{source_db.name}"
    source_db.sql(
        f"CREATE SUBSCRIPTION {feed} CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false)",
        superuser=True,
    )
    found = look()
    assert list(found["event_trigger"]) == ["watch"]
    assert list(found["source_subscribes"]) == [feed]


def test_names_of_an_earlier_run(look, source_db, target_db):
    source_db.as_owner(CLEAN)
    source_db.sql("CREATE PUBLICATION crossover_shop FOR TABLE shop.customer")
    source_db.sql("SELECT pg_create_logical_replication_slot('crossover_shop_n1', 'pgoutput')", superuser=True)
    found = look()
    assert set(found["leftover_object"]) == {"source publication crossover_shop", "source slot crossover_shop_n1"}


def test_a_ledger_knows_its_own_objects(run_module, look, source_db, target_db):
    source_db.as_owner(CLEAN)
    args = {**target_db.login, "source": source_db.login, "name": "shop"}
    for phase in ("assess", "prepare"):
        assert not run_module("migration", {**args, "phase": phase, "state": "started"})["failed"]
        assert not run_module("migration", {**args, "phase": phase, "state": "done"})["failed"]
    target_db.as_owner("CREATE SCHEMA shop; CREATE TABLE shop.customer (id bigint PRIMARY KEY)")
    assert "target_not_empty" not in look()


def test_open_and_prepared_transactions(look, source_db, source_cluster):
    source_db.as_owner(CLEAN)
    with source_db.connect(superuser=True, application_name="report") as conn:
        conn.execute("BEGIN; INSERT INTO shop.customer (name) VALUES ('x')")
        conn.execute("SELECT pg_advisory_lock(1)")
        source_db.sql("BEGIN; INSERT INTO shop.customer (name) VALUES ('y'); PREPARE TRANSACTION 'two'")
        found = look()
        assert "long_transaction" not in found  # it is not a minute old yet
        assert severity(found, "prepared_transaction", "two") == "warning"
        assert "advisory_locks" in found
        assert "postgres/report@" in found["clients"]["source"]["meaning"]
    source_db.sql("ROLLBACK PREPARED 'two'", superuser=True)


def test_a_login_without_privileges(look, source_db):
    source_db.as_owner(CLEAN + "CREATE SEQUENCE shop.s;")
    weak = f"weak_{source_db.name}"
    source_db.sql(f"CREATE ROLE {weak} LOGIN PASSWORD 'weak-Secret-1'", superuser=True)
    try:
        login = {**source_db.login, "login_user": weak, "login_password": "weak-Secret-1"}
        found = look(source=login)
        owner = source_db.owner
        assert {(c, o) for c in codes(found) for o, f in found[c].items() if f["severity"] == "blocker"} == {
            ("login_cannot_replicate", weak),
            ("login_not_owner", owner),
            ("login_cannot_use_schema", "shop"),
            ("login_cannot_create", "source"),
            ("login_cannot_see_activity", "source"),
            ("no_way_back", "source"),
            ("node_cannot_reach_source", "node"),  # as this login, which may not replicate
        }
        assert f"GRANT {owner} TO {weak}" == found["login_not_owner"][owner]["action"]
        assert "weak-Secret-1" not in str(found)
        assert severity(look(source=login, way_back=False), "no_way_back", "source") == "warning"

        # A member who may not SET ROLE, and a sequence of somebody else's.
        source_db.sql(
            f"GRANT {owner} TO {weak} WITH INHERIT TRUE, SET FALSE; CREATE SEQUENCE shop.other", superuser=True
        )
        found = look(source=login)
        assert "login_not_owner" not in found
        assert owner in found["no_way_back"]
        assert list(found["login_cannot_read_sequence"]) == ["shop.other"]
    finally:
        source_db.sql(f"DROP OWNED BY {weak}; DROP ROLE {weak}", superuser=True)


def test_row_security(look, source_db):
    source_db.as_owner(
        """CREATE TABLE secret (id bigint PRIMARY KEY); ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
           CREATE TABLE forced (id bigint PRIMARY KEY); ALTER TABLE forced ENABLE ROW LEVEL SECURITY,
           FORCE ROW LEVEL SECURITY;"""
    )
    found = look()
    assert list(found["row_security"]) == ["public.forced"]  # the owner's members see the other one whole
    assert "NO FORCE" in found["row_security"]["public.forced"]["action"]


def test_settings_of_the_session(look, source_db):
    source_db.as_owner(CLEAN)
    source_db.sql(
        f"""ALTER ROLE crossover IN DATABASE {source_db.name} SET statement_timeout = '30s';
            ALTER DATABASE {source_db.name} SET default_transaction_read_only = on;
            ALTER DATABASE {source_db.name} SET default_transaction_isolation = 'serializable';
            ALTER DATABASE {source_db.name} SET synchronous_commit = off""",
        superuser=True,
    )
    found = look()
    assert "source statement_timeout" in found["session_timeout"]
    assert severity(found, "read_only_default", "source") == "blocker"
    assert {"serializable_default", "synchronous_commit_off"} <= codes(found)


def test_encoding_and_locale(look, source_db, target_db, target_cluster):
    name = f"{target_db.name}_latin"
    target_cluster.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        found = look(**target_cluster.login(name))
        assert severity(found, "encoding", "node") == "blocker"
    finally:
        target_cluster.sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_same_database_and_an_older_node(run_module, source_db, target_db):
    both = {**target_db.login, "source": target_db.login, "name": "shop"}
    assert "same_database" in {f["code"] for f in run_module("assess_info", both)["findings"]}
    swapped = {**source_db.superuser, "source": target_db.login, "name": "shop"}
    assert "node_older_than_source" in {f["code"] for f in run_module("assess_info", swapped)["findings"]}


@pytest.fixture(scope="module")
def poor_cluster():
    """A server on which nothing is prepared: wal_level replica, one slot, taken."""
    cluster = Cluster(
        wheel_bindir(16),
        fast=True,
        settings={
            "wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "0",
            "max_logical_replication_workers": "0",
            "max_prepared_transactions": "0", "max_slot_wal_keep_size": "'100MB'", "wal_sender_timeout": "0",
            "synchronous_standby_names": "''",
        },
    )  # fmt: skip
    try:
        yield cluster.create()
    finally:
        cluster.remove()


def test_a_server_that_is_not_prepared(look, poor_cluster):
    poor_cluster.sql("SELECT pg_create_physical_replication_slot('backup')")
    db = Database(poor_cluster).create()
    found = look(source=db.login)
    blockers = {(b["code"], b["object"]) for b in found["result"]["blockers"]}
    assert {
        ("wal_level", "source"), ("replication_slots", "source"), ("wal_senders", "source"),
        ("logical_workers", "source"),
        ("login_cannot_replicate", "crossover"),
    } <= blockers  # fmt: skip
    assert "backup" in found["replication_slots"]["source"]["action"]
    assert severity(found, "wal_budget_small", "source") == "warning"
    assert severity(found, "replication_timeout", "source") == "warning"
    assert not {"wal_unbounded", "two_phase_commit"} & codes(found)

    # The same server as a node.
    found = look(source=db.login, **db.superuser)
    assert severity(found, "wal_level", "node") == "blocker"
    assert severity(look(**db.superuser, way_back=False), "wal_level", "node") == "warning"

    # As a standby.
    (poor_cluster.data / "standby.signal").touch()
    poor_cluster.restart()
    try:
        found = look(source=db.login)
        assert severity(found, "standby", "source") == "blocker"
        assert found["result"]["failed"] is False
    finally:
        (poor_cluster.data / "standby.signal").unlink()
        poor_cluster.restart()


@pytest.mark.skipif(
    not os.path.exists("/usr/lib/postgresql/15/bin/postgres"), reason="no PostgreSQL 15 on this machine"
)
def test_before_16_only_a_superuser_has_a_way_back(look):
    cluster = Cluster("/usr/lib/postgresql/15/bin", fast=True)
    try:
        db = Database(cluster.create()).create()
        db.as_owner(CLEAN)
        found = look(source=db.login)
        assert severity(found, "no_way_back", "source") == "blocker"
        assert "crossover_way_back: false" in found["no_way_back"]["source"]["action"]
        assert found["result"]["blockers"] == [{"code": "no_way_back", "object": "source"}]
        assert "no_way_back" not in look(source=db.superuser)
    finally:
        cluster.remove()


@pytest.mark.skipif(binary() is None, reason="no PgBouncer on this machine")
def test_poolers(look, source_db, source_cluster):
    source_db.as_owner(CLEAN)
    login = source_db.login
    with Pooler(login, "crossover", source_cluster.login_password) as pooler:
        found = look(source={**login, "login_port": pooler.port})
        assert severity(found, "through_pooler", "source") == "blocker"
        assert "login_cannot_replicate" not in found  # that would only be what follows from it

        source_db.sql(f"ALTER ROLE {source_db.owner} LOGIN PASSWORD 'x'", superuser=True)
        with source_db.connect(superuser=True, application_name="cron"):
            import psycopg

            with psycopg.connect(pooler.dsn) as conn:
                conn.execute("SELECT 1")
                found = look(route=pooler.route)
        assert {"session_pooling", "route_not_ready"}.isdisjoint(found)
        assert [name.split("@")[0] for name in found["client_bypasses_route"]] == ["postgres/cron"]

        route = pooler.route
        route["poolers"][0]["databases_file"] = "/nonexistent/databases.ini"
        assert "route_not_ready" in look(route=route)
        assert "secret" not in str(look(route=route))
    assert "route_not_ready" in look(route=pooler.route)  # nobody answers there now
    with Pooler(login, "crossover", source_cluster.login_password, mode="session") as pooler:
        assert len(look(route=pooler.route)["session_pooling"]) == 1


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"schemas": ["shop", "shpo"]}, "unknown_name", "no schema shpo"),
        ({"exclude_tables": ["shop.customr"]}, "unknown_name", "no table shop.customr"),
        ({"waivers": [{"code": "no_key", "object": "*"}]}, "unknown_waiver", "no_key"),
        ({"route": {"type": "carrier_pigeon"}}, "bad_route", "carrier_pigeon"),
    ],
)
def test_unknown_names(look, source_db, options, code, words):
    source_db.as_owner(CLEAN)
    result = look(**options)["result"]
    assert result["failed"] and result["failure"]["code"] == code
    assert words in result["msg"] and "nothing was changed" in result["msg"].lower()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"login_port": 1}, "unreachable"),
        ({"login_password": "wrong-Secret-2"}, "bad_password"),
        ({"login_db": "nowhere"}, "unknown_database"),
    ],
)
def test_wrong_logins_fail_within_seconds(look, source_db, change, code):
    begun = time.monotonic()
    result = look(source={**source_db.login, **change})["result"]
    assert result["failed"] and result["failure"]["code"] == code
    assert time.monotonic() - begun < 8
    assert "wrong-Secret-2" not in str(result)


def test_where_nodes_reach_the_source_otherwise(look, source_db, target_cluster):
    source_db.as_owner(CLEAN)
    before = len(target_cluster.log())
    found = look(source_for_nodes={"login_port": 1, "login_password": "gone-Secret-3"})
    assert severity(found, "node_cannot_reach_source", "node") == "blocker"
    assert "gone-Secret-3" not in str(found["node_cannot_reach_source"])
    assert "gone-Secret-3" not in target_cluster.log()[before:]  # not even where the statement failed


def test_a_node_login_that_is_no_superuser(look, source_db, target_db):
    source_db.as_owner(CLEAN)
    plain = f"plain_{target_db.name}"
    target_db.sql(
        f"CREATE ROLE {plain} LOGIN PASSWORD 'plain-Secret-4'; GRANT pg_monitor TO {plain};"
        f" GRANT CREATE ON DATABASE {target_db.name} TO {plain}"
    )
    try:
        login = {**target_db.login, "login_user": plain, "login_password": "plain-Secret-4"}
        found = look(**login)
        assert list(found["node_login_cannot_subscribe"]) == [plain]
        assert list(found["node_login_cannot_create_roles"]) == [plain]
        target_db.sql(f"GRANT pg_create_subscription TO {plain}")
        found = look(**login)
        assert "node_login_cannot_subscribe" not in found
        assert "reachability_unchecked" in found
    finally:
        target_db.sql(f"DROP OWNED BY {plain}; DROP ROLE {plain}")


@pytest.fixture
def play(source_db, target_db, tmp_path):
    """Run a playbook of the collection."""
    runner = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "crossover_source": source_db.login,
        "crossover_name": "shop",
        "crossover_report_dir": str(tmp_path / "report"),
    }
    inventory = {
        "crossover_runner": {"hosts": {"runner": runner}},
        "pgedge": {"hosts": {"n1": {"crossover_node": target_db.login}}},
    }
    (tmp_path / "inventory.json").write_text(json.dumps(inventory))

    def run(name, *options, **variables):
        return subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", "-vvv", "-i", str(tmp_path / "inventory.json")),
                *(f"crossover.pgedge.{name}", "-e", json.dumps(variables), *options),
            ],
            env={**module_environment(), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    return run


def test_the_phase(play, run_module, source_db, target_db, tmp_path):
    """It succeeds with blockers; the later phases refuse until they are waived."""
    source_db.as_owner(CLEAN + "CREATE UNLOGGED TABLE shop.sessions (id bigint PRIMARY KEY)")
    done = play("assess", "--check")
    assert done.returncode == 0, done.stdout
    assert "would" not in done.stderr and not (tmp_path / "report").exists()
    assert not target_db.sql("SELECT FROM pg_namespace WHERE nspname = 'crossover'")

    done = play("assess")
    assert done.returncode == 0, done.stdout
    assert "1 blocker(s) stop the migration" in done.stdout and "blocker  unlogged_table" in done.stdout
    for secret in (source_db.cluster.login_password, target_db.cluster.login_password):
        assert secret not in done.stdout + done.stderr
    report = tmp_path / "report" / "shop-assess.json"
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert json.loads(report.read_text())["summary"]["blockers"] == 1

    args = {**target_db.login, "source": source_db.login, "name": "shop", "phase": "prepare"}
    refused = run_module("migration", args)
    assert refused["failed"] and "unlogged_table shop.sessions" in refused["msg"]
    waiver = {"code": "unlogged_table", "object": "shop.sessions"}
    done = play("assess", crossover_waivers=[waiver])
    assert done.returncode == 0 and "no blocker" in done.stdout and "changed=0" in done.stdout
    assert run_module("migration", args, check=True)["run"]
    facts = run_module("migration", {**args, "state": "present"})["facts"]
    assert facts["assess.blockers"] == [] and [f["code"] for f in facts["assess.findings"] if f["waived"]] == [
        "unlogged_table"
    ]


MESH = """
    CREATE SCHEMA shop;
    CREATE TABLE shop.account (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, balance numeric NOT NULL DEFAULT 0,
                               total_owner int REFERENCES shop.account);
    CREATE TABLE shop.item (id bigserial PRIMARY KEY, account int REFERENCES shop.account);
    CREATE SEQUENCE shop.loose;
    CREATE SEQUENCE shop.tiny AS smallint MAXVALUE 2;
    CREATE FUNCTION shop.tell() RETURNS void LANGUAGE sql AS $$ SELECT pg_notify('shop', 'x') $$;
    INSERT INTO shop.account DEFAULT VALUES;
    UPDATE shop.account SET balance = 1;
"""


def _further(databases):
    return [{**db.login, "name": f"n{k}"} for k, db in enumerate(databases[1:], 2)]


def test_several_nodes_without_spock_are_refused(look, source_db, target_db, target_cluster):
    source_db.as_owner(MESH)
    second = Database(target_cluster).create()
    try:
        found = look(landing_nodes=["n1", "n2", "n3"], further_nodes=_further([target_db, second]))
        assert severity(found, "no_spock", "node") == "blocker"
        assert {"shop.tiny"} == set(found["sequence_too_small"])
    finally:
        second.drop()


class TestOnSpock:
    """What is read of real Spock."""

    pytestmark = ON_SPOCK

    def test_a_mesh_is_read_and_judged(self, run_module, source_db, mesh_dbs):
        source_db.as_owner(MESH)
        names = ["n1", "n2", "n3"]
        mesh_dbs[0].sql("SELECT spock.node_create('first', 'host=127.0.0.1 dbname=x')", superuser=True)
        args = {**mesh_dbs[0].login, "source": source_db.login, "name": "shop", "landing_nodes": names,
                "further_nodes": _further(mesh_dbs), "sequences": {"exceptions": [
                    {"sequence": "shop.item_id_seq", "how": "snowflake"},
                    {"sequence": "shop.loose", "how": "snowflake"},
                    {"sequence": "shop.tiny", "how": "keep"}]}}  # fmt: skip
        until = time.monotonic() + 10
        while True:  # the statistics of the update arrive a moment later
            result = run_module("assess_info", args)
            assert not result["failed"], result
            found = {(f["code"], f["object"]): f for f in result["findings"]}
            if ("counter_column", "shop.account.balance") in found or time.monotonic() > until:
                break
            time.sleep(0.5)
        for code, name in (
            ("counter_column", "shop.account.balance"),
            ("no_spock_node", "n2"),
            ("no_spock_node", "n3"),
            ("sequence_keep", "shop.tiny"),
            ("sequence_choices", "shop.account_id_seq"),
            ("snowflake_not_drawn", "shop.loose"),
            ("snowflake_clients", "source"),
            ("truncate_cascade", "source"),
            ("not_cluster_wide", source_db.name),
        ):
            assert (code, name) in found, (code, name, sorted(found))
        assert "shop.tell()" in found["not_cluster_wide", source_db.name]["meaning"]
        assert ("no_spock_node", "n1") not in found and ("no_spock", "node") not in found
        assert ("counter_column", "shop.account.total_owner") not in found, "a foreign key is no total"
        assert not {code for code, _name in found} & {"spock_versions", "peer_settings", "peer_clock", "node_id_taken"}

    def test_a_nodes_id_that_is_an_origins_number(self, run_module, source_db, mesh_dbs):
        source_db.as_owner(CLEAN)
        node = mesh_dbs[1]
        # some number that an origin of this server has becomes a node's id
        node.sql("SELECT pg_replication_origin_create('crossover_test_same')", superuser=True)
        try:
            node.sql(
                "INSERT INTO spock.node (node_id, node_name) SELECT roident, 'same' FROM pg_replication_origin "
                "WHERE roname = 'crossover_test_same'",
                superuser=True,
            )
            args = {**mesh_dbs[0].login, "source": source_db.login, "name": "shop",
                    "landing_nodes": ["n1", "n2", "n3"], "further_nodes": _further(mesh_dbs)}  # fmt: skip
            result = run_module("assess_info", args)
            found = {(f["code"], f["object"]): f for f in result["findings"]}
            assert "crossover_test_same on n2" in found["node_id_taken", "same"]["meaning"]
        finally:
            node.sql("DELETE FROM spock.node WHERE node_name = 'same'", superuser=True)
            node.sql("SELECT pg_replication_origin_drop('crossover_test_same')", superuser=True)
