-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Schemas and types: enum, domain, domain over an array, composite, range.

CREATE SCHEMA shop AUTHORIZATION shop_owner;
CREATE SCHEMA "Legacy" AUTHORIZATION legacy_owner;
COMMENT ON SCHEMA "Legacy" IS 'what the old system left; nobody dares to rename it';

SET ROLE shop_owner;
SET search_path = shop;

CREATE TYPE product_status AS ENUM ('draft', 'on sale', 'sold out', 'withdrawn');
CREATE TYPE order_status AS ENUM ('new', 'paid', 'shipped', 'returned');
ALTER TYPE order_status ADD VALUE 'lost' BEFORE 'returned';  -- its sort order is not its creation order

CREATE DOMAIN email AS text CHECK (VALUE ~ '^[^@[:space:]]+@[^@[:space:]]+$');
CREATE DOMAIN amount AS numeric(12, 2) CHECK (VALUE >= 0);
CREATE DOMAIN tags AS text[] CHECK (cardinality(VALUE) <= 20);

CREATE TYPE address_line AS (street text, house text, city text);
CREATE TYPE price_range AS RANGE (subtype = numeric);

CREATE FUNCTION domain_of(address text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN split_part(address, '@', 2);
