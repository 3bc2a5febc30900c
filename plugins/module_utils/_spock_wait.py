# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interim: replaced by part A2's."""

from __future__ import annotations

import math
import time
from typing import Any, Mapping

from ._errors import CrossoverError
from ._pg_connect import driver, sql_error


def sync_all(conns: Mapping[str, Any], deadline: float) -> None:
    """A sync event of every node has arrived on every other one. Sessions in autocommit."""
    for origin, publisher in conns.items():
        try:
            event = publisher.execute("SELECT spock.sync_event()::text AS lsn").fetchone()["lsn"]
            for name, conn in conns.items():
                if name == origin:
                    continue
                left = max(1, math.ceil(deadline - time.monotonic()))
                call = f"CALL spock.wait_for_sync_event(NULL, '{origin}'::name, '{event}'::pg_lsn, {left})"
                if not conn.execute(call.encode()).fetchone()["result"]:
                    raise CrossoverError(
                        f"what {origin} has written did not arrive on {name} within {left} s", code="mesh_behind"
                    )
        except driver().Error as exc:
            raise sql_error(exc, origin, "no sync event could be taken") from None
