# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the lab's ports and passwords, once. Writes a file that only its owner can read."""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import socket
import sys
from pathlib import Path

SERVERS = ("source", "target", "pooler")
# The migration's logins have what breaks a careless connection string: a space, a quote, a backslash.
PASSWORDS = {"postgres": "", "source": " it's\\", "target": " it's\\", "app": "", "report": "", "admin": ""}


def free_port(taken: set[int]) -> int:
    """Nobody listens there, and the kernel does not take it for outgoing connections."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            return port


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--ports", type=json.loads, default={}, help="JSON: ports that are given")
    parser.add_argument("--nodes", type=int, default=1, help="how many nodes; those after the first are n2, n3, …")
    parser.add_argument("--prefix", default="", help="how every password begins")
    args = parser.parse_args()
    ports: dict[str, int] = {}
    for name in (*SERVERS, *(f"n{number}" for number in range(2, args.nodes + 1))):
        ports[name] = int(args.ports.get(name) or 0) or free_port(set(ports.values()))
    passwords = {name: args.prefix + secrets.token_hex(12) + end for name, end in PASSWORDS.items()}
    temporary = args.file.with_suffix(".new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump({"ports": ports, "passwords": passwords}, out)
    temporary.rename(args.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
