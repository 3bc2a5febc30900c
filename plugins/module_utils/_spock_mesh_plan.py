# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done to make nodes a full mesh (private to the collection). Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from typing import Sequence

from ._errors import CrossoverError
from ._pg_sql import Statement, quote_literal
from ._spock_join_begun import forget
from ._spock_mesh import SETS, Member
from ._spock_mesh_new import newcomers, refuse_gaps


@dataclass
class Plan:
    """In this order: nodes, subscriptions among those that have the same rows, nodes that come with their rows."""

    create: list[Member] = field(default_factory=list)
    subscribe: list[tuple[Member, Member]] = field(default_factory=list)  # node, provider
    enable: list[tuple[Member, Member]] = field(default_factory=list)
    join: list[tuple[Member, Member]] = field(default_factory=list)  # new node, donor
    left_out: list[str] = field(default_factory=list)  # what cannot be done, each as one clause

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.create or self.subscribe or self.enable or self.join)

    def shown(self) -> list[Statement]:
        """As statements, each with the node that it runs on."""
        found = [_said(m, node_create(m)) for m in self.create]
        found += [_said(m, sub_create(m, provider)) for m, provider in self.subscribe]
        found += [_said(m, sub_enable(m.have[p.name].name)) for m, p in self.enable]
        for m, donor in self.join:
            if donor.name not in m.have:
                found.append(_said(m, sub_create(m, donor, data=True)))
            found.append(_said(m, forget(m)))
        return found


def make(members: Sequence[Member], data: str = "auto") -> Plan:
    """``data``: ``auto`` lets a node without tables come to a mesh with tables by copying; ``same`` says that all have
    the same rows already. A join that is under way goes on with either."""
    plan = Plan()
    alive = [member for member in members if not member.dead]
    dead = [member for member in members if member.dead]
    plan.left_out = [f"{m.name} does not answer, so it was left as it is ({m.unreachable})" for m in dead]
    plan.create = [member for member in alive if not member.node]
    new = newcomers(alive, data)
    old = [member for member in alive if member not in new]
    plan.join = [(member, _donor(member, old)) for member in new]
    if plan.join and dead:
        raise _cannot_join(
            plan.join[0][0], f"{dead[0].name} does not answer: each would miss what the other has written"
        )
    for member, other in permutations(old, 2):
        have = member.have.get(other.name)
        if have is None:
            plan.subscribe.append((member, other))
        elif not have.enabled:
            plan.enable.append((member, other))
    if data == "auto":
        refuse_gaps(plan.subscribe)
    return plan


def _donor(new: Member, old: Sequence[Member]) -> Member:
    """Whose rows a new node gets: of whom it has begun to copy, else the first one that follows all others."""
    if wanted := str(new.begun.get("donor", "")):
        for member in old:
            if member.name == wanted:
                return member
        raise _cannot_join(new, f"it gets its rows from {wanted}, which does not answer or is not among these nodes")
    following = [m for m in old if all(other.name in m.have for other in old if other is not m)]
    for member in following:
        if all(have.enabled for have in member.have.values()):
            return member
    if following:
        return following[0]
    raise CrossoverError(
        "no node of the mesh follows all others, so none can give its rows to a new one",
        code="no_donor",
        untouched="nothing was changed",
        hint="run crossover.pgedge.mesh without the new node first, or look at spock.sub_show_status() on each",
    )


def _cannot_join(new: Member, why: str) -> CrossoverError:
    return CrossoverError(
        f"{new.name} cannot come into the mesh now: {why}",
        code="cannot_join",
        object=new.name,
        untouched="nothing was changed",
        hint="bring that node back and run this again; or, if it is lost, take it out first (crossover_mesh_remove)",
    )


def _said(member: Member, statement: Statement) -> Statement:
    return Statement(f"{member.name}: {statement.sql}", f"{member.name}: {statement.shown}")


def node_create(member: Member) -> Statement:
    """The node's own name and address."""
    sql = f"SELECT spock.node_create({quote_literal(member.name)}, {quote_literal(member.peer.conninfo())})"
    return Statement.of(sql, (member.peer.password,))


def sub_create(member: Member, provider: Member, *, data: bool = False, enabled: bool = True) -> Statement:
    """Forwards nothing that came from elsewhere: every node hears every other one directly."""
    sets = ", ".join(quote_literal(name) for name in SETS)
    sql = (
        f"SELECT spock.sub_create({quote_literal(member.subscriptions[provider.name])}, "
        f"{quote_literal(provider.peer.conninfo())}, ARRAY[{sets}], synchronize_structure := {str(data).lower()}, "
        f"synchronize_data := {str(data).lower()}, forward_origins := '{{}}', enabled := {str(enabled).lower()})"
    )
    return Statement.of(sql, (provider.peer.password,))


def sub_enable(name: str) -> Statement:
    """Turn a subscription on."""
    return Statement.of(f"SELECT spock.sub_enable({quote_literal(name)}, true)")


def sub_disable(name: str) -> Statement:
    """Turn a subscription off."""
    return Statement.of(f"SELECT spock.sub_disable({quote_literal(name)}, true)")
