# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done to make nodes a full mesh (private to the collection). Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

from ._errors import CrossoverError
from ._pg_sql import Statement, quote_literal
from ._spock_mesh import SETS, Member


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
        return found + [_said(m, sub_create(m, donor, data=True)) for m, donor in self.join]


def make(members: Sequence[Member], data: str = "auto") -> Plan:
    """``data``: ``auto`` lets a node without tables come to a mesh with tables by copying; ``same`` says that all have
    the same rows already."""
    plan = Plan()
    alive = [member for member in members if not member.dead]
    for member in members:
        if member.dead:
            plan.left_out.append(f"{member.name} does not answer, so it was left as it is ({member.unreachable})")
    plan.create = [member for member in alive if not member.node]
    new = _new(alive)
    old = [member for member in alive if member not in new]
    if data == "auto" and new and any(member.tables for member in old):
        full = [member.name for member in new if member.tables and not _joining(member)]
        if full:
            raise CrossoverError(
                f"{', '.join(full)} is not in the mesh and is not empty, while {old[0].name} and others are one",
                code="not_empty",
                untouched="nothing was changed",
                hint="empty its database, so that it comes in with a copy; or, if it has the same rows and nothing is "
                "being written, set crossover_mesh_data to same",
            )
        donor = _donor(old)
        plan.join = [(member, donor) for member in new]
        joined = old
    else:
        joined = alive
    for member in joined:
        for other in joined:
            if other is member:
                continue
            have = member.have.get(other.name)
            if have is None:
                plan.subscribe.append((member, other))
            elif not have.enabled:
                plan.enable.append((member, other))
    return plan


def _new(alive: Sequence[Member]) -> list[Member]:
    """Who has no finished link with anybody, while others have. Where nobody has, and not just one has tables: none."""
    linked = {m.name for m in alive for s in m.have.values() if s.enabled and s.sync in ("r", "y")}
    named = {s.provider for m in alive for s in m.have.values() if s.enabled and s.sync in ("r", "y")}
    if linked & named:
        return [m for m in alive if m.name not in linked & named]
    full = [m for m in alive if m.tables]  # one node with rows, and no mesh yet: the others come to it
    return [m for m in alive if m not in full] if len(full) == 1 else []


def _joining(member: Member) -> bool:
    """Whether an earlier run has begun to bring it in."""
    return bool(member.have)


def _donor(old: Sequence[Member]) -> Member:
    """Whose rows a new node gets: the first one that follows all others."""
    for member in old:
        if all(member.have.get(other.name) and member.have[other.name].enabled for other in old if other is not member):
            return member
    raise CrossoverError(
        "no node of the mesh follows all others, so none can give its rows to a new one",
        code="no_donor",
        untouched="nothing was changed",
        hint="run crossover.pgedge.mesh without the new node first, or look at spock.sub_show_status() on each",
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
