# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user has after installing the built collection: every module is documented, every playbook can be read, and
ansible-builder learns what an execution environment needs.

usage: installed.py COLLECTIONS_PATH
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

NAME = "crossover.pgedge"


def output(*command: str, env: dict[str, str]) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Each check ends the program if it fails."""
    base = Path(sys.argv[1]).resolve()
    collection = base / "ansible_collections" / "crossover" / "pgedge"
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(base), "PYTHONPATH": str(base)}
    problems = []

    modules = sorted(path.stem for path in (collection / "plugins" / "modules").glob("*.py") if path.stem != "__init__")
    documented = json.loads(output("ansible-doc", "--json", *(f"{NAME}.{name}" for name in modules), env=env))
    problems += [
        f"module {name} has no documentation" for name in modules if not documented[f"{NAME}.{name}"].get("doc")
    ]

    playbooks = sorted(path.stem for path in (collection / "playbooks").glob("*.yml"))
    for name in playbooks:
        output("ansible-playbook", "--syntax-check", "-i", "localhost,", f"{NAME}.{name}", env=env)

    roles = sorted(path.name for path in (collection / "roles").iterdir() if path.is_dir())
    specified = json.loads(
        output("ansible-doc", "--type", "role", "--json", *(f"{NAME}.{name}" for name in roles), env=env)
    )
    problems += [f"role {name} has no argument spec" for name in roles if f"{NAME}.{name}" not in specified]

    needed = output("ansible-builder", "introspect", str(base), env=env)
    problems += [
        f"ansible-builder does not see {name}" for name in ("psycopg", "postgresql-client") if name not in needed
    ]

    for unwanted in ("build", "tests/output", "molecule", ".git"):
        if (collection / unwanted).exists():
            problems.append(f"{unwanted} is in the artifact: see build_ignore in galaxy.yml")
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(modules)} modules, {len(playbooks)} playbooks, {len(roles)} roles are usable as installed")


if __name__ == "__main__":
    main()
