# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new node comes into a live mesh with the rows of one that is in it, the donor (private to the collection).

Of every other node (peer) exactly those changes must come directly that the donor's rows do not hold. So, in order:

1. a slot on each peer, from which the new node will read, and a subscription to it that is off;
2. a sync event of each peer arrives at the donor: what the donor has of the peer is past where that slot begins;
3. the donor stops following its peers. What it has of each now stands still: its replication origins say where;
4. each slot, and the new node's own position, is advanced to just there;
5. the subscription to the donor, which copies structure and rows, takes its snapshot: all of 4 and nothing after it;
6. the donor follows its peers again (they have kept its changes). It stood still for the time of making one slot;
7. when the copy is done: replication sets as on the donor, the subscriptions to the peers on, those of all others made.

Spock's own copy gives the rows the time "epoch" and an origin, so they beat no change and travel no further.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Callable, Sequence

from ._errors import CrossoverError
from ._migration_roles import plan as roles_plan
from ._migration_roles_read import read as read_roles
from ._pg_connect import driver, sql_error
from ._pg_sql import Statement, quote_literal
from ._spock_forgiving import forgive, settle
from ._spock_join_begun import forget, last_exception, remember
from ._spock_join_sets import follow_sets
from ._spock_mesh import OWN_SCHEMAS, Member, Subscription
from ._spock_mesh_plan import node_create, sub_create, sub_disable, sub_enable
from ._spock_strays import end_strays
from ._spock_wait import Hop, cross

POLL = 0.25
_DONE = ("r", "y")


class Join:
    """One new node. Every step looks first whether it is done, so that an interrupted run goes on."""

    def __init__(
        self, new: Member, donor: Member, others: Sequence[Member], timeout: float, copy_timeout: float
    ) -> None:
        self.new, self.donor, self.timeout, self.copy_timeout = new, donor, timeout, copy_timeout
        self.peers = [other for other in others if other not in (new, donor)]
        self.done: list[Statement] = []

    def run(self) -> None:
        """The whole of it."""
        self.recover()
        if self._sub(self.new, self.donor) is None:
            self._check()
            self._roles()
            self._nodes()
            for peer in self.peers:
                self._stand_by(peer)
            self._begin_copy()
        for peer in self.peers if self.donor.forgiving else ():
            arrive(peer, self.donor, self.timeout)  # also what a worker was in when it was stopped
        self.done += settle(self.donor)
        self._finish_copy()
        self._sets()
        self._links()
        self._ended()

    def _sets(self) -> None:
        self.done += [Statement.of(f"{self.new.name}: {sql}") for sql in follow_sets(self.new, self.donor)]

    def _links(self) -> None:
        for other in self.peers:
            self._on(self.new, other)
        for other in (self.donor, *self.peers):
            if self._sub(other, self.new) is None:
                self._run(other, sub_create(other, self.new))
            self._on(other, self.new)

    def _ended(self) -> None:
        """Last of all, for until then the next run goes on."""
        self._run(self.new, forget(self.new))
        self.new.look()

    # -- looking -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _sub(member: Member, provider: Member) -> Subscription | None:
        member.look()
        return member.have.get(provider.name)

    def _there(self, member: Member, provider: Member) -> Subscription:
        found = self._sub(member, provider)
        if found is None:
            raise CrossoverError(
                f"the subscription of {member.name} to {provider.name} has gone meanwhile",
                code="changed_meanwhile",
                server=str(member.login),
                hint="see that nobody else works on the mesh, then run this again",
            )
        return found

    def _run(self, member: Member, statement: Statement) -> None:
        member.do(statement.sql)
        self.done.append(Statement(f"{member.name}: {statement.sql}", f"{member.name}: {statement.shown}"))

    def _on(self, member: Member, provider: Member) -> None:
        have = self._sub(member, provider)
        if have is not None and not have.enabled:
            self._run(member, sub_enable(have.name))

    def _wait(self, what: str, ready: Callable[[], bool], seconds: float, hint: str) -> None:
        until = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > until:
                raise CrossoverError(
                    f"{what} within {seconds:g} s",
                    code="timeout",
                    server=str(self.new.login),
                    object=self.new.name,
                    untouched=f"the other nodes work as before; {self.new.name} is not in the mesh yet",
                    hint=hint,
                )
            for member in (self.new, self.donor, *self.peers):
                if member.node:
                    end_strays(member.conn)
            time.sleep(POLL)

    # -- before --------------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """A run that was killed may have left the donor standing still, or a copy whose snapshot nobody vouches for."""
        have = self._sub(self.new, self.donor)
        if have is not None and not self.new.begun.get("vouched"):
            if have.sync in ("i", ""):
                self._drop_copy(have)
            elif not any(self._following(peer).enabled for peer in self.peers):
                self._run(self.new, remember(self.new, self.donor.name, vouched=True))
            else:
                self._refuse(f"nobody knows what its copy of {self.donor.name} holds of the other nodes")
        if self._sub(self.new, self.donor) is not None:
            if lost := [peer.name for peer in self.peers if self._sub(self.new, peer) is None]:
                self._refuse(f"{', '.join(lost)} has come in since the copy of {self.donor.name} began")
        for peer in self.peers:
            self._on(self.donor, peer)

    def _drop_copy(self, have: Subscription) -> None:
        """While the donor waits for open transactions, to make the slot, Spock's worker hears of nothing else."""
        name = quote_literal(have.name)
        self._run(self.new, Statement.of(f"SELECT spock.sub_disable({name}, false)"))
        self.donor.do(_END_READING, [have.slot])
        self._run(self.new, Statement.of(f"SELECT spock.sub_drop({name})"))

    def _refuse(self, why: str) -> None:
        raise CrossoverError(
            f"the join of {self.new.name} cannot go on: {why}",
            code="cannot_join",
            server=str(self.new.login),
            object=self.new.name,
            untouched="the other nodes work as before",
            hint=_ANEW.format(self.new.name),
        )

    def _check(self) -> None:
        refused = ""
        if self.new.tables:
            refused = f"{self.new.name} has tables already"
        elif schemas := self._strange_schemas():
            refused = f"{self.new.name} has schemas that the copy would bring: {', '.join(schemas)}"
        elif native := [row["subname"] for row in self.donor.do(_NATIVE)]:
            refused = f"{self.donor.name}, which gives its rows, has native subscriptions: {', '.join(native)}"
        elif lost := self._without_set():
            refused = (
                f"{self.donor.name} has tables in no replication set, which would come empty: {', '.join(lost[:5])}"
            )
        if refused:
            raise CrossoverError(
                refused,
                code="cannot_join",
                server=str(self.new.login),
                untouched="nothing was changed",
                hint="empty its database (drop it, run crossover.pgedge.node), finish the migration first, or put the "
                "tables into a replication set",
            )
        for peer in self.peers:
            self._wait(
                f"{self.donor.name} did not follow {peer.name}",
                partial(self._follows, self.donor, peer),
                self.timeout,
                f"look at spock.sub_show_status() on {self.donor.name}, then run this again",
            )

    def _follows(self, member: Member, provider: Member) -> bool:
        have = self._sub(member, provider)
        return have is not None and have.status == "replicating"

    def _strange_schemas(self) -> list[str]:
        donors = {row["nspname"] for row in self.donor.do(_SCHEMAS, [list(OWN_SCHEMAS[:3])])}
        return sorted(donors & {row["nspname"] for row in self.new.do(_SCHEMAS, [list(OWN_SCHEMAS[:3])])})

    def _without_set(self) -> list[str]:
        return [row["name"] for row in self.donor.do(_LOST, [[*OWN_SCHEMAS]])]

    def _roles(self) -> None:
        """Structure names its owners: they must be there."""
        plan = roles_plan(read_roles(self.donor.conn), read_roles(self.new.conn))
        for statement in plan.statements:
            self._run(self.new, statement)

    def _nodes(self) -> None:
        if not self.new.node:
            self._run(self.new, node_create(self.new))
        if self.new.begun.get("donor") != self.donor.name:
            self._run(self.new, remember(self.new, self.donor.name))

    # -- standing still, and the copy ----------------------------------------------------------------------------------

    def _stand_by(self, peer: Member) -> None:
        """Steps 1 and 2."""
        if self._sub(self.new, peer) is None:
            self._run(self.new, sub_create(self.new, peer, enabled=False))
        have = self._there(self.new, peer)
        if peer.do("SELECT FROM pg_replication_slots WHERE slot_name = %s", [have.slot]).fetchone() is None:
            slot = (
                f"SELECT lsn::text FROM pg_create_logical_replication_slot({quote_literal(have.slot)}, 'spock_output')"
            )
            peer.do("SELECT set_config('statement_timeout', %s, false)", [f"{self.timeout:.0f}s"])
            self._run(peer, Statement.of(slot))
            peer.do("SELECT set_config('statement_timeout', '0', false)")
        arrive(peer, self.donor, self.timeout)

    def _begin_copy(self) -> None:
        """Steps 3 to 6. Whatever happens, the donor follows its peers again."""
        try:
            if self.peers:
                self.done += forgive(self.donor)
            for peer in self.peers:
                self._run(self.donor, sub_disable(self._following(peer).name))
            for peer in self.peers:
                self._advance(peer)
            self._run(self.new, sub_create(self.new, self.donor, data=True))
            try:
                self._wait(
                    f"{self.new.name} did not take a snapshot of {self.donor.name}",
                    self._snapshot_taken,
                    self.timeout,
                    f"see whether a long transaction is open on {self.donor.name}, and what the log of "
                    f"{self.new.name} says; then run this again",
                )  # fmt: skip
            except CrossoverError:
                self._drop_copy(self._there(self.new, self.donor))
                raise
            self._run(self.new, remember(self.new, self.donor.name, vouched=True))
        finally:
            for peer in self.peers:
                self._on(self.donor, peer)

    def _following(self, peer: Member) -> Subscription:
        return self._there(self.donor, peer)

    def _advance(self, peer: Member) -> None:
        """The slot is free once the donor's worker is gone; then its origin says up to where it has applied."""
        following, mine = self._following(peer), self._there(self.new, peer)
        self._wait(
            f"{self.donor.name} did not let go of {peer.name}",
            lambda: peer.do(_READING, [following.slot]).fetchone() is None,
            self.timeout,
            f"look at pg_replication_slots on {peer.name}, then run this again",
        )  # fmt: skip
        at = self.donor.do("SELECT pg_replication_origin_progress(%s, true)::text AS lsn", [following.slot]).fetchone()[
            "lsn"
        ]
        here = [quote_literal(mine.slot), quote_literal(at)]
        self._run(peer, Statement.of(f"SELECT pg_replication_slot_advance({here[0]}, {here[1]})"))
        self._run(self.new, Statement.of(f"SELECT pg_replication_origin_advance({here[0]}, {here[1]})"))

    def _snapshot_taken(self) -> bool:
        have = self._sub(self.new, self.donor)
        return have is not None and have.sync not in ("i", "")

    def _finish_copy(self) -> None:
        """Wait for the rows. A copy that has failed never goes on: Spock asks to set it up again."""
        have = self._sub(self.new, self.donor)
        if have is not None and have.sync in _DONE:
            self._on(self.new, self.donor)
        down, looked = 0.0, time.monotonic()

        def ready() -> bool:
            nonlocal down, looked
            have, now = self._sub(self.new, self.donor), time.monotonic()
            if have is None:
                return False
            down = down + now - looked if have.status == "down" else 0.0
            looked = now
            if down > 15 or have.status == "disabled":
                why = last_exception(self.new, self.donor.name)
                raise CrossoverError(
                    f"the copy from {self.donor.name} to {self.new.name} has failed (at step {have.sync}){why}",
                    code="copy_failed",
                    server=str(self.new.login),
                    untouched="the other nodes work as before",
                    hint=f"the log of {self.new.name} says more; {_ANEW.format(self.new.name)}",
                )
            return have.sync in _DONE and have.status == "replicating"

        self._wait(
            f"{self.new.name} has not copied everything from {self.donor.name}", ready, self.copy_timeout,
            "it goes on; run this again to wait on, or raise crossover_mesh_copy_timeout",
        )  # fmt: skip


_ANEW = "remove {0} (crossover_mesh_remove), empty its database, and run this again"
_END_READING = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s"
_READING = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND active"
_NATIVE = """SELECT subname FROM pg_subscription
             WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_SCHEMAS = """SELECT nspname FROM pg_namespace
              WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public') AND nspname <> ALL (%s)"""
_LOST = """SELECT DISTINCT nspname || '.' || relname AS name FROM spock.tables
           WHERE set_name IS NULL AND nspname <> ALL (%s) ORDER BY 1"""


def arrive(provider: Member, subscriber: Member, seconds: float) -> None:
    """Everything that was written on the one until now is on the other."""
    hop = Hop(provider.name, subscriber.name, subscriber.have[provider.name].slot)
    try:
        cross([hop], {provider.name: provider.conn, subscriber.name: subscriber.conn}, seconds)
    except driver().Error as exc:
        raise sql_error(
            exc,
            subscriber.login,
            f"it could not be seen whether what was written on {provider.name} has arrived",
            untouched="what was done before stays",
            hint="run crossover.pgedge.mesh again",
        ) from None
