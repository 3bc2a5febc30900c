# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""schema_sync against real servers: an awkward schema, the lab's shop, interruptions, refusals, the way out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.database import Database
from support.schema import difference, dumped, load

Run = Callable[..., dict[str, Any]]
FILES = Path(__file__).parent / "files"
SHOP = Path(__file__).resolve().parents[2] / "roles" / "lab" / "files" / "shop"
PASSWORD = "App-s3cret-w0rd"  # a sentinel: must not be seen anywhere


class Pair:
    """A source with a schema, a node with a ledger, and the module between them."""

    def __init__(self, source: Database, target: Database, run_module: Run) -> None:
        self.source, self.target, self._run = source, target, run_module
        self.app, self.readers = f"{source.name}_app", f'{source.name} "Readers"'
        self.roles = [source.owner, self.app, self.readers]

    def quoted(self, role: str) -> str:
        return '"' + role.replace('"', '""') + '"'

    def begin(self) -> None:
        from ansible_collections.crossover.pgedge.plugins.module_utils._migration_ledger import Ledger

        with self.target.connect() as conn:
            Ledger(conn, self.source.name).create()

    def sync(self, parts: list[str] | None = None, check: bool = False, **more: Any) -> dict[str, Any]:
        args = {**self.target.login, "source": self.source.login, **({"parts": parts} if parts else {}), **more}
        return self._run("schema_sync", args, check=check)

    def ok(self, parts: list[str] | None = None, check: bool = False, **more: Any) -> dict[str, Any]:
        result = self.sync(parts, check, **more)
        assert not result["failed"], result["msg"]
        assert PASSWORD not in str(result)
        return result

    def awkward(self) -> None:
        self.source.sql(
            f"CREATE ROLE {self.app} LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 7 VALID UNTIL '2090-01-01';"
            f"CREATE ROLE {self.quoted(self.readers)} NOINHERIT",
            superuser=True,
        )
        names = {"owner": self.source.owner, "app": self.app, "readers": self.quoted(self.readers)}
        load(self.source, FILES / "awkward.sql", FILES / "awkward_rows.sql", variables=names)

    def forget_roles(self) -> None:
        for database in (self.target, self.source):
            for role in self.roles:
                if database.sql("SELECT FROM pg_roles WHERE rolname = %s", [role], superuser=True):
                    database.sql(f"DROP OWNED BY {self.quoted(role)} CASCADE", superuser=True)
                    if role != database.owner:
                        database.sql(f"ALTER DATABASE {database.name} OWNER TO postgres", superuser=True)
                        database.sql(f"DROP ROLE {self.quoted(role)}", superuser=True)


@pytest.fixture
def pair(source_db: Database, target_db: Database, run_module: Run) -> Iterator[Pair]:
    made = Pair(source_db, target_db, run_module)
    made.begin()
    yield made
    made.forget_roles()


@pytest.fixture
def awkward(pair: Pair) -> Pair:
    pair.awkward()
    return pair


def test_whole_schema_check_apply_repeat(awkward: Pair) -> None:
    args: dict[str, Any] = {"role_passwords": {awkward.app: PASSWORD}, "jobs": 3}
    before = dumped(awkward.target, awkward.target)
    planned = awkward.ok(check=True, **args)
    assert planned["changed"] and dumped(awkward.target, awkward.target) == before, "check mode creates nothing"

    done = awkward.ok(**args)
    assert done["queries"] == planned["queries"] and done["diff"] == planned["diff"]
    assert done["added"] == planned["added"] and done["objects"]["created"] > 80
    assert difference(awkward.source, awkward.target) == ""
    assert not {"guard", "everything"} & set(str(done["added"]).split())

    rows = awkward.target.sql("SELECT relname FROM pg_class WHERE relkind = 'm' AND NOT relispopulated")
    assert [row["relname"] for row in rows] == ["empty"], "filled as on the source"
    rows = awkward.target.sql(
        "SELECT relname FROM pg_stat_all_tables WHERE schemaname = 'shop' AND last_analyze IS NULL ORDER BY 1"
    )
    assert [row["relname"] for row in rows] == ["cache", "empty"], "an unlogged table and a view without data"

    again = awkward.ok(**args)
    assert not again["changed"] and again["queries"] == []
    assert again["objects"] == {"created": 0, "existing": done["objects"]["created"]}


def test_parts_in_the_order_of_the_phases(awkward: Pair) -> None:
    prepared = awkward.ok(["roles", "pre_data"])
    assert list(prepared["seconds"]) == ["read", "roles", "pre_data"]
    assert (
        awkward.target.sql(
            "SELECT FROM pg_constraint WHERE contype = 'p' AND oid >= 16384 AND conrelid::regclass::text LIKE 'shop.%'"
        )
        == []
    )
    keys = awkward.ok(["keys"])
    assert "table constraint customers_pkey on shop.customers" in keys["added"]["keys"]
    assert "index shop.codes_code" in keys["added"]["keys"]
    assert "index partition shop.orders_new_0_pkey" in keys["added"]["keys"]
    assert not any("orders_day" in name for name in keys["added"]["keys"])
    wrong = """SELECT c.oid::regclass FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relreplident = 'd'
               AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND NOT i.indisvalid)"""
    assert awkward.target.sql(wrong) == []
    load(awkward.target, FILES / "awkward_rows.sql")
    late = awkward.ok(["post_data"], jobs=2)
    assert late["added"]["post_data"]
    assert difference(awkward.source, awkward.target) == ""
    assert awkward.target.sql("SELECT n FROM shop.a_second") == [{"n": 90}]
    for parts in (["roles", "pre_data"], ["keys"], ["post_data"]):
        assert not awkward.ok(parts)["changed"]


def test_the_labs_shop(pair: Pair) -> None:
    if not SHOP.is_dir():
        pytest.skip("the lab's shop is not there")
    pair.roles = ["shop_app", "shop_report", "shop_support", "shop_readers", "shop_owner", "legacy_owner"]
    load(pair.source, *sorted(SHOP.glob("*.sql")), env={"LAB_APP_PASSWORD": PASSWORD}, variables={"scale": "0.001"})
    pair.source.sql("GRANT shop_owner, legacy_owner TO crossover", superuser=True)
    done = pair.ok(jobs=2, role_passwords={"shop_app": PASSWORD})
    assert difference(pair.source, pair.target) == ""
    assert done["roles_without_password"] == ["shop_report"]
    assert not pair.ok(jobs=2, role_passwords={"shop_app": PASSWORD})["changed"]
    gone = pair.ok(state="absent")
    assert "role shop_app" in gone["dropped"]
    assert [line for line in dumped(pair.target, pair.target) if line.startswith(("CREATE", "GRANT", "ALTER"))] == []


def test_roles(awkward: Pair) -> None:
    source, target, owner, app, readers = (
        awkward.source,
        awkward.target,
        awkward.source.owner,
        awkward.app,
        awkward.readers,
    )
    quoted = awkward.quoted(readers)
    options = "WITH ADMIN OPTION" if source.cluster.version < 16 else "WITH ADMIN TRUE, INHERIT FALSE, SET TRUE"
    extra = [f"{source.name}_{name}" for name in ("boss", "existing", "rest", "unrelated")]
    boss, existing, rest, unrelated = extra
    awkward.roles += [*extra, f"rds_{source.name}"]
    source.sql(
        f"""CREATE ROLE {boss} SUPERUSER LOGIN; CREATE ROLE {existing} LOGIN CREATEDB; CREATE ROLE {rest} LOGIN;
            CREATE ROLE {unrelated} LOGIN; CREATE ROLE rds_{source.name};
            GRANT {quoted} TO {app} {options}; GRANT rds_{source.name} TO {app}; GRANT pg_monitor TO {app};
            GRANT {app} TO {rest}; GRANT SELECT ON shop.codes TO {boss}, {existing}, rds_{source.name};
            GRANT pg_read_all_data TO {boss};
            ALTER ROLE {app} SET search_path TO '$user', 'Odd.Schema "1"', shop;
            ALTER ROLE {app} IN DATABASE {source.name} SET work_mem TO '5MB';
            ALTER DATABASE {source.name} SET timezone TO 'Europe/Rome';
            ALTER DATABASE {source.name} SET "my.Setting" TO 'it''s';
            COMMENT ON ROLE {app} IS 'the app''s'; REVOKE TEMPORARY ON DATABASE {source.name} FROM PUBLIC;
            GRANT CREATE ON DATABASE {source.name} TO {quoted} WITH GRANT OPTION;
            CREATE SCHEMA crossover; CREATE TABLE crossover.control ();
            GRANT SELECT ON crossover.control TO {unrelated}""",
        superuser=True,
    )
    target.sql(f"CREATE ROLE {existing} NOLOGIN")
    planned = awkward.ok(["roles"], check=True, role_passwords={app: PASSWORD, existing: "x" * 9})
    done = awkward.ok(["roles"], role_passwords={app: PASSWORD, existing: "x" * 9})
    assert done["queries"] == planned["queries"] and done["changed"]
    assert set(done["roles_created"]) == {owner, app, readers, boss, rest}
    assert set(done["roles_without_password"]) == {boss, rest}
    told = " ".join(str(done["warnings"]).split())
    assert f"superuser on the source, not on the node: {boss}" in told
    assert f"roles left out, with what they own and what is granted to them: rds_{source.name}" in told
    assert f"role {existing} was on the node before and keeps its own LOGIN, CREATEDB" in told
    assert f"role_passwords names {existing}, which was on the node before" in told
    assert f"{app} is a member of rds_{source.name} on the source" in told

    def attributes(database: Database) -> list[dict[str, Any]]:
        return database.sql(
            """SELECT rolname, rolinherit, rolcanlogin, rolconnlimit, rolvaliduntil,
                      shobj_description(oid, 'pg_authid') AS c
               FROM pg_roles WHERE rolname = ANY (%s) ORDER BY 1""",
            [[owner, app, readers, rest]],
        )

    def members(database: Database) -> list[dict[str, Any]]:
        more = ", inherit_option, set_option" if source.cluster.version >= 16 else ""
        return database.sql(
            f"""SELECT roleid::regrole::text, member::regrole::text, admin_option{more} FROM pg_auth_members
                WHERE member::regrole::text IN (%s, %s) AND roleid::regrole::text NOT LIKE 'rds%%' ORDER BY 1, 2""",
            [app, rest],
        )

    def settings(database: Database) -> list[dict[str, Any]]:
        return database.sql(
            """SELECT setrole::regrole::text AS role, setdatabase <> 0 AS here, unnest(setconfig) AS config
               FROM pg_db_role_setting
               WHERE setrole = to_regrole(%s)
                  OR setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
               ORDER BY 1, 2, 3""",
            [app],
        )

    assert attributes(source) == attributes(target)
    assert members(source) == members(target) and len(members(target)) == 3
    assert settings(source) == settings(target) and len(settings(target)) == 4
    (acl,) = target.sql("SELECT datacl::text AS acl FROM pg_database WHERE datname = current_database()")
    assert "=c/" in acl["acl"] and "C*/" in acl["acl"]
    assert target.sql("SELECT FROM pg_roles WHERE rolname = ANY (%s) OR rolsuper AND rolname LIKE %s",
                      [[unrelated, f"rds_{source.name}"], f"{source.name}%"]) == []  # fmt: skip
    login = target.cluster.connect(target.name, superuser=True, user=app, password=PASSWORD)
    login.close()
    assert not awkward.ok(["roles"], role_passwords={app: PASSWORD})["changed"]

    # a password that comes later, and one that changes, for a role that is ours
    later = awkward.ok(["roles"], role_passwords={app: PASSWORD, rest: "R3st-" + PASSWORD})
    assert later["changed"] and later["queries"] == [f"ALTER ROLE {rest} PASSWORD '********'"]
    assert later["roles_without_password"] == [boss]
    # what is granted to a role that is left out is left out
    awkward.ok(["pre_data"])
    extra = [line for line in difference(source, target).splitlines() if line.startswith("+") and line[1:2].isalpha()]
    assert extra == [], "only what post_data brings is missing"
    assert f"rds_{source.name}" not in "\n".join(dumped(target, target))
    target.sql(f"DROP SCHEMA crossover CASCADE; DROP OWNED BY {existing}")


def test_missing_roles_are_named(awkward: Pair) -> None:
    failed = awkward.sync(["pre_data"])
    assert failed["failed"] and failed["failure"]["code"] == "missing_roles"
    assert awkward.app in failed["msg"] and "run the part roles" in failed["msg"].lower()
    assert awkward.ok(["pre_data"], check=True)["changed"]


def test_a_target_that_is_not_empty(awkward: Pair) -> None:
    for ddl, drop, name in (
        ("CREATE TABLE public.mine ()", "DROP TABLE public.mine", "table public.mine"),
        ("CREATE SCHEMA other", "DROP SCHEMA other", "schema other"),
        (
            "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1",
            "DROP FUNCTION public.f()",
            "function public.f()",
        ),
        ("CREATE TYPE public.t AS ENUM ('a')", "DROP TYPE public.t", "type public.t"),
        ("CREATE VIEW public.v AS SELECT 1", "DROP VIEW public.v", "view public.v"),
    ):
        awkward.target.sql(ddl)
        for check in (False, True):
            failed = awkward.sync(check=check)
            assert failed["failed"] and failed["failure"]["code"] == "target_not_empty"
            assert name in failed["msg"] and "Nothing was changed" in failed["msg"]
        assert awkward.target.sql("SELECT FROM pg_roles WHERE rolname = %s", [awkward.app]) == [], "nor its roles"
        awkward.target.sql(drop)
    awkward.target.sql("CREATE SCHEMA spock; CREATE TABLE spock.node ()")  # not ours, and not in the way
    assert awkward.ok(["roles", "pre_data"])["changed"]


def test_all_or_nothing_and_every_failure_is_listed(awkward: Pair) -> None:
    if awkward.target.cluster.version < 17 or awkward.source.cluster.version >= 17:
        pytest.skip("needs columns that 17 has dropped")
    awkward.source.as_owner(
        "CREATE VIEW shop.bad_one AS SELECT buffers_backend FROM pg_stat_bgwriter;"
        "CREATE VIEW shop.bad_two AS SELECT checkpoints_req FROM pg_stat_bgwriter;"
        "CREATE VIEW shop.on_bad AS SELECT * FROM shop.bad_two"
    )
    failed = awkward.sync(["roles", "pre_data"])
    assert failed["failed"] and failed["failure"]["code"] == "restore_failed"
    assert "view shop.bad_one could not be created (1 more in errors)" in failed["msg"]
    assert [e.split(":")[0] for e in failed["errors"]] == ["view shop.bad_one", "view shop.bad_two"]
    assert failed["failure"]["sqlstate"] == "42703"
    assert awkward.target.sql("SELECT FROM pg_namespace WHERE nspname = 'shop'") == []
    awkward.source.as_owner("DROP VIEW shop.on_bad, shop.bad_one, shop.bad_two")
    awkward.ok()
    assert difference(awkward.source, awkward.target) == ""


def test_an_interrupted_run_is_taken_up(awkward: Pair) -> None:
    """Whatever is missing is made, whatever is there stays: the state of a run that was killed anywhere."""
    awkward.ok(["roles", "pre_data"])
    awkward.target.sql("ALTER TABLE ONLY shop.orders ADD CONSTRAINT orders_pkey PRIMARY KEY (id, day)")
    awkward.ok(["keys"])
    awkward.ok(["post_data"])
    awkward.target.sql(
        """DROP INDEX shop.only_one; ALTER TABLE shop.customers DROP CONSTRAINT email_once, DISABLE ROW LEVEL SECURITY;
           DROP POLICY mine ON shop.customers; DROP TRIGGER always ON shop.orders; DROP RULE keep ON shop.codes;
           DROP STATISTICS shop.together; DROP FUNCTION shop.by_key_too(); DROP MATERIALIZED VIEW shop.late;
           ALTER TABLE shop.orders DROP CONSTRAINT buyer; DROP TABLE shop.nothing; DROP VIEW shop.by_key"""
    )
    lost = awkward.ok()
    assert "table shop.nothing" in lost["added"]["pre_data"]
    assert 'rule "_RETURN" on shop.by_key' in lost["added"]["post_data"]
    assert difference(awkward.source, awkward.target) == ""
    assert not awkward.ok()["changed"]


def test_new_and_changed_objects_of_the_source(awkward: Pair) -> None:
    awkward.ok()
    awkward.source.as_owner(
        "CREATE TABLE shop.fresh (id serial PRIMARY KEY); COMMENT ON TABLE shop.fresh IS 'new';"
        f"GRANT SELECT ON shop.fresh TO {awkward.app}; ALTER TABLE shop.log ADD COLUMN more text"
    )
    done = awkward.ok()
    assert "table shop.fresh" in done["added"]["pre_data"]
    told = str(done["warnings"])
    assert "1 object(s) have changed on the source" in told and "table shop.log" in told
    awkward.target.sql("ALTER TABLE shop.log ADD COLUMN more text")
    assert difference(awkward.source, awkward.target) == ""


def test_orphans_are_named(awkward: Pair) -> None:
    awkward.ok(["roles", "pre_data", "keys"])
    load(awkward.target, FILES / "awkward_rows.sql")
    awkward.target.sql("DELETE FROM shop.customers WHERE id = 7")
    failed = awkward.sync(["post_data"])
    assert failed["failed"] and failed["failure"]["code"] == "orphans", failed
    assert "table constraint buyer on shop.orders" in failed["msg"]
    assert "row(s) of shop.orders refer to nothing in shop.customers: customer = (7); (7)" in failed["msg"]
    assert awkward.target.sql("SELECT FROM pg_trigger WHERE tgname = 'stamp'"), "the rest was made"
    awkward.target.sql("INSERT INTO shop.customers (id, email) OVERRIDING SYSTEM VALUE VALUES (7, 'c7@example')")
    assert awkward.ok(["post_data"])["changed"]
    assert difference(awkward.source, awkward.target) == ""


def test_a_row_that_is_on_its_way_is_waited_for(awkward: Pair) -> None:
    awkward.ok(["roles", "pre_data", "keys"])
    load(awkward.target, FILES / "awkward_rows.sql")
    awkward.target.sql("DELETE FROM shop.customers WHERE id = 7")
    timer = threading.Timer(
        2.5,
        awkward.target.sql,
        ["INSERT INTO shop.customers (id, email) OVERRIDING SYSTEM VALUE VALUES (7, 'c7@example')"],
    )
    timer.start()
    try:
        awkward.ok(["post_data"])
    finally:
        timer.join()
    assert difference(awkward.source, awkward.target) == ""


def test_scope(awkward: Pair) -> None:
    awkward.source.as_owner("CREATE TABLE shop.doors (room integer REFERENCES shop.a, base integer REFERENCES shop.b)")
    done = awkward.ok(schemas=["shop"], exclude_tables=["shop.rooms", "shop.a"])
    assert difference(awkward.source, awkward.target) != ""
    tables = {
        row["t"] for row in awkward.target.sql("SELECT oid::regclass::text AS t FROM pg_class WHERE relkind = 'r'")
    }
    assert "shop.customers" in tables and not {"shop.rooms", "shop.a"} & tables
    assert "table constraint doors_room_fkey on shop.doors is left out" in str(done["warnings"])
    assert "table constraint doors_base_fkey on shop.doors" in done["added"]["post_data"]
    assert not awkward.ok(schemas=["shop"], exclude_tables=["shop.rooms", "shop.a"])["changed"]
    assert not any("Odd.Schema" in name for name in done["added"]["pre_data"])
    wrongs: list[dict[str, Any]] = [{"schemas": ["shop", "nowhere"]}, {"exclude_tables": ["shop.nowhere"]}]
    for wrong in wrongs:
        failed = awkward.sync(**wrong)
        assert failed["failed"] and failed["failure"]["code"] == "unknown_name" and "nowhere" in failed["msg"]


def test_the_fence_and_options_nobody_takes_are_left_out(awkward: Pair) -> None:
    awkward.source.sql(
        """CREATE SCHEMA crossover;
           CREATE FUNCTION crossover.refuse_write() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END';
           CREATE TRIGGER crossover_fence BEFORE INSERT ON shop.customers
               FOR EACH STATEMENT EXECUTE FUNCTION crossover.refuse_write();
           ALTER TABLE shop.customers DISABLE TRIGGER crossover_fence;
           UPDATE pg_attribute SET attoptions = attoptions || '{pg_attver=3}'
           WHERE attrelid = 'shop.customers'::regclass AND attname = 'name';
           UPDATE pg_attribute SET attoptions = '{pg_attver=3}'
           WHERE attrelid = 'shop.log'::regclass AND attname = 'line'""",
        superuser=True,
    )
    awkward.ok()
    assert awkward.target.sql("SELECT FROM pg_trigger WHERE tgname = 'crossover_fence'") == []
    (row,) = awkward.target.sql(
        "SELECT attoptions FROM pg_attribute WHERE attrelid = 'shop.customers'::regclass AND attname = 'name'"
    )
    assert row["attoptions"] == ["n_distinct=-0.5"]
    assert not awkward.ok()["changed"]


def test_absent_drops_what_was_created(awkward: Pair) -> None:
    awkward.target.sql("CREATE SCHEMA spock")  # somebody else's
    before = dumped(awkward.target, awkward.target)
    acls = """SELECT datacl, (SELECT nspacl FROM pg_namespace WHERE nspname = 'public') FROM pg_database
              WHERE datname = current_database()"""
    awkward.source.sql(f"ALTER DATABASE {awkward.source.name} SET timezone TO 'Europe/Rome'", superuser=True)
    awkward.ok(role_passwords={awkward.app: PASSWORD})
    load(awkward.target, FILES / "awkward_rows.sql")
    planned = awkward.ok(check=True, state="absent")
    assert planned["changed"] and "table shop.customers" in planned["dropped"]
    assert awkward.target.sql("SELECT count(*) AS n FROM shop.customers") == [{"n": 20}], "check mode drops nothing"
    done = awkward.ok(state="absent")
    assert done["dropped"] == planned["dropped"] and done["queries"] == planned["queries"]
    assert f"role {awkward.app}" in done["dropped"]
    assert dumped(awkward.target, awkward.target) == before
    assert (
        awkward.target.sql(
            """SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
               WHERE datname = current_database()"""
        )
        == []
    )
    assert "t_" not in str(awkward.target.sql(acls)).replace(awkward.target.owner, "")
    assert awkward.target.sql("SELECT FROM pg_roles WHERE rolname = ANY (%s)", [awkward.roles]) == []
    again = awkward.ok(state="absent")
    assert not again["changed"] and again["dropped"] == []
    awkward.target.sql("DROP SCHEMA spock")
    awkward.ok()  # and everything can begin again
    assert difference(awkward.source, awkward.target) == ""


def test_absent_refuses_what_it_did_not_create(awkward: Pair) -> None:
    awkward.ok()
    awkward.target.sql("CREATE TABLE shop.of_the_user (id bigint REFERENCES shop.customers)")
    failed = awkward.sync(state="absent")
    assert failed["failed"] and failed["failure"]["code"] == "foreign_object"
    assert "of_the_user" in failed["msg"] and "Nothing was dropped" in failed["msg"]
    assert difference(awkward.source, awkward.target).count("of_the_user") > 0
    awkward.target.sql("DROP TABLE shop.of_the_user; CREATE VIEW public.of_the_user AS SELECT * FROM shop.codes")
    assert "of_the_user" in awkward.sync(state="absent")["msg"]
    awkward.target.sql("DROP VIEW public.of_the_user")
    awkward.target.sql(f"CREATE TABLE public.owned (); ALTER TABLE public.owned OWNER TO {awkward.app}")
    done = awkward.ok(state="absent")
    assert f"role {awkward.app} stays: owner of table public.owned" in str(done["warnings"])
    assert awkward.target.sql("SELECT to_regclass('public.owned') IS NOT NULL AS there") == [{"there": True}]


def test_absent_refuses_when_the_node_is_writable(awkward: Pair) -> None:
    awkward.ok(["roles", "pre_data"])
    from ansible_collections.crossover.pgedge.plugins.module_utils._migration_control import DDL

    awkward.source.sql("CREATE SCHEMA crossover AUTHORIZATION crossover", superuser=True)
    with awkward.source.connect() as conn:
        conn.execute(DDL)
        conn.execute(
            "INSERT INTO crossover.control (migration, epoch, writable, changed_by) VALUES (%s, 2, 'node', 'test')",
            [awkward.source.name],
        )
    failed = awkward.sync(state="absent")
    assert failed["failed"] and failed["failure"]["code"] == "node_writable"
    assert awkward.target.sql("SELECT to_regclass('shop.customers') IS NOT NULL AS there") == [{"there": True}]


def test_refusals_come_before_changes(awkward: Pair) -> None:
    for more, code in (
        ({"migration": "other"}, "no_migration"),
        ({"bin_dir": "/nonexistent"}, "missing_programs"),
        ({"source": {**awkward.source.login, "login_password": "wrong"}}, "bad_password"),
    ):
        failed = awkward.sync(["roles", "pre_data"], **more)
        assert failed["failed"] and failed["failure"]["code"] == code, failed["msg"]
        assert "wrong" not in failed["msg"].replace("wrong password", "")
    failed = awkward.sync(["keys"])
    assert failed["failed"] and failed["failure"]["code"] == "no_schema"
    assert awkward.target.sql("SELECT FROM pg_roles WHERE rolname = %s", [awkward.app]) == []


def test_a_source_that_cannot_be_read(awkward: Pair) -> None:
    awkward.source.sql("CREATE TABLE shop.secret ()", superuser=True)  # belongs to postgres
    failed = awkward.sync(["roles", "pre_data"])
    assert failed["failed"] and "permission denied for table secret" in failed["msg"]
    assert "make the login a member of the owner" in failed["msg"].lower()


def test_the_role_prepare(awkward: Pair, tmp_path: Path) -> None:
    from support.play import Inventory

    inventory = Inventory(
        tmp_path,
        awkward.source.login,
        awkward.target.login,
        crossover_role_passwords={awkward.app: PASSWORD},
    )
    planned = inventory.play("prepare", "--check", "-vvv")
    assert planned.rc == 0 and "would run after assess" in planned.output, planned.output[-3000:]
    assert inventory.play("prepare").rc != 0, "assess has not run"
    assessed = inventory.play("assess")
    assert assessed.rc == 0, assessed.output[-3000:]
    blockers = awkward.target.sql("SELECT value FROM crossover.fact WHERE key = 'assess.blockers'")[0]["value"]
    inventory.set(crossover_waivers=[{"code": b["code"], "object": "*"} for b in blockers])
    assert inventory.play("assess").rc == 0
    done = inventory.play("prepare", "-vvv", "--diff")
    assert done.rc == 0 and done.changed, done.output[-3000:]
    again = inventory.play("prepare")
    assert again.rc == 0 and again.changed == 0, again.output[-3000:]
    assert awkward.target.sql("SELECT to_regclass('shop.customers') IS NOT NULL AS there") == [{"there": True}]
    for output in (planned.output, done.output, again.output):
        for secret in (PASSWORD, awkward.source.login["login_password"], awkward.target.login["login_password"]):
            assert secret not in output


@pytest.fixture
def bypassing(awkward: Pair) -> Iterator[None]:
    """The role is the cluster's: what other tests see of it is as before."""
    awkward.source.sql("ALTER ROLE crossover BYPASSRLS", superuser=True)
    yield
    awkward.source.sql("ALTER ROLE crossover NOBYPASSRLS", superuser=True)


@pytest.mark.usefixtures("bypassing")
def test_a_subscription_rests_meanwhile(awkward: Pair) -> None:
    """An apply worker that waits for a lock longer than wal_sender_timeout loses its connection: see Pause."""
    source, target = awkward.source, awkward.target
    name = f"sub_{source.name}"
    awkward.ok(["roles", "pre_data", "keys"])
    source.sql(f"CREATE PUBLICATION {name} FOR TABLE shop.customers, shop.orders", superuser=True)
    dsn = source.dsn.replace("'", "''")
    target.sql(f"CREATE SUBSCRIPTION {name} CONNECTION '{dsn}' PUBLICATION {name} WITH (disable_on_error = true)")

    def state() -> list[dict[str, Any]]:
        return target.sql(
            """SELECT subenabled,
                      (SELECT count(*) FROM pg_subscription_rel WHERE srsubid = s.oid AND srsubstate <> 'r') AS n
               FROM pg_subscription s WHERE subname = %s""",
            [name],
        )

    deadline = time.monotonic() + 60
    early = awkward.sync(["post_data"], subscription=name)
    if early["failed"]:
        assert early["failure"]["code"] == "not_synced", early["msg"]
    while state() != [{"subenabled": True, "n": 0}]:
        assert time.monotonic() < deadline, (state(), target.cluster.log()[-2000:])
        time.sleep(0.2)
    target.sql("DROP INDEX IF EXISTS shop.only_one")
    planned = awkward.ok(["post_data"], check=True, subscription=name)
    done = awkward.ok(["post_data"], subscription=name)
    assert done["queries"] == planned["queries"]
    assert done["queries"][0] == f"ALTER SUBSCRIPTION {name} DISABLE"
    assert f"ALTER SUBSCRIPTION {name} ENABLE" in done["queries"]
    assert state() == [{"subenabled": True, "n": 0}]
    assert not awkward.ok(["post_data"], subscription=name)["changed"]

    # one that somebody else has disabled stays so; one that a run of ours left behind does not
    target.sql(f"ALTER SUBSCRIPTION {name} DISABLE; DROP INDEX shop.only_one")
    awkward.ok(["post_data"], subscription=name)
    assert state()[0]["subenabled"] is False
    target.sql(
        """INSERT INTO crossover.fact (migration_id, key, value)
           SELECT id, 'schema.paused', to_jsonb(%s::text) FROM crossover.migration""",
        [name],
    )
    resumed = awkward.ok(["keys"])
    assert resumed["queries"] == [f"ALTER SUBSCRIPTION {name} ENABLE"] and state()[0]["subenabled"] is True
    assert not awkward.ok(["keys"])["changed"]
