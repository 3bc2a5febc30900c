# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The route libpq on real servers: what it sets for the application's roles, and takes away at the end."""

from __future__ import annotations

from typing import Any

from support.database import Database


def settings(side: Database) -> int:
    found: int = side.sql(
        """SELECT count(*) AS n FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
           WHERE d.datname = current_database()"""
    )[0]["n"]
    return found


def test_what_the_route_has_set_goes_with_the_migration(
    source_db: Database, target_db: Database, run_module: Any
) -> None:
    for side in (source_db, target_db):
        side.sql("CREATE ROLE route_app LOGIN; GRANT route_app TO crossover", superuser=True)
    try:
        route = {"type": "libpq", "application_roles": ["route_app"]}
        args = {**target_db.login, "name": "shop", "source": source_db.login, "route": route}
        assert not run_module("cutover", {**args, "only_leave": True})["changed"]
        run_module("fence", {**source_db.login, "name": "shop", "control": True})
        run_module("migration", {**target_db.login, "name": "shop", "source": source_db.login, "phase": "assess"})
        agreed = run_module("cutover", {**args, "only_agree": True})
        assert agreed["changed"], agreed
        assert (settings(source_db), settings(target_db)) == (0, 1), "the node is the side that is not writable"
        planned = run_module("cutover", {**args, "only_leave": True}, check=True)
        assert planned["changed"] and settings(target_db) == 1
        assert run_module("cutover", {**args, "only_leave": True})["changed"]
        assert settings(target_db) == 0
        assert not run_module("cutover", {**args, "only_leave": True})["changed"]
        both = run_module("cutover", {**args, "only_leave": True, "only_agree": True})
        assert both["failed"] and "mutually exclusive" in both["msg"]
    finally:
        for side in (source_db, target_db):
            side.sql("DROP OWNED BY route_app; DROP ROLE route_app", superuser=True)
