# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says of a node: its login and its names in Spock (private to the collection).

An inventory of the collection pgedge.platform serves as it is: its variables zone, db_names, pg_port, pgedge_user and
pgedge_password, their defaults, and the names that it gives to nodes and subscriptions.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Mapping

from ._errors import CrossoverError

_NAME = re.compile(r"[a-z0-9_]{1,63}\Z")
_LONGEST = 63  # bytes of a name
_PLATFORM = {"pgedge_user": "pgedge", "pg_port": 5432, "db_names": ["demo"]}


def login(host: str, variables: Mapping[str, Any]) -> Any:
    """crossover_node as it is, or a login made of pgedge.platform's variables; None where neither is there."""
    own = variables.get("crossover_node")
    if isinstance(own, Mapping):
        # Values, not templates: since ansible-core 2.19 module_defaults resolve those with another host's variables
        return dict(own.items())
    if own is not None or variables.get("pgedge_password") in (None, ""):
        return own
    known: dict[str, Any] = {name: variables.get(name) or default for name, default in _PLATFORM.items()}
    return {
        "login_host": variables.get("ansible_host") or host,
        "login_port": int(known["pg_port"]),
        "login_user": known["pgedge_user"],
        "login_password": variables["pgedge_password"],
        "login_db": next(iter(known["db_names"])),
    }


def node_name(host: str, variables: Mapping[str, Any]) -> str:
    """What Spock calls the node."""
    if name := variables.get("crossover_node_name"):
        return str(name)
    zone = variables.get("zone")
    return f"edge{zone}" if zone is not None else _short(re.sub(r"[^a-z0-9_]", "_", host.lower()))


def _short(name: str) -> str:
    """A name that is too long is cut, and a hash of it tells it from others."""
    return name if len(name) <= _LONGEST else f"{name[:54]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def mesh(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """host -> name, zone, and the name of its subscription to each other host."""
    names = {host: node_name(host, variables) for host, variables in hosts.items()}
    for host, name in names.items():
        if not _NAME.match(name):
            raise CrossoverError(
                f"{host} would be called {name!r} in Spock, which takes a-z, 0-9 and _, at most 63",
                code="bad_name",
                object=host,
                hint="set its crossover_node_name",
            )
        if same := [other for other, its in names.items() if its == name and other != host]:
            raise CrossoverError(
                f"{host} and {same[0]} are both called {name} in Spock",
                code="bad_name",
                object=host,
                hint="give each a crossover_node_name or a zone of its own",
            )
    zones = {host: variables.get("zone") for host, variables in hosts.items()}
    return {
        host: {
            "name": names[host],
            "zone": zones[host],
            "subscriptions": {
                other: subscription_name(names[host], names[other], zones[host], zones[other])
                for other in hosts
                if other != host
            },
        }
        for host in hosts
    }


def subscription_name(here: str, there: str, zone: Any = None, other_zone: Any = None) -> str:
    """Of the node ``here``, to the node ``there``."""
    if zone is not None and other_zone is not None:
        return f"sub_n{zone}_n{other_zone}"
    return _short(f"sub_{here}_{there}")
