# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make build/venv with the pinned requirements, and build/env.sh to source. Needs nothing but Python and no root.

usage: venv.py (run|test)    run: what plays need, and the lab; test: also what the gates need
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
VENV = BUILD / "venv"
OLDEST, NEWEST = (3, 11), (3, 14)  # of ansible-core 2.19 and 2.21 together
FILES = {"run": ("runtime.txt", "lab.txt"), "test": ("test.txt",)}

ENV_SH = """\
# Made by "make venv". Source it:  . build/env.sh
VIRTUAL_ENV={venv}
case ":$PATH:" in *":$VIRTUAL_ENV/bin:"*) ;; *) PATH="$VIRTUAL_ENV/bin:$PATH" ;; esac
case ":${{PYTHONPATH:-}}:" in *:{collections}:*) ;; *) PYTHONPATH={collections}${{PYTHONPATH:+:$PYTHONPATH}} ;; esac
: "${{ANSIBLE_COLLECTIONS_PATH:=${{HOME:-}}/.ansible/collections:/usr/share/ansible/collections}}"
case ":$ANSIBLE_COLLECTIONS_PATH:" in
  *:{collections}:*) ;;
  *) ANSIBLE_COLLECTIONS_PATH={collections}:$ANSIBLE_COLLECTIONS_PATH ;;
esac
export VIRTUAL_ENV PATH PYTHONPATH ANSIBLE_COLLECTIONS_PATH
"""


def choose_python() -> str:
    """$PYTHON, else python3, else the newest python3.N on the PATH that ansible-core runs on."""
    wanted = os.environ.get("PYTHON")
    names = [wanted] if wanted else ["python3", *(f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1))]
    found = []
    for name in names:
        if not (path := shutil.which(name)):
            continue
        shown = subprocess.run(
            [path, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
        ).stdout.split()
        found.append(f"{name} is {'.'.join(shown) or 'broken'}")
        if shown and OLDEST <= (int(shown[0]), int(shown[1])) <= NEWEST:
            return path
    sys.exit(
        f"make venv: Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} is needed "
        f"({', '.join(found) or 'none found'}). Install one, and name it: make venv PYTHON=/path/to/python3.12"
    )


def need_ensurepip(python: str) -> None:
    """Debian and Ubuntu keep the part of Python that makes venvs in a package of its own."""
    have = [python, "-c", "import ensurepip, venv"]
    if subprocess.run(have, capture_output=True, check=False).returncode == 0:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=quiet, stdin=subprocess.DEVNULL, check=False)
        subprocess.run(
            ["apt-get", "install", "-qq", "-y", "python3-venv"], env=quiet, stdin=subprocess.DEVNULL, check=False
        )
        if subprocess.run(have, capture_output=True, check=False).returncode == 0:
            return
    sys.exit(f"make venv: {python} cannot make a venv. On Debian and Ubuntu: apt-get install python3-venv; then again.")


def make(python: str) -> None:
    """A new venv, unless the one that is there is of this checkout, still runs, and no other Python is asked for."""
    mark = VENV / ".made"
    made = mark.read_text(encoding="utf-8").splitlines() if mark.is_file() else []
    if made[:1] == [str(VENV)] and (made[1:] == [python] or not os.environ.get("PYTHON")):
        if subprocess.run([VENV / "bin/python", "-c", "import pip"], capture_output=True, check=False).returncode == 0:
            return
    need_ensurepip(python)
    shutil.rmtree(VENV, ignore_errors=True)
    print(f"make venv: {VENV.relative_to(ROOT)} with {python}", flush=True)
    subprocess.run([python, "-m", "venv", VENV], check=True)
    mark.write_text(f"{VENV}\n{python}\n", encoding="utf-8")


def install(what: str) -> None:
    """The pinned packages, unless just these are there already."""
    texts = sorted((ROOT / "requirements").glob("*.txt"))
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in texts)).hexdigest()
    mark = VENV / f".{what}"
    if mark.is_file() and mark.read_text(encoding="utf-8") == digest:
        return
    print(f"make venv: installing requirements/{', '.join(FILES[what])}", flush=True)
    command = [str(VENV / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for name in FILES[what]:
        command += ["-r", str(ROOT / "requirements" / name)]
    log = BUILD / "logs" / "venv.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stderr.write("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-15:]))
        sys.exit(f"make venv: pip failed (above; all of it in {log.relative_to(ROOT)}). Is PyPI reachable? Then again.")
    for done_mark in FILES if what == "test" else (what,):  # test.txt brings the others along
        (VENV / f".{done_mark}").write_text(digest, encoding="utf-8")


def link() -> None:
    """Ansible and Python find the collection by build/collections; build/env.sh says so to a shell."""
    collections = BUILD / "collections"
    name = collections / "ansible_collections" / "crossover" / "pgedge"
    name.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(ROOT, name.parent)
    if not name.is_symlink() or os.readlink(name) != target:
        name.unlink(missing_ok=True)
        name.symlink_to(target)
    text = ENV_SH.format(venv=shlex.quote(str(VENV)), collections=shlex.quote(str(collections)))
    (BUILD / "env.sh").write_text(text, encoding="utf-8")


def main() -> None:
    """Only one at a time: a second make waits for the first."""
    if sys.argv[1:] not in (["run"], ["test"]):
        sys.exit(__doc__)
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".venv.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make(choose_python())
        install(sys.argv[1])
        link()


if __name__ == "__main__":
    main()
