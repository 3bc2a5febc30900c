# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node's PostgreSQL has to be set for Spock (private to the collection).

What a server has already is kept where it is more: libraries that it loads, plugins that it allows, limits.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping

PLUGINS = ("pgoutput", "test_decoding", "spock_output")
# What one more node may take of each: its subscription, its slot, its copies, and as much again (see node_limits).
_EACH, _BASE = 8, 16
LIMITS = ("max_worker_processes", "max_replication_slots", "max_wal_senders")


def node_settings(server: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, str]:
    """Every setting of the managed file. ``server``: version, settings, available extensions."""
    have = {str(name): str(value) for name, value in server["settings"].items()}
    spock, snowflake = "spock" in server["available"], "snowflake" in server["available"]
    found = {
        "listen_addresses": str(wanted["listen"]),
        "port": str(wanted["port"]),
        "password_encryption": "scram-sha-256",
        "wal_level": "logical",
        "track_commit_timestamp": "on",
        **_limits(have, int(wanted["nodes"])),
    }
    libraries = [*(["spock"] if spock else []), *(["snowflake"] if snowflake else []), *wanted["preload"]]
    if loaded := _union(have.get("shared_preload_libraries", ""), libraries):
        found["shared_preload_libraries"] = loaded
    # Since 15.19, 16.15, 17.11 and 18.6. Older minor versions do not start with it.
    if "output_plugin_libraries" in have:
        found["output_plugin_libraries"] = _union(have["output_plugin_libraries"], PLUGINS)
    if snowflake:
        found["snowflake.node"] = str(wanted["snowflake"])
    if spock:
        ddl = "on" if wanted["ddl"] else "off"
        found.update(
            {
                "spock.exception_behaviour": str(wanted["exception_behaviour"]),
                "spock.conflict_resolution": "last_update_wins",
                "spock.save_resolutions": "on",
                "spock.enable_ddl_replication": ddl,
                "spock.include_ddl_repset": ddl,
                "spock.allow_ddl_from_functions": ddl,
            }
        )
    found.update(wanted["tls"])
    found.update({str(name): _text(value) for name, value in wanted["extra"].items()})
    return found


def _limits(have: Mapping[str, str], nodes: int) -> dict[str, str]:
    """Generous: before 18 max_replication_slots bounds the origins too, and after a crash Spock leaves extra origin
    states, which keep a server with a tight limit from starting (reproduced on 17.11 with 5.0.11)."""
    least = _BASE + _EACH * nodes
    names = [*LIMITS, *(["max_active_replication_origins"] if "max_active_replication_origins" in have else [])]
    found = {name: str(max(least, int(have.get(name, 0)))) for name in names}
    workers = "max_logical_replication_workers"
    found[workers] = str(max(_EACH, int(have.get(workers, 0))))
    return found


def _union(have: str, wanted: Iterable[str]) -> str:
    names = [name.strip().strip('"') for name in have.split(",") if name.strip()]
    return ", ".join(dict.fromkeys([*names, *wanted]))


def _text(value: Any) -> str:
    """As postgresql.conf has it: YAML makes a boolean of on."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
