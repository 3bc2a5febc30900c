# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply workers that Spock has lost sight of (private to the collection).

Spock starts a manager for every database for a moment, and where one ends while an apply worker starts, the worker's
entry can go with it (seen with 5.0.11). From then on the subscription is "down", a second worker fails every five
seconds with "replication origin ... is already active", and spock.sub_drop() waits for ever. Ending the first worker
mends it and loses nothing, as long as it is idle: the next one begins where the origin is.
"""

from __future__ import annotations

from typing import Any

AGE = 4.0  # seconds: a worker that has just begun, or is just ending, is none

_END = """
SELECT s.sub_name::text AS name, pg_terminate_backend(a.pid) AS ended
FROM spock.subscription s JOIN spock.sub_show_status() t ON t.subscription_name = s.sub_name
JOIN pg_database d ON d.datname = current_database()
JOIN pg_stat_activity a ON a.backend_type = format('spock apply %%s:%%s', d.oid, s.sub_id)
WHERE t.status IN ('down', 'disabled') AND a.state = 'idle'
  AND a.backend_start < clock_timestamp() - make_interval(secs => %s)
"""


def end_strays(conn: Any) -> list[str]:
    """End them. Returns the names of their subscriptions."""
    return [row["name"] for row in conn.execute(_END, [AGE]) if row["ended"]]
