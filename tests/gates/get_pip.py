# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put into ansible-test's cache ($HOME/.ansible/test/cache) the script that it would download to install pip.

That download comes from a host which many networks do not let through, PyPI's pip being enough for the same.
The wanted version is ansible-test's own (ansible_test/_internal/python_requirements.py).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from ansible_test._internal import python_requirements

SCRIPT = """\
import runpy, sys
sys.path.insert(0, {wheel!r})
sys.argv[1:] = ["install", "--no-index", "--quiet", {wheel!r}]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def main() -> None:
    """The wheel and the script beside it, once for each version."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    version = python_requirements.get_venv_packages(SimpleNamespace(version=minor))["pip"]  # type: ignore[arg-type]
    cache = Path.home() / ".ansible" / "test" / "cache"
    wheel = cache / f"pip-{version}-py3-none-any.whl"
    if not wheel.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        download = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            str(cache),
        ]
        subprocess.run([*download, f"pip=={version}"], check=True)
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    script.write_text(SCRIPT.format(wheel=str(wheel)), encoding="utf-8")


if __name__ == "__main__":
    main()
