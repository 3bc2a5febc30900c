# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role node sets and creates."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.filter.node_plan import node_plan
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_scram import matches, scram_secret

WANTED: dict[str, Any] = {
    "listen": "*", "port": 5432, "nodes": 3, "preload": [], "snowflake": 2, "ddl": False, "tls": {}, "extra": {},
    "exception_behaviour": "sub_disable", "extensions": ["spock", "snowflake"],
    "database": {"name": "Shop", "encoding": "UTF8", "locale": ""},
    "roles": [{"name": "crossover", "password": "it's \\ secret", "superuser": True}],
}  # fmt: skip


def server(*available: str, **settings: str) -> dict[str, Any]:
    return {"available": list(available), "settings": settings}


def test_settings_for_spock() -> None:
    found = node_plan(server("spock", "snowflake"), WANTED, "settings")
    assert isinstance(found, dict)
    assert found["shared_preload_libraries"] == "spock, snowflake" and found["snowflake.node"] == "2"
    assert found["spock.exception_behaviour"] == "sub_disable" and found["spock.enable_ddl_replication"] == "off"
    assert found["max_replication_slots"] == "40" and "max_active_replication_origins" not in found
    assert "output_plugin_libraries" not in found, "a minor version that does not know it would not start"


def test_what_the_server_has_is_kept_where_it_is_more() -> None:
    before = server("spock", shared_preload_libraries="pg_stat_statements,spock", max_wal_senders="99",
                    max_active_replication_origins="10", output_plugin_libraries="pgoutput, wal2json")  # fmt: skip
    found = node_plan(before, {**WANTED, "preload": ["auto_explain"]}, "settings")
    assert isinstance(found, dict)
    assert found["shared_preload_libraries"] == "pg_stat_statements, spock, auto_explain"
    assert found["max_wal_senders"] == "99" and found["max_active_replication_origins"] == "40"
    assert found["output_plugin_libraries"] == "pgoutput, wal2json, test_decoding, spock_output"
    again = node_plan(server("spock", **found), {**WANTED, "preload": ["auto_explain"]}, "settings")
    assert again == found


def test_without_spock_nothing_of_it_is_set() -> None:
    found = node_plan(server(), {**WANTED, "extra": {"jit": False, "work_mem": "8MB"}}, "settings")
    assert isinstance(found, dict) and found["jit"] == "off" and found["work_mem"] == "8MB"
    assert not [name for name in found if "spock" in name or "snowflake" in name or "preload" in name]


def test_statements() -> None:
    first = node_plan({"roles": None, "databases": ["postgres"]}, WANTED, "server")
    assert isinstance(first, list)
    assert first[0].startswith("CREATE ROLE crossover LOGIN SUPERUSER PASSWORD 'SCRAM-SHA-256$4096:")
    assert first[1] == "CREATE DATABASE \"Shop\" TEMPLATE template0 ENCODING 'UTF8'"
    shown = node_plan(first, {}, "shown")
    assert isinstance(shown, list) and shown[0] == "CREATE ROLE crossover LOGIN SUPERUSER PASSWORD '********'"
    secret = first[0].split("'")[1]
    has = {"login": True, "superuser": True, "replication": False, "bypassrls": False, "secret": secret}
    assert node_plan({"roles": {"crossover": has}, "databases": ["Shop"]}, WANTED, "server") == []
    other = node_plan({"roles": {"crossover": {**has, "secret": scram_secret("other")}}, "databases": ["Shop"]}, WANTED,
                      "server")  # fmt: skip
    assert isinstance(other, list) and len(other) == 1 and other[0].startswith("ALTER ROLE crossover PASSWORD 'SCRAM")


def test_extensions() -> None:
    state = {"installed": ["plpgsql", "spock"], "available": ["spock", "snowflake", "lolor"]}
    assert node_plan(state, WANTED, "database") == ["CREATE EXTENSION snowflake CASCADE"]


@pytest.mark.parametrize("password", ["pencil", "ünïcode ª", "I\u00adX", "a\u00a0b", "\u0627\u0031"])
def test_scram_is_what_libpq_makes(password: str) -> None:
    """The server's own function is libpq's: the same salt must give the same secret."""
    import base64

    import psycopg.pq

    made = psycopg.pq.PGconn.connect_start(b"host=127.0.0.1 port=1 connect_timeout=1").encrypt_password(
        password.encode(), b"u", b"scram-sha-256"
    ).decode()  # fmt: skip
    iterations, salt = made.split("$")[1].split(":")
    assert scram_secret(password, base64.b64decode(salt), int(iterations)) == made
    assert matches(made, "u", password) and not matches(made, "u", password + "x")


def test_scram_of_the_rfc() -> None:
    """RFC 7677, section 3."""
    import base64

    made = scram_secret("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    assert made == ("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")  # fmt: skip
