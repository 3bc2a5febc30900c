# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a migration: both servers listen, hold the same, and only the source takes writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
import testinfra
import yaml

LAB = Path(os.environ["CROSSOVER_MOLECULE_LAB"])
HOST = testinfra.get_host("local://")


@pytest.fixture(scope="module")
def logins() -> dict[str, dict[str, Any]]:
    inventory = yaml.safe_load((LAB / "inventory.yml").read_text(encoding="utf-8"))["all"]
    node = inventory["children"]["pgedge"]["hosts"]["n1"]["crossover_node"]
    return {"source": inventory["vars"]["crossover_source"], "node": node}


def query(login: dict[str, Any], sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(
        host=login["login_host"],
        port=login["login_port"],
        user=login["login_user"],
        password=login["login_password"],
        dbname=login["login_db"],
        autocommit=True,
    ) as conn:
        return conn.execute(sql).fetchall()


def test_both_servers_listen(logins: dict[str, dict[str, Any]]) -> None:
    for login in logins.values():
        assert HOST.socket(f"tcp://127.0.0.1:{login['login_port']}").is_listening


def test_files_with_passwords_are_for_their_owner_only() -> None:
    assert HOST.file(str(LAB / "inventory.yml")).mode == 0o600


def test_the_source_is_writable_and_the_node_is_fenced(logins: dict[str, dict[str, Any]]) -> None:
    assert query(logins["source"], "SELECT writable FROM crossover.control") == [("source",)]
    enabled = "SELECT DISTINCT tgenabled::text FROM pg_trigger WHERE tgname = 'crossover_fence'"
    assert query(logins["source"], enabled) == [("D",)]
    assert query(logins["node"], enabled) == [("O",)]


def test_every_table_is_in_sync(logins: dict[str, dict[str, Any]]) -> None:
    assert query(logins["node"], "SELECT DISTINCT srsubstate::text FROM pg_subscription_rel") == [("r",)]


def test_the_ledger_says_equal(logins: dict[str, dict[str, Any]]) -> None:
    found = query(logins["node"], "SELECT status, summary ->> 'verdict' FROM crossover.phase WHERE phase = 'validate'")
    assert found == [("done", "equal")]


def test_indexes_and_constraints_are_there(logins: dict[str, dict[str, Any]]) -> None:
    count = """SELECT (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                       WHERE c.relnamespace = ANY (SELECT oid FROM pg_namespace
                                                   WHERE nspname !~ '^(pg_|information_schema|crossover)')),
                      (SELECT count(*) FROM pg_constraint WHERE contype IN ('p', 'u', 'f', 'c', 'x')
                       AND connamespace = ANY (SELECT oid FROM pg_namespace
                                               WHERE nspname !~ '^(pg_|information_schema|crossover)'))"""
    assert query(logins["source"], count) == query(logins["node"], count)
