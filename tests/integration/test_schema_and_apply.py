# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Constraints are built while changes are applied to the same tables: it is never apply that loses a deadlock."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_restore import Entry
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_schema_build import Builder
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_schema_objects import Object
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_schema_units import Unit
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login
from support.database import Database

KEY = "ALTER TABLE child ADD CONSTRAINT child_parent FOREIGN KEY (parent) REFERENCES parent"


@pytest.fixture
def node(target_db: Database) -> Database:
    target_db.sql("CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, parent int)")
    return target_db


def build(node: Database, **how: Any) -> tuple[Builder, threading.Thread]:
    """Creating the foreign key, in a thread: it locks child, then parent."""
    unit = Unit(Entry(1, (2606, 1), (), "child_parent", "FK CONSTRAINT", "public", "", KEY), Object("constraint", "x"))
    builder = Builder(node.connect, Login(), **how)
    thread = threading.Thread(target=builder.build, args=([unit],))
    thread.start()
    return builder, thread


def test_a_deadlock_ends_for_us(node: Database) -> None:
    """Apply has parent and, later than our own check for deadlocks would be, wants child, which we hold."""
    with node.connect() as apply:
        with apply.transaction():
            apply.execute("INSERT INTO parent VALUES (1)")
            builder, thread = build(node)
            time.sleep(1.3)
            apply.execute("INSERT INTO child VALUES (1, 1)")
            time.sleep(0.2)
        thread.join(20)
    assert not thread.is_alive() and builder.failures == []
    assert node.sql("SELECT count(*) AS n FROM pg_constraint WHERE conname = 'child_parent'") == [{"n": 1}]
    assert node.sql("SELECT count(*) AS n FROM child") == [{"n": 1}]


def test_patience_ends(node: Database) -> None:
    with node.connect() as apply, apply.transaction():
        apply.execute("INSERT INTO parent VALUES (1)")
        builder, thread = build(node, patience=0.1)
        thread.join(20)
        assert not thread.is_alive()
    assert "lock timeout" in str(builder.failures[0][1])
