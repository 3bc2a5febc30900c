# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy the checkout to where a tool wants a collection: …/ansible_collections/crossover/pgedge.

ansible-test resolves symlinks, so a link does not do; and several of the tools leave files behind.

usage: tree.py DIRECTORY    prints the collection's directory in it
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEEP = {".git", "tests/output", ".ansible", ".ruff_cache", ".mypy_cache"}  # what the tools cache in a copy


def tracked() -> set[str]:
    """The files that git knows or would take: nothing ignored, nothing deleted."""
    git = [
        "git",
        "-c",
        f"safe.directory={ROOT}",
        "-C",
        str(ROOT),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(git, capture_output=True, check=False)
    if listed.returncode:
        sys.exit(
            f"git cannot list the files of {ROOT}: {listed.stderr.decode().strip()}. The gates need a git checkout."
        )
    return {name for name in listed.stdout.decode().split("\0") if name and os.path.lexists(ROOT / name)}


def copy(base: Path) -> Path:
    """Make the copy the same as the checkout, touching only what differs (the tools' caches go by time)."""
    there = base / "ansible_collections" / "crossover" / "pgedge"
    names, emptied = tracked(), set()
    for directory, folders, files in os.walk(there, topdown=True):
        here = Path(directory).relative_to(there)
        folders[:] = [name for name in folders if (here / name).as_posix() not in KEEP]
        for name in files:
            if (here / name).as_posix() not in names:
                (there / here / name).unlink()
                emptied.add(there / here)
    for name in names:
        source, target = ROOT / name, there / name
        if (
            target.is_file()
            and filecmp.cmp(source, target, shallow=False)
            and os.access(source, os.X_OK) == os.access(target, os.X_OK)
        ):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    for path in emptied:
        while path != there and not any(path.iterdir()):
            path.rmdir()
            path = path.parent
    # A repository of its own: the tools would else ask the checkout's, where all of build/ is ignored, and see nothing.
    subprocess.run(["git", "init", "--quiet", str(there)], check=True)
    return there


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(copy(Path(sys.argv[1]).resolve()))
