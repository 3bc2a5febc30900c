# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What spock_info says of settings, and mesh_wait of pairs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.action.mesh_wait import _seen
from ansible_collections.crossover.pgedge.plugins.module_utils._spock_info import without_secrets, wrong
from ansible_collections.crossover.pgedge.plugins.modules.mesh_wait import told

GOOD = {
    "wal_level": "logical", "track_commit_timestamp": "on", "spock.conflict_resolution": "last_update_wins",
    "spock.exception_behaviour": "sub_disable", "spock.save_resolutions": "on",
    "output_plugin_libraries": "pgoutput, \"spock_output\"",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("wal_level", "replica", "wal_level is replica"),
        ("track_commit_timestamp", "off", "track_commit_timestamp is off"),
        ("spock.conflict_resolution", None, "shared_preload_libraries"),
        ("spock.exception_behaviour", "transdiscard", "is transdiscard: what cannot be applied is thrown away"),
        ("spock.exception_behaviour", "discard", "is discard"),
        ("spock.save_resolutions", "off", "leave no trace"),
        ("output_plugin_libraries", "", "lacks pgoutput, spock_output"),
        ("output_plugin_libraries", "pgoutput,test_decoding", "lacks spock_output"),
        ("output_plugin_libraries", None, ""),
    ],
)
def test_settings_with_which_something_is_lost(name: str, value: str | None, words: str) -> None:
    found = {key: text for key, text in {**GOOD, name: value}.items() if text is not None}
    said = wrong(found)
    assert len(said) == 1 and words in said[0] if words else said == []
    assert wrong(GOOD) == []


@pytest.mark.parametrize(
    "dsn", ["host=a password=secret", "postgresql://u:secret@a/db", "host=a sslpassword='secret'", "password secret"]
)
def test_no_password_in_a_connection_string(dsn: str) -> None:
    assert "secret" not in without_secrets(dsn)


def pair(**fields: Any) -> dict[str, Any]:
    found = {"from": "n1", "to": "n2", "subscription": "sub_n2_n1", "status": "replicating", "passed": False}
    return {**found, "ms": None, "behind": None, **fields}


def test_why_a_pair_is_late() -> None:
    assert told(pair(behind=2048), {}) == "n1 to n2: sub_n2_n1 is replicating, 2.0 KiB behind"
    assert told(pair(status="disabled"), {}) == "n1 to n2: sub_n2_n1 is disabled"
    assert told(pair(subscription=None), {}) == "n1 to n2: there is no subscription"
    assert told(pair(subscription=None), {"n2": "refused"}) == "n1 to n2: n2 cannot be reached"


def test_a_line_for_each_node() -> None:
    lines = _seen({"pairs": [pair(behind=2048), pair(**{"from": "n3"}, status="down"), pair(to="n1", passed=True)]})
    assert [(seen.side, seen.text) for seen in lines] == [
        ("n2", "mesh · waits for n1 2.0 KiB, n3 (down)"),
        ("n1", "mesh · has everything"),
    ]
