# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of events in which nodes become a mesh (private to the collection)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Mapping, Sequence

from ._errors import CrossoverError
from ._migration_clock import check_clocks
from ._node_inventory import subscription_name
from ._pg_connect import Login
from ._pg_sql import Statement
from ._spock_forgiving import settle
from ._spock_join import POLL, Join, arrive
from ._spock_join_begun import last_exception
from ._spock_leave import Removal
from ._spock_mesh import Member, collisions, problems
from ._spock_mesh_plan import make, node_create, sub_create, sub_enable
from ._spock_strays import end_strays
from ._spock_wait import Crossing, Hop


@dataclass(frozen=True)
class Wanted:
    """The module's options."""

    nodes: Sequence[Mapping[str, Any]]
    remove: Sequence[str] = ()
    remove_force: bool = False
    migration: str = ""
    data: str = "auto"
    exception_behaviour: str = "sub_disable"
    timeout: float = 60.0
    copy_timeout: float = 86400.0
    passwords_in_dsn: bool = True
    clock_skew: float = 0.5


@dataclass
class MeshRun:
    """One run: remove, then create, subscribe, and bring in who is new."""

    w: Wanted
    check: bool = False
    done: list[Statement] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = [str(entry["name"]) for entry in self.w.nodes]
        self.all = [self._member(entry, names) for entry in self.w.nodes]
        self.members = [member for member in self.all if member.name not in self.w.remove]
        for member in self.all:
            for other in self.all:
                member.learn(other)

    def _member(self, entry: Mapping[str, Any], names: Sequence[str]) -> Member:
        name = str(entry["name"])
        login = Login.of(entry["login"], name)
        peer = Login.of(entry.get("peer") or entry["login"], name)
        given = entry.get("subscriptions") or {}
        links = {other: str(given.get(other) or subscription_name(name, other)) for other in names if other != name}
        return Member(name, login, peer if self.w.passwords_in_dsn else peer.at(password=""), links)

    def look(self) -> dict[str, Any]:
        """Every node's subscriptions, as the user sees them."""
        for member in self.all:
            if member.conn is None:
                member.open()
            elif not member.dead:
                member.look()
        return {m.name: {p: s.status for p, s in sorted(m.have.items())} for m in self.all if not m.dead}

    def close(self) -> None:
        """End every session."""
        for member in self.all:
            if member.conn is not None:
                member.conn.close()

    def run(self) -> None:
        """Guards first; then nothing stops half-way for a node that is dead."""
        if all(member.dead for member in self.members):
            raise CrossoverError(
                "none of the nodes answers: " + "; ".join(f"{m.name}: {m.unreachable}" for m in self.members),
                code="unreachable",
                untouched="nothing was changed",
            )
        self._guard(problems(self.members, self.w.exception_behaviour))
        self._remove()
        for member in self.members:
            member.subscriptions = {k: v for k, v in member.subscriptions.items() if k not in self.w.remove}
        plan = make(self.members, self.w.data)
        self.left_out += plan.left_out
        if plan.join:
            alive = {member.name: member for member in self.members if not member.dead}
            named = {name: f"node {name}" for name in alive}
            check_clocks({name: one.conn for name, one in alive.items()}, named, named, self.w.clock_skew)
        resting = [donor for new, donor in plan.join if new.begun]
        for member, provider in [pair for pair in plan.enable if pair[0] not in resting]:
            self.warnings.append(
                f"the subscription of {member.name} to {provider.name} was disabled"
                f"{last_exception(member, provider.name)}; it is enabled again"
            )
        if self.check:
            self.done += plan.shown()
            self.joined = [new.name for new, _donor in plan.join]
            self._strict_again()
            return
        coming = [new for new, _donor in plan.join]
        for member in plan.create:
            if member not in coming:
                self._do(member, node_create(member))
        for member in self.members:
            if not member.dead:
                member.look()
        self._guard(collisions(self.members), "The nodes were given their names, and nothing else was changed")
        for member, provider in plan.subscribe:
            self._do(member, sub_create(member, provider))
        for new, donor in plan.join:
            if new.begun:
                join = self._join(new, donor, coming)
                join.recover()
                self.done += join.done
        for member, provider in plan.enable:
            if not member.have[provider.name].enabled:
                self._do(member, sub_enable(member.have[provider.name].name))
        self._settle([m for m in self.members if m not in coming], plan.enable)
        for new, donor in plan.join:
            join = self._join(new, donor, coming)
            try:
                join.run()
            finally:
                self.done += join.done
            self.joined.append(new.name)
        self._settle(self.members)
        self._strict_again()

    def _strict_again(self) -> None:
        """Where a run that was killed has stopped workers: what they were in is there by now."""
        alive = [member for member in self.members if not member.dead]
        for member in [one for one in alive if one.forgiving]:
            for other in [] if self.check else [one for one in alive if one is not member]:
                arrive(other, member, self.w.timeout)
            self.done += settle(member, self.check)

    def _join(self, new: Member, donor: Member, coming: Sequence[Member]) -> Join:
        alive = [m for m in self.members if not m.dead and (m not in coming or m.name in self.joined)]
        return Join(new, donor, alive, self.w.timeout, self.w.copy_timeout)

    def _guard(self, found: Sequence[str], state: str = "nothing was changed") -> None:
        if found:
            raise CrossoverError(
                "; ".join(found),
                code="mesh_refused",
                untouched=state,
                hint="mend this, then run crossover.pgedge.mesh again",
                data={"problems": list(found)},
            )

    def _remove(self) -> None:
        w = self.w
        removal = Removal(self.all, w.remove, w.timeout, self.check, w.remove_force, w.migration)
        try:
            removal.run()
        finally:
            self.done += removal.done
        self.warnings, self.left_out, self.removed = removal.warnings, removal.left_out, removal.removed

    def _do(self, member: Member, statement: Statement) -> None:
        member.do(statement.sql)
        self.done.append(Statement(f"{member.name}: {statement.sql}", f"{member.name}: {statement.shown}"))

    def _settle(self, members: Sequence[Member], enabled: Sequence[tuple[Member, Member]] = ()) -> None:
        """Every subscription between nodes that answer must replicate; else say which one does not.

        One that was enabled again has to get past what it had stopped at.
        """
        until = time.monotonic() + self.w.timeout
        alive = [member for member in members if not member.dead]
        hops = [Hop(provider.name, member.name, member.have[provider.name].slot) for member, provider in enabled]
        crossing = Crossing(hops, {member.name: member.conn for member in alive})
        while True:
            waiting = []
            for member in alive:
                member.look()
            for member, other in permutations(alive, 2):
                have = member.have.get(other.name)
                if have is not None and not have.enabled:
                    raise _stopped(member, other)
                if have is None or have.status != "replicating":
                    waiting.append(f"{member.name} to {other.name}: {have.status if have else 'missing'}")
            waiting += [f"{hop.subscriber} to {hop.provider}: behind" for hop in crossing.look()]
            if not waiting:
                return
            if time.monotonic() > until:
                raise CrossoverError(
                    f"not every subscription replicates after {self.w.timeout:g} s ({', '.join(waiting)})",
                    code="mesh_unhealthy",
                    untouched="what was made stays",
                    hint="the log of the node that is named first says why, and spock.exception_log there; then "
                    "run this again",
                )
            for member in alive:
                end_strays(member.conn)
            time.sleep(POLL)


def _stopped(member: Member, provider: Member) -> CrossoverError:
    return CrossoverError(
        f"{member.name} has stopped following {provider.name} again{last_exception(member, provider.name)}",
        code="mesh_unhealthy",
        server=str(member.login),
        object=member.name,
        untouched=f"what {provider.name} has written since is kept there",
        hint=f"mend on {member.name} what the line says, or skip that transaction (spock.sub_alter_skiplsn), then run "
        "this again",
    )
