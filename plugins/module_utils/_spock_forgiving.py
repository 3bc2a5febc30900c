# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node whose apply workers are stopped loses nothing by it (private to the collection).

spock.sub_disable() sends a worker a signal, which it heeds between two messages, so also within a transaction.
Its successor takes that transaction for one that has failed before. With sub_disable and with transdiscard Spock 5.0.11
then leaves it out, and goes on or stops (measured: one stop in twenty, where transactions have twenty rows). With
discard it tries each row again, and leaves out only what fails again; that is in spock.exception_log. So that is set
while workers are stopped, until what they were in has arrived. The database bears what puts back what was there, for
whoever comes after a run that was killed.
"""

from __future__ import annotations

import time

from ._pg_sql import Statement, quote_ident, quote_literal
from ._spock_mesh import Member

SETTING = "spock.exception_behaviour"
MEANWHILE, STRICT = "discard", "sub_disable"
RELOADED = 0.5  # seconds until every process of the server has read the configuration
RELOAD = "SELECT pg_reload_conf()"

NOTE = "crossover.forgiving"  # a setting of the database, which nothing reads

_NOW = f"SELECT setting, coalesce(sourcefile, '') AS file FROM pg_settings WHERE name = '{SETTING}'"


def forgive(member: Member) -> list[Statement]:
    """Set it, where it is not."""
    now = member.do(_NOW).fetchone()
    if member.forgiving or now["setting"] == MEANWHILE:
        return []
    back = "RESET"
    if now["file"].endswith("postgresql.auto.conf"):
        back = now["setting"]
    database = quote_ident(member.conn.info.dbname)
    run = [f"ALTER DATABASE {database} SET {NOTE} = {quote_literal(back)}", f"ALTER SYSTEM SET {SETTING} = {MEANWHILE}"]
    member.forgiving = back
    _run(member, [*run, RELOAD])
    return said(member, [*run, RELOAD])


def settling(member: Member) -> list[str]:
    """What puts back what was there."""
    if not member.forgiving:
        return []
    back = f"SET {SETTING} = {quote_literal(member.forgiving)}"
    if member.forgiving == "RESET":
        back = f"RESET {SETTING}"
    database = quote_ident(member.conn.info.dbname)
    return [f"ALTER SYSTEM {back}", RELOAD, f"ALTER DATABASE {database} RESET {NOTE}"]


def settle(member: Member, check: bool = False) -> list[Statement]:
    """Put it back, once everything has arrived."""
    statements = settling(member)
    if statements and not check:
        _run(member, statements)
        member.forgiving = ""
    return said(member, statements)


def said(member: Member, statements: list[str]) -> list[Statement]:
    """Statements as a result has them."""
    return [Statement.of(f"{member.name}: {statement}") for statement in statements]


def _run(member: Member, statements: list[str]) -> None:
    for statement in statements:
        member.do(statement)
    time.sleep(RELOADED)
