# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application that writes all the while and keeps a list of what was acknowledged."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg


class Writers:
    """Clients that insert into shop.entry; after an error they connect again and try the next number."""

    rest: float = 0.002  # seconds between two writes of a client

    def __init__(self, dsn: str, count: int = 3, fresh: bool = False, first: int = 0) -> None:
        self.fresh = fresh  # a new connection for every write, as without a pool in the application
        self.stop, self.longest = threading.Event(), 0.0
        self.acknowledged: list[Any] = []
        self.failed: list[Any] = []
        self.dsn = dsn
        self.threads = [
            threading.Thread(target=self._write, args=[client], daemon=True) for client in range(first, first + count)
        ]

    def connect(self) -> psycopg.Connection[Any]:
        """A session."""
        return psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None)

    def _write(self, client: int) -> None:
        conn = self.connect()
        last = time.monotonic()
        for number in range(10**9):
            if self.stop.is_set():
                break
            try:
                if self.fresh:
                    conn.close()
                if conn.closed:
                    conn = self.connect()
                self.transaction(conn, client, number)
                self.acknowledged.append((client, number))
                self.longest, last = max(self.longest, time.monotonic() - last), time.monotonic()
            except psycopg.Error as exc:
                self.failed.append(f"{exc.sqlstate}: {exc}")
                conn.close()
            time.sleep(self.rest)
        conn.close()

    def transaction(self, conn: psycopg.Connection[Any], client: int, number: int) -> None:
        """What one client does at a time."""
        conn.execute("INSERT INTO shop.entry (client, number) VALUES (%s, %s)", [client, number])

    def go_on(self, within: float = 5.0) -> float:
        """Wait until the application writes again; the seconds it took."""
        begun, before = time.monotonic(), len(self.acknowledged)
        while len(self.acknowledged) < before + 10:
            assert time.monotonic() - begun < within, f"no write was acknowledged for {within:g} s"
            time.sleep(0.01)
        return time.monotonic() - begun

    def __enter__(self) -> Writers:
        for thread in self.threads:
            thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(20)
