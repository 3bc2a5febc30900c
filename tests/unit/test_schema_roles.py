# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which roles matter, and the plan for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_roles import plan
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_roles_read import (
    Grant,
    Membership,
    Role,
    Roles,
    Setting,
    needed,
)
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_scram import matches

# CREATE ROLE app PASSWORD 'pencil' as PostgreSQL stores it
SCRAM = (
    "SCRAM-SHA-256$4096:nFDIrph4NQM2tpg/sD0+Zw==$0z0Th0FeySeD0nuyN9sXZkMs9Rq3X3wxT/fbOsnV6XY="
    ":kpFj523EoZlf5QUAsm8PN1DgjR9wG0aTMWMm5SBVgLY="
)
# the same for 'pen©il½', which SASLprep normalises
ODD = (
    "SCRAM-SHA-256$4096:xb5CseTL9isBzhmPNK/xsA==$bcZw470p9l9PvLJ/+B2I3Bf3cTM1HUyesZX1uqVTj6U="
    ":dZlUT9C2GdsvvS2gnAg63izxFGI/3DQjl56NJL5YSVU="
)


def source(*roles: Role, **more: Any) -> Roles:
    every = (Role("owner"), Role("crossover"), *roles)
    return Roles("shop", "owner", "crossover", 160004, {r.name: r for r in every}, **more)


def node(*roles: Role, **more: Any) -> Roles:
    settings = frozenset({"work_mem", "TimeZone", "search_path"})
    return Roles("shop2", "postgres", "postgres", 180000, {r.name: r for r in roles}, parameters=settings, **more)


def sql(found: Any) -> list[str]:
    return [str(statement) for statement in found.statements]


def test_needed_goes_down_to_the_members() -> None:
    names = "table_owner app person other all_readers rds_superuser pg_read_all_data boss"
    roles = [Role(name) for name in names.split()]
    memberships = (
        Membership("table_owner", "app"),
        Membership("app", "person"),
        Membership("other", "person"),  # a group without rights here
        Membership("table_owner", "crossover"),  # the migration's login is in every owner
        Membership("pg_read_all_data", "all_readers"),
        Membership("rds_superuser", "boss"),
    )
    known = source(*roles, memberships=memberships, direct=frozenset({"table_owner", "rds_superuser"}))
    assert needed(known) == (["owner", "table_owner", "app", "person", "all_readers"], ["rds_superuser"])
    assert needed(known, ["app"])[0] == ["owner", "table_owner", "all_readers"]


def test_the_login_matters_when_the_database_names_it() -> None:
    known = source(direct=frozenset({"crossover"}), grants=(Grant("crossover", "CREATE"),))
    assert needed(known)[0] == ["owner", "crossover"]
    assert needed(replace(known, direct=frozenset()))[0] == ["owner"]


def test_create_role() -> None:
    app = Role("App", login=True, inherit=False, createdb=True, connections=5, valid_until="2030-01-01", comment="it's")
    known = source(app, Role("boss", superuser=True, login=True), direct=frozenset({"App", "boss"}))
    found = plan(known, node(), passwords={"App": "secret'\\"}, encrypt=lambda role, password: f"{role}:{password}")
    assert sql(found)[1:4] == [
        (
            'CREATE ROLE "App" WITH LOGIN NOINHERIT CREATEDB CONNECTION LIMIT 5'
            " VALID UNTIL '2030-01-01' PASSWORD '********'"
        ),
        "COMMENT ON ROLE \"App\" IS 'it''s'",
        "CREATE ROLE boss WITH LOGIN",
    ]
    assert found.statements[1].sql.endswith(" PASSWORD E'App:secret''\\\\'")
    assert found.without_password == ["boss"]
    assert found.warnings == ["superuser on the source, not on the node: boss"]


def test_what_exists_is_left_alone_and_what_is_ours_is_completed() -> None:
    app, group = Role("app", login=True), Role("grp")
    known = source(
        app,
        group,
        direct=frozenset({"app", "grp"}),
        memberships=(Membership("grp", "app", inherit=True, set=False),),
        settings=(Setting("app", False, "work_mem", "1MB"),),
    )
    there = node(replace(app, login=False), group, Role("owner"))
    assert sql(plan(known, there, passwords={"app": "x"})) == []
    assert plan(known, there).warnings == ["role app was on the node before and keeps its own LOGIN"]
    assert sql(plan(known, there, ours=["app"], passwords={"app": "x"})) == [
        "ALTER ROLE app PASSWORD '********'",
        "GRANT grp TO app WITH INHERIT TRUE, SET FALSE",
        "ALTER ROLE app SET work_mem TO '1MB'",
    ]


def test_hashes_are_carried_over_where_they_can_be_read() -> None:
    known = source(Role("app", login=True), direct=frozenset({"app"}), verifiers={"app": SCRAM})
    found = plan(known, node(), encrypt=lambda *_unused: "never")
    assert found.statements[-1].sql == f"CREATE ROLE app WITH LOGIN PASSWORD '{SCRAM}'"
    assert found.without_password == []


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('"$user", public', "'$user', 'public'"),
        ('shop, "A ""b"", c"', "'shop', 'A \"b\", c'"),
        ('""', "''"),
    ],
)
def test_lists_of_names(value: str, written: str) -> None:
    known = source(settings=(Setting("", True, "search_path", value),))
    assert sql(plan(known, node(Role("owner")))) == [f"ALTER DATABASE shop2 SET search_path TO {written}"]


def test_settings() -> None:
    known = source(
        Role("app"),
        direct=frozenset({"app"}),
        settings=(
            Setting("", True, "TimeZone", "Europe/Rome"),
            Setting("app", True, "work_mem", "5MB"),
            Setting("app", True, "my.Own", "it's"),
            Setting("app", True, "rds_only", "1"),
            Setting("stranger", False, "work_mem", "5MB"),
        ),
    )
    found = plan(known, node(Role("owner"), Role("app"), settings=(Setting("app", True, "work_mem", "9MB"),)))
    assert sql(found) == [
        "ALTER DATABASE shop2 SET \"TimeZone\" TO 'Europe/Rome'",
        "ALTER ROLE app IN DATABASE shop2 SET my.\"Own\" TO 'it''s'",
    ]
    assert found.undo == ['ALTER ROLE app IN DATABASE shop2 RESET my."Own"', 'ALTER DATABASE shop2 RESET "TimeZone"']
    assert found.warnings == [
        "ALTER ROLE app IN DATABASE shop2 SET work_mem is another on the node: left as it is",
        "the node has no setting rds_only: ALTER ROLE app IN DATABASE shop SET is left out",
    ]


def test_grants_on_the_database() -> None:
    known = source(
        Role("app"),
        direct=frozenset({"app"}),
        grants=(
            Grant("", "CONNECT"),
            Grant("app", "CREATE", True),
            Grant("owner", "CREATE"),
            Grant("crossover", "CREATE"),
        ),
    )
    public = (Grant("", "CONNECT"), Grant("", "TEMPORARY"))
    found = plan(known, node(Role("owner"), Role("app"), grants=public))
    assert sql(found) == [
        "GRANT CREATE ON DATABASE shop2 TO app WITH GRANT OPTION",
        "GRANT CREATE ON DATABASE shop2 TO owner",
        "REVOKE TEMPORARY ON DATABASE shop2 FROM PUBLIC",
    ]
    assert found.undo[0] == "GRANT TEMPORARY ON DATABASE shop2 TO PUBLIC"
    decided = node(Role("owner"), Role("app"), grants=public, default_acl=False)
    assert "REVOKE" not in " ".join(sql(plan(known, decided))), "somebody has decided on the node"
    owned = replace(node(Role("owner"), Role("app", superuser=True), grants=public), owner="owner")
    assert sql(plan(known, owned)) == ["REVOKE TEMPORARY ON DATABASE shop2 FROM PUBLIC"]


def test_membership_options_by_version() -> None:
    known = source(
        Role("a"), Role("b"), direct=frozenset({"a"}), memberships=(Membership("a", "b", True, False, True),)
    )
    assert "GRANT a TO b WITH ADMIN TRUE, INHERIT FALSE, SET TRUE" in sql(plan(known, node(Role("owner"))))
    assert "GRANT a TO b WITH ADMIN OPTION" in sql(plan(known, replace(node(Role("owner")), version=150004)))


def test_matches() -> None:
    assert matches(SCRAM, "app", SCRAM)
    assert matches(SCRAM, "app", "pencil") and matches(SCRAM, "another", "pencil")
    assert not matches(SCRAM, "app", "pencil2") and not matches(SCRAM, "app", ODD)
    assert matches(ODD, "app", "pen©il½")
    md5 = "md506d701b4dd9f7cbb00816251a451b978"
    assert matches(md5, "app", "pencil") and matches(md5, "app", md5)
    assert not matches(md5, "another", "pencil") and not matches(md5, "app", "x")
    assert not matches("SCRAM-SHA-256$4096:bad", "app", "x")
