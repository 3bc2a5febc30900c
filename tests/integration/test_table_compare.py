# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""table_compare against two real servers: what is equal, and every planted difference at every place."""

from __future__ import annotations

import pytest


@pytest.fixture
def sides(source_db, target_db):
    """Both databases; ``sides(sql)`` runs on both."""

    class Sides:
        source, node = source_db, target_db

        def __call__(self, *queries):
            source_db.as_owner("; ".join(queries))
            target_db.sql("; ".join(queries))

    return Sides()


@pytest.fixture
def compare(run_module, sides):
    """Run the module on both databases; by default without a barrier."""

    def run(check=False, **args):
        wanted = {
            **sides.node.login,
            "source": sides.source.login,
            "barrier": False,
            "fail_on_difference": False,
            **args,
        }
        result = run_module("table_compare", wanted, check=check)
        assert not result["changed"] and "verdict" in result, result.get("msg")
        return result

    return run


def found(result, table=None):
    """The named differences as (kind, key, columns)."""
    return sorted(
        (d["kind"], tuple(map(str, (d["key"] or {}).values())), tuple(d["columns"]))
        for d in result["differences"]
        if table in (None, d["table"])
    )


ROWS = 2000
# the columns of the key, the key of row g, the names
KEYS = {
    "t_int": ("id int", "g", ["id"]),
    "t_bigint": ("id bigint", "g * 4294967296 + g", ["id"]),
    "t_negative": ("id bigint", "g - 1000", ["id"]),
    "t_text": ("id text", "'k' || md5(g::text)", ["id"]),
    "t_os_collation": ('id text COLLATE "C.utf8"', "'k' || md5(g::text)", ["id"]),
    "t_uuid": ("id uuid", "md5(g::text)::uuid", ["id"]),
    "t_numeric": ("id numeric", "g / 8.0", ["id"]),
    "t_timestamptz": ("id timestamptz", "timestamptz '2024-03-31 00:00+01' + g * interval '7 minutes'", ["id"]),
    "t_char": ("id char(40)", "md5(g::text)", ["id"]),
    "t_bytea": ("id bytea", "decode(md5(g::text), 'hex')", ["id"]),
    "t_domain": ("id positive", "g", ["id"]),
    "t_composite": ("a int, b int", "g % 3, g", ["a", "b"]),
    "t_mixed": (
        '"Tenant" text, at date, n bigint',
        "'t' || g % 5, date '2024-01-01' + g % 50, g",
        ["Tenant", "at", "n"],
    ),
    "t_enum": ("id color, n int", "(enum_range(NULL::color))[g % 3 + 1], g", ["id", "n"]),
}


@pytest.fixture
def keyed(sides):
    """A table for each kind of key, on both sides alike."""
    sides("CREATE TYPE color AS ENUM ('red', 'green', 'blue')", "CREATE DOMAIN positive AS bigint CHECK (VALUE > 0)")
    for name, (columns, values, key) in KEYS.items():
        sides(
            f"""CREATE TABLE {name} ({columns}, g int, v text, n2 numeric, PRIMARY KEY ({", ".join(map(quoted, key))}));
                INSERT INTO {name} SELECT {values}, g, 'value ' || g, g / 4.0 FROM generate_series(1, {ROWS}) g"""
        )
    sides.source.sql("ANALYZE")


def quoted(name):
    return f'"{name}"'


# 10,000: every table is one region; 100: many
@pytest.mark.parametrize("chunk_rows", [10_000, 100])
def test_planted_differences_by_key(sides, keyed, compare, chunk_rows):
    equal = compare(chunk_rows=chunk_rows)
    assert (equal["verdict"], equal["differences"]) == ("equal", [])
    assert equal["totals"]["rows"] == ROWS * len(KEYS) and equal["totals"]["tables"] == len(KEYS)
    wanted = {}
    for name, (_columns, _values, key) in KEYS.items():
        # every row's key as PostgreSQL writes it, in the order in which the table is divided
        texts = ", ".join(f"{'trim_scale' if name == 't_numeric' else ''}({quoted(k)})::text" for k in key)
        order = ", ".join(f'{quoted(k)}::text COLLATE "C"' if name in ("t_char", "t_enum") else quoted(k) for k in key)
        rows = sides.source.sql(f"SET timezone = 'UTC'; SELECT g, ARRAY[{texts}] AS k FROM {name} ORDER BY {order}")
        first, beside, edge, after, last = (rows[at] for at in (0, 77, ROWS // 2, ROWS // 2 + 1, ROWS - 1))
        sides.node.sql(
            f"""DELETE FROM {name} WHERE g IN ({first["g"]}, {last["g"]});
                UPDATE {name} SET v = NULL WHERE g = {beside["g"]};
                UPDATE {name} SET v = v || ' ' WHERE g = {edge["g"]};
                UPDATE {name} SET n2 = -n2 WHERE g = {after["g"]}"""
        )
        wanted[f"public.{name}"] = sorted(
            [
                ("missing", tuple(first["k"]), ()),
                ("missing", tuple(last["k"]), ()),
                ("different", tuple(beside["k"]), ("v",)),
                ("different", tuple(edge["k"]), ("v",)),
                ("different", tuple(after["k"]), ("n2",)),
            ]
        )
    result = compare(chunk_rows=chunk_rows)
    assert result["verdict"] == "different"
    assert {name: found(result, name) for name in wanted} == wanted
    for table in result["tables"]:
        assert (table["rows"], table["rows_node"], table["differences"]) == (ROWS, ROWS - 2, 5)


# rows before, beyond and at every edge of a range, on the node only, and moved from one range to another
@pytest.mark.parametrize("chunk_rows", [10_000, 100])
def test_rows_that_only_the_node_has(sides, keyed, compare, chunk_rows):
    sides.node.sql("INSERT INTO t_int VALUES (-5), (1000000); UPDATE t_int SET id = 555555 WHERE id = 1000")
    result = compare(chunk_rows=chunk_rows, tables=["t_int"])
    assert found(result) == sorted(
        [("extra", (k,), ()) for k in ("-5", "1000000", "555555")] + [("missing", ("1000",), ())]
    )


def test_one_difference_at_every_single_key(sides, compare):
    """No key is at a place where a difference could hide, whatever the edges of the ranges are."""
    sides("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t SELECT g, g FROM generate_series(1, 300) g")
    sides.node.sql("UPDATE t SET v = v + 1")
    result = compare(chunk_rows=7, max_differences=1000)
    assert found(result) == sorted(("different", (str(g),), ("v",)) for g in range(1, 301))
    assert result["totals"]["differences"] == 300


def test_swapped_values_of_two_rows(sides, compare):
    """A sum of hashes that are linear in the columns cannot see it."""
    sides(
        "CREATE TABLE t (id int PRIMARY KEY, a text, b int)",
        "INSERT INTO t SELECT g, 'a' || g % 50, g FROM generate_series(1, 1000) g",
        "CREATE TABLE keyless (a text, b int)",
        "INSERT INTO keyless SELECT a, b FROM t",
    )
    sides.node.sql(
        "UPDATE t SET b = CASE id WHEN 10 THEN 20 ELSE 10 END WHERE id IN (10, 20);"
        "UPDATE keyless SET b = CASE b WHEN 10 THEN 20 ELSE 10 END WHERE b IN (10, 20)"
    )
    result = compare(tables=["t"])
    assert found(result) == [("different", ("10",), ("b",)), ("different", ("20",), ("b",))]
    assert compare(tables=["keyless"])["totals"]["differences"] == 4


# a type, a value, and another one that must be told from it; many of these collide in PostgreSQL's own hashes
TYPES = [
    ("boolean", "true", "false"),
    ("smallint", "1", "-1"),
    ("int", "2147483647", "-2147483648"),
    ("bigint", "1", "4294967296"),
    ("bigint", "2147483648", "9223372036854775807"),
    ("bigint", "-1", "4294967295"),
    ("numeric", "1.5", "-1.5"),
    ("numeric", "0", "'NaN'"),
    ("numeric", "'NaN'", "'Infinity'"),
    ("numeric", "'Infinity'", "'-Infinity'"),
    ("numeric(12,2)", "100.01", "100.02"),
    ("numeric", "1e300", "1e301"),
    ("real", "0", "'NaN'"),
    ("float8", "1", "1.0000000000000002"),
    ("float8", "'Infinity'", "'-Infinity'"),
    ("money", "12.34", "12.35"),
    ("text", "''", "' '"),
    ("text", r"U&'\00e4'", r"U&'a\0308'"),  # two ways to write an ä
    ('text COLLATE "C.utf8"', "'a'", "'A'"),
    ("varchar(20)", "'a'", "'b'"),
    ("char(5)", "'a'", "'b'"),
    ('"char"', "'a'", "'b'"),
    ("name", "'a'", "'b'"),
    ("bytea", r"'\x00ff10'", r"'\x00ff11'"),  # one bit
    ("bytea", "''", r"'\x00'"),
    ("date", "'2024-02-29'", "'2024-03-01'"),
    ("time", "'10:00:00'", "'10:00:00.000001'"),
    ("timetz", "'10:00:00+01'", "'09:00:00+00'"),
    ("timestamp", "'2024-02-29 10:00'", "'2024-02-29 11:11:34.967296'"),
    ("timestamptz", "'2024-02-29 10:00+00'", "'2024-02-29 10:00+01'"),
    ("timestamptz", "'infinity'", "'-infinity'"),
    ("interval", "'1 day'", "'25 hours'"),
    ("interval", "'1 second'", "'-1 second'"),
    ("uuid", "'00000000-0000-0000-0000-000000000000'", "'00000000-0000-0000-0000-000000000001'"),
    ("inet", "'10.0.0.1'", "'10.0.0.1/24'"),
    ("cidr", "'10.0.0.0/8'", "'10.0.0.0/9'"),
    ("macaddr", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'", "'08:00:2b:01:02:03:04:06'"),
    ("bit(4)", "B'1010'", "B'1011'"),
    ("bit varying", "B'1'", "B'10'"),
    ("json", """'{"a": 1, "b": 2}'""", """'{"b": 2, "a": 1}'"""),
    ("jsonb", """'{"a": 5}'""", """'{"a": -5}'"""),
    ("jsonb", "'null'", "'[]'"),
    ("jsonb", "'[1,2,3]'", "'[1,3,2]'"),
    ("jsonb", """'"1"'""", "'1'"),
    ("jsonpath", "'$.a'", "'$.b'"),
    ("tsvector", "'a:1 b:2'", "'a:1 b:3'"),
    ("tsquery", "'a & b'", "'a | b'"),
    ("point", "'(1,2)'", "'(1,3)'"),
    ("line", "'{1,2,3}'", "'{1,2,4}'"),
    ("lseg", "'[(0,0),(1,1)]'", "'[(0,0),(1,2)]'"),
    ("box", "'(0,0),(1,1)'", "'(0,0),(1,2)'"),
    ("path", "'((0,0),(1,1))'", "'[(0,0),(1,1)]'"),
    ("polygon", "'((0,0),(1,1),(1,0))'", "'((0,0),(1,1),(2,0))'"),
    ("circle", "'<(0,0),1>'", "'<(0,0),2>'"),
    ("int4range", "'[1,5)'", "'[1,6)'"),
    ("int4range", "'empty'", "'(,)'"),
    ("numrange", "'[1,5)'", "'[-1,5)'"),
    ("tstzrange", "'[2024-01-01 00:00+00,)'", "'[2024-01-01 00:00+01,)'"),
    ("int4multirange", "'{[1,3),[5,7)}'", "'{[1,3),[5,8)}'"),
    ("pg_lsn", "'0/1'", "'1/0'"),
    ("xid8", "'1'", "'4294967296'"),
    ("oid", "1", "4294967295"),
    ("regclass", "'pg_class'", "'pg_type'"),
    ("regtype", "'integer'", "'bigint'"),
    ("regproc", "'now'", "'pg_backend_pid'"),
    ("int[]", "'{1,2,3,4}'", "'{{1,2},{3,4}}'"),
    ("int[]", "'{1,2}'", "'[0:1]={1,2}'"),
    ("int[]", "'{}'", "'{NULL}'"),
    ("text[]", "'{a,NULL}'", """'{a,"NULL"}'"""),
    ("numeric[]", "'{1.5}'", "'{-1.5}'"),
    ("color", "'red'", "'green'"),
    ("color[]", "'{red,green}'", "'{red,blue}'"),
    ("pair", "ROW(1.5, 'red')", "ROW(1.5, 'blue')"),
    ("pair", "ROW(1.5, 'red')", "ROW(-1.5, 'red')"),
    ("pair", "ROW(NULL, NULL)", "NULL"),
    ("pair[]", "ARRAY[ROW(1, 'red')::pair]", "ARRAY[ROW(2, 'red')::pair]"),
    ("colors", "'[red,green)'", "'[red,blue)'"),
    ("hue", "'red'", "'green'"),
    ("amount", "1.5", "-1.5"),
    ("words", "'{a,b}'", "'{a,c}'"),
]
OBJECTS = """
CREATE TYPE color AS ENUM ('red', 'green', 'blue');
CREATE TYPE pair AS (n numeric, c color);
CREATE TYPE colors AS RANGE (subtype = color);
CREATE DOMAIN hue AS color;
CREATE DOMAIN amount AS numeric(10, 2);
CREATE DOMAIN words AS text[]
"""


@pytest.fixture
def typed(sides):
    """A table for each line of TYPES, with a key and without; on the node some rows hold the other value."""
    # other types first, so that no OID of ours is the same on both sides
    sides.node.sql("CREATE TYPE before AS ENUM ('x'); CREATE TYPE before2 AS (a int); CREATE DOMAIN before3 AS int")
    sides(OBJECTS)
    for at, (type_, one, other) in enumerate(TYPES):
        for side in (sides.source, sides.node):
            node = side is sides.node
            cast = type_.split(" COLLATE")[0]
            a, b, null = (f"({value})::{cast}" for value in (one, other, "NULL"))
            rows = [a, b if node else a, null, null if node else a, a if node else b]
            statements = [f"CREATE TABLE t{at} (id int PRIMARY KEY, v {type_})", f"CREATE TABLE k{at} (v {type_})"]
            for number, value in enumerate(rows, 1):
                statements.append(f"INSERT INTO t{at} VALUES ({number}, {value})")
            statements += [f"INSERT INTO k{at} VALUES ({v})" for v in ([a, a, b] if node else [a, b, b])]
            (side.sql if node else side.as_owner)("; ".join(statements))


@pytest.mark.parametrize("mode", ["semantic", "exact"])
def test_every_type(typed, compare, mode):
    result = compare(mode=mode, max_differences=10_000)
    problems = {}
    for at, line in enumerate(TYPES):
        keyed_ = [(kind, key) for kind, key, _columns in found(result, f"public.t{at}")]
        if keyed_ != [("different", (key,)) for key in ("2", "4", "5")]:
            problems[f"t{at} {line}"] = keyed_
        keyless = [d["kind"] for d in result["differences"] if d["table"] == f"public.k{at}"]
        if sorted(keyless) != ["extra", "missing"]:
            problems[f"k{at} {line}"] = keyless
    assert not problems
    assert result["verdict"] == "different"
    assert not [t for t in result["tables"] if t["verdict"] != "different"]


# a type and two ways to write one value
SAME = [
    ("numeric", "1.0", "1.00"),
    ("numeric", "-0.00", "0"),
    ("float8", "0", "'-0'"),
    ("real", "'-0'", "0"),
    ("numeric[]", "'{1.0,NULL}'", "'{1.00,NULL}'"),
    ("float8[]", "'{0}'", "'{-0}'"),
    ("numrange", "'[1.0,2)'", "'[1.00,2.0)'"),
    ("nummultirange", "'{[1.0,2)}'", "'{[1.00,2.0)}'"),
    ("pair", "ROW(1.0, 'red')", "ROW(1.00, 'red')"),
    ("interval", "'1 day'", "'24 hours'"),
    ("jsonb", """'{"a": 1.0}'""", """'{"a": 1.00}'"""),
    ("amounts", "'{1.0}'", "'{1.00}'"),
]


def test_equal_values_that_are_written_differently(sides, compare):
    sides(OBJECTS, "CREATE DOMAIN amounts AS numeric[]")
    for at, (type_, one, other) in enumerate(SAME):
        for side, value in ((sides.source, one), (sides.node, other)):
            (side.sql if side is sides.node else side.as_owner)(
                f"CREATE TABLE t{at} (id int PRIMARY KEY, v {type_}); INSERT INTO t{at} SELECT g, {value}::{type_} "
                "FROM generate_series(1, 2) g"
            )
    semantic = compare()
    assert {t["name"]: t["verdict"] for t in semantic["tables"] if t["verdict"] != "equal"} == {}
    assert (semantic["verdict"], semantic["totals"]["in_flight"]) == ("equal", 0)
    exact = compare(mode="exact")
    assert {t["name"]: t["verdict"] for t in exact["tables"] if t["verdict"] != "different"} == {}


def test_table_with_as_many_columns_as_there_can_be(sides, compare):
    columns = ", ".join(f"c{at} int" for at in range(1599))
    sides(f"CREATE TABLE t (id int PRIMARY KEY, {columns})", "INSERT INTO t VALUES (1, 7), (2, 8)")
    assert compare()["verdict"] == "equal"
    sides.node.sql("UPDATE t SET c5 = 1 WHERE id = 1; UPDATE t SET c1598 = 2 WHERE id = 2")
    assert found(compare()) == [("different", ("1",), ("c5",)), ("different", ("2",), ("c1598",))]


def test_blanks_of_char_count_in_exact_mode_only(sides, compare):
    sides.source.as_owner("CREATE TABLE t (id int PRIMARY KEY, v char(3)); INSERT INTO t VALUES (1, 'a')")
    sides.node.sql("CREATE TABLE t (id int PRIMARY KEY, v char(5)); INSERT INTO t VALUES (1, 'a')")
    assert compare()["verdict"] == "equal"
    exact = compare(mode="exact")
    assert exact["verdict"] == "different", exact["msg"]


# -- tables that are not alike, cannot be read, or are not meant ---------------------------------------------------


def verdicts(result):
    return {t["name"]: t["verdict"] for t in result["tables"]}


def test_column_order_generated_columns_and_awkward_names(sides, compare):
    sides.source.as_owner(
        """CREATE TABLE "Mixed ""Case"".%s" (id int PRIMARY KEY, "select" text, "100%" int,
                                            twice int GENERATED ALWAYS AS ("100%" * 2) STORED);
           INSERT INTO "Mixed ""Case"".%s" SELECT g, 'x%' || g, g FROM generate_series(1, 500) g;
           CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES"""
    )
    sides.node.sql(
        """CREATE TABLE "Mixed ""Case"".%s" ("100%" int, gone int, twice int GENERATED ALWAYS AS ("100%" * 2) STORED,
                                            "select" text, id int PRIMARY KEY);
           ALTER TABLE "Mixed ""Case"".%s" DROP COLUMN gone;
           INSERT INTO "Mixed ""Case"".%s" ("100%", "select", id)
           SELECT g, 'x%' || g, g FROM generate_series(500, 1, -1) g;
           CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES"""
    )
    assert compare(chunk_rows=100)["verdict"] == "equal"
    sides.node.sql("""UPDATE "Mixed ""Case"".%s" SET "100%" = 0 WHERE id = 499; INSERT INTO nothing DEFAULT VALUES""")
    result = compare(chunk_rows=100)
    assert found(result, 'public."Mixed ""Case"".%s"') == [("different", ("499",), ("100%", "twice"))]
    assert [(d["kind"], d["count"]) for d in result["differences"] if d["table"] == "public.nothing"] == [("extra", 1)]


def test_tables_and_columns_that_one_side_has_not(sides, compare):
    sides("CREATE TABLE same (id int PRIMARY KEY, a int)", "INSERT INTO same VALUES (1, 1)")
    sides.source.as_owner("CREATE TABLE gone (id int); ALTER TABLE same ADD b int")
    sides.node.sql("CREATE TABLE more (id int); ALTER TABLE same ADD c int")
    result = compare()
    assert verdicts(result) == dict.fromkeys(["public.gone", "public.more", "public.same"], "different")
    assert found(result) == sorted(
        [("missing", (), ()), ("extra", (), ()), ("missing", (), ("b",)), ("extra", (), ("c",))]
    )
    assert result["totals"]["differences"] == 4
    assert "column b is missing in the node; column c is only in the node" in result["tables"][2]["reason"]


def test_other_type_is_told_and_compared_by_text(sides, compare):
    sides.source.as_owner("CREATE TABLE t (id int PRIMARY KEY, v int, w numeric); INSERT INTO t VALUES (1, 5, 5.0)")
    sides.node.sql("CREATE TABLE t (id bigint PRIMARY KEY, v text, w float8); INSERT INTO t VALUES (1, '5', 5)")
    result = compare()
    assert result["verdict"] == "equal", result["tables"]
    assert "v is integer in the source and text in the node" in result["tables"][0]["reason"]
    sides.node.sql("UPDATE t SET v = '6', w = 5.5")
    assert found(compare()) == [("different", ("1",), ("v", "w"))]


def test_table_that_cannot_be_read_is_never_equal(sides, compare):
    sides("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE u (id int PRIMARY KEY)")
    sides.source.sql("ALTER TABLE t OWNER TO postgres", superuser=True)
    result = compare()
    assert verdicts(result) == {"public.t": "could not compare", "public.u": "equal"}
    assert result["verdict"] == "could not compare" and "permission denied" in result["msg"]
    assert "Grant SELECT" in result["tables"][0]["reason"]


def test_row_level_security_is_an_error_and_not_fewer_rows(sides, compare):
    sides("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    sides.source.sql(
        """ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;
           CREATE POLICY one ON t USING (id = 1)""",
        superuser=True,
    )
    sides.node.sql("DELETE FROM t WHERE id = 2")
    result = compare()
    assert result["verdict"] == "could not compare" and "row-level security" in result["msg"]


def test_locked_table_is_given_up(sides, run_module):
    sides("CREATE TABLE t (id int PRIMARY KEY)")
    with sides.node.connect() as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE t")
        result = run_module("table_compare", {**sides.node.login, "source": sides.source.login, "barrier": False})
    assert result["failed"] and "tables could not be listed" in result["msg"] and "lock timeout" in result["msg"]


def test_partitions(sides, compare):
    parts = "CREATE TABLE {0} PARTITION OF p FOR VALUES FROM ({1}) TO ({2})"
    root = "CREATE TABLE p (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)"
    rows = "INSERT INTO p SELECT g, g FROM generate_series(1, 299) g"
    sides(root, parts.format("p1", 0, 100), parts.format("p2", 100, 300))
    sides(rows)
    assert verdicts(compare(chunk_rows=50)) == {"public.p1": "equal", "public.p2": "equal"}
    assert verdicts(compare(tables=["p"])) == {"public.p1": "equal", "public.p2": "equal"}
    assert verdicts(compare(tables=["p2"], partitions="each")) == {"public.p2": "equal"}
    assert compare(exclude_tables=["p"])["verdict"] == "could not compare"  # nothing compared is not equal
    sides.node.sql("DROP TABLE p2; " + parts.format("p2a", 100, 200) + "; " + parts.format("p2b", 200, 300))
    sides.node.sql("INSERT INTO p SELECT g, g FROM generate_series(100, 299) g")
    assert verdicts(compare())["public.p2"] == "different"
    whole = compare(partitions="whole", chunk_rows=50)
    assert verdicts(whole) == {"public.p": "equal"} and whole["totals"]["rows"] == 299
    sides.node.sql("UPDATE p SET v = 0 WHERE id = 200")
    assert found(compare(partitions="whole", chunk_rows=50)) == [("different", ("200",), ("v",))]


def test_partitioned_on_one_side_only(sides, compare):
    sides.source.as_owner("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY HASH (id);"
                          "CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 1, REMAINDER 0)")  # fmt: skip
    sides.node.sql("CREATE TABLE p (id int PRIMARY KEY)")
    sides.source.as_owner("INSERT INTO p VALUES (1), (2)")
    sides.node.sql("INSERT INTO p VALUES (1), (2)")
    result = compare()
    assert verdicts(result) == {"public.p": "equal"} and "as one table" in result["tables"][0]["reason"]
    sides.node.sql("DELETE FROM p WHERE id = 2")
    assert found(compare()) == [("missing", ("2",), ())]


def test_inheritance_compares_each_table_alone(sides, compare):
    sides("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b () INHERITS (a)", "INSERT INTO a VALUES (1)")
    sides.source.as_owner("INSERT INTO b VALUES (2)")
    sides.node.sql("INSERT INTO a VALUES (2)")
    assert verdicts(compare()) == {"public.a": "different", "public.b": "different"}


def test_table_without_a_key(sides, compare):
    sides(
        "CREATE TABLE t (a int, b text, secret text)",
        "INSERT INTO t SELECT g % 40, 'b' || g % 7, 'hidden' FROM generate_series(1, 3000) g",
        "CREATE TABLE big (a int)",
        "INSERT INTO big SELECT 1 FROM generate_series(1, 20000)",
    )
    sides.node.sql("UPDATE t SET a = a")  # another order on disk
    assert compare()["verdict"] == "equal"
    sides.node.sql(
        """INSERT INTO t SELECT * FROM t WHERE a = 1 AND b = 'b1' LIMIT 1;
           DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE a = 2 AND b = 'b2' LIMIT 2);
           UPDATE t SET b = NULL WHERE ctid = (SELECT ctid FROM t WHERE a = 3 AND b = 'b3' LIMIT 1);
           INSERT INTO big VALUES (1)"""
    )
    result = compare(mask_columns=["public.t.secret"])
    shown = {(d["kind"], d["count"], *(d["key"].values())) for d in result["differences"]}
    assert shown == {
        ("extra", 1, "1", "b1", "********"),
        ("missing", 2, "2", "b2", "********"),
        ("missing", 1, "3", "b3", "********"),
        ("extra", 1, "3", None, "********"),
        ("extra", 1, "1"),
    }
    assert "hidden" not in str(result)
    assert result["totals"]["differences"] == 6


def test_unique_index_serves_as_a_key_and_the_node_may_lack_it(sides, compare):
    sides.source.as_owner("CREATE TABLE t (id int NOT NULL UNIQUE, v int)")
    sides.node.sql("CREATE TABLE t (id int, v int)")
    for side in (sides.source.as_owner, sides.node.sql):
        side("INSERT INTO t SELECT g, g FROM generate_series(1, 100) g")
    assert compare()["verdict"] == "equal"
    sides.node.sql("INSERT INTO t VALUES (7, 7), (NULL, 1); UPDATE t SET v = 0 WHERE id = 9")
    assert found(compare()) == [("different", ("9",), ("v",)), ("extra", ("7",), ()), ("extra", ("None",), ())]


def test_masked_key(sides, compare):
    sides("CREATE TABLE t (email text PRIMARY KEY, v int)", "INSERT INTO t VALUES ('a@b.example', 1)")
    sides.node.sql("DELETE FROM t")
    result = compare(mask_columns=["email"])
    assert found(result) == [("missing", ("********",), ())] and "a@b.example" not in str(result)


def test_unlogged_and_unpublished_tables_are_skipped(sides, compare):
    sides("CREATE UNLOGGED TABLE u (id int PRIMARY KEY)", "CREATE TABLE t (id int PRIMARY KEY, a int, b int)")
    sides("CREATE TABLE left_out (id int)", "INSERT INTO t VALUES (1, 1, 1)")
    sides.source.as_owner("INSERT INTO u VALUES (1); INSERT INTO left_out VALUES (1); INSERT INTO t VALUES (-2, 1, 1)")
    sides.source.as_owner("CREATE PUBLICATION part FOR TABLE t (id, a) WHERE (id > 0)")
    sides.node.sql("UPDATE t SET b = 5")
    result = compare(publication="part")
    assert result["verdict"] == "equal", result["msg"]
    reasons = {s["name"]: s["reason"] for s in result["left_out"]}
    assert reasons == {
        "public.u": "unlogged: it is not replicated, but copied at the fence where crossover_unlogged is copy",
        "public.left_out": "not in publication part",
    }
    everything = compare()
    assert verdicts(everything) == {"public.t": "different", "public.left_out": "different"}


def test_publication_keeps_generated_columns_and_partitions(sides, compare):
    sides(
        "CREATE TABLE p (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
        "INSERT INTO p VALUES (1), (2)",
    )
    sides.source.as_owner("CREATE PUBLICATION leaves FOR TABLE p")
    sides.source.as_owner("CREATE PUBLICATION roots FOR TABLE p WITH (publish_via_partition_root)")
    sides.node.sql("ALTER TABLE p ALTER g DROP EXPRESSION; UPDATE p SET g = 0 WHERE id = 2")
    for publication in ("leaves", "roots"):
        for partitions in ("each", "whole"):
            result = compare(publication=publication, partitions=partitions)
            assert found(result) == [("different", ("2",), ("g",))], (publication, partitions)


def test_scope(sides, compare):
    sides(
        "CREATE SCHEMA a",
        "CREATE SCHEMA b",
        "CREATE TABLE a.t (id int)",
        "CREATE TABLE b.t (id int)",
        "CREATE TABLE b.u ()",
    )
    sides.node.sql("INSERT INTO b.t VALUES (1)")
    assert verdicts(compare(schemas=["a"])) == {"a.t": "equal"}
    assert verdicts(compare(exclude_tables=["b.t"])) == {"a.t": "equal", "b.u": "equal"}
    assert verdicts(compare(tables=["b.t"])) == {"b.t": "different"}


@pytest.mark.parametrize(
    "option, value, names",
    [
        ("schemas", ["nowhere"], "nowhere"),
        ("tables", ["public.nothing"], "public.nothing"),
        ("exclude_tables", ["nothing"], "nothing"),
        ("mask_columns", ["nothing"], "nothing"),
        ("publication", "nothing", "nothing"),
        ("jobs", 0, "jobs is 0"),
        ("chunk_rows", 0, "chunk_rows is 0"),
    ],
)
def test_unknown_names_and_bad_values(run_module, sides, option, value, names):
    sides("CREATE TABLE t (id int)")
    args = {**sides.node.login, "source": sides.source.login, "barrier": False, option: value}
    result = run_module("table_compare", args)
    assert result["failed"] and names in result["msg"] and "Nothing was compared" in result["msg"]


def test_fails_when_not_equal_unless_told_otherwise(run_module, sides):
    sides("CREATE TABLE t (id int PRIMARY KEY)")
    sides.node.sql("INSERT INTO t VALUES (1)")
    args = {**sides.node.login, "source": sides.source.login, "barrier": False}
    result = run_module("table_compare", args)
    assert result["failed"] and not result["changed"] and result["differences"] and result["verdict"] == "different"
    assert result["msg"].startswith("different: 1 of 1 table(s), 0 rows: public.t: 1 extra")
    assert not run_module("table_compare", {**args, "fail_on_difference": False})["failed"]


def test_wrong_logins_and_no_replication(run_module, sides):
    sides("CREATE TABLE t (id int PRIMARY KEY)")
    args = {**sides.node.login, "source": sides.source.login}
    result = run_module("table_compare", args)
    assert result["failed"] and "nothing replicates" in result["msg"] and "Nothing was compared" in result["msg"]
    bad = {**sides.source.login, "login_password": "Wr0ng-secret"}
    result = run_module("table_compare", {**args, "source": bad, "barrier": False})
    assert result["failed"] and "password authentication failed" in result["msg"]
    assert "Wr0ng-secret" not in str({k: v for k, v in result.items() if k != "invocation"})


def test_check_mode_reads_no_row(sides, compare):
    sides("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 5000)", "ANALYZE t")
    sides.source.sql("ALTER TABLE t OWNER TO postgres", superuser=True)  # it may not even be read
    result = compare(check=True)
    assert result["verdict"] == "not compared" and result["msg"] == "would compare 1 table(s), about 5000 rows"
    assert result["tables"][0]["rows"] == 5000


def test_check_mode_before_prepare_finds_no_difference(sides, compare):
    sides.source.as_owner("CREATE TABLE u (id int PRIMARY KEY)")
    result = compare(check=True)
    assert (result["verdict"], result["totals"]["differences"], result["differences"]) == ("not compared", 0, [])
    assert [table["verdict"] for table in result["tables"]] == ["not compared"]


def test_counting_ends_and_says_so(sides, compare):
    sides(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT g, g FROM generate_series(1, 40000) g",
        "CREATE TABLE u (id int PRIMARY KEY)",
        "INSERT INTO u VALUES (1)",
    )
    sides.node.sql("UPDATE t SET v = -v; DELETE FROM u")
    result = compare(max_differences=20)
    assert 10_000 <= result["totals"]["differences"] < 40_000
    assert len(result["differences"]) == 20 and {d["table"] for d in result["differences"]} == {"public.t", "public.u"}
    assert result["tables"][0]["reason"].startswith("at least 1")
    assert all(len(line) <= 80 for line in result["screen"])


def test_text_of_values_does_not_depend_on_the_servers_settings(sides, compare):
    sides(
        "CREATE TABLE t (id timestamptz PRIMARY KEY, f float8, b bytea, i interval, d date, m money, k timestamptz[])",
        r"INSERT INTO t VALUES ('2024-01-01 00:00+00', 0.1::float8 + 0.2, '\x00', '1 day 2 hours', '2024-02-03', 5,"
        " '{2024-01-01 00:00+00}')",
    )
    name = sides.node.name
    for setting in ("TimeZone = 'Asia/Kolkata'", "DateStyle = 'German, DMY'", "IntervalStyle = 'iso_8601'",
                    "extra_float_digits = -5", "bytea_output = 'escape'"):  # fmt: skip
        sides.node.sql(f"ALTER DATABASE {name} SET {setting}")
    for mode in ("semantic", "exact"):
        assert compare(mode=mode)["verdict"] == "equal"
    sides.node.sql("UPDATE t SET i = '1 day 3 hours'")
    assert found(compare()) == [("different", ("2024-01-01 00:00:00+00",), ("i",))]
