# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply a plan of the replication modules, and what these share in checking options (private to the collection)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ._errors import CrossoverError
from ._pg_connect import Login, driver, sql_error
from ._pg_sql import Statement, hide

# SQLSTATE -> what to do about it
HINTS = {
    "42501": "grant what is missing to login_user, or log in as a role that may do this",
    "53400": "raise max_replication_slots (a restart), or drop a slot that nobody needs",
    "55006": "stop what uses it first (a subscription: disable it)",
    "08006": "the server that subscribes must reach the publisher: check connparams, pg_hba.conf and the network there",
    "57014": "either the publisher does not answer, or a transaction that is open there for long holds up the slot: "
    "end it, or raise timeout",
    "58P01": "the server does not have this output plugin: install it, or name another",
}

# What would write a statement with a password into the server's logs, statistics or pg_stat_activity
_TALKATIVE = {
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_duration": "off",
    "pg_stat_statements.track_utility": "off",
    "auto_explain.log_min_duration": "-1",
    "track_activities": "off",
}


def keep_quiet(conn: Any, **more: str) -> list[str]:
    """Keep this session's statements out of logs and statistics as far as the login may; returns what it may not set.

    ``more`` are further settings that need the same right.

    Only a superuser, or a role with GRANT SET ON PARAMETER (PostgreSQL 15), may: on a managed source it may not.
    """
    granted = "has_parameter_privilege(s.name, 'SET')" if conn.info.server_version >= 150000 else "false"
    allowed = f"(SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR s.context = 'user' OR {granted}"
    # the subquery asks first: set_config fails for a parameter that may not be set
    settings = {**_TALKATIVE, **more}
    rows = conn.execute(
        f"SELECT s.name, {allowed} AS may FROM pg_settings s WHERE s.name = ANY (%s)", [list(settings)]
    ).fetchall()
    for row in rows:
        if row["may"]:
            conn.execute("SELECT set_config(%s, %s, false)", [row["name"], settings[row["name"]]])
    return sorted(row["name"] for row in rows if not row["may"])


def denied(exc: BaseException, server: Login, doing: str) -> CrossoverError:
    """What failed while it was only read."""
    hint = HINTS.get(getattr(exc, "sqlstate", None) or "")
    return sql_error(exc, server, doing, untouched="nothing was changed", hint=hint)


def apply(
    conn: Any,
    server: Login,
    statements: Sequence[Statement],
    doing: str,
    *,
    together: bool = False,
    secrets: Sequence[str] = (),
    after: Callable[[Statement], None] | None = None,
    walsender: bool = False,
) -> None:
    """Run a plan. ``together``: in one transaction. ``doing`` says what failed: ``the slot x could not be made``.

    ``after`` is called after each statement. ``walsender``: these are replication commands. Statements of subscriptions
    cannot run in a transaction block.
    """
    done = 0

    def run() -> None:
        nonlocal done
        for statement in statements:
            # asking for binary results makes psycopg use the protocol that takes one statement only, so that SQL in an
            # option (a row filter) cannot bring another one along; replication commands do not know it
            conn.execute(statement.sql, prepare=False, binary=not walsender)
            done += 1
            if after:
                after(statement)

    try:
        if together and statements:
            with conn.transaction():
                run()
        else:
            run()
    except driver().Error as exc:
        state = (
            "nothing was changed" if together or not done else f"{done} of {len(statements)} statements were applied"
        )
        error = sql_error(exc, server, doing, untouched=state, hint=HINTS.get(getattr(exc, "sqlstate", None) or ""))
        error.message = hide(error.message, secrets)
        raise error from None


_DANGEROUS = (
    re.compile(r"""['"].*--""", re.DOTALL),
    re.compile(r"\b(union|intersect|except)\b.*\bselect\b", re.IGNORECASE | re.DOTALL),
    re.compile(r";.*\b(select|update|insert|delete|drop|truncate|alter)\b", re.IGNORECASE | re.DOTALL),
)


def check_input(*values: Any) -> None:
    """What O(trust_input=false) asks for, as in community.postgresql: refuse what looks like SQL in a name or value."""
    for value in values:
        if isinstance(value, dict):
            check_input(*value.keys(), *value.values())
        elif isinstance(value, (list, tuple)):
            check_input(*value)
        elif isinstance(value, str) and any(pattern.search(value) for pattern in _DANGEROUS):
            raise CrossoverError(
                f"Passed input {value!r} is potentially dangerous",
                code="dangerous_input",
                untouched="nothing was changed",
                hint="set trust_input to true if the value is meant: it is quoted anyway",
            )


def ignored(state: str, params: dict[str, Any], names: Sequence[str], wanted: str) -> list[str]:
    """Warnings about options that mean nothing in this state."""
    given = [name for name in names if params.get(name) not in (None, False)]
    return [f"parameter '{name}' is ignored when state is not '{wanted}'" for name in given] if state != wanted else []
