# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module mesh on databases: what its tests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .database import Database

SCHEMA = """
CREATE TYPE mood AS ENUM ('fine', 'bad');
CREATE TABLE item (id int PRIMARY KEY, owner text NOT NULL, value int NOT NULL DEFAULT 0, mood mood DEFAULT 'fine');
CREATE INDEX ON item (owner);
CREATE TABLE log (at timestamptz DEFAULT clock_timestamp(), note text);
INSERT INTO item SELECT n, 'seed' FROM generate_series(1, 5000) n;
"""
SETS = """SELECT spock.repset_add_table('default', 'item', false),
                 spock.repset_add_table('default_insert_only', 'log', false)"""


def nodes(databases: Sequence[Database]) -> list[dict[str, Any]]:
    """n1, n2, …"""
    return [{"name": f"n{i}", "login": database.superuser} for i, database in enumerate(databases, 1)]


def mesh(run: Callable[..., Any], databases: Sequence[Database], check: bool = False, **options: Any) -> dict[str, Any]:
    """Run the module on them; it must not fail."""
    result = run("mesh", {"nodes": nodes(databases), "timeout": 30, **options}, check=check)
    assert not result["failed"], result
    return dict(result)


def whole(result: dict[str, Any], *names: str) -> None:
    """It says that every node follows every other one."""
    assert result["nodes"] == {a: {b: "replicating" for b in names if b != a} for a in names}


def live_mesh(run: Callable[..., Any], databases: Sequence[Database]) -> None:
    """A mesh of them, with the same tables and rows on each, all of which replicate."""
    whole(mesh(run, databases), *(node["name"] for node in nodes(databases)))
    for database in databases:
        database.sql(SCHEMA, superuser=True)  # on each: nothing of it is in a set yet
        database.sql(SETS, superuser=True)
