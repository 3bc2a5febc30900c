# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line. Passwords come by PGPASSFILE or PGPASSWORD, so that no process list shows them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .journal import Run
from .report import report
from .run import run, running, start, stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="workload", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--out", type=Path, required=True, help="directory of the run")
    for name in ("run", "start"):
        command = commands.add_parser(
            name, parents=[common], help="write until SIGTERM" if name == "run" else "run detached"
        )
        command.add_argument("--dsn", required=True, help="connection string of the route")
        command.add_argument("--clients", type=int, default=6)
        command.add_argument(
            "--rate", type=float, default=300, help="transactions a second of all clients; 0: unthrottled"
        )
        command.add_argument("--seconds", type=float)
    commands.add_parser("stop", parents=[common], help="end it and wait")
    commands.add_parser("status", parents=[common], help="is it running")
    mark = commands.add_parser("mark", parents=[common], help="remember this moment")
    mark.add_argument("name")
    command = commands.add_parser("report", parents=[common], help="what the application saw")
    command.add_argument("--dsn-new", required=True, help="the database that must have everything")
    command.add_argument("--dsn-old", help="the other one, judged in the same way under `old`")
    command.add_argument(
        "--dsn-node",
        action="append",
        default=[],
        help="a node that hears of everything a moment later, judged under `nodes`",
    )
    command.add_argument("--from", dest="begin", help="mark at which the window begins")
    command.add_argument("--to", dest="end", help="mark at which it ends")
    command.add_argument("--json", type=Path, help="write there instead of to standard output")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    args = _parser().parse_args(argv)
    if args.command == "run":
        return run(args.out, args.dsn, args.clients, args.rate, args.seconds)
    if args.command == "start":
        arguments = [
            "--out",
            str(args.out),
            "--dsn",
            args.dsn,
            "--clients",
            str(args.clients),
            "--rate",
            str(args.rate),
        ]
        return start(args.out, arguments + (["--seconds", str(args.seconds)] if args.seconds else []))
    if args.command == "stop":
        return stop(args.out)
    if args.command == "status":
        print(json.dumps({"running": running(args.out)}))
    elif args.command == "mark":
        Run(args.out).mark(args.name)
    else:
        text = json.dumps(report(args.out, args.dsn_new, args.dsn_old, args.begin, args.end, args.dsn_node), indent=1)
        if args.json:
            args.json.write_text(text + "\n", encoding="utf-8")
        else:
            sys.stdout.write(text + "\n")
    return 0
