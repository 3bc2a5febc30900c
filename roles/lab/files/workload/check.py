# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is everything that was acknowledged in the database, exactly once, and nothing else?"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Iterable

import psycopg

from .journal import ABSENT, FAILED, FOUND, OK, UNKNOWN, Attempt

Keyed = dict[tuple[int, int], int]
EXAMPLES = 10

# Keys whose parts are not all there, or are there without their line in the log: a transaction half-way.
_HALF_TRANSFERS = """
    SELECT client, seq FROM
        (SELECT client, seq, sum(parts) AS n FROM shop.request_log
         WHERE run = %(run)s AND kind = 'transfer' GROUP BY 1, 2) AS l
    FULL JOIN
        (SELECT client, seq, count(*) AS n FROM shop.transfers WHERE run = %(run)s GROUP BY 1, 2) AS t
    USING (client, seq) WHERE l.n IS DISTINCT FROM t.n"""
_HALF_ORDERS = """
    SELECT split_part(key, '/', 2)::int, split_part(key, '/', 3)::bigint FROM
        (SELECT concat_ws('/', run, client, seq) AS key, sum(parts) AS n FROM shop.request_log
         WHERE run = %(run)s AND kind = 'order' GROUP BY 1) AS l
    FULL JOIN
        (SELECT o.note AS key, count(i.order_id) AS n FROM shop.orders AS o
         LEFT JOIN shop.order_items AS i ON i.order_id = o.id AND i.placed_at = o.placed_at
         WHERE o.note LIKE %(run)s || '/%%' GROUP BY 1) AS t
    USING (key) WHERE l.n IS DISTINCT FROM t.n"""


def look(dsn: str, run: str) -> dict[str, Any]:
    """What one database has of this run, as of one moment."""
    with psycopg.connect(dsn, connect_timeout=10, prepare_threshold=None) as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        rows = conn.execute(
            "SELECT client, seq, count(*) FROM shop.request_log WHERE run = %s GROUP BY 1, 2", [run]
        ).fetchall()
        half = [
            tuple(row)
            for query in (_HALF_TRANSFERS, _HALF_ORDERS)
            for row in conn.execute(query, {"run": run}).fetchall()
        ]
        total = conn.execute("SELECT coalesce(sum(balance), 0)::bigint FROM shop.accounts").fetchone()
    assert total is not None
    return {"keys": {(client, seq): count for client, seq, count in rows}, "half": half, "sum": total[0]}


def final_outcomes(attempts: Iterable[Attempt]) -> dict[tuple[int, int], str]:
    """What each key's client believes in the end. Once acknowledged stays acknowledged."""
    final: dict[tuple[int, int], str] = {}
    for attempt in attempts:
        key = (attempt.client, attempt.seq)
        if final.get(key) not in (OK, FOUND):
            final[key] = attempt.outcome
    return final


def judge(attempts: list[Attempt], keys: Keyed, ended: bool) -> dict[str, Any]:
    """Compare the application's list with the database's.

    lost: acknowledged, not there. duplicated: there more than once. phantom: there, but the application was told that
    it failed, or never asked for it. A client that was killed, or is still at it, may have one key in flight.
    """
    final = final_outcomes(attempts)
    last: dict[int, int] = defaultdict(int)
    for client, seq in final:
        last[client] = max(last[client], seq)

    def in_flight(key: tuple[int, int]) -> bool:
        client, seq = key
        return not ended and (seq == last[client] + 1 or (seq == last[client] and final[key] not in (OK, FOUND)))

    good = {key for key, outcome in final.items() if outcome in (OK, FOUND)}
    found = {
        "lost": sorted(good - keys.keys()),
        "duplicated": sorted(key for key, count in keys.items() if count > 1),
        "phantom": sorted(key for key in keys if final.get(key) in (None, FAILED, ABSENT) and not in_flight(key)),
    }
    return {
        "ok": len(good),
        **{name: len(those) for name, those in found.items()},
        "unresolved": sum(outcome == UNKNOWN for outcome in final.values()),
        "in_flight": sum(in_flight(key) for key in keys),
        "examples": {name: [f"{c}/{s}" for c, s in those[:EXAMPLES]] for name, those in found.items() if those},
    }


def known(attempts: Iterable[Attempt], keys: Keyed) -> Keyed:
    """The keys that somebody had asked for when the attempts were read: of later ones nothing can be said."""
    last: dict[int, int] = {}
    for attempt in attempts:
        last[attempt.client] = max(last.get(attempt.client, 0), attempt.seq)
    return {key: count for key, count in keys.items() if key[0] not in last or key[1] <= last[key[0]]}


def check(
    dsn: str, run: str, attempts: list[Attempt], expected_sum: int, ended: bool, later: bool = False
) -> dict[str, Any]:
    """The verdict on one database. ``attempts`` must have been read before this call (``later``: some time before)."""
    there = look(dsn, run)
    if later:
        there["keys"] = known(attempts, there["keys"])
    verdict = judge(attempts, there["keys"], ended)
    verdict["incomplete"] = len(there["half"])
    if there["half"]:
        verdict["examples"]["incomplete"] = [f"{c}/{s}" for c, s in sorted(there["half"])[:EXAMPLES]]
    verdict["sum"] = {
        "expected": expected_sum, "found": there["sum"], "constant": there["sum"] == expected_sum,
    }  # fmt: skip
    return verdict
