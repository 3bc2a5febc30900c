# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node leaves the mesh, also one that is dead (private to the collection)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Iterable, Sequence

from ._errors import CrossoverError
from ._migration_ledger import migrations
from ._pg_connect import driver, sql_error
from ._pg_sql import Statement, quote_literal
from ._spock_join import POLL
from ._spock_mesh import Member
from ._spock_mesh_plan import sub_disable
from ._spock_strays import end_strays
from ._spock_wait import Crossing, Hop

COMPARE = "Compare the nodes (crossover.pgedge.table_compare)"


@dataclass
class Removal:
    """All that are to leave: every one is judged before the first one does."""

    members: Sequence[Member]
    names: Sequence[str]
    timeout: float = 60.0
    check: bool = False
    force: bool = False
    migration: str = ""  # whose ledger keeps nobody: the caller's own
    done: list[Statement] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Refuse, wait, then do."""
        staying = [member for member in self.members if member.name not in self.names]
        self._known()
        leaves = []
        for number, name in enumerate(self.names):
            known = next((member for member in self.members if member.name == name), None)
            later = [member for member in self.members if member.name in self.names[number + 1 :]]
            leaves.append(Leave(name, known, [*staying, *later], self.timeout, self.check))
        for leave in leaves:
            self._refuse_migration(leave)
        for wait in (False, True):
            for leave in leaves:
                self._followed(leave, staying, wait)
        for leave in leaves:
            try:
                leave.run()
            finally:
                self.done += leave.done
            self.warnings += leave.warnings
            self.removed += [leave.name] if leave.done else []
            for dead in [member for member in staying if member.dead]:
                self.left_out.append(f"{dead.name} does not answer, so {leave.name} was not removed there")
            for member in self.members:
                if not member.dead and not self.check:
                    member.look()

    def _known(self) -> None:
        """One that does not answer may know what the others do not."""
        if any(member.dead for member in self.members):
            return
        known = {name for member in self.members for name in (member.name, *member.node_ids)}
        if unknown := [name for name in self.names if name not in known]:
            raise CrossoverError(
                f"no node is called {' or '.join(unknown)}; there are {', '.join(sorted(known))}",
                code="unknown_node",
                object=unknown[0],
                untouched="nothing was changed",
                hint="name a host of the group pgedge, or a node as Spock calls it; take out of crossover_mesh_remove "
                "what an earlier run has removed and the inventory has no more",
            )

    def _refuse_migration(self, leave: Leave) -> None:
        if leave.gone is None:
            return
        try:
            names = [name for name in migrations(leave.gone.conn) if name != self.migration]
        except driver().Error as exc:
            raise sql_error(
                exc,
                leave.gone.login,
                "it could not be seen whether a migration is under way",
                untouched="nothing was changed",
                hint="log in as a superuser",
            ) from None
        if names:
            raise CrossoverError(
                f"{leave.name} is a node of the migration {', '.join(names)}, which is not finished: it would have no "
                "way back any more",
                code="in_migration",
                server=str(leave.gone.login),
                object=leave.name,
                untouched="nothing was changed",
                hint="run crossover.pgedge.finish or crossover.pgedge.rollback first, then remove the node",
            )

    def _followed(self, leave: Leave, staying: Sequence[Member], wait: bool) -> None:
        """What was written there is on every node that stays; else this is refused, or told where it is forced."""
        if wait and self.check:
            return
        lacking = leave.late(staying) if wait else leave.unfollowed(staying)
        if not lacking:
            return
        told = "; ".join(lacking)
        if not self.force:
            raise CrossoverError(
                f"{leave.name} would leave before all that was written there has reached the others: {told}",
                code="not_followed",
                object=leave.name,
                untouched="nothing was changed",
                hint="see that they follow it again (spock.exception_log and the log there say why they do not), then "
                "run this again; or set crossover_mesh_remove_force, which gives up what has not arrived",
            )
        self.warnings.append(
            f"{leave.name} {'would leave' if self.check else 'left'} by force: {told}. What was written there and has "
            f"not arrived is lost, and the nodes may differ. {COMPARE}"
        )


class Leave:
    """One of them. Its database stays as it is, a node of nothing. Nobody may write there any more."""

    def __init__(self, name: str, known: Member | None, staying: Sequence[Member], timeout: float, check: bool) -> None:
        self.name, self.timeout, self.check = name, timeout, check
        self.gone = known if known is not None and not known.dead and known.node == name else None
        self.known = known
        self.staying = [member for member in staying if not member.dead]
        self.done: list[Statement] = []
        self.warnings: list[str] = []

    def unfollowed(self, staying: Iterable[Member]) -> list[str]:
        """Who does not follow it, each as one clause. Where no table is in a set (an unfinished copy) nothing travels.

        A removal drops the node's own subscriptions first: one that has none is taken for one whose removal goes on.
        """
        if self.gone is None or self.gone.do("SELECT FROM spock.replication_set_table LIMIT 1").fetchone() is None:
            return []
        found = []
        for member in staying:
            have = member.have.get(self.name)
            if member.dead:
                found.append(f"{member.name} does not answer")
            elif have is None and self.gone.have:
                found.append(f"{member.name} has no subscription to it")
            elif have is None:
                self.warnings.append(
                    f"{self.name} follows nobody and {member.name} does not follow it: a removal that has begun before "
                    f"goes on. If something was written there since, {member.name} lacks it. {COMPARE}"
                )
            elif not have.enabled:
                found.append(f"{member.name}'s subscription {have.name} is {have.status}")
        return found

    def late(self, staying: Iterable[Member]) -> list[str]:
        """Who follows it, but has not got everything in time."""
        if self.gone is None:
            return []
        conns = {self.name: self.gone.conn}
        hops: dict[Hop, Member] = {}
        for member in staying:
            have = None if member.dead else member.have.get(self.name)
            if have and have.enabled:
                hops[Hop(self.name, member.name, have.slot)] = member
                conns[member.name] = member.conn
        if not hops:
            return []
        try:
            crossing = Crossing(hops, conns)
            crossing.wait(self.timeout)
            found = []
            for member in [hops[hop] for hop in hops if hop in crossing.waiting]:
                member.look()
                have = member.have.get(self.name)
                state = f"{have.name} is {have.status}" if have else "to it has gone"
                found.append(f"{member.name}'s subscription {state}, and lacks something after {self.timeout:g} s")
            return found
        except driver().Error as exc:
            raise sql_error(
                exc,
                self.gone.login,
                "it could not be seen whether what was written there has arrived",
                untouched="nothing was changed",
                hint="run crossover.pgedge.mesh again",
            ) from None

    def run(self) -> None:
        """First the links, then the names."""
        here = [member for member in self.staying if self.name in member.node_ids]
        if here and not self.gone:
            self.warnings.append(
                f"{self._away()}: whether all that was written there has reached every other node cannot be seen. "
                f"{COMPARE}"
            )
        if self.gone:
            for provider in [*self.gone.have]:
                self._unsubscribe(self.gone, provider)
        for member in self.staying:
            if self.name in member.have:
                self._unsubscribe(member, self.name)
            self._slots(member)
        for member in here:
            self._forget(member, self.name)
        if self.gone:
            for other in [name for name in self.gone.node_ids if name != self.name]:
                self._forget(self.gone, other)
            self._forget(self.gone, self.name)

    def _away(self) -> str:
        if self.known is None:
            return f"{self.name} is not among nodes"
        return f"{self.name} does not answer" if self.known.dead else f"{self.name} is no node of Spock any more"

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
