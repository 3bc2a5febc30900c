# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we do on a node stays on that node, on a mesh of real Spock nodes that replicates all the DDL it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.cluster import Cluster
from support.database import Database
from support.mesh import DDL, ON_SPOCK, configured, dissolve, in_step, join

pytestmark = ON_SPOCK

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.item (id int PRIMARY KEY, value int NOT NULL);
CREATE TABLE shop.log (at timestamptz, note text);
CREATE INDEX ON shop.item (value);
CREATE FUNCTION shop.twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
INSERT INTO shop.item SELECT n, n FROM generate_series(1, 1000) n;
"""
QUEUED = "SELECT message::text AS m FROM spock.queue WHERE message_type NOT IN ('A')"
SETS = "SELECT set_reloid::regclass::text AS name FROM spock.replication_set_table"


@pytest.fixture(scope="module")
def nodes(mesh_nodes: list[Cluster]) -> Iterator[list[Cluster]]:
    with configured(mesh_nodes[:2], **DDL) as made:
        yield made


@pytest.fixture
def mesh(nodes: list[Cluster], source_db: Database) -> Iterator[list[Database]]:
    databases = [Database(node, source_db.name).create() for node in nodes]
    try:
        join(databases, "default", "default_insert_only", "ddl_sql")
        yield databases
    finally:
        dissolve(databases)


def ok(result: dict[str, Any]) -> dict[str, Any]:
    assert not result["failed"], result["msg"]
    return result


def test_the_mesh_does_replicate_ddl(mesh: list[Database]) -> None:
    """Without this the next test could not fail."""
    one, two = mesh
    one.sql("CREATE TABLE public.travels (id int PRIMARY KEY)", superuser=True)
    in_step(mesh)
    assert two.sql("SELECT FROM pg_class WHERE relname = 'travels'")
    assert [row["name"].removeprefix("public.") for row in one.sql(SETS, superuser=True)] == ["travels"]


def test_nothing_of_ours_travels(source_db: Database, mesh: list[Database], run_module: Callable[..., Any]) -> None:
    one, two = mesh
    app = f"{source_db.name}_app"
    source_db.cluster.sql(f"CREATE ROLE {app} LOGIN")
    try:
        source_db.as_owner(SCHEMA + f"GRANT USAGE ON SCHEMA shop TO {app};")
        both = {**one.login, "source": source_db.login}
        migration = {**both, "name": source_db.name, "phase": "assess"}
        ok(run_module("migration", {**migration, "state": "started"}))
        ok(run_module("migration", {**migration, "state": "done"}))
        passwords = {"role_passwords": {app: "Pa55-of-the-app"}}
        ok(run_module("schema_sync", {**both, **passwords, "parts": ["roles", "pre_data"]}))
        ok(run_module("fence", {**one.login, "name": source_db.name, "enabled": True}))
        ok(run_module("table_copy", {**both, "slot": source_db.name, "subscription": source_db.name}))
        ok(run_module("schema_sync", {**both, "parts": ["keys", "post_data"]}))
        ok(run_module("publication", {**one.login, "name": "back", "tables": ["shop.item"]}))
        ok(run_module("benchmark", {**both, "seconds": 1, "writes": True}))
        in_step(mesh)
        assert one.sql("SELECT count(*) AS n FROM shop.item")[0]["n"] == 1000
        assert one.sql("SELECT FROM pg_roles WHERE rolname = %s", [app])
        for node in mesh:
            queued = node.sql(QUEUED, superuser=True)
            assert not queued, queued
            assert not node.sql(SETS, superuser=True), "nothing joins a set by itself"
        there = two.sql(
            """SELECT (SELECT count(*) FROM pg_namespace WHERE nspname ~ '^(shop|crossover)') AS schemas,
                      (SELECT count(*) FROM pg_publication) AS publications,
                      (SELECT count(*) FROM pg_roles WHERE rolname IN (%s, %s)) AS roles""",
            [app, source_db.owner],
        )
        # the test itself has made the owner on each server
        assert there == [{"schemas": 0, "publications": 0, "roles": 1}]
        assert "Pa55" not in one.cluster.log() + two.cluster.log()
        ok(run_module("schema_sync", {**both, "state": "absent"}))
        ok(run_module("fence", {**one.login, "name": source_db.name, "state": "absent", "drop_schema": True}))
        in_step(mesh)
        assert not one.sql(QUEUED, superuser=True)
    finally:
        for cluster in (source_db.cluster, one.cluster, two.cluster):
            for name in (source_db.name, "postgres"):
                if cluster.sql("SELECT FROM pg_roles WHERE rolname = %s", [app]) and cluster.sql(
                    "SELECT FROM pg_database WHERE datname = %s", [name]
                ):
                    cluster.sql(f"DROP OWNED BY {app}", database=name)
            cluster.sql(f"DROP ROLE IF EXISTS {app}")
