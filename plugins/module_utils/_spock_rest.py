# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An apply worker is stopped between two transactions (private to the collection).

spock.sub_disable() sends the worker a signal, which it heeds between two messages, so also in the middle of a
transaction. Its successor takes that transaction for one that has failed before: with sub_disable and with
transdiscard, Spock 5.0.11 then discards it, and goes on or stops (measured: one stop in twenty, where transactions have
twenty rows). A worker whose connection ends does neither. So its connection is ended on the provider, and it is
disabled before it has connected again.
"""

from __future__ import annotations

import time

from ._errors import CrossoverError
from ._pg_sql import Statement, quote_literal
from ._spock_mesh import Member, Subscription

_WORKER = """
SELECT FROM pg_stat_activity a JOIN pg_database d ON d.datname = current_database()
JOIN spock.subscription s ON a.backend_type = format('spock apply %%s:%%s', d.oid, s.sub_id) WHERE s.sub_name = %s
"""
LOOK = 0.01  # seconds: a worker connects again after some seconds


def rest(subscriber: Member, provider: Member, have: Subscription, seconds: float) -> list[Statement]:
    """Disable it. Returns what was run, each with the node's name before it."""
    cut = (
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
        f"WHERE slot_name = {quote_literal(have.slot)} AND active"
    )
    until = time.monotonic() + seconds
    while subscriber.do(_WORKER, [have.name]).fetchone():
        provider.do(cut)
        again = time.monotonic() + 1.0
        while subscriber.do(_WORKER, [have.name]).fetchone() and time.monotonic() < again:
            time.sleep(LOOK)
        if time.monotonic() > until:
            raise CrossoverError(
                f"the apply worker of {have.name} on {subscriber.name} did not stop within {seconds:g} s",
                code="timeout",
                server=str(subscriber.login),
                untouched=f"{subscriber.name} follows {provider.name}",
                hint=f"see whether it waits for a lock (pg_stat_activity on {subscriber.name}), then run this again",
            )
    disable = f"SELECT spock.sub_disable({quote_literal(have.name)}, true)"
    subscriber.do(disable)
    return [Statement.of(f"{provider.name}: {cut}"), Statement.of(f"{subscriber.name}: {disable}")]
