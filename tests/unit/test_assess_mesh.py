# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The assessment's rules about a mesh and its sequences, without a database."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_assess import assess
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_assess_facts import (
    Extension,
    Facts,
    SequenceFacts,
    Server,
    Wanted,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_assess_finding import CODES, Finding
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_names import Names
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_sequences_choice import Choice

SETTINGS = {
    "wal_level": "logical",
    "max_replication_slots": "50",
    "max_wal_senders": "50",
    "max_logical_replication_workers": "20",
    "max_worker_processes": "50",
    "max_active_replication_origins": "50",
    "max_slot_wal_keep_size": "20480",
    "shared_preload_libraries": "spock, snowflake",
    "track_commit_timestamp": "on",
    "output_plugin_libraries": "pgoutput, test_decoding, spock_output",
    "spock.exception_behaviour": "sub_disable",
    "snowflake.node": "1",
}
SOURCE = Server(
    side="source", version=160004, database="shop", user="crossover", encoding="UTF8", identity=("7",),
    settings=SETTINGS, reads_passwords=True,
)  # fmt: skip
EXTENSIONS = {"spock": Extension("5.0.12", ("5.0.12",)), "snowflake": Extension("2.6.0", ("2.6.0",))}
NODE = dataclasses.replace(
    SOURCE, side="node", label="n1", version=170011, superuser=True, identity=("8",), extensions=EXTENSIONS,
    spock_node="n1",
)  # fmt: skip
PEER = dataclasses.replace(NODE, label="n2", spock_node="n2", settings={**SETTINGS, "snowflake.node": "2"})
KEY = SequenceFacts("shop.t_id_seq", "o", 10, 1, 2**31 - 1, 1, False, column="shop.t.id", column_type="integer")
WIDE = dataclasses.replace(KEY, name="shop.w_id_seq", maximum=2**63 - 1, column="shop.w.id", column_type="bigint")
LOOSE = dataclasses.replace(WIDE, name="shop.loose", column=None, column_type=None)
FOLLOWS = {"foreign_keys": (("fk", "shop.item", "shop.t"), ("self", "shop.t", "shop.t"))}
TWO = Wanted("shop", Names.of("shop"), nodes=2, sequences=Choice(stride=2, numbers=(0, 1)))
DRAWING = {"sequences": Choice("snowflake", stride=2, numbers=(0, 1))}
# what an assessment of several nodes always says
ALWAYS = {"not_cluster_wide", "mesh_ddl", "copy_cost", "nothing_to_migrate"}


def peer(settings: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """The second node changed."""
    return {"peers": (dataclasses.replace(PEER, settings={**PEER.settings, **(settings or {})}, **changes),)}


def look(facts: dict[str, Any], wanted: dict[str, Any] | None = None) -> list[Finding]:
    """What is found when the clean facts are changed."""
    clean = Facts(source=SOURCE, node=NODE, peers=(PEER,))
    return assess(dataclasses.replace(clean, **facts), dataclasses.replace(TWO, **(wanted or {})))


CASES: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("node_versions", "warning", "shop", peer(version=160004), {}),
    ("spock_versions", "warning", "shop", peer(extensions={**EXTENSIONS, "spock": Extension("6.0.0", ())}), {}),
    ("peer_settings", "blocker", "n2", peer({"wal_level": "replica"}), {}),
    ("peer_settings", "blocker", "n2", peer({"track_commit_timestamp": "off"}), {}),
    ("peer_settings", "blocker", "n2", peer({"shared_preload_libraries": "snowflake"}), {}),
    ("peer_settings", "blocker", "n2", peer({"output_plugin_libraries": "pgoutput"}), {}),
    ("peer_encoding", "blocker", "n2", peer(encoding="LATIN1"), {}),
    ("peer_clock", "warning", "n2", peer(clock=-2.0), {}),
    ("mesh_places", "warning", "n2 max_replication_slots", peer({"max_replication_slots": "11"}), {}),
    ("mesh_places", "warning", "n1 max_replication_slots",
     {"node": dataclasses.replace(NODE, settings={**SETTINGS, "max_replication_slots": "11"})}, {}),
    ("mesh_places", "warning", "n2 max_active_replication_origins",
     peer({"max_active_replication_origins": "11"}, version=180001), {}),
    ("exception_behaviour", "info", "n2", peer({"spock.exception_behaviour": "transdiscard"}), {}),
    ("no_spock_node", "info", "n2", peer(spock_node=None), {}),
    ("node_id_taken", "blocker", "n1", peer(same_ids=(("n1", 49708, "pg_16390"),)), {}),
    ("truncate_cascade", "info", "source", FOLLOWS, {}),
    ("truncate_cascade", "info", "source", {**FOLLOWS, "peers": ()}, {"nodes": 1}),
    ("counter_column", "info", "shop.account.balance", {"counters": (("shop.account", "balance"),)}, {}),
    ("lolor", "info", "shop", {"large_objects": 3}, {}),
    ("not_cluster_wide", "info", "shop", {}, {}),
    ("mesh_ddl", "info", "shop", {}, {}),
    ("one_database_per_mesh", "info", "shop", {"other_databases": ("stats",)}, {}),
    ("sequence_too_small", "blocker", "shop.t_id_seq",
     {"sequences": (dataclasses.replace(KEY, last_value=2**31 - 2),)}, {}),
    ("sequence_offset", "warning", "shop.t_id_seq",
     {"sequences": (dataclasses.replace(KEY, last_value=2**31 - 1001),), **FOLLOWS}, {}),
    ("sequence_offset", "info", "source", {"sequences": (KEY, WIDE)}, {}),
    ("sequence_keep", "warning", "shop.t_id_seq", {"sequences": (KEY,)},
     {"sequences": Choice("keep", stride=2, numbers=(0, 1))}),
    ("sequence_choices", "info", "shop.t_id_seq", {"sequences": (KEY,), **FOLLOWS}, {}),
    ("snowflake_waits", "warning", "shop.t_id_seq", {"sequences": (KEY,), **FOLLOWS}, DRAWING),
    ("snowflake_clients", "info", "source", {"sequences": (WIDE,)}, DRAWING),
    ("snowflake_not_drawn", "warning", "shop.loose", {"sequences": (LOOSE,)}, DRAWING),
    ("snowflake_number", "blocker", "n1, n2", {"sequences": (WIDE,), **peer({"snowflake.node": "1"})}, DRAWING),
    ("snowflake_number", "blocker", "n2", {"sequences": (WIDE,), **peer({"snowflake.node": "0"})}, DRAWING),
    ("no_snowflake", "blocker", "n2",
     {"sequences": (WIDE,), **peer(extensions={"spock": EXTENSIONS["spock"]})}, DRAWING),
]  # fmt: skip


@pytest.mark.parametrize(("code", "severity", "name", "facts", "wanted"), CASES)
def test_rule(code: str, severity: str, name: str, facts: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = [f for f in look(facts, wanted) if f.code == code]
    assert (severity, name) in [(f.severity, f.object) for f in found], look(facts, wanted)
    for finding in found:
        assert finding.meaning.endswith(".")


def test_two_nodes_that_are_alike_have_little_to_say() -> None:
    assert {f.code for f in look({})} == ALWAYS


@pytest.mark.parametrize(
    ("code", "facts", "wanted"),
    [
        ("peer_clock", peer(clock=0.6, clock_error=0.2), {}),
        ("sequence_offset", {"sequences": (KEY,)}, {"nodes": 1, "sequences": Choice()}),
        ("sequence_choices", {"sequences": (WIDE,)}, {}),
        ("snowflake_waits", {"sequences": (WIDE,)}, DRAWING),
        ("snowflake_number", {"sequences": (WIDE,)}, DRAWING),
        ("snowflake_clients", {"sequences": (WIDE,)}, {}),
        ("sequence_too_small", {"sequences": (dataclasses.replace(KEY, last_value=2**31 - 1),)}, {}),
        ("not_cluster_wide", {}, {"nodes": 1}),
        ("truncate_cascade", {**FOLLOWS, "node": dataclasses.replace(NODE, extensions={})}, {"nodes": 1}),
    ],
)
def test_rule_is_silent(code: str, facts: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert code not in {f.code for f in look(facts, wanted)}


def test_what_is_told() -> None:
    told = {f.code: f for f in look({"sequences": (KEY,), **FOLLOWS}, DRAWING)}
    assert told["snowflake_waits"].meaning.endswith("So do the columns that refer to it, in shop.item.")
    near = dataclasses.replace(KEY, last_value=2**31 - 1001)
    told = {f.object: f for f in look({"sequences": (near,), **FOLLOWS}) if f.code == "sequence_offset"}
    assert "each node has 500 values left" in told["shop.t_id_seq"].meaning
    assert "shop.item" in told["shop.t_id_seq"].action


def test_every_code_of_these_files_has_a_case() -> None:
    here = {code for code, rule in CODES.items() if rule.__module__.rpartition("_")[2] in ("mesh", "sequences")}
    assert here == {case[0] for case in CASES} and len(here) > 20
