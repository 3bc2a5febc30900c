# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last comparison, as the ledger remembers it, and whether it still counts (private to the collection)."""

from __future__ import annotations

import time
from typing import Any, Mapping

from ._migration_compare_report import EQUAL
from ._migration_ledger import Ledger

FACT = "validate.result"
_ALONE = "SELECT pg_try_advisory_lock(hashtext('crossover.compare'), hashtext(%s)) AS mine"
_KEPT = 1000  # tables
_SWITCHING = ("cutover", "rollback")


def scope_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide what a comparison says."""
    names = ("schemas", "tables", "exclude_tables", "publication", "mode", "partitions", "barrier")
    return {name: params[name] for name in names}


def remember(ledger: Ledger, scope: Mapping[str, Any], begun: float, result: Mapping[str, Any]) -> None:
    """Keep a result. ``begun`` is the node's clock when the comparison began: what came later it may not have seen.

    ``result`` has ``state``, the name of the copy that was compared.
    """
    if ledger.exists:
        kept = {**result, "tables": result["tables"][:_KEPT]}
        ledger.put(FACT, {"at": begun, "ended": now(ledger), "scope": dict(scope), "result": kept})


def now(ledger: Ledger) -> float:
    """The node's clock."""
    return float(ledger.conn.execute("SELECT extract(epoch FROM clock_timestamp())::float8 AS at").fetchone()["at"])


def recall(ledger: Ledger, scope: Mapping[str, Any], max_age: float, state: str) -> dict[str, Any] | None:
    """The last result with its age in seconds, if it was equal, is of the same scope and copy, and young enough."""
    kept = ledger.facts().get(FACT) if ledger.exists and max_age > 0 else None
    if not kept or kept["scope"] != dict(scope) or kept["result"]["verdict"] != EQUAL:
        return None
    age = now(ledger) - kept["at"]
    phases = ledger.phases()
    switching = any(phases[name]["age"] is None for name in _SWITCHING if name in phases)  # or was ended by force
    if not 0 <= age <= max_age or switching or kept["result"].get("state") != state:
        return None
    return {**kept["result"], "age": round(age, 1)}


def last_equal(ledger: Ledger) -> float:
    """The node's clock when the last comparison began, if it was of everything and equal; else 0."""
    kept = ledger.facts().get(FACT)
    if not kept or kept["result"]["verdict"] != EQUAL:
        return 0.0
    scope = kept["scope"]
    whole = scope["barrier"] and not scope["tables"] and not scope["publication"]
    return float(kept["at"]) if whole else 0.0


def attach(ledger: Ledger, scope: Mapping[str, Any], state: str) -> tuple[bool, dict[str, Any] | None]:
    """Wait until no other comparison of this migration runs here; take what it has found, if it is of the same scope.

    Returns whether there was one, and its result with its age. From then on this session is the one that compares.
    Where there is no ledger nothing could be taken over, and nobody waits.
    """
    if not ledger.exists:
        return False, None
    begun, waited = now(ledger), False
    while not ledger.conn.execute(_ALONE, [ledger.name]).fetchone()["mine"]:
        waited = True
        time.sleep(1.0)
    kept = ledger.facts().get(FACT) if waited else None
    if not kept or kept.get("ended", 0) < begun or kept["scope"] != dict(scope) or kept["result"].get("state") != state:
        return waited, None
    return waited, {**kept["result"], "age": round(now(ledger) - kept["at"], 1)}
