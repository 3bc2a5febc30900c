# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gates are, and how one is run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LOGS = BUILD / "logs"
SKIPPED = 77  # exit code of a gate that cannot run here; its last line says why


@dataclass(frozen=True)
class Gate:
    """A command, how long it may take, and whether it is pytest (whose tests are counted)."""

    command: tuple[str, ...]
    limit: float
    pytest: bool = False
    background: bool = False


def _script(name: str, limit: float) -> Gate:
    return Gate(("bash", f"tests/gates/{name}.sh"), limit, background=True)


GATES = {
    "unit": Gate(("pytest", "tests/unit"), 300, pytest=True),
    # Against real servers, with deadlines, beside other gates: a test that fails once runs a second time, and is named;
    # a guarantee that is broken (tests/support/switch.py) is broken. Two workers, each with servers of its own; the
    # tests of a file stay together, as they share fixtures.
    "integration": Gate(
        ("pytest", "tests/integration", *("-n 2 --dist loadfile --reruns 1 --rerun-except Broken -rR".split())),
        3000,
        pytest=True,
    ),
    # On real Spock, where it is found; a part of integration, for a run of its own, which is recorded.
    "test-mesh": Gate(("python", "tests/gates/mesh.py"), 5400, pytest=True),
    "molecule": Gate(("molecule", "test", "--scenario-name", "default"), 1800),
    "test-hosts": Gate(("bash", "tests/gates/hosts.sh"), 2400),  # some 8 minutes on a machine that does little else
    "lint": _script("lint", 900),
    "sanity": _script("sanity", 900),
    "docs-lint": _script("docs", 300),
    "changelog-lint": _script("changelog", 120),
    "galaxy": _script("galaxy", 600),
    "demo": Gate(("demo/run",), 1200),
    "demo-down": Gate(("demo/down",), 120),
}


@dataclass
class Result:
    """How a gate went. ``count`` is passed, failed, skipped."""

    name: str
    seconds: float
    count: tuple[int, int, int]
    log: Path
    why: str = ""
    detail: str = ""

    @property
    def word(self) -> str:
        """PASS, FAIL or SKIP."""
        return "FAIL" if self.count[1] else "PASS" if self.count[0] else "SKIP"


def environment(name: str) -> dict[str, str]:
    """The venv, the collection, and a home directory of the gate's own: the user's is neither read nor written."""
    home = BUILD / "home" / name
    home.mkdir(parents=True, exist_ok=True)
    # molecule and ansible-lint install the collection there, and would take an old one for it the next time
    shutil.rmtree(home / ".ansible" / "collections", ignore_errors=True)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_", "PYTEST_"))
    }
    return {
        **kept,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "PATH": f"{BUILD / 'venv' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(BUILD / "venv"),
        "PYTHONPATH": str(BUILD / "collections"),
        "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
        "ANSIBLE_HOME": str(home / ".ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "PY_COLORS": "0",
        "LC_ALL": "C.UTF-8",
        "MOLECULE_GLOB": "molecule/*/molecule.yml",  # for a collection its default is extensions/molecule
        # two checkouts, or two users, do not meet in one lab; short, as the paths of sockets are
        "CROSSOVER_MOLECULE_LAB": kept.get("CROSSOVER_MOLECULE_LAB")
        or f"/tmp/cx-molecule-{zlib.crc32(f'{os.getuid()} {ROOT}'.encode()):08x}",
        # a checkout that belongs to another user is read all the same
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": str(ROOT),
    }


class Running:
    """A gate under way. Its output goes to its log, and to the terminal as well if ``show``.

    The log is a file and not a pipe, as a gate may leave servers behind that keep its output open.
    """

    def __init__(
        self, name: str, arguments: list[str] | None = None, *, show: bool = False, limit: float = 1e9
    ) -> None:
        self.name, self.gate, self.show = name, GATES[name], show
        self.log, self.report = LOGS / f"{name}.log", LOGS / f"{name}.xml"
        self.limit = min(self.gate.limit, limit)
        self.why = ""
        command = [*self.gate.command, *(arguments or [])]
        if self.gate.pytest:
            self.report.unlink(missing_ok=True)
            command.append(f"--junit-xml={self.report}")
        if self.gate.background:  # the tests of the other lane measure pauses in milliseconds
            command = ["nice", "-n", "10", *command]
        self.start = time.monotonic()
        self.out = self.log.open("w+b", buffering=0)
        self.shown = 0
        self.process: subprocess.Popen[bytes] | None = None
        if self.limit <= 0:
            self.why = "no time was left for it"
            return
        try:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(name),
                stdin=subprocess.DEVNULL,
                stdout=self.out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that all of it can be ended
            )
        except OSError as exc:
            self.why = f"{command[0]}: {exc.strerror}"

    def poll(self) -> Result | None:
        """The result, once there is one."""
        if self.show:
            sys.stdout.buffer.write(os.pread(self.out.fileno(), 1 << 24, self.shown))
            self.shown = max(self.shown, self.out.seek(0, os.SEEK_END))
            sys.stdout.buffer.flush()
        if self.process is None:
            return self._result(None)
        code = self.process.poll()
        if code is None and time.monotonic() - self.start > self.limit:
            self.end()
            self.why = f"not done after {self.limit:.0f} s"
            return self._result(None)
        return None if code is None else self._result(code)

    def end(self) -> None:
        """End it, with all that it started and that did not take leave of it."""
        if self.process is None or self.process.poll() is not None:
            return
        for sign, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
            os.killpg(self.process.pid, sign)
            try:
                self.process.wait(patience)
                return
            except subprocess.TimeoutExpired:
                continue

    def _result(self, code: int | None) -> Result:
        self.out.close()
        seconds = time.monotonic() - self.start
        if code == SKIPPED:
            last = self.log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            return Result(self.name, seconds, (0, 0, 1), self.log, detail=last)
        if code:
            self.why = f"exit code {code}"
        if self.gate.pytest:
            count = self._tests()
            if code == 5:  # pytest's own for: there was nothing to run
                self.why = "no test was collected"
            if self.why and not count[1]:  # it broke off, or never began
                count = (count[0], 1, count[2])
            twice = f", {again} ran twice: see {self.log}" if (again := self._reruns()) else ""
            detail = f"{sum(count)} tests, {count[2]} skipped{twice}"
            return Result(self.name, seconds, count, self.log, self.why, detail)
        return Result(self.name, seconds, (0, 1, 0) if self.why else (1, 0, 0), self.log, self.why)

    def _reruns(self) -> int:
        """How many tests passed only the second time, from the last line of pytest."""
        found = re.findall(r"(\d+) rerun", self.log.read_text(encoding="utf-8", errors="replace"))
        return int(found[-1]) if found else 0

    def _tests(self) -> tuple[int, int, int]:
        """Passed, failed, skipped, from pytest's report."""
        if not self.report.is_file():
            return 0, 0, 0
        total = failed = skipped = 0
        for suite in ElementTree.parse(self.report).iter("testsuite"):
            total += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped += int(suite.get("skipped", 0))
        return max(0, total - failed - skipped), failed, skipped
