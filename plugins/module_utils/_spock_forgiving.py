# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node whose apply workers are stopped loses nothing by it (private to the collection).

spock.sub_disable() sends a worker a signal, which it heeds between two messages, so also within a transaction.
Its successor takes that transaction for one that has failed before. With sub_disable and with transdiscard Spock 5.0.11
then leaves it out, and goes on or stops (measured: one stop in twenty, where transactions have twenty rows). With
discard it tries each row again, and leaves out only what fails again; that is in spock.exception_log. So that is set
while workers are stopped, until what they were in has arrived.
"""

from __future__ import annotations

import time

from ._pg_sql import Statement, quote_literal
from ._spock_mesh import Member

SETTING = "spock.exception_behaviour"
MEANWHILE, STRICT = "discard", "sub_disable"
RELOADED = 0.5  # seconds until every process of the server has read the configuration
RELOAD = "SELECT pg_reload_conf()"

_NOW = f"SELECT setting, coalesce(sourcefile, '') AS file FROM pg_settings WHERE name = '{SETTING}'"


def forgive(member: Member) -> tuple[list[Statement], str]:
    """Set it. Returns what was run, and what puts back what was there: nothing where it was so already."""
    now = member.do(_NOW).fetchone()
    if now["setting"] == MEANWHILE:
        return [], ""
    run = [f"ALTER SYSTEM SET {SETTING} = {MEANWHILE}", RELOAD]
    back = f"SET {SETTING} = {quote_literal(now['setting'])}"
    if not now["file"].endswith("postgresql.auto.conf"):
        back = f"RESET {SETTING}"
    return _run(member, run), f"ALTER SYSTEM {back}"


def forgiving(member: Member) -> bool:
    """Whether it is set: by a run that was killed, where a join is under way."""
    return bool(member.do(_NOW).fetchone()["setting"] == MEANWHILE)


def settle(member: Member, back: str = f"ALTER SYSTEM SET {SETTING} = {STRICT}") -> list[Statement]:
    """Put back what was there, once everything has arrived."""
    return _run(member, [back, RELOAD]) if back else []


def _run(member: Member, statements: list[str]) -> list[Statement]:
    for statement in statements:
        member.do(statement)
    time.sleep(RELOADED)
    return [Statement.of(f"{member.name}: {statement}") for statement in statements]
