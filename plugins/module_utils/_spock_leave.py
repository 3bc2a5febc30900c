# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node leaves the mesh, also one that is dead (private to the collection)."""

from __future__ import annotations

import re
import time
from typing import Sequence

from ._errors import CrossoverError
from ._pg_sql import Statement, quote_literal
from ._spock_join import POLL, arrive
from ._spock_mesh import Member
from ._spock_mesh_plan import sub_disable
from ._spock_strays import end_strays


class Leave:
    """What it wrote arrives everywhere first, if it answers. Its database stays as it is, a node of nothing."""

    def __init__(self, name: str, gone: Member | None, staying: Sequence[Member], timeout: float, check: bool) -> None:
        self.name, self.timeout, self.check = name, timeout, check
        self.gone = gone if gone is not None and not gone.dead and gone.node == name else None
        self.known = gone
        self.staying = [member for member in staying if not member.dead]
        self.done: list[Statement] = []
        self.warnings: list[str] = []

    def run(self) -> None:
        """First the links, then the names."""
        here = [member for member in self.staying if self.name in member.node_ids]
        if self.gone and not self.check:
            for member in here:
                if (have := member.have.get(self.name)) and have.status == "replicating":
                    arrive(self.gone, member, self.timeout)
        elif here and not self.gone:
            self.warnings.append(
                f"{self.name} does not answer: whether all that was written there has reached every other node cannot "
                "be seen. Compare the nodes (crossover.pgedge.table_compare)"
            )
        if self.gone:
            for provider in [*self.gone.have]:
                self._unsubscribe(self.gone, provider)
        for member in here:
            if self.name in member.have:
                self._unsubscribe(member, self.name)
            self._slots(member)
        for member in here:
            self._forget(member, self.name)
        if self.gone:
            for other in [name for name in self.gone.node_ids if name != self.name]:
                self._forget(self.gone, other)
            self._forget(self.gone, self.name)

    def _forget(self, member: Member, name: str) -> None:
        """A walsender of a subscription that was dropped may need a moment to end, and its slot keeps the node."""
        until = time.monotonic() + self.timeout
        while True:
            try:
                return self._run(member, f"SELECT spock.node_drop({quote_literal(name)}, true)")
            except CrossoverError as exc:
                if exc.sqlstate != "55000" or time.monotonic() > until:
                    raise
                time.sleep(POLL)

    def _run(self, member: Member, sql: str) -> None:
        if not self.check:
            member.do(sql)
        self.done.append(Statement.of(f"{member.name}: {sql}"))

    def _unsubscribe(self, member: Member, provider: str) -> None:
        have = member.have[provider]
        if have.enabled:
            self._run(member, sub_disable(have.name).sql)
        if not self.check:
            end_strays(member.conn)
        self._run(member, f"SELECT spock.sub_drop({quote_literal(have.name)})")

    def _slots(self, member: Member) -> None:
        """The slots that a node which cannot be asked has left: they would hold WAL back for ever."""
        names = [f"sub_{self.name}_{member.name}"]
        if self.known and member.name in self.known.subscriptions:
            names.insert(0, self.known.subscriptions[member.name])
        if (ours := re.match(r"edge(\d+)$", self.name)) and (theirs := re.match(r"edge(\d+)$", member.name)):
            names.append(f"sub_n{ours[1]}_n{theirs[1]}")
        for row in member.do(_SLOTS, [member.name, names]).fetchall():
            self._run(member, f"SELECT pg_drop_replication_slot({quote_literal(row['slot_name'])})")


_SLOTS = """
SELECT slot_name FROM pg_replication_slots
WHERE database = current_database() AND plugin = 'spock_output' AND NOT active
  AND slot_name IN (SELECT spock.spock_gen_slot_name(current_database()::name, %s, sub::name)::text
                    FROM unnest(%s::text[]) sub)
"""
