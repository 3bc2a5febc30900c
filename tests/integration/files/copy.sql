-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Tables with rows that are awkward to copy. Run as the owner.
CREATE SCHEMA "Odd.Schema ""1""";
CREATE SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('fine', 'it''s bad');
CREATE TYPE shop.pair AS (a int, b text);
CREATE DOMAIN shop.small AS int CHECK (VALUE < 100);
CREATE TABLE "Odd.Schema ""1"""."Se'lect % %s" ("From" serial PRIMARY KEY, "a.b" text, "per%cent" int, "two
lines" text, "Größe" shop.mood, moods shop.mood[], pair shop.pair, small shop.small, what regclass, odd json,
    b bytea, ts timestamptz, iv interval, f float8, money money, bits bit varying, ip inet, r int4range);
INSERT INTO "Odd.Schema ""1"""."Se'lect % %s"
    ("a.b", "per%cent", "two
lines", "Größe", moods, pair, small, what, odd, b, ts, iv, f, money, bits, ip, r)
    SELECT E'\\. \n\t' || i, i, NULLIF('', 'x'), 'it''s bad', ARRAY['fine', NULL]::shop.mood[],
           (i, NULL)::shop.pair, i % 100, 'pg_class', '{"a": 1}', '\x00ff0a', 'infinity',
           '-1 mon 3 days 00:00:01.5', 'NaN', 12.5, B'101', '::1', 'empty' FROM generate_series(1, 300) i;
CREATE TABLE shop.event (id int, day date, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE shop.event_old PARTITION OF shop.event FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE shop.event_new PARTITION OF shop.event FOR VALUES FROM ('2026-01-01') TO (MAXVALUE)
    PARTITION BY HASH (id);
CREATE TABLE shop.event_new_0 PARTITION OF shop.event_new FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.event_new_1 PARTITION OF shop.event_new FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON shop.event (day);
INSERT INTO shop.event SELECT i, date '2025-12-01' + i % 60, repeat('n', 500) FROM generate_series(1, 9000) i;
CREATE TABLE shop.refers (id int PRIMARY KEY, event int, day date, FOREIGN KEY (event, day) REFERENCES shop.event);
INSERT INTO shop.refers SELECT id, id, day FROM shop.event WHERE id < 500;
CREATE TABLE shop.base (x int PRIMARY KEY, big text);
CREATE TABLE shop.heir (y int) INHERITS (shop.base);
ALTER TABLE shop.heir ADD PRIMARY KEY (x);
INSERT INTO shop.base SELECT i, repeat('b', 900) FROM generate_series(1, 4000) i;
INSERT INTO shop.heir SELECT i, 'h', i FROM generate_series(1, 50) i;
CREATE TABLE shop.nothing ();
INSERT INTO shop.nothing SELECT FROM generate_series(1, 5);
CREATE TABLE shop.only_generated (g int GENERATED ALWAYS AS (42) STORED);
INSERT INTO shop.only_generated DEFAULT VALUES;
CREATE TABLE shop.dropped (a int, gone text, b text, PRIMARY KEY (a));
INSERT INTO shop.dropped SELECT i, 'x', 'y' FROM generate_series(1, 10) i;
ALTER TABLE shop.dropped DROP COLUMN gone;
CREATE TABLE shop.secret (id int PRIMARY KEY, who text);
INSERT INTO shop.secret SELECT i, 'w' FROM generate_series(1, 20) i;
ALTER TABLE shop.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY none ON shop.secret USING (false);
CREATE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$fired$$; END';
CREATE TRIGGER refuse BEFORE INSERT ON shop.base FOR EACH ROW EXECUTE FUNCTION shop.refuse();
