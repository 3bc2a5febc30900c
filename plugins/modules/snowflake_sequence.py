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
  - Convert on every node before one of them draws. A column that is still narrow on another node cannot take the id,
    and the subscription there stops.
  - C(lastval()) no longer works for such a column. It cannot be taken back.
  - A source whose columns have 32 bits cannot take a snowflake id. See RV(sequences) for C(fits_back).
  - What the extension or PostgreSQL would refuse is refused before anything is changed, in check mode too.
  - The owner of the tables can convert sequences of C(serial) columns and plain defaults. Identity columns need a
    superuser, since the extension changes the catalogue. So does O(node_number), or
    C(GRANT ALTER SYSTEM ON PARAMETER snowflake.node) and C(EXECUTE) on C(pg_reload_conf()).
options:
  sequences:
    description: The sequences, as in SQL, with their schema. If O(tables) is empty too, all of the scope.
    type: list
    elements: str
    default: []
  tables:
    description:
      - The sequences that these draw from, too. Tables as C(schema.table), or columns as C(schema.table.column), as in
        SQL.
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
      - The node's number in its ids, 1 to 1023. It is set with C(ALTER SYSTEM) and a reload, and nothing is converted
        before new sessions have it. By default the node must have one.
      - A number that C(ALTER DATABASE) or C(ALTER ROLE) has set goes before it, so another one there is refused.
    type: int
  default_number:
    description:
      - The number for a node that has none yet, which is C(snowflake.node = 0). One that has a number keeps it.
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
    required: false
  only_widen:
    description:
      - Only make the columns C(int8). Where nodes replicate, and columns are narrower, do this on every node first,
        with values travelling as text meanwhile (C(force_text_transfer) of M(crossover.pgedge.spock_subscription)).
      - The node applies nothing while it does so. What the others write waits in their slots.
    type: bool
    default: false
extends_documentation_fragment:
  - crossover.pgedge.login
  - crossover.pgedge.login.source
attributes:
  check_mode:
    support: full
    description: Nothing is changed. RV(queries) is what would run.
  diff_mode:
    support: full
    description: Each sequence before and after.
  idempotent:
    support: full
    description: What is converted already, and a number that the node has already, is left alone.
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
    - Each sequence as it was found, with the columns that draw from it and their types, the columns that follow by
      foreign keys, whether it is converted already, how many bytes of tables that have rows a conversion rewrites
      (RV(ignore:rewrites)), and whether a source with the same columns could take its ids back
      (RV(ignore:fits_back); null for a converted one, whose columns are wide already).
  type: list
  elements: dict
  returned: always
  sample:
    - {name: shop.orders_id_seq, columns: [shop.orders.id], types: [integer], identity: false, converted: false,
       follows: [shop.items.order_id], rewrites: 0, obstacle: "", fits_back: false}
node_number:
  description: The node's number.
  type: int
  returned: always
  sample: 1
"""

from ..module_utils._ansible import Outcome, Runner, run_module, source_option
from ..module_utils._errors import CrossoverError
from ..module_utils._migration_sequences_choice import HOWS, Choice
from ..module_utils._pg_catalog import Scope
from ..module_utils._pg_connect import driver
from ..module_utils._replication_apply import apply, denied
from ..module_utils._spock_snowflake import Draw, convert, in_force, number, read, refuse, require, selected, widen
from ..module_utils._spock_standstill import standing_still, stops

STOP = 60.0  # seconds for apply workers to end

CHOSEN = {
    "how": {"type": "str", "required": True, "choices": list(HOWS)},
    "exceptions": {"type": "list", "elements": "dict", "default": []},
}


def work(runner: Runner) -> Outcome:
    """Read, plan, apply."""
    params = runner.params
    login = runner.login(label="server")
    conn = runner.connect(login)
    there = require(conn, login)
    scope = Scope(tuple(params["schemas"]) or None, tuple(params["exclude_tables"]))
    try:
        found = read(conn, scope, params["sequences"], params["tables"], login)
        if params["chosen"]:
            exceptions = {one["sequence"]: one["how"] for one in params["chosen"]["exceptions"]}
            found = selected(found, Choice(params["chosen"]["how"], exceptions), _source(runner, scope))
    except driver().Error as exc:
        raise denied(exc, login, "the sequences could not be read") from None
    asked = params["node_number"] if params["node_number"] is not None or there.now else params["default_number"]
    numbering = number(asked, there, params["taken"], login)
    refuse(found, params["rewrite"], login)
    conversions = (
        [widen(draw) for draw in found if draw.narrow and not draw.converted]
        if params["only_widen"]
        else [step for draw in found for step in convert(draw)]
    )
    wanted = there.now if asked is None else asked
    stop, go = stops(conn) if conversions and params["only_widen"] else ([], [])
    if not runner.check:
        apply(conn, login, numbering, "the node could not be given its number")
        if numbering:
            in_force(wanted, conn, lambda: runner.connect(login), login)
        try:
            with standing_still(conn, login, stop, go, STOP):
                apply(conn, login, conversions, "the sequences could not be converted", together=True)
        except CrossoverError as exc:
            if numbering:
                exc.untouched = f"no sequence was changed; the node has its number, {wanted}"
            raise
    steps = numbering + stop + conversions + go
    widening = params["only_widen"]
    return Outcome(
        bool(steps),
        queries=steps,
        before={"node_number": there.now, "converted": {draw.name: draw.converted for draw in found}},
        after={"node_number": wanted, "converted": {draw.name: draw.converted or not widening for draw in found}},
        result={"sequences": [draw.shown() for draw in found], "node_number": wanted},
    )


def _source(runner: Runner, scope: Scope) -> list[Draw] | None:
    if not runner.params["source"]:
        return None
    login = runner.login("source")
    return read(runner.connect(login), scope, [], [], login)


def main() -> None:
    """Entry point."""
    run_module(
        {
            "sequences": {"type": "list", "elements": "str", "default": []},
            "tables": {"type": "list", "elements": "str", "default": []},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "node_number": {"type": "int"},
            "default_number": {"type": "int"},
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
