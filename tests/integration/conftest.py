# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers for the integration tests: a source (16) and a target (18), a fresh database on each for every test."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.cluster import Cluster, wheel_bindir
from support.collection import collections_path
from support.collection import run_module as _run_module
from support.database import Database

sys.path.insert(0, str(collections_path()))

from support.mesh import BINDIR, dissolve, raise_nodes
from support.pooler import Pooler
from support.switch import PASSWORD, PooledLab, replicating


def pytest_configure(config: pytest.Config) -> None:
    """A test run that is told to end stops its servers, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _cluster(variable: str, version: int, node: bool) -> Iterator[Cluster]:
    cluster = Cluster(os.environ.get(variable) or wheel_bindir(version), node=node, fast=True)
    try:
        yield cluster.create()
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def source_cluster() -> Iterator[Cluster]:
    """The source's server: the wheel's 16, or what CROSSOVER_TEST_SOURCE_BIN names."""
    yield from _cluster("CROSSOVER_TEST_SOURCE_BIN", 16, node=False)


@pytest.fixture(scope="session")
def target_cluster() -> Iterator[Cluster]:
    """The node's server: the wheel's 18, or what CROSSOVER_TEST_TARGET_BIN names."""
    yield from _cluster("CROSSOVER_TEST_TARGET_BIN", 18, node=True)


@pytest.fixture(scope="session")
def mesh_servers() -> Iterator[list[Cluster]]:
    """See ``mesh_nodes``."""
    assert BINDIR is not None
    nodes = raise_nodes(3, BINDIR)
    try:
        yield nodes
    finally:
        for node in nodes:
            node.remove()


@pytest.fixture(scope="module")
def mesh_nodes(mesh_servers: list[Cluster]) -> list[Cluster]:
    """Three servers that have loaded Spock, the same for all tests that are ON_SPOCK; each has databases of its own.

    Whatever another file has stopped runs again.
    """
    for node in mesh_servers:
        node.signal(signal.SIGCONT)
        if node.pid is None:
            node.start()
    return mesh_servers


@pytest.fixture
def mesh_dbs(mesh_nodes: list[Cluster]) -> Iterator[list[Database]]:
    """A fresh database of one name on each of them, with the extension, and not a node yet."""
    name = f"m_{secrets.token_hex(4)}"
    databases = [Database(node, name).create() for node in mesh_nodes]
    try:
        for database in databases:
            database.sql("CREATE EXTENSION spock", superuser=True)
        yield databases
    finally:
        dissolve(databases)


def _database(cluster: Cluster) -> Iterator[Database]:
    database = Database(cluster).create()
    try:
        yield database
    finally:
        database.drop()


@pytest.fixture
def source_db(source_cluster: Cluster) -> Iterator[Database]:
    """A fresh database on the source; ``login`` is NOSUPERUSER with exactly the documented grants."""
    yield from _database(source_cluster)


@pytest.fixture
def target_db(target_cluster: Cluster) -> Iterator[Database]:
    """A fresh database on the node; ``login`` is a superuser."""
    yield from _database(target_cluster)


@pytest.fixture(scope="session")
def run_module() -> Any:
    """Run a module: ``run_module(name, args, check=False, diff=True)`` returns its result as a dict."""
    return _run_module


@pytest.fixture
def lab(source_db: Database, target_db: Database, run_module: Any) -> Iterator[PooledLab]:
    """Both sides as the playbook replicate leaves them, and a PgBouncer in front."""
    made = PooledLab(source_db, target_db, run_module)
    with replicating(made), Pooler(source_db.login, made.app, PASSWORD) as pooler:
        made.through(pooler)
        yield made
