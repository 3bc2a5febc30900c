# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Without a pooler nothing holds the application in front of the fence: the routes libpq and none."""

from __future__ import annotations

import random
import time
from typing import Any, Iterator

import psycopg
import pytest
from support.cluster import Cluster
from support.database import Database
from support.switch import PASSWORD, SCHEMA, Lab, check_nothing_lost, replicating, wait_equal
from support.writers import Writers

TABLES = [f"shop.t{number}" for number in range(8)]
MANY = SCHEMA + "".join(f"CREATE TABLE {table} (id uuid PRIMARY KEY DEFAULT gen_random_uuid());" for table in TABLES)


class Orders(Writers):
    """Transactions over several tables, in no order."""

    def transaction(self, conn: psycopg.Connection[Any], client: int, number: int) -> None:
        time.sleep(random.uniform(0, 0.03))
        with conn.transaction():
            for table in random.sample(TABLES, 4):
                conn.execute(f"INSERT INTO {table} DEFAULT VALUES")
                time.sleep(0.001)
            super().transaction(conn, client, number)


class Seekers(Orders):
    """Clients that the operator has told both addresses: after an error they try the other one."""

    def __init__(self, dsns: list[str], count: int) -> None:
        super().__init__("", count)
        self.dsns = dsns

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(random.choice(self.dsns), autocommit=True, prepare_threshold=None)


@pytest.fixture
def lab(source_db: Database, target_cluster: Cluster, run_module: Any) -> Iterator[Lab]:
    """The databases have one name: a connection string with several hosts has room for one."""
    target_db = Database(target_cluster, source_db.name).create()
    with replicating(Lab(source_db, target_db, run_module), MANY) as made:
        yield made


def dsn(lab: Lab, *sides: Database) -> str:
    """The application's connection string."""
    return psycopg.conninfo.make_conninfo(
        host=",".join("127.0.0.1" for side in sides),
        port=",".join(str(side.login["login_port"]) for side in sides),
        dbname=lab.source.name,
        user=lab.app,
        password=PASSWORD,
        target_session_attrs="read-write",
    )


def there_and_back(lab: Lab, writers: Writers) -> None:
    for direction, side in (("forward", "node"), ("back", "source"), ("forward", "node")):
        old, result = lab.writable(), lab.cutover(direction, fence_timeout=2.0, window_timeout=5.0)
        for _again in range(4):  # a machine that is busy enough keeps all locks from being had at once
            if not result["failed"]:
                break
            assert result["failure"]["code"] == "fence_timeout", result
            assert f"The {old} is writable and the application goes on there" in result["msg"]
            writers.go_on()
            result = lab.cutover(direction, fence_timeout=2.0, window_timeout=5.0)
        assert not result["failed"] and result["writable"] == side, result
        assert lab.agrees()
        writers.go_on()


def equal(lab: Lab) -> None:
    wait_equal(lab)
    for table in TABLES:
        query = f"SELECT count(*) AS n, sum(hashtextextended(id::text, 0)) AS h FROM {table}"
        assert lab.source.sql(query) == lab.target.sql(query), table


def test_libpq_there_and_back(lab: Lab) -> None:
    lab.route = {"type": "libpq", "application_roles": [lab.app]}
    refused = lab.cutover()
    assert refused["failed"] and refused["failure"]["code"] == "bad_route", refused
    assert f"GRANT {lab.app} TO crossover" in refused["msg"] and lab.epoch() == 1
    lab.source.sql(f"GRANT {lab.app} TO crossover", superuser=True)
    with Orders(dsn(lab, lab.source, lab.target), 5) as writers:
        there_and_back(lab, writers)
    # an open session meets the fence once and finds the other side; no transaction is the victim of a deadlock
    assert {failure[:5] for failure in writers.failed if "read-only" not in failure} <= {"25006"}, writers.failed
    assert len(writers.failed) < 60 and writers.longest < 3
    check_nothing_lost(writers, lab.target)
    equal(lab)
    with psycopg.connect(dsn(lab, lab.source, lab.target)) as conn:
        assert conn.info.port == lab.target.login["login_port"], "new sessions find the side that is writable"


def test_no_route_there_and_back(lab: Lab) -> None:
    with Seekers([dsn(lab, lab.source), dsn(lab, lab.target)], 5) as writers:
        there_and_back(lab, writers)
    assert {failure[:5] for failure in writers.failed} == {"25006"}, writers.failed
    assert writers.longest < 3
    check_nothing_lost(writers, lab.target)
    equal(lab)
