# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule of the assessment, without a database."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_assess import assess
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_assess_facts import (
    Collation,
    Extension,
    Facts,
    Index,
    Prepared,
    Probes,
    RouteFault,
    SequenceFacts,
    Server,
    Session,
    Slot,
    TableFacts,
    Wanted,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_assess_finding import CODES, Finding
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_names import Names
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_catalog import Table

SETTINGS = {
    "wal_level": "logical",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    "max_logical_replication_workers": "8",
    "max_sync_workers_per_subscription": "2",
    "max_worker_processes": "16",
    "max_active_replication_origins": "20",
    "max_slot_wal_keep_size": "20480",
    "max_prepared_transactions": "0",
    "wal_sender_timeout": "60000",
    "wal_receiver_timeout": "60000",
    "shared_preload_libraries": "spock",
    "track_commit_timestamp": "on",
    "synchronous_commit": "on",
    "synchronous_standby_names": "",
    "output_plugin_libraries": "pgoutput, test_decoding, spock_output",
}
SOURCE = Server(
    side="source", version=160004, version_text="16.4", database="shop", user="crossover", encoding="UTF8",
    identity=("7", "today", "5"), locale=("c", "C", "C"), settings=SETTINGS, access_methods=frozenset({"heap"}),
    reads_passwords=True,
)  # fmt: skip
NODE = dataclasses.replace(
    SOURCE, side="node", version=180004, version_text="18.4", identity=("8", "today", "5"), superuser=True,
    extensions={"spock": Extension("5.0.12", ("5.0.12",))},
)  # fmt: skip
KEY = Index("t_pkey", True, True, False, False, False, False)
T = Table(
    oid=1, schema="shop", name="t", owner="shop_owner", partitioned=False, parent=None, persistence="p", identity="d",
    has_key=True, has_identity=True, row_security=False, rows=10, bytes=8192,
)  # fmt: skip
CLEAN = Facts(source=SOURCE, node=NODE, tables=(TableFacts(T, indexes=(KEY,)),))
WANTED = Wanted("shop", Names.of("shop"))
SEQUENCE = SequenceFacts("shop.s", "shop_owner", 10, 1, 1000, 1, False)
CLIENT = Session(77, "app", "web", "10.0.0.1")


def side(which: str, settings: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """One side changed."""
    server = SOURCE if which == "source" else NODE
    return {which: dataclasses.replace(server, settings={**SETTINGS, **(settings or {})}, **changes)}


def tables(*changes: dict[str, Any]) -> dict[str, Any]:
    """Tables that differ from the clean one, in what Table or TableFacts knows."""
    made = []
    known = {field.name for field in dataclasses.fields(Table)}
    for number, change in enumerate(changes):
        inner = {"oid": number + 1, "name": f"t{number}", **{k: v for k, v in change.items() if k in known}}
        outer = {k: v for k, v in change.items() if k not in known}
        made.append(TableFacts(dataclasses.replace(T, **inner), **{"indexes": (KEY,), **outer}))
    return {"tables": tuple(made)}


def look(wanted: dict[str, Any] | None = None, **changes: Any) -> list[Finding]:
    """What is found when the clean facts are changed."""
    return assess(dataclasses.replace(CLEAN, **changes), dataclasses.replace(WANTED, **(wanted or {})))


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert look() == []


NO_KEY = {"has_key": False, "has_identity": False, "indexes": ()}
BACK = Names.of("shop")
# code, severity, object, facts, wanted
CASES: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("source_too_old", "blocker", "source", side("source", version=130010, version_text="13.10"), {}),
    ("node_too_old", "blocker", "node", side("node", version=140010, version_text="14.10"), {}),
    ("node_older_than_source", "blocker", "node", side("node", version=150010, version_text="15.10"), {}),
    ("standby", "blocker", "source", side("source", in_recovery=True), {}),
    ("through_pooler", "blocker", "node", side("node", pooled=True), {}),
    ("same_database", "blocker", "shop", side("node", identity=("7", "today", "5")), {}),
    ("wal_level", "blocker", "source", side("source", {"wal_level": "replica"}), {}),
    ("wal_level", "blocker", "node", side("node", {"wal_level": "replica"}), {}),
    ("wal_level", "warning", "node", side("node", {"wal_level": "replica"}), {"way_back": False}),
    ("wal_level", "blocker", "node", side("node", {"wal_level": "replica"}), {"way_back": False, "nodes": 2}),
    ("output_plugin", "blocker", "source", side("source", {"output_plugin_libraries": "test_decoding"}), {}),
    ("output_plugin", "blocker", "node", side("node", {"output_plugin_libraries": "pgoutput"}), {}),
    (
        "replication_slots",
        "blocker",
        "source",
        side("source", {"max_replication_slots": "1"}, slots=(Slot("x", False, "reserved"),)),
        {},
    ),
    ("replication_slots", "warning", "source", side("source", {"max_replication_slots": "2"}), {}),
    ("replication_slots", "blocker", "node", side("node", {"max_replication_slots": "0"}), {}),
    ("wal_senders", "blocker", "source", side("source", wal_senders=20), {}),
    ("wal_senders", "warning", "source", side("source"), {"nodes": 7}),
    ("copy_cost", "info", "shop", {}, {"nodes": 3}),
    ("logical_workers", "blocker", "node", side("node", logical_workers=8), {}),
    ("logical_workers", "warning", "node", side("node", logical_workers=6), {}),
    ("logical_workers", "blocker", "source", side("source", logical_workers=8), {}),
    ("worker_processes", "warning", "node", side("node", background_workers=14), {}),
    ("replication_origins", "blocker", "node", side("node", origins=20), {}),
    ("read_only_default", "blocker", "node", side("node", {"default_transaction_read_only": "on"}), {}),
    ("session_timeout", "warning", "source statement_timeout", side("source", {"statement_timeout": "30000"}), {}),
    ("session_timeout", "warning", "node transaction_timeout", side("node", {"transaction_timeout": "1000"}), {}),
    ("replication_timeout", "warning", "source", side("source", {"wal_sender_timeout": "0"}), {}),
    ("replication_timeout", "warning", "node", side("node", {"wal_receiver_timeout": "3000"}), {}),
    (
        "serializable_default",
        "warning",
        "source",
        side("source", {"default_transaction_isolation": "serializable"}),
        {},
    ),
    ("synchronous_commit_off", "warning", "source", side("source", {"synchronous_commit": "off"}), {}),
    ("synchronous_standby", "warning", "source", side("source", {"synchronous_standby_names": "ANY 1 (*)"}), {}),
    ("two_phase_commit", "info", "source", side("source", {"max_prepared_transactions": "5"}), {}),
    ("wal_unbounded", "info", "source", side("source", {"max_slot_wal_keep_size": "-1"}), {}),
    ("wal_budget_small", "warning", "source", side("source", {"max_slot_wal_keep_size": "64"}), {}),
    ("clock_skew", "warning", "node", side("node", clock=-4.0, clock_error=0.01), {}),
    ("no_spock", "info", "node", side("node", extensions={}), {}),
    ("no_spock", "blocker", "node", side("node", extensions={}), {"nodes": 3}),
    ("spock_not_loaded", "blocker", "node", side("node", {"shared_preload_libraries": "auto_explain"}), {}),
    ("track_commit_timestamp", "blocker", "node", side("node", {"track_commit_timestamp": "off"}), {}),
    ("login_cannot_replicate", "blocker", "crossover", {"probes": Probes(replication="must be replication role")}, {}),
    ("login_not_owner", "blocker", "shop_owner", tables({"owned": False}, {"owned": False, "readable": False}), {}),
    ("login_cannot_read", "blocker", "shop.t0", tables({"readable": False}), {}),
    ("login_cannot_use_schema", "blocker", "shop", {"unusable_schemas": ("shop",)}, {}),
    (
        "login_cannot_read_sequence",
        "blocker",
        "shop.s",
        {"sequences": (dataclasses.replace(SEQUENCE, readable=False),)},
        {},
    ),
    (
        "login_cannot_read_sequence",
        "blocker",
        "shop.s",
        {"sequences": (dataclasses.replace(SEQUENCE, settable=False),)},
        {},
    ),
    ("login_cannot_create", "blocker", "source", side("source", may_create=False), {}),
    ("login_cannot_see_activity", "blocker", "node", side("node", sees_activity=False), {}),
    ("row_security", "blocker", "shop.t0", tables({"rows_hidden": True, "row_security": True}), {}),
    (
        "row_security",
        "blocker",
        "shop.t0",
        tables({"row_security": True, "forced_security": True}) | side("node", superuser=False, createrole=True),
        {},
    ),
    ("no_way_back", "blocker", "source", {"probes": Probes(subscribe_source="permission denied")}, {}),
    ("no_way_back", "blocker", "shop_owner", tables({"becomes_owner": False}), {}),
    ("no_way_back", "warning", "source", {}, {"way_back": False}),
    ("node_login_cannot_subscribe", "blocker", "crossover", {"probes": Probes(subscribe_node="permission denied")}, {}),
    ("node_login_cannot_create_roles", "warning", "crossover", side("node", superuser=False), {}),
    ("node_cannot_reach_source", "blocker", "node", {"probes": Probes(node_to_source="no route")}, {}),
    ("reachability_unchecked", "info", "node", {"probes": Probes(node_to_source_tried=False)}, {}),
    ("role_passwords", "info", "source", side("source", reads_passwords=False) | {"login_roles": ("app",)}, {}),
    ("nothing_to_migrate", "warning", "shop", {"tables": ()}, {}),
    ("no_replica_identity", "blocker", "shop.t0", tables({**NO_KEY, "updates": 3}), {}),
    ("no_replica_identity", "warning", "shop.t0", tables(NO_KEY), {}),
    ("no_replica_identity", "blocker", "shop.t0", tables({"identity": "n", "has_identity": False, "deletes": 1}), {}),
    ("replica_identity_full", "warning", "shop.t0", tables({"identity": "f"}), {}),
    ("replica_identity_full", "blocker", "shop.t0", tables({"identity": "f", "has_key": False, "indexes": ()}), {}),
    ("unlogged_table", "blocker", "shop.t0", tables({"persistence": "u"}), {}),
    ("unlogged_table", "warning", "shop.t0", tables({"persistence": "u"}), {"unlogged": "skip"}),
    ("unlogged_table", "info", "shop.t0", tables({"persistence": "u"}), {"unlogged": "copy"}),
    (
        "unlogged_way_back",
        "warning",
        "crossover",
        tables({"persistence": "u"}) | {"probes": Probes(replica_role="permission denied")},
        {"unlogged": "copy"},
    ),
    (
        "fence_copy_share",
        "warning",
        "shop",
        tables({"persistence": "u", "bytes": 1 << 30}),
        {"unlogged": "copy", "fence_copy_budget": 2.0},
    ),
    (
        "fence_copy_mesh",
        "warning",
        "node",
        {"large_objects": 1} | side("node", extensions={"spock": Extension("5.0.11", ("5.0.11",))}),
        {"large_objects": "copy"},
    ),
    (
        "large_object_unreadable",
        "blocker",
        "shop",
        {"large_objects": 1, "unreadable_large_objects": ((17000, "app"),)},
        {"large_objects": "copy"},
    ),
    ("large_objects", "info", "shop", {"large_objects": 1}, {"large_objects": "copy"}),
    ("foreign_table", "warning", "shop.f", {"foreign_tables": ("shop.f",)}, {}),
    ("materialised_view", "info", "source", {"materialised_views": ("shop.m",)}, {}),
    ("temporary_tables", "info", "source", {"temporary_tables": 2}, {}),
    ("partitioned_table", "info", "source", tables({"partitioned": True}), {}),
    ("inheritance", "info", "source", {"inherited": ("shop.c",)}, {}),
    (
        "deferrable_key",
        "warning",
        "shop.t0",
        tables({"indexes": (KEY, dataclasses.replace(KEY, primary=False, immediate=False))}),
        {},
    ),
    (
        "several_unique_indexes",
        "warning",
        "shop.t0",
        tables({"indexes": (KEY, dataclasses.replace(KEY, primary=False))}),
        {},
    ),
    (
        "weak_unique_index",
        "warning",
        "shop.t0",
        tables({"indexes": (KEY, dataclasses.replace(KEY, primary=False, nullable=True))}),
        {},
    ),
    (
        "exclusion_constraint",
        "warning",
        "shop.t0",
        tables({"indexes": (KEY, dataclasses.replace(KEY, primary=False, exclusion=True))}),
        {},
    ),
    ("trigger_fires_on_apply", "warning", "shop.t0", tables({"replica_triggers": ("audit",)}), {}),
    ("generated_column", "info", "shop.t0", tables({"generated": ("total",)}), {}),
    (
        "generated_column",
        "blocker",
        "shop.t0",
        tables({"generated": ("total",)}) | side("node", extensions={"spock": Extension(None, ("5.0.9", "5.0.11"))}),
        {},
    ),
    ("int4_key", "info", "source", tables({"narrow_key": ("id",)}), {}),
    ("large_table", "info", "shop.t0", tables({"bytes": 200 * 1024**3}), {}),
    ("access_method_missing", "blocker", "columnar", tables({"access_method": "columnar"}), {}),
    ("foreign_keys", "info", "source", {"foreign_keys": (("fk", "shop.t", "shop.u"),)}, {}),
    (
        "foreign_key_to_excluded",
        "blocker",
        "shop.t fk",
        {"foreign_keys": (("fk", "shop.t", "shop.u"),), "excluded": frozenset({"shop.u"})},
        {},
    ),
    ("large_objects", "blocker", "shop", {"large_objects": 1}, {}),
    ("large_objects", "warning", "shop", {"large_objects": 1}, {"large_objects": "skip"}),
    ("sequence_near_end", "warning", "shop.s", {"sequences": (dataclasses.replace(SEQUENCE, last_value=900),)}, {}),
    ("extension_missing", "blocker", "aws_s3", side("source", extensions={"aws_s3": Extension("1.1", ("1.1",))}), {}),
    (
        "extension_older",
        "warning",
        "v",
        side("source", extensions={"v": Extension("1.10", ())})
        | side("node", extensions={"v": Extension(None, ("1.8", "1.9")), **NODE.extensions}),
        {},
    ),
    (
        "extension_older",
        "warning",
        "v",
        side("source", extensions={"v": Extension("2", ())})
        | side("node", extensions={"v": Extension("1", ("1", "2")), **NODE.extensions}),
        {},
    ),
    ("encoding", "blocker", "node", side("node", encoding="LATIN1"), {}),
    ("locale", "warning", "node", side("node", locale=("i", "en-US", "en-US")), {}),
    ("collation_version", "info", "node", side("node", collation_actual="2.36"), {}),
    ("collation_version", "warning", "source", side("source", collation_version="2.31"), {}),
    ("collation_missing", "blocker", "de_DE", {"used_collations": frozenset({"de_DE"})}, {}),
    ("target_not_empty", "blocker", "shop", {"node_objects": ("public.x",)}, {}),
    (
        "leftover_object",
        "blocker",
        "source publication crossover_shop",
        side("source", publications={"crossover_shop": False}),
        {},
    ),
    (
        "leftover_object",
        "blocker",
        "source slot crossover_shop_n1",
        side("source", slots=(Slot("crossover_shop_n1", False, "lost"),)),
        {},
    ),
    (
        "leftover_object",
        "blocker",
        "node subscription crossover_shop_n1",
        side("node", subscriptions=(BACK.subscription,)),
        {},
    ),
    ("leftover_object", "blocker", "source control row shop", {"control_row": True}, {}),
    ("other_databases", "info", "source", {"other_databases": ("crm",)}, {}),
    ("other_publication", "info", "source", side("source", publications={"dwh": True}), {}),
    ("source_subscribes", "warning", "feed", side("source", subscriptions=("feed",)), {}),
    ("event_trigger", "warning", "guard", {"event_triggers": ("guard",)}, {}),
    (
        "long_transaction",
        "warning",
        "pid 77",
        {"transactions": (dataclasses.replace(CLIENT, age=90.0, has_xid=True),)},
        {},
    ),
    ("prepared_transaction", "blocker", "g1", {"prepared": (Prepared("g1", "app", 61.0),)}, {}),
    ("prepared_transaction", "warning", "g1", {"prepared": (Prepared("g1", "app", 0.5),)}, {}),
    ("advisory_locks", "info", "source", {"advisory_locks": 1}, {}),
    (
        "session_pooling",
        "blocker",
        "pooler a",
        {"route_faults": (RouteFault("session_pooling", "pooler a", "pooled by session", "x"),)},
        {},
    ),
    (
        "route_not_ready",
        "blocker",
        "pooler a",
        {"route_faults": (RouteFault("bad_route", "pooler a", "no database", "x"),)},
        {},
    ),
    ("client_bypasses_route", "warning", "app/web@10.0.0.1", {"clients": (CLIENT,)}, {"route": "pgbouncer"}),
    ("clients", "info", "source", {"clients": (CLIENT,)}, {}),
]


@pytest.mark.parametrize(
    ("code", "severity", "name", "facts", "wanted"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_rule_finds(code: str, severity: str, name: str, facts: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = [f for f in look(wanted, **facts) if f.code == code]
    assert [(f.severity, f.object) for f in found] == [(severity, name)]
    assert found[0].action or severity == "info" or not wanted.get("way_back", True)
    assert found[0].meaning.endswith(".") and ".." not in found[0].meaning


def test_every_code_has_a_case() -> None:
    elsewhere = ("_mesh", "_sequences")  # test_assess_mesh
    mesh = {code for code, rule in CODES.items() if rule.__module__.endswith(elsewhere)}
    assert set(CODES) - mesh == {case[0] for case in CASES}


@pytest.mark.parametrize(
    ("code", "facts", "wanted"),
    [
        # Between 60 % and the end nobody is told; nor where a sequence begins again; nor below a minute.
        ("sequence_near_end", {"sequences": (dataclasses.replace(SEQUENCE, last_value=790),)}, {}),
        ("sequence_near_end", {"sequences": (dataclasses.replace(SEQUENCE, last_value=990, cycle=True),)}, {}),
        ("sequence_near_end", {"sequences": (dataclasses.replace(SEQUENCE, last_value=None),)}, {}),
        ("long_transaction", {"transactions": (dataclasses.replace(CLIENT, age=59.0, has_xid=True),)}, {}),
        ("clock_skew", side("node", clock=0.9, clock_error=0.6), {}),
        ("wal_level", side("node", {"wal_level": "logical"}), {}),
        ("unlogged_table", tables({}), {}),
        ("fence_copy_share", tables({"persistence": "u", "bytes": 1 << 30}), {"unlogged": "skip"}),
        ("fence_copy_share", {"large_objects": 9, "large_object_bytes": 1 << 20}, {"large_objects": "copy"}),
        ("fence_copy_mesh", {"large_objects": 1} | side("node", extensions={}), {"large_objects": "copy"}),
        ("large_object_unreadable", {"large_objects": 1, "unreadable_large_objects": ((17000, "app"),)}, {}),
        ("no_replica_identity", tables({"persistence": "u", **NO_KEY}), {}),
        ("generated_column", {}, {}),
        ("extension_missing", side("source", extensions={"plpgsql": Extension("1.0", ("1.0",))}), {}),
        ("extension_missing", side("source", extensions={"offered_only": Extension(None, ("1.0",))}), {}),
        (
            "extension_older",
            side("source", extensions={"v": Extension("1.9", ())})
            | side("node", extensions={"v": Extension(None, ("1.9", "1.8"))}),
            {},
        ),
        ("target_not_empty", {"node_objects": ("shop.t",), "node_is_ours": True}, {}),
        (
            "leftover_object",
            side("source", publications={"crossover_shop": False}) | {"phases": frozenset({"prepare", "replicate"})},
            {},
        ),
        ("source_subscribes", side("source", subscriptions=(BACK.back_subscription,)), {}),
        ("logical_workers", side("node", logical_workers=8) | {"phases": frozenset({"replicate"})}, {}),
        (
            "replication_slots",
            side("source", {"max_replication_slots": "1"}, slots=(Slot(BACK.slot, True, "reserved"),))
            | {"phases": frozenset({"replicate"})},
            {},
        ),
        (
            "collation_missing",
            {"used_collations": frozenset({"de_DE"})} | side("node", collations={"de_DE": Collation("c", None)}),
            {},
        ),
        ("client_bypasses_route", {"clients": (CLIENT,), "pooled_pids": frozenset({77})}, {"route": "pgbouncer"}),
        (
            "login_cannot_read_sequence",
            {"sequences": (dataclasses.replace(SEQUENCE, settable=False),)},
            {"way_back": False},
        ),
        ("node_login_cannot_create_roles", side("node", superuser=False, createrole=True), {}),
        ("foreign_key_to_excluded", {"foreign_keys": (("fk", "shop.t", "shop.t"),)}, {}),
        ("role_passwords", {"login_roles": ("app",)}, {}),
    ],
)
def test_rule_is_silent(code: str, facts: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert code not in {f.code for f in look(wanted, **facts)}


def test_partitions_are_one_finding() -> None:
    root = {"partitioned": True, "has_identity": False, "has_key": False, "indexes": ()}
    leaf = {**NO_KEY, "parent": 1, "updates": 2}
    found = [f for f in look(**tables(root, leaf, leaf)) if f.code == "no_replica_identity"]
    assert [f.object for f in found] == ["shop.t0"]
    assert "4 updates" in found[0].meaning


def test_a_root_without_key_is_fine_if_each_partition_has_one() -> None:
    root = {"partitioned": True, "has_identity": False, "has_key": False, "indexes": ()}
    assert "no_replica_identity" not in {f.code for f in look(**tables(root, {"parent": 1}))}


def test_the_action_names_a_usable_index() -> None:
    unique = Index("t_code", False, True, False, False, False, False)
    found = look(**tables({**NO_KEY, "indexes": (unique,), "updates": 1}))
    assert "REPLICA IDENTITY USING INDEX t_code" in found[0].action
    nullable = dataclasses.replace(unique, nullable=True)
    found = [
        f for f in look(**tables({**NO_KEY, "indexes": (nullable,), "updates": 1})) if f.code == "no_replica_identity"
    ]
    assert "ADD PRIMARY KEY" in found[0].action


@pytest.mark.parametrize(
    ("sequence", "used"),
    [
        (SEQUENCE, 0.01),
        (dataclasses.replace(SEQUENCE, increment=-1, minimum=-1000, maximum=-1, last_value=-900), 0.9),
        (dataclasses.replace(SEQUENCE, maximum=2**63 - 1, last_value=2**31 - 1, column_type="integer"), 1.0),
        (dataclasses.replace(SEQUENCE, maximum=2**63 - 1, last_value=2**31 - 1, column_type="bigint"), 0.0),
    ],
)
def test_how_much_of_a_sequence_is_used(sequence: SequenceFacts, used: float) -> None:
    assert sequence.used == pytest.approx(used, abs=0.001)


def test_of_an_unreadable_server_only_the_version_is_told() -> None:
    old = Server(side="source", version=90624, version_text="9.6.24")
    found = assess(Facts(source=old, node=NODE), WANTED)
    assert [f.code for f in found] == ["source_too_old"]
