# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source and a mesh of real Spock nodes, as the playbooks leave them before the cutover."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Iterator

import psycopg
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_names import Names
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login

from .database import Database
from .mesh import join
from .switch import GRANTS, PASSWORD, Broken, PooledLab
from .writers import Writers

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.entry (
    id uuid DEFAULT gen_random_uuid() PRIMARY KEY, client int NOT NULL, number int NOT NULL, version int DEFAULT 0);
CREATE TABLE shop.part (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE shop.part_old PARTITION OF shop.part FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE shop.part_new PARTITION OF shop.part FOR VALUES FROM ('2020-01-01') TO (MAXVALUE);
CREATE TABLE shop.log (at timestamptz DEFAULT clock_timestamp(), note text);
CREATE SEQUENCE shop.up;
"""
SETS = {
    "shop.entry": "default",
    "shop.part_old": "default",
    "shop.part_new": "default",
    "shop.log": "default_insert_only",
}
SUM = """
SELECT (SELECT count(*) FROM shop.entry) AS entries,
       (SELECT sum(hashtextextended(e::text, 0)) FROM shop.entry e) AS hash,
       (SELECT count(*) FROM shop.log) AS logs, (SELECT count(*) FROM shop.part) AS parts
"""


class MeshLab(PooledLab):
    """The first node is the publishing one, ``target``."""

    def __init__(self, source: Database, nodes: list[Database], run_module: Any) -> None:
        super().__init__(source, nodes[0], run_module)
        self.nodes = nodes

    @property
    def all_sides(self) -> list[Database]:
        """Every server."""
        return [self.source, *self.nodes]

    @property
    def further(self) -> list[dict[str, Any]]:
        """The option further_nodes."""
        return [{**node.login, "name": f"n{number}"} for number, node in enumerate(self.nodes[1:], 2)]

    def args(self, **more: Any) -> dict[str, Any]:
        """With the further nodes."""
        return super().args(**{"further_nodes": self.further, **more})

    def status_args(self) -> dict[str, Any]:
        """For migration_info, besides the login."""
        return {"name": self.source.name, "source": self.source.login, "further_nodes": self.further}

    def agrees(self) -> bool:
        """Whether exactly the servers of the side that the control row names take writes."""
        wanted = [self.source] if self.writable() == "source" else self.nodes
        return [side for side in self.all_sides if not self.refuses(side)] == wanted

    def app_dsn(self, side: Database) -> str:
        """The application's connection string for one server, beside the pooler."""
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1",
            port=str(side.login["login_port"]),
            dbname=side.name,
            user=self.app,
            password=PASSWORD,
        )

    def burst(self, client: int) -> None:
        """500 rows on every node at once, as one transaction each."""
        for number, node in enumerate(self.nodes):
            node.sql(
                "INSERT INTO shop.entry (client, number) SELECT %s, n FROM generate_series(1, 500) n",
                [client + number],
            )


def _names(lab: MeshLab) -> list[Names]:
    return [Names.of(lab.source.name, f"n{number}") for number in range(1, len(lab.nodes) + 1)]


@contextlib.contextmanager
def replicating_mesh(lab: MeshLab) -> Iterator[MeshLab]:
    """Make schema, mesh, fences and replication; drop all at the end."""
    source, target, names = lab.source, lab.target, lab.names
    try:
        for side in lab.all_sides:
            side.cluster.sql(f"CREATE ROLE {lab.app} LOGIN PASSWORD '{PASSWORD}'")
            side.as_owner(SCHEMA + GRANTS)
        join(lab.nodes)
        for node in lab.nodes:
            for table, repset in SETS.items():
                node.sql("SELECT spock.repset_add_table(%s, %s, false)", [repset, table], superuser=True)
        for side in lab.all_sides:
            more = {"control": True} if side is source else {"enabled": True}
            made = lab.run("fence", {**side.login, "name": source.name, **more})
            assert not made["failed"], made
        lab.run("migration", {**target.login, "name": source.name, "source": source.login, "phase": "assess"})
        tables = "shop.entry, shop.part, shop.log, crossover.canary"
        publisher, back = Login.of(source.login, "source").conninfo(), Login.of(target.login, "node").conninfo()
        source.sql(f"CREATE PUBLICATION {names.publication} FOR TABLE {tables}")
        target.sql(f"CREATE PUBLICATION {names.back_publication} FOR TABLE {tables}")
        for node, own in zip(lab.nodes, _names(lab)):
            node.sql(
                f"CREATE SUBSCRIPTION {own.subscription} CONNECTION '{publisher}' PUBLICATION {own.publication} "
                f"WITH (slot_name = '{own.slot}', copy_data = false)"
            )
        source.sql(
            f"CREATE SUBSCRIPTION {names.back_subscription} CONNECTION '{back}' PUBLICATION {names.back_publication} "
            f"WITH (slot_name = '{names.back_slot}', create_slot = false, enabled = false, copy_data = false, "
            "synchronous_commit = on)"
        )
        yield lab
    finally:
        leave(lab.nodes)
        for side in lab.all_sides:
            side.drop()
            side.cluster.sql(f"DROP ROLE IF EXISTS {lab.app}")


def leave(nodes: list[Database]) -> None:
    """Take a mesh apart, so that its databases can be dropped."""
    for node in nodes:
        if node.sql("SELECT FROM pg_extension WHERE extname = 'spock'"):
            for row in node.sql("SELECT sub_name FROM spock.subscription", superuser=True):
                node.sql("SELECT spock.sub_drop(%s)", [row["sub_name"]], superuser=True)
    for node in nodes:
        if node.sql("SELECT FROM pg_extension WHERE extname = 'spock'"):
            node.sql(
                "SELECT spock.node_drop(node_name) FROM spock.local_node JOIN spock.node USING (node_id)",
                superuser=True,
            )
            node.sql("DROP EXTENSION spock CASCADE", superuser=True)


def exactly_once(side: Database, *writers: Writers) -> None:
    """Every write that any of these had acknowledged by now is there, once."""
    acknowledged = [write for one in writers for write in list(one.acknowledged)]
    rows = side.sql("SELECT client, number, count(*) AS n FROM shop.entry GROUP BY 1, 2")
    found = {(row["client"], row["number"]): row["n"] for row in rows}
    lost = [write for write in acknowledged if write not in found]
    twice = [write for write, n in found.items() if n > 1]
    if lost or twice:
        raise Broken(f"{len(lost)} lost: {lost[:5]}, {len(twice)} twice: {twice[:5]}")


def wait_all_equal(lab: MeshLab, sides: list[Database] | None = None) -> None:
    """All servers end with the same rows, and no node has had to resolve a conflict or leave anything out."""
    sides = sides or lab.all_sides
    until = time.monotonic() + 20
    while any(side.sql(SUM) != sides[0].sql(SUM) for side in sides[1:]):
        assert time.monotonic() < until, [side.sql(SUM) for side in sides]
        time.sleep(0.1)
    for node in lab.nodes:
        found = node.sql(
            "SELECT (SELECT count(*) FROM spock.resolutions) AS conflicts, "
            "(SELECT count(*) FROM spock.exception_log) AS exceptions",
            superuser=True,
        )
        assert found == [{"conflicts": 0, "exceptions": 0}], found
