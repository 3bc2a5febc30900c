# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of this collection that no tool knows. Runs in the top directory of a copy of the tree."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import Any, Iterator

import yaml

SPDX = "SPDX-License-Identifier: GPL-3.0-or-later"
CAN_CARRY = {".py", ".yml", ".yaml", ".sh", ".j2", ".toml", ".sql", ".cfg"}
MADE_BY_TOOLS = {"changelogs/changelog.yaml"}
LONGEST = 350  # lines of a file in module_utils: longer is two things


def files(top: Path) -> Iterator[Path]:
    """All files but what tools leave behind."""
    for directory, folders, names in os.walk(top):
        folders[:] = [
            name
            for name in folders
            if not name.endswith("_cache") and name not in {".git", ".ansible", "build", "output", "__pycache__"}
        ]
        yield from (Path(directory) / name for name in names)


def headers(top: Path) -> Iterator[str]:
    """Every file that can has its licence in it."""
    for path in files(top):
        name = path.relative_to(top).as_posix()
        with path.open("rb") as stream:
            start = stream.read(600)
        if (path.suffix in CAN_CARRY or start.startswith(b"#!")) and name not in MADE_BY_TOOLS and start.strip():
            if SPDX.encode() not in start:
                yield f"{name}: no line '{SPDX}' at its beginning"


def documentation(path: Path) -> dict[str, Any]:
    """A module's DOCUMENTATION."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(name, ast.Name) and name.id == "DOCUMENTATION" for name in node.targets
        ):
            found = yaml.safe_load(ast.literal_eval(node.value))
            return found if isinstance(found, dict) else {}
    return {}


def action_group(top: Path) -> Iterator[str]:
    """The action group serves the modules that log in, and no other."""
    runtime = yaml.safe_load((top / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    group = set(runtime["action_groups"]["postgres"])
    login = set()
    for path in sorted((top / "plugins" / "modules").glob("*.py")):
        if "crossover.pgedge.login" in documentation(path).get("extends_documentation_fragment", []):
            login.add(path.stem)
    for name in sorted(login - group):
        yield f"meta/runtime.yml: module {name} has login_* and is not in the action group postgres"
    for name in sorted(group - login):
        yield f"meta/runtime.yml: {name} in the action group postgres is no module that has login_*"


def lengths(top: Path) -> Iterator[str]:
    """Files of the domain can be read in one go."""
    for path in sorted((top / "plugins" / "module_utils").glob("*.py")):
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > LONGEST:
            yield f"{path.relative_to(top)}: {lines} lines, more than {LONGEST}: split it"


def main() -> int:
    """All complaints, one a line."""
    top = Path.cwd()
    problems = [*headers(top), *action_group(top), *lengths(top)]
    print("\n".join(problems) or "nothing to complain about")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
