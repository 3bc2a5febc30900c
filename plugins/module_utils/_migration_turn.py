# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time works on a migration (private to the collection).

An advisory lock on the node, held by the module's own session: it ends with that session, so nothing is left to clear
up after a run that was killed. What only reads takes it shared.
"""

from __future__ import annotations

import time
from typing import Any

from ._errors import CrossoverError

_KEY = "hashtext('crossover.turn'), hashtext(%s)"
_HOLDER = """
SELECT a.pid, a.application_name, to_char(a.backend_start, 'HH24:MI:SS') AS since,
       coalesce(host(a.client_addr), 'the server itself') AS client
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = hashtext('crossover.turn')::bit(32)::int8::oid AND l.objid = hashtext(%s)::bit(32)::int8::oid
ORDER BY a.backend_start LIMIT 1
"""


def take_turn(conn: Any, migration: str, what: str, *, shared: bool = False, patience: float = 5.0) -> None:
    """Take the turn on the node for as long as ``conn`` lives; ``what`` is shown to whoever comes second.

    The session of a run that was killed can live on for a moment: hence ``patience`` in seconds.
    """
    conn.execute("SELECT set_config('application_name', %s, false)", [f"crossover {what}"[:63]])
    kind = "_shared" if shared else ""
    until = time.monotonic() + patience
    while not conn.execute(f"SELECT pg_try_advisory_lock{kind}({_KEY}) AS mine", [migration]).fetchone()["mine"]:
        if time.monotonic() > until:
            raise _busy(conn, migration)
        time.sleep(0.1)


def _busy(conn: Any, migration: str) -> CrossoverError:
    holder = conn.execute(_HOLDER, [migration]).fetchone()
    who = (
        f": {holder['application_name'].removeprefix('crossover ')}, since {holder['since']}, from {holder['client']}, "
        f"process {holder['pid']} on the node"
        if holder
        else ""
    )
    return CrossoverError(
        f"another run is at work on migration {migration}{who}",
        code="busy",
        untouched="nothing was changed",
        hint="wait for it to end; crossover.pgedge.status shows how far it is",
    )
