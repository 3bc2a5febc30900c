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
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.source
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

from typing import Any

from ..module_utils import _migration_sequences as domain
from ..module_utils._ansible import Outcome, Runner, run_module, source_option
from ..module_utils._pg_catalog import Scope


def work(runner: Runner) -> Outcome:
    """Read both sides, plan, set, read again."""
    params = runner.params
    scope = Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"]))
    logins = runner.login("source"), runner.login()
    old, new = (runner.connect(login) for login in (logins if params["direction"] == "forward" else reversed(logins)))
    here, there = domain.definitions(old, scope), domain.definitions(new, scope)
    domain.refuse(here, there)
    known = {name: there[name] for name in here}

    rates: dict[str, float] = {}
    gap: Any = params["gap"]
    if gap is None:
        rates = domain.measure_rate(old, here, params["measure_seconds"]) if here else {}
        gap = domain.gaps(rates, params["gap_seconds"])
    states, before = domain.read_states(old, known), domain.read_states(new, known)
    moves = domain.plan(known, states, before, gap, params["allow_backwards"])
    if not runner.check:
        domain.apply(new, moves)
        late = domain.lagging(known, states, domain.read_states(new, known))
        if late:
            raise domain.behind(late)
    return Outcome(
        changed=bool(moves),
        queries=[move.statement for move in moves],
        before={move.name: move.before.as_dict() for move in moves},
        after={move.name: move.after.as_dict() for move in moves},
        result={
            "sequences": len(known),
            "moved": [
                {"name": m.name, "before": m.before.as_dict(), "after": m.after.as_dict(), "note": m.note}
                for m in moves
            ],
            "lagging": domain.lagging(known, states, before),
            "rates": {name: round(rate, 1) for name, rate in rates.items()},
            "unmatched": [name for name in there if name not in here],
        },
        warnings=[f"sequence {m.name}: {m.note}" for m in moves if m.note],
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
        },
        work,
    )


if __name__ == "__main__":
    main()
