# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation names is there: variables, playbooks, targets of make, files; and the example is right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.crossover.pgedge.plugins.action.inventory_check import known_variables, problems
from support.collection import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "roles").glob("*/README.md")])
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
# Begin with crossover_ and are no variables: a schema, and objects in the databases.
OBJECTS = {"crossover_bench", "crossover_shop", "crossover_shop_back", "crossover_shop_n1", "crossover_shop_n2"}
PLUGINS = {path.stem for path in (ROOT / "plugins").glob("*/*.py")}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
each_role = pytest.mark.parametrize("role", ROLES)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def options(role: str) -> dict[str, dict[str, Any]]:
    specs = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for entry in specs.values() for name, option in (entry.get("options") or {}).items()}


@each_page
def test_variables_exist(page: Path) -> None:
    known = known_variables() | OBJECTS
    for name, star in re.findall(r"\b(crossover_\w+)(\*?)", page.read_text(encoding="utf-8")):
        assert name in known or (star and any(one.startswith(name) for one in known)), name


@each_page
def test_playbooks_and_plugins_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    for name in re.findall(r"^ansible-playbook [^#\n]*?crossover\.pgedge\.(\w+)", text, re.M):
        assert name in playbooks, name
    for name in re.findall(r"crossover\.pgedge\.(\w+)", text):
        assert name in playbooks | PLUGINS | set(ROLES) | {"postgres"}, name


@each_page
def test_targets_of_make_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in re.findall(r"(?:^|`|[A-Z]+=\S+ )make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.M):
        assert re.search(rf"^{name}:", makefile, re.M), name


@each_page
def test_links_lead_to_files(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_the_inventory_of_the_readme_is_the_example_and_is_right() -> None:
    path = ROOT / "inventories" / "example.yml"
    shown = re.search(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert shown and shown[1] == path.read_text(encoding="utf-8").split("---\n", 1)[1]
    hosts = {group: entry["hosts"] for group, entry in load(path).items()}
    groups = {group: list(entry) for group, entry in hosts.items()}
    variables = {name: values for entry in hosts.values() for name, values in entry.items()}
    assert problems(groups, variables, list(variables)) == []


@each_role
def test_every_option_is_documented_and_has_the_default_that_is_told(role: str) -> None:
    path = ROOT / "roles" / role / "defaults" / "main.yml"
    defaults = (load(path) if path.exists() else None) or {}
    specified = options(role)
    for name, option in specified.items():
        assert option.get("description") and option.get("type"), name
        if "default" in option and option["default"] != defaults.get(name):
            assert str(defaults.get(name)).startswith("{{"), f"{name}: {option['default']!r}, {defaults.get(name)!r}"
    assert set(defaults) <= set(specified)
