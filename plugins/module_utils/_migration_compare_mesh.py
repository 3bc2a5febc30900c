# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The barrier of a comparison between two nodes of a mesh (private to the collection).

Both are written to, so it leads both ways: what either of them had when it was asked for, the other one has.
"""

from __future__ import annotations

import time

from ._errors import CrossoverError
from ._migration_compare_scope import NODE, SOURCE
from ._migration_mesh import spock_node
from ._pg_connect import Login, connect
from ._spock_wait import sync_all


class MeshBarrier:
    """Call it to wait until both nodes have passed one barrier. ``first`` takes the place of the source."""

    def __init__(self, first: Login, second: Login, seconds: float) -> None:
        self.logins = {SOURCE: first, NODE: second}
        self.seconds = seconds
        self.subscriber = NODE
        self.conns = {side: connect(login) for side, login in self.logins.items()}
        self.names = {side: spock_node(conn) for side, conn in self.conns.items()}
        for side, name in self.names.items():
            if name is None:
                self.close()
                raise CrossoverError(
                    "Spock has no node in this database, so nothing replicates between the nodes",
                    code="no_mesh",
                    server=str(self.logins[side]),
                    untouched="nothing was compared",
                    hint="run the playbook crossover.pgedge.mesh",
                )

    def __call__(self) -> None:
        """Wait; CrossoverError when it takes too long."""
        conns = {str(self.names[side]): conn for side, conn in self.conns.items()}
        sync_all(conns, time.monotonic() + self.seconds)

    def close(self) -> None:
        """End the sessions."""
        for conn in self.conns.values():
            conn.close()
