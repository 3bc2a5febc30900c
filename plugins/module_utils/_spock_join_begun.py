# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new node remembers of its join (private to the collection): on itself, in its own ``info``, until it is in.

The donor is chosen once, as the copy is under way from it. ``vouched`` is set when the snapshot has been taken while
the donor stood still: without that nobody knows what the copy holds of the peers.
"""

from __future__ import annotations

import json

from ._pg_sql import Statement, quote_literal
from ._spock_mesh import Member


def remember(new: Member, donor: str, vouched: bool = False) -> Statement:
    """Begun, and from whom."""
    note = json.dumps({"crossover": {"donor": donor, "vouched": vouched}})
    return Statement.of(
        f"UPDATE spock.node SET info = coalesce(info, '{{}}') || {quote_literal(note)} "
        f"WHERE node_name = {quote_literal(new.name)}"
    )


def forget(new: Member) -> Statement:
    """It is in. What the others copied of its ``info`` when they subscribed says nothing: nobody reads that."""
    return Statement.of(
        f"UPDATE spock.node SET info = nullif(info - 'crossover', '{{}}') WHERE node_name = {quote_literal(new.name)}"
    )


def last_exception(member: Member, provider: str) -> str:
    """The last line that Spock wrote about a change of that node which it could not apply, as the end of a clause."""
    row = member.do(_EXCEPTION, [provider]).fetchone()
    return f", since {row['line']}" if row else ""


_EXCEPTION = """
SELECT concat_ws(' ', operation, 'on ' || nullif(table_schema, '') || '.' || table_name || ':',
                 split_part(error_message, E'\\n', 1)) AS line
FROM spock.exception_log JOIN spock.node ON node_id = remote_origin
WHERE node_name = %s AND operation IS DISTINCT FROM 'SUB_DISABLE'
ORDER BY retry_errored_at DESC, command_counter DESC LIMIT 1
"""
