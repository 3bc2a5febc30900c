-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- What else real databases have: other replica identities, inheritance, every type, names that need quoting.

CREATE TABLE coupons (
    code  text NOT NULL,
    share numeric(4, 3) NOT NULL,
    used  integer NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX coupons_code ON coupons (code);
ALTER TABLE coupons REPLICA IDENTITY USING INDEX coupons_code;

CREATE TABLE wishes (customer_id bigint, sku text, wish text);
ALTER TABLE wishes REPLICA IDENTITY FULL;

CREATE TABLE media (id serial PRIMARY KEY, title text NOT NULL);
CREATE TABLE books (isbn text NOT NULL, PRIMARY KEY (id)) INHERITS (media);

CREATE TABLE documents (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title text, content oid NOT NULL);

CREATE TABLE samples (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    b boolean, i2 smallint, i8 bigint, n numeric, f4 real, f8 double precision, m money,
    t text, c char(5), v varchar(20), bits bit(4), vbits bit varying(8), raw bytea,
    d date, tm time, tz timestamptz, ts timestamp, iv interval,
    ip inet, net cidr, mac macaddr, p point, bx box, q tsquery, j json, jb jsonb,
    r int4range, mr int4multirange, names text[][], status order_status, line address_line, lsn pg_lsn
);

RESET ROLE;
SET ROLE legacy_owner;
SET search_path = "Legacy";

CREATE TABLE "Order" ("select" serial PRIMARY KEY, "Mixed Case" text, "dot.ted" integer, "quo""te" text, "straße" text);
CREATE TABLE "od.d ""name""" ("user" text, "id" integer, PRIMARY KEY ("user", "id"));
CREATE TABLE "two
lines" (id integer PRIMARY KEY, "per cent %s" text);
CREATE TABLE "größe_наименование" (id text PRIMARY KEY, "Ω" numeric);
CREATE TABLE nothing ();
CREATE SEQUENCE "Odd.Sequence" INCREMENT 3;

RESET ROLE;
SET ROLE shop_owner;
SET search_path = shop;
