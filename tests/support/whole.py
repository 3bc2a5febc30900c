# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small schema, and what a whole migration of it is asked about."""

from __future__ import annotations

from typing import Any

from .database import Database
from .play import Play

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop."Order" (
    id serial PRIMARY KEY, customer bigint NOT NULL REFERENCES shop.customer, total numeric(10, 2));
CREATE INDEX ON shop."Order" (customer);
CREATE TABLE shop.event (at timestamptz, id int, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE shop.event_old PARTITION OF shop.event FOR VALUES FROM (MINVALUE) TO ('2025-01-01');
CREATE TABLE shop.event_new PARTITION OF shop.event FOR VALUES FROM ('2025-01-01') TO (MAXVALUE);
CREATE VIEW shop.total AS SELECT customer, sum(total) AS total FROM shop."Order" GROUP BY customer;
INSERT INTO shop.customer (name) SELECT 'customer ' || n FROM generate_series(1, 500) n;
INSERT INTO shop."Order" (customer, total) SELECT 1 + n % 500, n FROM generate_series(1, 2000) n;
INSERT INTO shop.event
    SELECT '2024-12-01'::timestamptz + n * interval '1 hour', n, 'note' FROM generate_series(1, 1500) n;
"""
# benchmark takes a while and has tests of its own
QUICK = {"crossover_benchmark_seconds": 1}


def ok(play: Play) -> Play:
    assert play.rc == 0, play.output[-6000:]
    return play


def leftovers(side: Database) -> dict[str, Any]:
    """What a migration could have left on one side."""
    return side.sql(
        """SELECT (SELECT count(*) FROM pg_namespace WHERE nspname ~ '^crossover') AS schemas,
                  (SELECT count(*) FROM pg_publication) AS publications,
                  (SELECT count(*) FROM pg_subscription WHERE subdbid = d.oid) AS subscriptions,
                  (SELECT count(*) FROM pg_replication_slots
                   WHERE database = d.datname AND slot_name !~ '^spk_') AS slots,
                  (SELECT count(*) FROM pg_trigger WHERE tgname ~ '^crossover') AS triggers
           FROM pg_database d WHERE datname = current_database()"""
    )[0]


NOTHING = {"schemas": 0, "publications": 0, "subscriptions": 0, "slots": 0, "triggers": 0}


def rows(side: Database) -> list[dict[str, Any]]:
    return side.sql('SELECT (SELECT count(*) FROM shop."Order") AS orders, (SELECT count(*) FROM shop.event) AS events')
