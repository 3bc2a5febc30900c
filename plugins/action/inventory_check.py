# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks inventory, limit and variables on the controller, where they are; it reaches no host."""

from __future__ import annotations

import difflib
import pathlib
import re
from typing import Any, Callable, Mapping

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.crossover.pgedge.plugins.module_utils._ansible import LOGIN_OPTIONS
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._node_inventory import login, mesh

# Facts that the roles set; with what they register, and their options, all that may begin with crossover_.
INTERNAL = {
    "crossover_begun", "crossover_summary", "crossover_phase", "crossover_runner",
    "crossover_copies", "crossover_copy_jobs", "crossover_copy_summaries", "crossover_prepared",
    "crossover_snowflake_taken", "crossover_node_held", "crossover_node_lost", "crossover_node_complete",
    "crossover_node_incomplete", "crossover_node_all_complete",
    "crossover_compared_all", "crossover_differences", "crossover_assessed_blockers", "crossover_check_source",
}  # fmt: skip
_REGISTERED = re.compile(r"^\s*register: (crossover_\w+)$", re.M)
_SPECS = pathlib.Path(__file__).resolve().parents[2] / "roles"


def known_variables() -> set[str]:
    """Every option of every role of the collection, and what they make while they run (migrate runs many in a row)."""
    found = set(INTERNAL)
    for path in _SPECS.glob("*/meta/argument_specs.yml"):
        specs = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        for entry in specs.values():
            found |= set(entry.get("options") or {})
    for path in _SPECS.glob("*/vars/main.yml"):
        found |= set(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    for path in _SPECS.glob("*/tasks/*.yml"):
        found |= set(_REGISTERED.findall(path.read_text(encoding="utf-8")))
    return found


def near(name: str, known: set[str]) -> str:
    """A name with what was probably meant."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"{name} (did you mean {close[0]}?)" if close else name


def login_problems(what: str, login: Any) -> list[str]:
    """What is wrong with a login dict."""
    if not isinstance(login, Mapping):
        wrong = "is not set: it is" if login is None else "is not"
        return [f"{what} {wrong} a dict with login_host, login_port, login_user, login_password, login_db"]
    known = set(LOGIN_OPTIONS) | {alias for option in LOGIN_OPTIONS.values() for alias in option.get("aliases", ())}
    unknown = [f"{what} has an unknown option: {near(str(key), known)}" for key in login if key not in known]
    # the roles name the migration after it, so here it has to be called that
    return unknown + ([] if login.get("login_db") else [f"{what} has no login_db"])


def problems(
    groups: Mapping[str, list[str]], hostvars: Mapping[str, Any], hosts: list[str], source: bool = True
) -> list[str]:
    """Everything that is wrong, each as one clause."""
    runners, nodes = groups.get("crossover_runner", []), groups.get("pgedge", [])
    if len(runners) != 1:
        needs = "exactly one: where the modules run (for the control node give it ansible_connection: local)"
        return [f"the inventory group crossover_runner has {len(runners)} hosts and needs {needs}"]
    if not nodes:
        return ["the inventory group pgedge is empty: it holds the nodes, each with its crossover_node"]
    left_out = [host for host in [*runners, *nodes] if host not in hosts]
    if left_out:
        return [
            f"--limit leaves out {', '.join(left_out)}: a phase needs the runner and every node; run it without --limit"
        ]
    known = known_variables()
    here = unknown(hostvars[runners[0]], known)
    found = [f"unknown variable {near(name, known)}" for name in here]
    if source:
        found += read("crossover_source", lambda: hostvars[runners[0]].get("crossover_source"))
    for node in nodes:
        there = [name for name in unknown(hostvars[node], known) if name not in here]
        found += [f"unknown variable of {node}: {near(name, known)}" for name in there]
        found += read(f"crossover_node of {node}", lambda node=node: login(node, hostvars[node]))  # type: ignore[misc]
    try:
        mesh({node: hostvars[node] for node in nodes})
    except (AnsibleError, CrossoverError) as exc:
        found.append(str(exc).rstrip("."))
    return found


def unknown(variables: Any, known: set[str]) -> list[str]:
    """The names of ours that no role knows."""
    return sorted(name for name in variables if name.startswith("crossover_") and name not in known)


def read(what: str, made: Callable[[], Any]) -> list[str]:
    """What is wrong with a login dict, or that it cannot be made out of what it is made of."""
    try:
        return login_problems(what, made())
    except AnsibleError as exc:
        return [f"{what} cannot be read: {exc}"]


class ActionModule(ActionBase):
    """crossover.pgedge.inventory_check"""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Fail with one sentence when anything is wrong."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        spec = {"source": {"type": "bool", "default": True}}
        _validation, arguments = self.validate_argument_spec(argument_spec=spec)
        variables = task_vars or {}
        found = problems(
            variables["groups"], variables["hostvars"], variables["ansible_play_hosts_all"], arguments["source"]
        )
        result["changed"] = False
        result["problems"] = found
        if found:
            result.update(failed=True, msg=f"{'; '.join(found)}. Nothing was reached and nothing was changed.")
        return result
