# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook that runs while the test looks: every line with the moment in which it was printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .collection import module_environment

Line = tuple[float, str]


def environment(home: Path) -> dict[str, str]:
    """For ansible-playbook, with a home of its own. Into a pipe Ansible writes by the block, unless told otherwise."""
    home.mkdir(exist_ok=True)
    more = {"HOME": str(home), "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1"}  # fmt: skip
    return {**module_environment(), **more, "ANSIBLE_REMOTE_TMP": str(home / "tmp")}


def write_play(directory: Path, tasks: list[Any], **variables: Any) -> Path:
    """A play on the control node."""
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks, "vars": variables}
    variables["ansible_python_interpreter"] = sys.executable
    path = directory / "play.json"
    path.write_text(json.dumps([play]), encoding="utf-8")
    return path


class Screen:
    """A run of ansible-playbook, as somebody sees it who sits in front of it."""

    def __init__(self, home: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(home),
        )
        self.lines: list[Line] = []
        self.ended = 0.0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self.lines.append((time.monotonic(), text.rstrip("\n")))
        self.ended = time.monotonic()

    @property
    def output(self) -> str:
        """All of it."""
        return "\n".join(text for _at, text in self.lines)

    def starting(self, start: str) -> list[Line]:
        """The lines that begin so."""
        return [entry for entry in list(self.lines) if entry[1].startswith(start)]

    def until(self, what: Callable[[], Any], seconds: float = 60) -> None:
        """Wait while it runs."""
        end = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None and time.monotonic() < end, self.output
            time.sleep(0.05)

    def wait(self, seconds: float = 120) -> int:
        """Its exit code."""
        code = self.process.wait(seconds)
        self._thread.join(10)
        return code

    def kill(self) -> None:
        """As when the terminal, or AWX's container, is gone; what it has started in the background lives on."""
        self.process.kill()
        self.process.wait(10)


def kill_modules(home: Path) -> int:
    """Kill what a playbook with this home runs in the background, but not what that has detached from itself."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
    mine = {pid: command for pid, command in found.items() if str(home) in command and "AnsiballZ" in command}
    wrappers = {os.getsid(pid) for pid, command in mine.items() if "async_wrapper" in command}
    victims = [pid for pid in mine if os.getsid(pid) in wrappers]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    return len(victims)
