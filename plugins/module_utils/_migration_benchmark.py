# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same pgbench script against source and node in turn (private to the collection)."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import CrossoverError
from ._migration_benchmark_figures import Measured, latencies, measured
from ._migration_benchmark_scratch import Target, default_script, scratch
from ._migration_benchmark_script import GUARD, Piece, check, check_writing, proof, split, written_tables
from ._pg_connect import Login
from ._pg_programs import Programs

TRIALS = 20  # transactions of a user's script, each rolled back, before anything is measured
READ_ONLY = "-c default_transaction_read_only=on"
# A trial on the source must not stand in the application's way.
CAREFUL = "-c lock_timeout=2s -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s"


@dataclass(frozen=True)
class Setup:
    """What is run. ``script`` None: the default script."""

    clients: int
    jobs: int
    seconds: int
    warm_up: int
    rate: float
    protocol: str
    tables: int
    writes: bool
    script: str | None

    def fingerprint(self) -> dict[str, Any]:
        """What two runs must have in common to be the same measurement."""
        if self.script is None:
            what = f"default, {self.tables} tables, {'writes' if self.writes else 'reads only'}"
        else:
            what = hashlib.sha256(self.script.encode()).hexdigest()
        return {
            "clients": self.clients,
            "jobs": self.jobs,
            "seconds": self.seconds,
            "rate": self.rate,
            "protocol": self.protocol,
            "script": what,
        }


def fresh(previous: Mapping[str, Any], setup: Setup, max_age: int, now: float) -> bool:
    """Whether an earlier result is recent enough and of the same setup."""
    at = previous.get("at")
    return at is not None and 0 <= now - float(at) <= max_age and previous.get("setup") == setup.fingerprint()


class Benchmark:
    """One benchmark; ``run`` does it."""

    def __init__(self, setup: Setup, programs: Programs, logins: Mapping[str, Login], targets: list[Target]) -> None:
        self.setup = setup
        self.programs = programs
        self.logins = dict(logins)
        self.targets = targets if setup.script is None else []
        self.text = default_script(self.targets, setup.writes) if setup.script is None else setup.script
        self.pieces: list[Piece] = split(self.text)
        self.read_only = setup.script is None and not setup.writes
        check(self.text, self.pieces)

    def run(self) -> dict[str, dict[str, Any]]:
        """Both sides' figures. What is made for it is gone afterwards, also when it fails."""
        directory = tempfile.mkdtemp(prefix="crossover-bench-")
        try:
            # A user's script may use the scratch tables too.
            writes = self.setup.writes
            with scratch(self.logins, self.targets, writes):
                path = self._file(directory, "script.sql", self.text)
                if self.setup.script is not None:
                    self._prove(directory, path)
                return {side: self._measure(side, directory, path).as_dict() for side in ("source", "node")}
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    # -- the proof that a user's script leaves the tables alone ------------------------------------------------------

    def _prove(self, directory: str, path: str) -> None:
        """Read-only transactions prove it for every run to come; else the trial's locks tell what is written."""
        if self._reads_only(path):
            self.read_only = True
            return
        check_writing(self.pieces)
        trial = self._file(directory, "trial.sql", proof(self.pieces))
        for side in ("node", "source"):  # the node's tables are fenced: what slips through there harms nobody
            try:
                self._try(side, trial, f"{READ_ONLY} {CAREFUL}")
            except CrossoverError as exc:
                raise self._refusal(side, exc) from None

    def _reads_only(self, path: str) -> bool:
        try:
            for side in ("node", "source"):
                self._try(side, path, f"{READ_ONLY} {CAREFUL}")
        except CrossoverError as exc:
            if exc.code != "program_failed":
                raise
            return False  # why is found out by the trial, whatever language the server speaks
        return True

    def _try(self, side: str, path: str, options: str) -> None:
        arguments = ["-n", "-c", "1", "-t", str(TRIALS), "-M", self.setup.protocol, "-f", path]
        self.programs.run(
            "pgbench", arguments, self._login(side, options), doing="the script failed in its trial", timeout=300
        )

    def _refusal(self, side: str, exc: CrossoverError) -> CrossoverError:
        untouched = "nothing was measured, and the trial was rolled back"
        if tables := written_tables(exc.message):
            return CrossoverError(
                f"the script writes to {tables}",
                code="script_writes",
                server=str(self.logins[side]),
                object=tables.split(", ")[0],
                untouched=untouched,
                hint="write to crossover_bench.scratch only, or to nothing",
            )
        if GUARD in exc.message:
            return CrossoverError(
                "the script ends a transaction in a way that was not recognised",
                code="script_refused",
                server=str(self.logins[side]),
                untouched=untouched,
                hint="use plain BEGIN and COMMIT, or none",
            )
        exc.untouched = untouched
        return exc

    # -- the measurement ---------------------------------------------------------------------------------------------

    def _measure(self, side: str, directory: str, path: str) -> Measured:
        setup = self.setup
        common = [
            "-n",
            "-c",
            str(setup.clients),
            "-j",
            str(min(setup.jobs, setup.clients)),
            "-M",
            setup.protocol,
            "-f",
            path,
        ]
        common += ["-R", str(setup.rate)] if setup.rate else []
        login = self._login(side, READ_ONLY if self.read_only else "")
        doing = "the benchmark failed"
        if setup.warm_up:
            self.programs.run(
                "pgbench", [*common, "-T", str(setup.warm_up)], login, doing=doing, timeout=setup.warm_up + 120
            )
        prefix = os.path.join(directory, side)
        begun = time.monotonic()
        report = self.programs.run(
            "pgbench",
            [*common, "-T", str(setup.seconds), "-l", f"--log-prefix={prefix}"],
            login,
            doing=doing,
            timeout=setup.seconds + 120,
        )
        seconds = time.monotonic() - begun
        times: list[int] = []
        for name in glob.glob(f"{glob.escape(prefix)}.*"):
            with open(name, encoding="utf-8") as log:
                times += latencies(log)
        if not times:
            raise CrossoverError(
                "not one transaction came to its end",
                code="program_failed",
                server=str(self.logins[side]),
                hint="measure for longer, or look at the script",
            )
        return measured(report, times, seconds)

    # -- small things --------------------------------------------------------------------------------------------------

    def _login(self, side: str, options: str) -> Login:
        login = self.logins[side]
        own = login.connect_params.get("options", "")
        both = " ".join(filter(None, (own, options)))
        return login.at(connect_params={**login.connect_params, **({"options": both} if both else {})})

    @staticmethod
    def _file(directory: str, name: str, text: str) -> str:
        path = os.path.join(directory, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
            handle.write(text)
        return path
