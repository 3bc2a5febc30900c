# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the collection's playbooks as a user does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .collection import module_environment

_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)


@dataclass
class Play:
    """How a playbook ended."""

    rc: int
    output: str

    @property
    def changed(self) -> int:
        """Tasks that changed something."""
        return sum(int(match.group(3)) for match in _RECAP.finditer(self.output))

    @property
    def failure(self) -> str:
        """The last failure's message."""
        found = (
            re.findall(r'"msg": "((?:[^"\\]|\\.)*)"', self.output.rsplit("FAILED!", 1)[-1])
            if "FAILED!" in self.output
            else []
        )
        return found[0] if found else self.output[-2000:]


class Inventory:
    """An inventory for one source and one node, in a directory of the test's."""

    def __init__(self, directory: Path, source: dict[str, Any], node: dict[str, Any], **variables: Any) -> None:
        self.path = directory / "inventory.json"
        self.directory = directory
        runner = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "crossover_source": source,
            **variables,
        }
        self.data = {
            "crossover_runner": {"hosts": {"runner": runner}},
            "pgedge": {"hosts": {"n1": {"crossover_node": node}}},
        }
        self.write()

    def write(self) -> None:
        """After a change of ``data``. The yaml plugin reads JSON too."""
        self.path.with_suffix(".yml").write_text(json.dumps(self.data), encoding="utf-8")

    def set(self, **variables: Any) -> None:
        """Set variables of the runner."""
        self.data["crossover_runner"]["hosts"]["runner"].update(variables)
        self.write()

    def play(self, phase: str, *args: str, timeout: float = 300, **extra: Any) -> Play:
        """ansible-playbook crossover.pgedge.<phase>, or a file that ends in .yml, with these extra variables."""
        command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(self.path.with_suffix(".yml"))]
        command += [phase if phase.endswith(".yml") else f"crossover.pgedge.{phase}", *args]
        if extra:
            command += ["-e", json.dumps(extra)]
        environment = {
            **module_environment(),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "COLUMNS": "120",
        }
        environment["ANSIBLE_HOME"] = environment.get("ANSIBLE_HOME") or os.path.join(str(self.directory), "ansible")
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Play(done.returncode, done.stdout + done.stderr)
