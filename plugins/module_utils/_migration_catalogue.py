# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DDL on the source during a migration: seen at every gate, named, taken in by replicate (private to the collection).

DDL is not replicated. ``replicate`` remembers the source's catalogue as it was when it began (what changes while it
runs is seen at the next gate); every later gate, and the cutover before it locks, compares. Running ``replicate`` again
creates what is new on the node; what was altered or dropped has to be done there by hand, and it checks that it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._errors import CrossoverError
from ._migration_catalogue_read import OWN, Catalogue, read
from ._migration_control import read as read_control
from ._migration_gates import BEFORE, Decision, Known
from ._migration_ledger import Ledger
from ._pg_catalog import Scope

FACT, PENDING = "catalogue", "catalogue.pending"
GATES = ("validate", "benchmark", "cutover")
REPLICATE = "run the playbook crossover.pgedge.replicate again"
# Parts of which replicate creates what is new by itself, after the rows; the rest has to be right before it starts.
CREATED_LATE = ("constraints", "indexes", "triggers", "policies")
_SHOWN = 5


@dataclass(frozen=True)
class Drift:
    """What differs between two states of a catalogue. ``altered``: object -> its parts."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    altered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.altered)

    def __str__(self) -> str:
        """``added: table a.b; altered: table a.c (columns)``."""
        altered = [f"{name} ({', '.join(parts)})" for name, parts in self.altered.items()]
        lists = {"added": self.added, "altered": altered, "removed": self.removed}
        return "; ".join(f"{word}: {_some(names)}" for word, names in lists.items() if names)

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        altered = {name: list(parts) for name, parts in self.altered.items()}
        return {"added": list(self.added), "removed": list(self.removed), "altered": altered}

    @property
    def by_hand(self) -> bool:
        """Whether replicate cannot take all of it in by itself."""
        return bool(self.removed) or any(set(parts) - set(CREATED_LATE) for parts in self.altered.values())


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def compare(then: Catalogue, now: Catalogue) -> Drift:
    """What has changed since."""
    both = sorted({*then} & {*now})
    return Drift(
        tuple(sorted({*now} - {*then})),
        tuple(sorted({*then} - {*now})),
        {name: parts for name in both if (parts := _differing(then[name], now[name]))},
    )


def _differing(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(part for part in sorted({*then, *now}) if then.get(part) != now.get(part))


def unlike(drift: Drift, source: Catalogue, node: Catalogue, late: bool) -> list[str]:
    """What the drift left different between source and node, and for every table the columns.

    Parts are compared between the servers only where they changed: two versions of PostgreSQL may word an expression
    differently, but columns never. ``late``: when replicate has created all that it can.
    """
    gone = [name for name in drift.removed if name in node and not name.startswith("extension ")]
    found = [f"{name} is still on the node" for name in gone]
    for name, parts in source.items():
        if name.startswith("extension "):  # the node has its own version of it, or is to be without it
            continue
        there = node.get(name)
        if there is None:
            if late and (name in drift.added or name in drift.altered or name.startswith("table ")):
                found.append(f"{name} is not on the node")
            continue
        wanted = [part for part in drift.altered.get(name, ()) if late or part not in CREATED_LATE]
        if name.startswith("table ") and "columns" not in wanted:
            wanted.append("columns")
        if name.startswith(("view ", "materialized view ")):  # deparsed differently before PostgreSQL 16
            wanted = [part for part in wanted if part != "definition"]
        wanted = [part for part in wanted if part != OWN]
        differing = [part for part in wanted if parts.get(part) != there.get(part)]
        if differing:
            found.append(f"{name} differs in its {' and '.join(differing)}")
    return found


# -- at the gates ----------------------------------------------------------------------------------------------------


def check(source: Any, facts: Mapping[str, Any], replicated: bool) -> tuple[Drift, list[str]]:
    """What has changed on the source since replicate, and the sentence about it with the next step, if any."""
    fact = facts.get(FACT)
    if fact is None:
        return Drift(), [f"the source's schema was not recorded by replicate: {REPLICATE}"] if replicated else []
    drift = compare(fact["objects"], read(source, _scope(fact)))
    if not drift:
        return drift, []
    steps = {
        True: f"make the same change to what was altered or removed on the node, then {REPLICATE}",
        False: f"{REPLICATE}, which takes it in",
    }
    return drift, [f"the source's schema has changed since replicate ({drift}): {steps[drift.by_hand]}"]


def gate(
    decision: Decision, phase: str, known: Known, conns: tuple[Any, Any], scope: Scope, in_check: bool
) -> Decision:
    """The decision of the other gates, and what the catalogues say. ``conns``: source and node."""
    switched = known.control is not None and known.control.switched
    if switched or not decision.run:
        return decision
    sentences: list[str] = []
    if phase in GATES:
        replicated = known.phases.get("replicate", {}).get("status") == "done"
        sentences = check(conns[0], known.facts, replicated)[1]
    elif phase == "replicate" and known.ledger:
        sentences = _before_replicate(known, conns, scope)
    if not sentences:
        return decision
    failures = (*decision.failures, *sentences)
    if in_check:
        return Decision(True, f"would run after {BEFORE.get(phase, 'assess')}: {'; '.join(failures)}", failures)
    return Decision(False, f"{phase} cannot start: {'; '.join(failures)}", failures)


def _before_replicate(known: Known, conns: tuple[Any, Any], scope: Scope) -> list[str]:
    """What must be done on the node by hand before rows can be applied there."""
    source, node = read(conns[0], scope), read(conns[1], scope)
    fact = known.facts.get(FACT)
    different = unlike(compare(fact["objects"], source) if fact else Drift(), source, node, late=False)
    if not different:
        return []
    return [f"the node is not what the source is ({_some(different)}): make the same change on the node"]


def before_the_lock(source: Any, ledger: Ledger) -> dict[str, Any]:
    """The same for the cutover, at the last moment at which nobody waits for it."""
    replicated = ledger.phases().get("replicate", {}).get("status") == "done"
    drift, sentences = check(source, ledger.facts(), replicated)
    if sentences:
        raise CrossoverError(
            sentences[0],
            code="catalogue_changed",
            object=next(iter((*drift.added, *drift.altered, *drift.removed)), None),
            untouched="nothing was changed",
            data={"drift": drift.as_dict()},
        )
    return {"objects": len(ledger.facts().get(FACT, {}).get("objects", ()))}


# -- what replicate remembers ------------------------------------------------------------------------------------------


def begun(ledger: Ledger, phase: str, source: Any, scope: Scope) -> None:
    """Replicate begins: this is what it will have carried over when it ends."""
    if phase == "replicate":
        ledger.put(PENDING, _fact(source, scope))


def ended(ledger: Ledger, source: Any) -> None:
    """Replicate has ended: the node must have what the source had when it began. Else a CrossoverError."""
    facts = ledger.facts()
    fact = facts.get(PENDING) or _fact(source, Scope())
    before, control = facts.get(FACT), read_control(source, ledger.name)
    drift = compare(before["objects"], fact["objects"]) if before else Drift()
    switched = control is not None and control.switched  # then the node is developed further, and the source follows
    if not switched and (different := unlike(drift, fact["objects"], read(ledger.conn, _scope(fact)), late=True)):
        raise CrossoverError(
            f"the node is not what the source is: {_some(different)}",
            code="catalogue_differs",
            object=different[0],
            untouched="replication runs",
            hint=f"make the same change on the node, then {REPLICATE}",
            data={"differences": different},
        )
    ledger.put(FACT, fact)
    ledger.forget(PENDING)


def _fact(source: Any, scope: Scope) -> dict[str, Any]:
    named = {"schemas": list(scope.schemas) if scope.schemas else None, "exclude_tables": list(scope.exclude_tables)}
    return {"scope": named, "objects": read(source, scope)}


def _scope(fact: Mapping[str, Any]) -> Scope:
    named = fact["scope"]
    return Scope(tuple(named["schemas"]) if named["schemas"] else None, tuple(named["exclude_tables"]))
