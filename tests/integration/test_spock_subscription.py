# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module spock_subscription on real Spock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from support.database import Database
from support.mesh import ON_SPOCK
from support.spock import TRACE, Modules, dsn, prepare, wait_for

pytestmark = ON_SPOCK

ORDER = 'shop."Order"'
NAME = "sub_n2_n1"
COUNT = f"SELECT count(*) AS n FROM {ORDER}"


@pytest.fixture
def run(run_module: Callable[..., dict[str, Any]]) -> Modules:
    return Modules(run_module)


@pytest.fixture
def pair(mesh_dbs: list[Database], run: Modules) -> list[Database]:
    """Two nodes with the same tables in sets."""
    prepare(mesh_dbs[:2])
    for name, database in zip(("n1", "n2"), mesh_dbs):
        run.raw("spock_node", database, name=name, dsn=dsn(database))
        run.raw("spock_repset", database, name="default", tables=["shop.Order"])
    return mesh_dbs[:2]


def subscribe(run: Modules, pair: list[Database], **more: Any) -> dict[str, Any]:
    sets = ["default", "default_insert_only"]
    return run("spock_subscription", pair[1], name=NAME, **{"provider_dsn": dsn(pair[0]), "replication_sets": sets,
               "forward_origins": [], "wait_timeout": 60, **more})  # fmt: skip


def order(database: Database, number: int) -> None:
    database.sql(f"INSERT INTO {ORDER} VALUES (%s, 'EU', 5)", [number], superuser=True)


def arrives(database: Database, number: int) -> None:
    wait_for(lambda: database.sql(f"SELECT FROM {ORDER} WHERE id = %s", [number], superuser=True))


def test_life(pair: list[Database], run: Modules) -> None:
    one, two = pair
    made = subscribe(run, pair)
    assert made["queries"] == [
        f"SELECT spock.sub_create('{NAME}', 'host=127.0.0.1 port={one.cluster.port} dbname={one.name} user=replicator "
        "password=********', replication_sets := ARRAY['default', 'default_insert_only']::text[], "
        "synchronize_structure := false, synchronize_data := false, forward_origins := ARRAY[]::text[])"
    ]
    found = made["subscription"]
    assert found["status"] == "replicating" and found["provider"] == "n1" and found["enabled"] is True
    assert found["slot"] == f"spk_{one.name}_n1_{NAME}" and found["provider_dsn"]["password"] == "********"
    order(one, 1)
    arrives(two, 1)

    sets = run("spock_subscription", two, name=NAME, replication_sets=["default", "ddl_sql"])
    assert sets["queries"] == [
        f"SELECT spock.sub_add_repset('{NAME}', 'ddl_sql')",
        f"SELECT spock.sub_remove_repset('{NAME}', 'default_insert_only')",
    ]
    off = run("spock_subscription", two, name=NAME, enabled=False)
    assert off["queries"] == [f"SELECT spock.sub_disable('{NAME}', immediate := true)"]
    assert off["diff"]["before"]["enabled"] is True and off["diff"]["after"]["enabled"] is False
    wait_for(lambda: run.raw("spock_subscription", two, name=NAME)["subscription"]["status"] == "disabled")
    begun = time.monotonic()
    late = run.raw("spock_subscription", two, name=NAME, wait_timeout=60)
    assert late["failed"] and "it is disabled" in late["msg"] and time.monotonic() - begun < 30
    order(one, 2)
    on = run("spock_subscription", two, name=NAME, enabled=True, wait_timeout=60)
    assert on["queries"] == [f"SELECT spock.sub_enable('{NAME}', immediate := true)"]
    arrives(two, 2)

    gone = run("spock_subscription", two, name=NAME, state="absent")
    assert gone["changed"] and gone["remaining_slots"] == [] and gone["subscription"] == {}
    assert not one.sql("SELECT FROM pg_replication_slots WHERE database = %s", [one.name])


def test_rows_and_structure_are_taken_over(mesh_dbs: list[Database], run: Modules) -> None:
    one, _two, three = mesh_dbs
    prepare([one])
    prepare([three], "SELECT")
    run("spock_node", one, name="n1", dsn=dsn(one))
    # Spock's own pg_dump and pg_restore, which it calls by a shell, log in as this
    plain = {"password": three.cluster.password, "user": "postgres"}
    run("spock_node", three, name="n3", dsn={**dsn(three), **plain})
    provider = {**dsn(one), "password": one.cluster.password, "user": "postgres"}
    run("spock_repset", one, name="default", tables=["shop.Order"])
    one.sql(f"INSERT INTO {ORDER} SELECT n, 'EU', n FROM generate_series(1, 500) n", superuser=True)
    both = {"synchronize_structure": True, "synchronize_data": True}
    run.fails("spock_subscription", three, "cannot be made disabled and copy at once", name="sub", provider_dsn=provider,
              enabled=False, **both)  # fmt: skip
    made = run("spock_subscription", three, name="sub", provider_dsn=provider, wait_timeout=100, **both)
    assert made["subscription"]["status"] == "replicating"
    assert three.sql(COUNT, superuser=True) == [{"n": 500}]
    three.sql(f"DELETE FROM {ORDER} WHERE id > 100", superuser=True)
    again = run("spock_subscription", three, False, name="sub", resync_tables=["shop.Order"], wait_timeout=100)
    assert again["queries"] == [f"SELECT spock.sub_resync_table('sub', '{ORDER}'::regclass, truncate := true)"]
    assert three.sql(COUNT, superuser=True) == [{"n": 500}]


def test_another_way_to_the_provider(pair: list[Database], run: Modules) -> None:
    one, two = pair
    subscribe(run, pair)
    other = subscribe(run, pair, provider_dsn=dsn(one, application_name="other"))
    assert len(other["queries"]) == 2 and other["subscription"]["provider_dsn"]["application_name"] == "other"
    assert other["subscription"]["interface"] == "n1_2" and other["diff"]["after"]["interface"] == "n1_2"
    third = subscribe(run, pair, provider_dsn=dsn(one, application_name="third"))
    assert len(third["queries"]) == 3 and third["subscription"]["interface"] == "n1_3"
    order(one, 7)
    arrives(two, 7)
    back = subscribe(run, pair)
    assert back["queries"] == [
        f"SELECT spock.sub_alter_interface('{NAME}', 'n1')", "SELECT spock.node_drop_interface('n1', 'n1_3')",
    ]  # fmt: skip
    order(one, 8)
    arrives(two, 8)


def test_two_subscriptions_to_one_provider(pair: list[Database], run: Modules) -> None:
    one, two = pair
    subscribe(run, pair, replication_sets=["default"])
    wrong = run.raw("spock_subscription", two, name="more", replication_sets=["default_insert_only"],
                    provider_dsn=dsn(one, password=one.cluster.password, user="postgres"))  # fmt: skip
    assert wrong["failed"] and "existing node" in wrong["msg"], wrong["msg"]
    assert one.cluster.password not in str(wrong) + two.cluster.log(), "neither DSN's password is told"
    assert "Nothing was changed" in wrong["msg"]
    right = run("spock_subscription", two, name="more", replication_sets=["default_insert_only"], provider_dsn=dsn(one),
                wait_timeout=60)  # fmt: skip
    assert right["subscription"]["interface"] == "n1"


def test_what_cannot_be_changed(pair: list[Database], run: Modules) -> None:
    two = pair[1]
    major = subscribe(run, pair)["spock"].split(".")[0]
    options = {"apply_delay": 3.5, "skip_schema": ["x"], "forward_origins": ["all"]}
    if major == "5":
        run.fails("spock_subscription", two, "other apply_delay and forward_origins and skip_schema and force_text_transfer",
                  "Spock 5 cannot change", "Nothing was changed", name=NAME, force_text_transfer=True, **options)  # fmt: skip
    else:
        changed = run("spock_subscription", two, name=NAME, **options)
        assert len(changed["queries"]) == 1 and "sub_alter_options" in changed["queries"][0]
        assert run("spock_subscription", two, name=NAME, forward_origins=[])["subscription"]["apply_delay"] == 3.5
        run.fails("spock_subscription", two, "other force_text_transfer, which Spock 6 cannot change", name=NAME,
                  force_text_transfer=True)  # fmt: skip
    run.fails("spock_subscription", two, "there is no subscription other yet", "Give provider_dsn", name="other")
    run.fails("spock_subscription", two, "'x' is no LSN", name=NAME, skip_lsn="x")
    run.fails("spock_subscription", two, "'A-b' is no name for a subscription", name="A-b")
    run.fails("spock_subscription", two, "there is no table shop.none", name=NAME, resync_tables=["shop.none"])


def test_every_option_of_a_new_one(pair: list[Database], run: Modules) -> None:
    one, two = pair
    options = {"apply_delay": 0.5, "skip_schema": ["x", "y"], "forward_origins": ["all"], "force_text_transfer": True}
    made = subscribe(run, pair, **options)
    assert {key: made["subscription"][key] for key in options} == options
    order(one, 3)
    arrives(two, 3)
    assert not run("spock_subscription", two, name=NAME, **{**options, "skip_schema": ["y", "x"]})["changed"]


def test_one_that_is_made_disabled(pair: list[Database], run: Modules) -> None:
    one, two = pair
    made = run("spock_subscription", two, name=NAME, provider_dsn=dsn(one), enabled=False)
    assert made["subscription"]["status"] == "disabled" and "makes no slot on the provider" in str(made["warnings"])
    slot = made["subscription"]["slot"]
    assert not one.sql("SELECT FROM pg_replication_slots WHERE slot_name = %s", [slot])
    one.sql("SELECT pg_create_logical_replication_slot(%s, 'spock_output')", [slot], superuser=True)
    run("spock_subscription", two, name=NAME, enabled=True, wait_timeout=60)
    order(one, 4)
    arrives(two, 4)


def test_a_transaction_that_is_skipped(pair: list[Database], run: Modules) -> None:
    one, two = pair
    subscribe(run, pair)
    assert run("spock_subscription", two, name=NAME, skip_lsn="FF/1")["subscription"]["skip_lsn"] == "FF/1"
    assert not run("spock_subscription", two, name=NAME, skip_lsn="ff/01")["changed"]
    assert run("spock_subscription", two, name=NAME, skip_lsn="0/0")["subscription"]["skip_lsn"] == "0/0"
    # a transaction that cannot be applied, and stops the subscription (exception_behaviour = sub_disable)
    two.sql(f"ALTER TABLE {ORDER} ADD CHECK (id <> 13)", superuser=True)
    with one.connect(superuser=True) as conn, conn.transaction():
        conn.execute(f"INSERT INTO {ORDER} VALUES (13, 'EU')")
    end = one.sql("SELECT pg_current_wal_insert_lsn()::text AS lsn", superuser=True)[0]["lsn"]
    order(one, 14)
    wait_for(lambda: run.raw("spock_subscription", two, name=NAME)["subscription"]["status"] == "disabled", 60)
    log = two.cluster.log()
    assert end and "13" in log
    assert not two.sql(f"SELECT FROM {ORDER} WHERE id = 14", superuser=True)
    assert not run("spock_subscription", two, name=NAME, skip_lsn="0/1")["changed"], "that one has been passed"


def test_a_provider_that_is_down(pair: list[Database], run: Modules) -> None:
    one, two = pair
    slot = subscribe(run, pair)["subscription"]["slot"]
    one.cluster.stop("immediate")
    try:
        wait_for(lambda: run.raw("spock_subscription", two, name=NAME)["subscription"]["status"] == "down", 60)
        late = run.raw("spock_subscription", two, name=NAME, wait_timeout=1)
        assert late["failed"] and "not in step with n1 after 1 s: it is down" in late["msg"]
        other = run.raw("spock_subscription", two, name="new", provider_dsn=dsn(one))
        assert other["failed"] and "could not be made" in other["msg"] and "Nothing was changed" in other["msg"]
        begun = time.monotonic()
        gone = run("spock_subscription", two, name=NAME, state="absent", again=False)
        assert time.monotonic() - begun < 60
        assert gone["remaining_slots"] == [slot] and "crossover.pgedge.slot" in str(gone["warnings"])
    finally:
        one.cluster.start()
    assert not run("spock_subscription", two, name=NAME, state="absent")["changed"]
    done = run.raw("slot", one, name=slot, state="absent")
    assert done["changed"] and not one.sql("SELECT FROM pg_replication_slots WHERE slot_name = %s", [slot])


def test_no_log_has_a_password(pair: list[Database], run: Modules) -> None:
    """Neither when everything is logged, nor when the provider refuses the login."""
    one, two = pair
    for database in pair:
        database.sql(f"ALTER DATABASE {database.name} SET log_statement = 'all'", superuser=True)
        database.sql(f"ALTER DATABASE {database.name} SET log_min_duration_statement = 0", superuser=True)
    wrong = run.raw("spock_subscription", two, name=NAME, provider_dsn=dsn(one, password=f"{TRACE}-not-this"))
    assert wrong["failed"] and "password authentication failed" in wrong["msg"], wrong["msg"]
    subscribe(run, pair)
    subscribe(run, pair, provider_dsn=dsn(one, application_name="other"))
    run("spock_subscription", two, name=NAME, state="absent")
