# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A writer on a mesh, and a join that is killed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time

from .collection import module_environment
from .database import Database
from .mesh_module import nodes

STRICT = """SELECT current_setting('spock.exception_behaviour') AS b,
                   (SELECT count(*) FROM pg_db_role_setting WHERE setconfig::text ~ 'crossover') AS notes"""
SUMS = "SELECT md5(string_agg(i::text, '|' ORDER BY id)) AS items, count(*) AS n, sum(value) AS total FROM item i"


class Writer(threading.Thread):
    """Inserts rows of its own, updates its own and the seed's, and logs, until it is told to stop."""

    def __init__(self, database: Database, number: int) -> None:
        super().__init__()
        self.database, self.number, self.ended, self.count = database, number, threading.Event(), 0

    def run(self) -> None:
        mine = f"n{self.number}"
        with self.database.connect(superuser=True) as conn:
            while not self.ended.is_set():
                self.count += 1
                new = 10000 * self.number + self.count
                seed = random.randrange(self.number, 5000, 2)  # one writer has the odd ones, one the even ones
                with conn.transaction():
                    conn.execute("INSERT INTO item VALUES (%s, %s)", [new, mine])
                    conn.execute("UPDATE item SET value = value + 1 WHERE id IN (%s, %s)", [seed, new])
                    conn.execute("INSERT INTO log (note) VALUES (%s)", [f"{mine} {self.count}"])
                time.sleep(0.002)


_KILLED = """
import json, os, sys
from ansible_collections.crossover.pgedge.plugins.module_utils._spock_join import Join
from ansible_collections.crossover.pgedge.plugins.module_utils._spock_mesh_run import MeshRun, Wanted
setattr(Join, sys.argv[1], lambda *_args: os._exit(9))
run = MeshRun(Wanted(timeout=30, **json.load(sys.stdin)))
run.look()
run.run()
"""


def killed(databases: list[Database], before: str) -> None:
    """A run that ends as kill -9 would end it, where that step of a join would begin."""
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, before],
        input=json.dumps({"nodes": nodes(databases)}),
        env=module_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 9, done.stderr
