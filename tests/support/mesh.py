# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh of real Spock nodes, where a PostgreSQL that has Spock is found."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._spock_strays import end_strays

from .cluster import Cluster
from .database import Database

SETTINGS = {
    "shared_preload_libraries": "'spock'",
    "output_plugin_libraries": "'pgoutput, test_decoding, spock_output'",
    "spock.exception_behaviour": "'sub_disable'",
    "spock.save_resolutions": "on",
    "max_worker_processes": "64",
}
# a mesh whose sessions replicate DDL unless they say otherwise
DDL = {
    "spock.enable_ddl_replication": "on",
    "spock.include_ddl_repset": "on",
    "spock.allow_ddl_from_functions": "on",
}
# what a node has left out; but not what a stopped worker was in: that is tried again, and applied (_spock_forgiving)
DISCARDED = """SELECT table_name, operation, error_message FROM spock.exception_log
               WHERE error_message !~ '^discard: .*root cause not captured'"""
WHY = (
    "no PostgreSQL with Spock was found: install pgEdge's packages, put its pg_config on the path, or name it in "
    "CROSSOVER_PG_CONFIG"
)
# of packages for Debian and for Enterprise Linux
PLACES = ("usr/lib/postgresql/*/bin/pg_config", "usr/pgsql-*/bin/pg_config")


def spock_bindir() -> Path | None:
    """The programs of a PostgreSQL whose extensions include spock; CROSSOVER_PG_CONFIG leaves no other choice."""
    if named := os.environ.get("CROSSOVER_PG_CONFIG"):
        return _with_spock(named)
    places = [str(found) for place in PLACES for found in Path("/").glob(place)]
    newest_first = sorted(places, key=lambda place: int(re.findall(r"\d+", place)[0]), reverse=True)
    found = map(_with_spock, filter(None, [shutil.which("pg_config"), *newest_first]))
    return next(filter(None, found), None)


def _with_spock(program: str) -> Path | None:
    if not Path(program).exists():
        return None
    share, bindir = (
        Path(subprocess.run([program, what], capture_output=True, text=True, check=True).stdout.strip())
        for what in ("--sharedir", "--bindir")
    )
    return bindir if (share / "extension" / "spock.control").exists() else None


BINDIR = spock_bindir()
# for a file's pytestmark
ON_SPOCK = [pytest.mark.mesh, pytest.mark.skipif(BINDIR is None, reason=WHY)]


def raise_nodes(count: int, bindir: Path, **settings: str) -> list[Cluster]:
    """Servers, one for each node."""
    nodes = [Cluster(bindir, node=True, fast=True, settings={**SETTINGS, **settings}) for _number in range(count)]
    for node in nodes:
        node.create()
    return nodes


@contextlib.contextmanager
def configured(nodes: Sequence[Cluster], **settings: str) -> Iterator[list[Cluster]]:
    """The same servers with other settings, for a while."""
    before = [dict(node.settings) for node in nodes]
    try:
        for node in nodes:
            node.restart(**settings)
        yield list(nodes)
    finally:
        for node, was in zip(nodes, before):
            node.settings = was
            node.restart()


def join(databases: Sequence[Database], *sets: str) -> None:
    """A full mesh among them, forwarding nothing: nodes n1, n2, …"""
    dsn = {
        f"n{i}": f"host=127.0.0.1 port={d.cluster.port} dbname={d.name} user=postgres password={d.cluster.password}"
        for i, d in enumerate(databases, 1)
    }
    for (name, text), database in zip(dsn.items(), databases):
        database.sql("CREATE EXTENSION spock", superuser=True)
        database.sql("SELECT spock.node_create(%s, %s)", [name, text], superuser=True)
    by_name = dict(zip(dsn, databases))
    for here, there in permutations(dsn, 2):
        by_name[here].sql(
            "SELECT spock.sub_create(%s, %s, %s, synchronize_structure := false, synchronize_data := false)",
            [f"sub_{here}_{there}", dsn[there], list(sets or ("default", "default_insert_only"))],
            superuser=True,
        )
    for here, there in permutations(dsn, 2):
        by_name[here].sql("SELECT spock.sub_wait_for_sync(%s)", [f"sub_{here}_{there}"], superuser=True)


def dissolve(databases: Sequence[Database]) -> None:
    """Take the mesh apart, and drop the databases."""
    take_apart(databases)
    for database in databases:
        database.drop()


def take_apart(databases: Sequence[Database]) -> None:
    """Whatever is left of a mesh, so that its databases can be dropped. A node that is down is started."""
    for database in databases:
        if database.cluster.pid is None:
            database.cluster.start()
    joined = [node for node in databases if node.sql("SELECT FROM pg_extension WHERE extname = 'spock'")]
    for node in joined:
        with node.connect(superuser=True) as conn:
            end_strays(conn)
            # left by a run that the test has killed
            loose = "SELECT true AS now WHERE current_setting('spock.exception_behaviour') = 'discard'"
            if conn.execute(loose.encode()).fetchone():
                conn.execute("ALTER SYSTEM RESET spock.exception_behaviour")
                conn.execute("SELECT pg_reload_conf()")
        for row in node.sql("SELECT sub_name FROM spock.subscription", superuser=True):
            node.sql("SELECT spock.sub_drop(%s)", [row["sub_name"]], superuser=True)
    for node in joined:
        # of a subscription whose node could not reach this one when it was dropped
        slots = "SELECT slot_name FROM pg_replication_slots WHERE plugin = 'spock_output' AND database = %s"
        for row in node.sql(f"{slots} AND NOT active", [node.name], superuser=True):
            node.sql("SELECT pg_drop_replication_slot(%s)", [row["slot_name"]], superuser=True)
        # other nodes before the own one
        names = "SELECT node_name AS name FROM spock.node ORDER BY node_id IN (SELECT node_id FROM spock.local_node)"
        for row in node.sql(names, superuser=True):
            node.sql("SELECT spock.node_drop(%s)", [row["name"]], superuser=True)
        node.sql("DROP EXTENSION spock CASCADE", superuser=True)


def in_step(databases: Sequence[Database], seconds: int = 30) -> None:
    """Everything that was written on any of them has arrived on all others."""
    names = [f"n{i}" for i in range(1, len(databases) + 1)]
    for provider, origin in zip(databases, names):
        event = provider.sql("SELECT spock.sync_event()::text AS lsn", superuser=True)[0]["lsn"]
        for subscriber in databases:
            if subscriber is not provider:
                with subscriber.connect(superuser=True) as conn:
                    call = f"CALL spock.wait_for_sync_event(NULL, '{origin}', '{event}', {seconds})"
                    row = conn.execute(call.encode()).fetchone()
                    assert row is not None and row["result"] is True, f"not in step within {seconds} s"
