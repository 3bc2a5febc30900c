# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transactions: what a shop does, each over several tables, all rows locked in one order so that none deadlocks.

Each begins with its line in shop.request_log, whose (run, client, seq) is the idempotency key.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import Any, Callable

import psycopg

Cursor = psycopg.Cursor[Any]


@dataclass(frozen=True)
class Key:
    """The idempotency key of one transaction."""

    run: str
    client: int
    seq: int

    def __str__(self) -> str:
        return f"{self.run}/{self.client}/{self.seq}"

    @property
    def lock(self) -> int:
        """The advisory lock that a transaction with this key holds, so that a lookup waits for its end."""
        return zlib.crc32(self.run.encode()) << 16 | self.client


@dataclass(frozen=True)
class World:
    """How many there are of what."""

    accounts: int
    customers: int
    products: int

    @classmethod
    def of(cls, cursor: Cursor) -> World:
        """Count."""
        cursor.execute(
            "SELECT (SELECT max(id) FROM shop.accounts), (SELECT max(id) FROM shop.customers), "
            "(SELECT count(*) FROM shop.products)"
        )
        row = cursor.fetchone()
        assert row is not None
        return cls(*row)

    def customer(self) -> int:
        """Any customer."""
        return random.randint(1, self.customers)

    def skus(self, count: int) -> list[str]:
        """Some products, sorted."""
        return [f"sku-{n:06d}" for n in sorted(random.sample(range(1, self.products + 1), count))]


def log(cursor: Cursor, key: Key, kind: str, parts: int = 0) -> int:
    """The line in the request log; returns the port of the server that took it."""
    cursor.execute(
        "WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock(%s)) "
        "INSERT INTO shop.request_log (run, client, seq, kind, parts) SELECT %s, %s, %s, %s, %s FROM held "
        "RETURNING inet_server_port()",
        [key.lock, key.run, key.client, key.seq, kind, parts],
    )
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def exists(cursor: Cursor, key: Key) -> bool:
    """Whether the transaction was committed. Waits for one that is just committing; needs a transaction around."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key.lock])
    cursor.execute(
        "SELECT FROM shop.request_log WHERE run = %s AND client = %s AND seq = %s", [key.run, key.client, key.seq]
    )
    return cursor.fetchone() is not None


def transfer(cursor: Cursor, key: Key, world: World) -> int:
    """Move money: the sum of all balances stays."""
    port = log(cursor, key, "transfer", 1)
    giver, taker = random.sample(range(1, world.accounts + 1), 2)
    amount = random.randint(1, 100)
    for account, change in sorted([(giver, -amount), (taker, amount)]):
        cursor.execute(
            "UPDATE shop.accounts SET balance = balance + %s, version = version + 1 WHERE id = %s", [change, account]
        )
    cursor.execute(
        "INSERT INTO shop.transfers (run, client, seq, from_id, to_id, amount) VALUES (%s, %s, %s, %s, %s, %s)",
        [key.run, key.client, key.seq, giver, taker, amount],
    )
    return port


def order(cursor: Cursor, key: Key, world: World) -> int:
    """Place an order with its items, take them from the stock, and write an invoice for some."""
    skus = world.skus(random.randint(1, 3))
    port = log(cursor, key, "order", len(skus))
    cursor.execute(
        "INSERT INTO shop.orders (customer_id, note, total) VALUES (%s, %s, %s) RETURNING id, placed_at",
        [world.customer(), str(key), len(skus) * 10],
    )
    row = cursor.fetchone()
    assert row is not None
    cursor.execute(
        "INSERT INTO shop.order_items (order_id, line_no, placed_at, sku, quantity, price) "
        "SELECT %s, line, %s, sku, 1, 10 FROM unnest(%s::text[]) WITH ORDINALITY AS s (sku, line)",
        [row[0], row[1], skus],
    )
    cursor.execute("UPDATE shop.products SET stock = stock - 1 WHERE sku = %s", [skus[0]])
    if random.random() < 0.2:
        cursor.execute("INSERT INTO shop.invoices (order_id, amount) VALUES (%s, %s)", [row[0], len(skus) * 10])
    return port


def customer(cursor: Cursor, key: Key, world: World) -> int:
    """Change a customer and an address, use a coupon, drop a wish: every kind of replica identity is updated."""
    port = log(cursor, key, "customer")
    who = world.customer()
    cursor.execute(
        "UPDATE shop.customers SET preferences = preferences || jsonb_build_object('seen', %s::int) WHERE id = %s",
        [key.seq, who],
    )
    cursor.execute("UPDATE shop.coupons SET used = used + 1 WHERE code = %s", [f"CODE{random.randint(1, 500)}"])
    cursor.execute("INSERT INTO shop.wishes VALUES (%s, %s, %s)", [who, world.skus(1)[0], str(key)])
    cursor.execute(
        'UPDATE "Legacy"."Order" SET "dot.ted" = "dot.ted" + 1 WHERE "select" = %s', [random.randint(1, 300)]
    )
    return port


def cart(cursor: Cursor, key: Key, world: World) -> int:
    """Fill a cart and empty it: inserts, upserts, deletes."""
    port = log(cursor, key, "cart")
    who = world.customer()
    cursor.execute("DELETE FROM shop.carts WHERE customer_id = %s", [who])
    for sku in world.skus(2):
        cursor.execute(
            "INSERT INTO shop.carts VALUES (%s, %s, 1) ON CONFLICT (customer_id, sku) DO UPDATE SET quantity = 2",
            [who, sku],
        )
    cursor.execute("INSERT INTO shop.events (kind, data) VALUES ('cart', jsonb_build_object('who', %s::bigint))", [who])
    return port


def depot(cursor: Cursor, key: Key, world: World) -> int:
    """Move stock, refund, hand out a ticket, write into the table that has no key (inserts only)."""
    port = log(cursor, key, "depot")
    cursor.execute("INSERT INTO shop.stock_moves (sku, change) VALUES (%s, %s)", [world.skus(1)[0], -1])
    cursor.execute("INSERT INTO shop.refunds (number, amount) VALUES (%s, 1.5)", [key.seq])
    cursor.execute("INSERT INTO shop.tickets DEFAULT VALUES")
    cursor.execute("INSERT INTO shop.audit_log (action, subject) VALUES ('stock', %s)", [str(key)])
    return port


Transaction = Callable[[Cursor, Key, World], int]
MIX: dict[Transaction, int] = {transfer: 40, order: 25, customer: 15, cart: 12, depot: 8}


def choose() -> Transaction:
    """Any of them, as often as the mix says."""
    return random.choices(list(MIX), list(MIX.values()))[0]
