#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: snowflake_sequence
short_description: Let sequences of a pgEdge node draw snowflake ids
version_added: "0.1.0"
description:
  - Converts sequences with pgEdge's extension C(snowflake), so that every node draws ids of 64 bits that no other node
    draws. The column that draws becomes C(int8), and so does every column that refers to it by a foreign key.
  - Run it on each node. What it does is not replicated, since DDL replication would leave identity columns as they are
    on the other nodes, which would then draw the same ids.
  - C(lastval()) no longer works for such a column. It cannot be taken back.
  - A source whose columns have 32 bits cannot take a snowflake id. See RV(sequences) for C(fits_back).
options:
  sequences:
    description: The sequences, as in SQL, with their schema. All of the scope if empty.
    type: list
    elements: str
    default: []
  schemas:
    description: The schemas of the scope. Empty means all.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Tables whose sequences are left out, as C(schema.table).
    type: list
    elements: str
    default: []
  node_number:
    description:
      - The node's number in its ids, 1 to 1023. It is set with ALTER SYSTEM and a reload. By default it must have one.
    type: int
  taken:
    description: Numbers of the other nodes, none of which this one may have.
    type: list
    elements: int
    default: []
  rewrite:
    description:
      - Convert also where a table that has rows must be rewritten, because its column is narrower than 64 bits. Nobody
        reads or writes it meanwhile.
    type: bool
    default: false
  chosen:
    description:
      - Instead of O(sequences), what was chosen for the migration. Only sequences that a column draws from are
        converted; one that the application calls would refuse it.
    type: dict
    suboptions:
      how:
        description: For all sequences.
        type: str
        required: true
        choices: [offset, snowflake, keep]
      exceptions:
        description: Others, each with C(sequence) and C(how).
        type: list
        elements: dict
        default: []
  source:
    description:
      - How to reach the source, with the login options of the module. If given, only sequences are converted whose
        column there, and all that refer to it, have 64 bits, so that the source can take their ids back.
    type: dict
  only_widen:
    description:
      - Only make the columns C(int8). Where nodes replicate, and columns are narrower, do this on every node first.
    type: bool
    default: false
extends_documentation_fragment:
  - crossover.pgedge.login
attributes:
  check_mode:
    support: full
    description: Nothing is changed. RV(queries) is what would run.
  diff_mode:
    support: full
    description: Each sequence before and after.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.sequence_sync
"""

EXAMPLES = r"""
- name: The ids of orders are drawn as snowflakes on n1
  crossover.pgedge.snowflake_sequence:
    sequences: [shop.orders_id_seq]
    node_number: 1
    taken: [2, 3]
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
"""

RETURN = r"""
queries:
  description: The statements, the same in check mode.
  type: list
  elements: str
  returned: always
  sample: ["SELECT snowflake.convert_sequence_to_snowflake('shop.orders_id_seq'::regclass)"]
sequences:
  description:
    - Each sequence as it was found, with the column that draws from it and its type, the columns that follow by foreign
      keys, whether it is converted already, how many bytes of tables a conversion rewrites, and whether a source with
      the same columns could take its ids back (RV(ignore:fits_back)).
  type: list
  elements: dict
  returned: always
  sample:
    - {name: shop.orders_id_seq, column: shop.orders.id, type: integer, identity: false, converted: false,
       follows: [shop.items.order_id], narrow: [shop.orders.id], rewrites: 0, rows: false, fits_back: false}
node_number:
  description: The node's number.
  type: int
  returned: always
  sample: 1
"""

from ..module_utils._ansible import Outcome, Runner, run_module, source_option
from ..module_utils._migration_sequences_choice import HOWS, Choice
from ..module_utils._pg_catalog import Scope
from ..module_utils._replication_apply import apply
from ..module_utils._spock_snowflake import Draw, convert, number, read, refuse_rows, require, selected, widen

CHOSEN = {
    "how": {"type": "str", "required": True, "choices": list(HOWS)},
    "exceptions": {"type": "list", "elements": "dict", "default": []},
}


def work(runner: Runner) -> Outcome:
    """Read, plan, apply."""
    params = runner.params
    login = runner.login(label="server")
    conn = runner.connect(login)
    now = require(conn, login)
    scope = Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"]))
    found = read(conn, scope, params["sequences"], login)
    if params["chosen"]:
        exceptions = {one["sequence"]: one["how"] for one in params["chosen"]["exceptions"]}
        found = selected(found, Choice(params["chosen"]["how"], exceptions), _source(runner, scope))
    left = [draw for draw in found if not draw.converted]
    numbering = number(params["node_number"], now, params["taken"], login)
    if not params["rewrite"]:
        refuse_rows(left, login)
    widening = params["only_widen"]
    conversions = [widen(draw) for draw in left if draw.narrow] if widening else [convert(draw) for draw in left]
    if not runner.check:
        apply(conn, login, numbering, "the node could not be given its number")
        if numbering:  # the reload reaches this session too, but not at once; ids must not be drawn with the old one
            conn.execute("SELECT pg_sleep(0.2)")
        apply(conn, login, conversions, "the sequences could not be converted", together=True)
    steps = numbering + conversions
    wanted = params["node_number"] if params["node_number"] is not None else now
    return Outcome(
        bool(steps),
        queries=steps,
        before={"node_number": now, "converted": {draw.name: draw.converted for draw in found}},
        after={"node_number": wanted, "converted": {draw.name: draw.converted or not widening for draw in found}},
        result={"sequences": [draw.shown() for draw in found], "node_number": wanted},
    )


def _source(runner: Runner, scope: Scope) -> list[Draw] | None:
    if not runner.params["source"]:
        return None
    login = runner.login("source")
    return read(runner.connect(login), scope, [], login)


def main() -> None:
    """Entry point."""
    run_module(
        {
            "sequences": {"type": "list", "elements": "str", "default": []},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "node_number": {"type": "int"},
            "taken": {"type": "list", "elements": "int", "default": []},
            "rewrite": {"type": "bool", "default": False},
            "chosen": {"type": "dict", "options": CHOSEN},
            **source_option(required=False),
            "only_widen": {"type": "bool", "default": False},
        },
        work,
    )


if __name__ == "__main__":
    main()
