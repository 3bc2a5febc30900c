# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as demo and bench-cutover use it: raised, migrated by the playbooks that users run, taken down."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
WORKLOAD = TOP / "roles" / "lab" / "files" / "workload"


class Stopped(Exception):
    """Something failed; the text is the sentence that says why."""


def home(name: str) -> Path:
    """Where a lab goes: as root, whose servers run as another user, not in a directory that only root can enter."""
    if os.geteuid() == 0:
        return Path("/var/lib") / f"crossover-{name}"
    return Path.home() / f".crossover-{name}"


class Lab:
    """A lab in ``base``; logs and results go to ``out``."""

    def __init__(self, base: Path, out: Path) -> None:
        self.base, self.out = base, out
        self.workload_out = base / "workload"
        self.log = out / "log"
        self.log.mkdir(parents=True, exist_ok=True)
        self._plays = 0
        # Names of services instead of connection strings: no password is in an environment or a process list.
        os.environ["PGSERVICEFILE"] = str(base / "pg_service.conf")
        os.environ["PGPASSFILE"] = str(base / "pgpass")

    @property
    def inventory(self) -> Path:
        """What the lab's role wrote for the phases."""
        return self.base / "inventory.yml"

    def up(self, scale: float, **settings: Any) -> dict[str, Any]:
        """Raise it; returns what there is."""
        state = self.out / "lab.json"
        self._ansible("lab", str(TOP / "demo" / "lab.yml"), demo_does="up", demo_state=str(state),
                      crossover_lab_dir=str(self.base), crossover_lab_scale=scale, **settings)  # fmt: skip
        found: dict[str, Any] = json.loads(state.read_text(encoding="utf-8"))
        return found

    def down(self) -> bool:
        """Stop and remove it; says whether there was one."""
        if not self.base.exists():
            return False
        self._ansible("down", str(TOP / "demo" / "lab.yml"), demo_does="down", crossover_lab_dir=str(self.base))
        return True

    def play(self, phase: str, **variables: Any) -> float:
        """Run one of the collection's playbooks as users do; returns how many seconds it took."""
        return self._ansible(phase, "-i", str(self.inventory), f"crossover.pgedge.{phase}", **variables)

    def describe(self, variables: Path) -> None:
        """Put variables beside the inventory, for every play with it, and for who looks around later."""
        beside = self.base / "group_vars"
        beside.mkdir(exist_ok=True)
        shutil.copy(variables, beside / "all.yml")

    def workload(self, command: str, *args: str) -> str:
        """One command of the workload's own command line."""
        done = subprocess.run(
            [sys.executable, str(WORKLOAD), command, "--out", str(self.workload_out), *args],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Stopped(f"workload {command} failed: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}")
        return done.stdout

    def judged(self, *args: str) -> dict[str, Any]:
        """The workload's report."""
        found: dict[str, Any] = json.loads(self.workload("report", *args))
        return found

    def _ansible(self, name: str, *args: str, **variables: Any) -> float:
        self._plays += 1
        log = self.log / f"{self._plays:02d}-{name}.log"
        settings = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_PIPELINING": "1"}
        begun = time.monotonic()
        with log.open("wb") as output:
            done = subprocess.run(
                ["ansible-playbook", *args, "--extra-vars", json.dumps(variables)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **settings},
                check=False,
            )
        if done.returncode:
            raise Stopped(f"{name} failed: {reason(log.read_text(encoding='utf-8'))} The whole output is in {log}.")
        return time.monotonic() - begun


def reason(output: str) -> str:
    """What Ansible's output says of the failure, without what is around it."""
    said = re.findall(r'^(?:fatal|failed): .*?"msg": ("(?:[^"\\]|\\.)*")', output, re.MULTILINE)
    errors = re.findall(r"^\[ERROR\]: (?:Task failed: )?(.*)", output, re.MULTILINE)
    text: str = json.loads(said[-1]) if said else [*errors, *output.strip().splitlines(), "no output"][0]
    return text if text.endswith(".") else f"{text}."
