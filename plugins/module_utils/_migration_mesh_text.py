# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as text between the nodes, while columns are widened on one after the other (private to the collection).

Spock sends values in binary, and a column that is int8 on one node and int4 on the other stops the subscription, or has
the transaction discarded: "binary data has type 20 (bigint) instead of expected 23 (integer)" (seen with 5.0.11). As
text an int4 and an int8 are the same. spock.sub_create() takes that option, and Spock 5 has no function that alters it;
both 5 and 6 read it from the catalogue when a worker starts.

Workers are stopped for that and for the columns: see _spock_forgiving for what is set meanwhile.
"""

from __future__ import annotations

import time
from typing import Any

from ._errors import CrossoverError
from ._migration_ledger import Ledger
from ._migration_mesh import Guard
from ._pg_connect import Login, driver, sql_error
from ._pg_sql import Statement, quote_literal
from ._spock_forgiving import MEANWHILE, RELOAD, RELOADED, SETTING
from ._spock_mesh_plan import sub_enable

FACT = "mesh.text_transfer"  # the subscriptions that did not ask for it themselves
_BINARY = "SELECT sub_name::text AS name FROM spock.subscription WHERE sub_force_text_transfer = %s ORDER BY 1"
_BEHAVIOUR = "SELECT current_setting('spock.exception_behaviour') AS now"
_STOPPED = """
SELECT sub_name::text AS name FROM spock.subscription WHERE NOT sub_enabled AND sub_name = ANY (%s) ORDER BY 1
"""
_WORKERS = """
SELECT a.pid FROM spock.subscription s JOIN pg_database d ON d.datname = current_database()
JOIN pg_stat_activity a ON a.backend_type = format('spock apply %s:%s', d.oid, s.sub_id)
"""
_RESTING = """
SELECT subscription_name AS name, status FROM spock.sub_show_status() WHERE status NOT IN ('replicating', 'disabled')
"""


def plan_text(conn: Any, ledger: Ledger, guard: Guard, text: bool) -> list[str]:
    """Ask for text, or as it was before. Returns the subscriptions that are to be remembered.

    One of them that rests was stopped for the columns, by a run that was killed.
    """
    binary = [row["name"] for row in conn.execute(_BINARY, [not text])]
    known = list(ledger.facts().get(FACT) or [])
    changing = binary if text else [name for name in known if name in binary]
    guard.before["text_transfer"] = dict.fromkeys(changing, not text)
    guard.after["text_transfer"] = dict.fromkeys(changing, text)
    if text and conn.execute(_BEHAVIOUR).fetchone()["now"] != MEANWHILE:
        guard.statements += [
            Statement.of(f"ALTER SYSTEM SET {SETTING} = {MEANWHILE}"),
            Statement.of(RELOAD),
        ]
    stopped = [row["name"] for row in conn.execute(_STOPPED, [known])] if known else []
    if changing:
        names = ", ".join(map(quote_literal, changing))
        value = str(text).lower()
        guard.statements += [
            Statement.of(
                f"UPDATE spock.subscription SET sub_force_text_transfer = {value} WHERE sub_name IN ({names})"
            ),
            Statement.of(f"SELECT pg_terminate_backend(pid) FROM ({_WORKERS.strip()} WHERE s.sub_name IN ({names})) w"),
        ]
    guard.statements += [sub_enable(name) for name in stopped]
    return sorted({*known, *changing}) if text else []


def apply_text(conn: Any, guard: Guard, login: Login, patience: float) -> None:
    """Workers begin anew, which takes them a moment, and go on from where they were."""
    old = [row["pid"] for row in conn.execute(_WORKERS)]
    try:
        for statement in guard.statements:
            conn.execute(statement.sql.encode())
            if statement.sql == RELOAD:
                time.sleep(RELOADED)
    except driver().Error as exc:
        doing, untouched = "the subscriptions could not be told to send text", "no column was changed"
        raise sql_error(exc, login, doing, untouched=untouched, hint="log in as a superuser") from None
    until = time.monotonic() + patience
    while True:
        ending = conn.execute("SELECT FROM pg_stat_activity WHERE pid = ANY (%s)", [old]).rowcount
        waiting = [f"{row['name']} is {row['status']}" for row in conn.execute(_RESTING)]
        if not waiting and not ending:
            return
        if time.monotonic() > until:
            raise CrossoverError(
                f"the subscriptions did not begin anew within {patience:g} s: "
                + (", ".join(waiting) or "one has not ended"),
                code="not_in_sync",
                server=str(login),
                untouched="no column was changed",
                hint="see the server's log, then run this phase again",
            )
        time.sleep(0.1)
