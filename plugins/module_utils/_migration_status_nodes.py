# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each node of a mesh is, for the status (private to the collection). Read only."""

from __future__ import annotations

from functools import partial
from typing import Any, Mapping

from ._errors import CrossoverError
from ._migration_deadline import together
from ._migration_fence import triggers
from ._migration_mesh_ready import mesh_state
from ._pg_connect import Login, connect

ANSWER = 8.0  # seconds for all of them
_CONNECT = {"connect_timeout": "5"}


def look_at_nodes(logins: Mapping[str, Login]) -> dict[str, dict[str, Any]]:
    """By name; the first is the publishing node. What cannot be reached says why."""
    done, failed = together({name: partial(_look, login) for name, login in logins.items()}, ANSWER)
    found = {}
    for number, name in enumerate(logins):
        problem = failed.get(name)
        state = done.get(name) or {"fenced": None, "spock_node": None, "mesh": {}}
        text = problem.message if isinstance(problem, CrossoverError) else str(problem) if problem else ""
        found[name] = {"publishing": number == 0, "reachable": problem is None, "problem": text, **state}
    return found


def _look(login: Login) -> dict[str, Any]:
    with connect(login.at(connect_params={**_CONNECT, **login.connect_params})) as conn:
        mesh, fences = mesh_state(conn), triggers(conn).values()
        return {
            "fenced": any(fences) if fences else None,
            "spock_node": mesh["name"] if mesh else None,
            "mesh": {peer: one["status"] for peer, one in mesh["subscriptions"].items()} if mesh else {},
        }


def node_lines(nodes: Mapping[str, Mapping[str, Any]], switched: bool) -> list[str]:
    """For the screen: what is wrong with the mesh, and what that means; one line where nothing is."""
    if len(nodes) < 2:
        return []
    first = next(iter(nodes))
    lost = [name for name, node in nodes.items() if not node["reachable"]]
    lines = [f"  {name} cannot be reached: {nodes[name]['problem']}" for name in lost]
    alive = [name for name in nodes if name not in lost]
    if switched and first in lost and alive:
        lines += [
            f"  the application goes on on {', '.join(alive)}; {first} is the publishing node: what is written reaches",
            f"  the source once {first} is back; crossover.pgedge.rollback refuses until then. Nothing is lost by that",
            f"  (lost for good: docs/cutover.md says how the migration is closed without {first})",
        ]
    elif switched and lost and alive:
        lines += [f"  what was written on {', '.join(lost)} may be missing elsewhere: rollback waits for its return"]
    lines += [line for name in alive for line in _mesh_lines(name, nodes, lost)]
    if switched:
        fenced = [name for name in alive if nodes[name]["fenced"]]
        lines += [f"  {name} is still fenced: run crossover.pgedge.cutover again" for name in fenced]
    return lines or [f"  mesh         : {', '.join(nodes)}: every pair replicates ({first} feeds the source)"]


def _mesh_lines(name: str, nodes: Mapping[str, Mapping[str, Any]], lost: list[str]) -> list[str]:
    node = nodes[name]
    if node["spock_node"] is None:
        return [f"  {name} is no Spock node: nothing replicates to it"]
    found = []
    for other, state in nodes.items():
        if other in (name, *lost) or state["spock_node"] is None:
            continue
        status = node["mesh"].get(state["spock_node"], "not there")
        if status != "replicating":
            found.append(f"  {name}: the subscription to {other} is {status}")
    return found
