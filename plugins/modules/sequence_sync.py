#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sequence_sync
short_description: Carry the sequences over
version_added: "0.1.0"
description:
  - Sets every sequence of one side, owned by a column or not, to where the other side's stands. No replication does
    that.
  - On several nodes each gets values of its own, by C(INCREMENT) and C(START) (see O(sequences)). Give nodes
    their values before they take writes, since one that is called meanwhile may draw a value twice.
  - Honours C(is_called), the increment's sign, the limits and C(CYCLE). A sequence that is ahead already is not moved.
  - Fails if a sequence is missing on the other side, or is still behind afterwards.
options:
  direction:
    description:
      - V(forward) carries from the source to the node, V(back) from the node to the source.
    type: str
    default: forward
    choices: [forward, back]
  schemas:
    description: The schemas to look at. Empty means all that are not the server's own.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Tables, as C(schema.table), whose sequences are left out.
    type: list
    elements: str
    default: []
  gap:
    description:
      - How many calls of C(nextval) to leave free after the last value read.
      - If not given, it is measured for each sequence as the calls in O(gap_seconds) at the rate seen over
        O(measure_seconds); for a sequence that does not move it is 0.
      - Where fewer values are left, the sequence is set to its last one, and RV(moved) says so.
    type: int
  measure_seconds:
    description: How long to watch the sequences for their rate.
    type: float
    default: 0.5
  gap_seconds:
    description: How many seconds of calls to leave free, when O(gap) is not given.
    type: float
    default: 10
  allow_backwards:
    description: Also set back a sequence that is ahead of the other side's.
    type: bool
    default: false
  node:
    description: Name of the node that C(login_*) lead to.
    type: str
    default: n1
  further_nodes:
    description:
      - The other nodes of the mesh, each with the login options of the module and C(name). All are set, or with
        O(direction=back) the source goes past the furthest of them.
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.further_nodes
  - crossover.pgedge.login.source
  - crossover.pgedge.sequences
attributes:
  check_mode:
    support: full
    description: Sets nothing; RV(lagging) tells which sequences are behind.
  diff_mode:
    support: full
    description: Shows last value and C(is_called) of each sequence that is moved.
author:
  - The Crossover authors (@crossover)
notes:
  - O(source) needs SELECT on the sequences, and UPDATE with O(direction=back). Membership in their owner gives both.
seealso:
  - module: crossover.pgedge.cutover
  - module: crossover.pgedge.schema_sync
"""

EXAMPLES = r"""
- name: Bring the node's sequences up to the source's, with room for a thousand calls
  crossover.pgedge.sequence_sync:
    gap: 1000
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    source:
      login_host: aurora.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop

- name: Three nodes, each with values of its own, and room for two more
  crossover.pgedge.sequence_sync:
    sequences:
      stride: 5
      exceptions:
        - {sequence: shop.ticket_number, how: keep}
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    further_nodes: "{{ other_nodes }}"
    source:
      login_host: aurora.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
"""

RETURN = r"""
sequences:
  description: How many sequences were looked at.
  type: int
  returned: success
  sample: 12
moved:
  description: The sequences that were set, or in check mode would be.
  type: list
  elements: dict
  returned: success
  sample:
    - name: shop.orders_id_seq
      node: n1
      before: {last_value: 1, is_called: false}
      after: {last_value: 5230, is_called: true}
      note: ""
lagging:
  description: The sequences that were behind before.
  type: list
  elements: str
  returned: success
  sample: [shop.orders_id_seq]
rates:
  description: Calls per second of the sequences that moved while O(gap) was measured.
  type: dict
  returned: success
  sample: {shop.orders_id_seq: 51.5}
unmatched:
  description: Sequences that only the side that is set has; they were left alone.
  type: list
  elements: str
  returned: success
  sample: []
queries:
  description: The statements, the same in check mode.
  type: list
  elements: str
  returned: success
  sample: ["SELECT setval('shop.orders_id_seq', 5230, true)"]
"""


from ..module_utils._ansible import (
    Outcome,
    Runner,
    further_nodes_option,
    run_module,
    sequences_option,
    source_option,
)
from ..module_utils._migration_sequences_carry import Carry, Pass
from ..module_utils._migration_sequences_choice import Choice
from ..module_utils._migration_sequences_mesh import Step
from ..module_utils._migration_sides import further_nodes
from ..module_utils._pg_catalog import Scope


def work(runner: Runner) -> Outcome:
    """Read all, plan, set, read again."""
    params = runner.params
    forward = params["direction"] == "forward"
    names = [params["node"], *(one["name"] for one in params["further_nodes"])]
    choice = Choice.of(params["sequences"], names)
    logins = [runner.login(label=params["node"]), *(one.login for one in further_nodes({**params, "name": ""}))]
    source, nodes = [runner.connect(runner.login("source"))], [runner.connect(login) for login in logins]
    carry = Carry(
        source if forward else nodes,
        nodes if forward else source,
        Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"])),
        choice=choice,
        direction=params["direction"],
        backwards=params["allow_backwards"],
    )
    carry.read()
    if params["gap"] is None:
        carry.measure(params["measure_seconds"], params["gap_seconds"])
    else:
        carry.gaps = [dict.fromkeys(here, params["gap"]) for here in carry.here]
    found = carry.plan(define=True)
    lagging = carry.lagging(found.old, found.new)
    unmatched = sorted({name for there in carry.there for name in there} - set(carry.names))
    if not runner.check:
        carry.carry(found)
    return _outcome(carry, found, names if forward else ["source"], lagging, unmatched)


def _outcome(carry: Carry, found: Pass, places: list[str], lagging: list[str], unmatched: list[str]) -> Outcome:
    steps = [(place, step) for place, part in zip(places, found.steps) for step in part]
    several = len(places) > 1

    def called(place: str, step: Step) -> str:
        return f"{step.name} on {place}" if several else step.name

    notes = {called(place, step): step.note for place, step in steps if step.note}
    notes.update({called(place, step): "no value is left" for place, step in steps if step.exhausted})
    missed = [f"there is no sequence {name}, for which an exception is made" for name in carry.missed]
    rates: dict[str, float] = {}
    for one in carry.rates:
        for name, rate in one.items():
            rates[name] = round(rates.get(name, 0.0) + rate, 1)
    return Outcome(
        changed=bool(steps),
        queries=[statement for _place, step in steps for statement in step.statements],
        before={called(place, step): step.shown()[0] for place, step in steps},
        after={called(place, step): step.shown()[1] for place, step in steps},
        result={
            "sequences": len(carry.names),
            "moved": [
                {"name": s.name, "node": place, "before": s.shown()[0], "after": s.shown()[1], "note": s.note}
                for place, s in steps
            ],
            "lagging": lagging,
            "rates": rates,
            "unmatched": unmatched,
        },
        warnings=[f"sequence {name}: {note}" for name, note in notes.items()] + missed,
    )


def main() -> None:
    """Entry point."""
    run_module(
        {
            **source_option(),
            "direction": {"type": "str", "default": "forward", "choices": ["forward", "back"]},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "gap": {"type": "int"},
            "measure_seconds": {"type": "float", "default": 0.5},
            "gap_seconds": {"type": "float", "default": 10.0},
            "allow_backwards": {"type": "bool", "default": False},
            "node": {"type": "str", "default": "n1"},
            **further_nodes_option(),
            **sequences_option(),
        },
        work,
    )


if __name__ == "__main__":
    main()
