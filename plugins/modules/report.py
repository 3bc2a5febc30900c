#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Write the report of a migration
version_added: "0.1.0"
description:
  - Renders what M(crossover.pgedge.migration_info) returned, and what was measured from outside, as one HTML page that
    needs nothing else, and as JSON.
  - The page shows the timeline of cutover and rollback, the course of all phases, the validation, the benchmark side by
    side, the copy, and what was waived; each where there is data for it.
options:
  name:
    description: Name of the migration, the page's title.
    type: str
    required: true
  ledger:
    description:
      - What M(crossover.pgedge.migration_info) returned with O(crossover.pgedge.migration_info#module:steps=true).
    type: dict
    required: true
  measured:
    description:
      - A JSON file on the runner with what was measured from outside, with the same keys as the report's own JSON.
      - It is laid over what the ledger knows, dict by dict; lists are replaced.
    type: path
  html:
    description: Where to write the page.
    type: path
    required: true
  json:
    description: Where to write the JSON.
    type: path
    required: true
attributes:
  check_mode:
    support: full
    description: Writes nothing, and says whether it would.
  diff_mode:
    support: full
    description: The two files by the time at which they were made.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.migration_info
"""

EXAMPLES = r"""
- name: Read the ledger
  crossover.pgedge.migration_info:
    name: shop
    steps: true
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    source:
      login_host: aurora.example.com
      login_user: crossover
      login_password: "{{ source_password }}"
      login_db: shop
  register: status

- name: Write the report
  crossover.pgedge.report:
    name: shop
    ledger: "{{ status }}"
    html: /var/lib/crossover/shop-report.html
    json: /var/lib/crossover/shop-report.json
"""

RETURN = r"""
html:
  description: Where the page is.
  type: str
  returned: success
  sample: /var/lib/crossover/shop-report.html
json:
  description: Where the JSON is.
  type: str
  returned: success
  sample: /var/lib/crossover/shop-report.json
report:
  description: The report's figures, without the series.
  type: dict
  returned: success
  sample: {cutover: {write_pause_ms: 74.2}}
"""

import datetime
import json
import os
import pathlib
import tempfile
from typing import Any

from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._report_data import build, figures
from ..module_utils._report_page import page


def read(path: str) -> dict[str, Any]:
    """The measurements in a file."""
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise _bad(f"the measurements in {path} cannot be read: {exc}", path) from None
    if not isinstance(found, dict):
        raise _bad(f"the measurements in {path} are not a JSON object", path)
    return found


def _bad(what: str, path: str | None = None) -> CrossoverError:
    return CrossoverError(what, code="bad_measured", object=path, untouched="nothing was written")


def drawn(params: dict[str, Any], now: str) -> tuple[dict[str, Any], str]:
    """The data and the page, before anything is written."""
    measured = read(params["measured"]) if params["measured"] else {}
    try:
        report = build(params["name"], now, params["ledger"], measured)
        return report, page(report)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as exc:
        raise CrossoverError(
            f"the report cannot be drawn from this data: {type(exc).__name__}: {exc}",
            code="bad_data",
            untouched="nothing was written",
            hint="ledger is what migration_info returned with steps=true; measured has the keys of the report's JSON",
        ) from None


def made_before(path: pathlib.Path) -> dict[str, Any]:
    """The report that is there already; nothing where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: pathlib.Path, text: str) -> None:
    """Replace a file, readable by its owner only: names of tables are nobody else's business."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".crossover-")  # 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as exc:
        problem = "its directory is a file" if isinstance(exc, FileExistsError) else exc.strerror or str(exc)
        raise CrossoverError(
            f"{path} cannot be written: {problem}",
            code="cannot_write",
            object=str(path),
            hint="name files in a directory that the runner's user can write to",
        ) from None


def work(runner: Runner) -> Outcome:
    """Build, compare with what is there, write."""
    params = runner.params
    html, data = pathlib.Path(params["html"]), pathlib.Path(params["json"])
    if html == data:
        raise CrossoverError(
            f"html and json are the same file, {html}", code="bad_option", untouched="nothing was written"
        )
    before = made_before(data)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    report, text = drawn(params, now)
    same = json.loads(json.dumps({**report, "generated_at": before.get("generated_at")})) == before and html.exists()
    if not same and not runner.check:
        write(html, text)
        write(data, json.dumps(report, indent=1) + "\n")  # last: what a rerun compares with
    stamp = {"html": str(html), "json": str(data)}
    return Outcome(
        changed=not same,
        before={**stamp, "made": before.get("generated_at")},
        after={**stamp, "made": before.get("generated_at") if same else now},
        result={**stamp, "report": figures(report)},
    )


def main() -> None:
    """Entry point."""
    run_module(
        {
            "name": {"type": "str", "required": True},
            "ledger": {"type": "dict", "required": True},
            "measured": {"type": "path"},
            "html": {"type": "path", "required": True},
            "json": {"type": "path", "required": True},
        },
        work,
        login=False,
    )


if __name__ == "__main__":
    main()
