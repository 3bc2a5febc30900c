# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests' own footing: servers, databases, grants, modules."""

from __future__ import annotations

import psycopg
import pytest


def test_versions_and_grants(source_db, target_db):
    assert not source_db.sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")[0]["rolsuper"]
    assert target_db.sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")[0]["rolsuper"]
    assert source_db.sql("SHOW wal_level")[0]["wal_level"] == "logical"


def test_source_login_is_no_superuser(source_db):
    source_db.as_owner("CREATE TABLE t (a int PRIMARY KEY)")
    source_db.sql("INSERT INTO t VALUES (1)")  # a member of the owner
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        source_db.sql("SET session_replication_role = replica")


def test_drop_leaves_nothing(source_cluster, target_cluster, source_db, target_db):
    for db in (source_db, target_db):
        db.as_owner("CREATE TABLE t (a int PRIMARY KEY)")
    source_db.as_owner("INSERT INTO t SELECT generate_series(1, 10)")
    source_db.sql("CREATE PUBLICATION p FOR TABLE t")
    target_db.sql(f"CREATE SUBSCRIPTION s_{target_db.name} CONNECTION '{source_db.dsn}' PUBLICATION p")
    source_db.sql("BEGIN; DELETE FROM t WHERE a = 1; PREPARE TRANSACTION 'left'")
    source_db.drop()
    target_db.drop()
    assert not source_cluster.sql("SELECT FROM pg_replication_slots")
    assert not source_cluster.sql("SELECT FROM pg_prepared_xacts")
    assert not target_cluster.sql("SELECT FROM pg_subscription")
    assert not target_cluster.sql("SELECT FROM pg_replication_origin")
