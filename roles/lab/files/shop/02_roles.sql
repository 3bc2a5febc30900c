-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Roles belong to the server: they may be there already, from a load that was interrupted.

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['shop_owner', 'legacy_owner', 'shop_readers', 'shop_app', 'shop_report', 'shop_support']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

ALTER ROLE shop_app LOGIN CONNECTION LIMIT 150;
ALTER ROLE shop_report LOGIN;
ALTER ROLE shop_support NOINHERIT;
GRANT shop_readers TO shop_report;
GRANT shop_readers TO shop_support;

COMMENT ON ROLE shop_app IS 'the application';
ALTER ROLE shop_report SET statement_timeout = '30s';
ALTER ROLE shop_app IN DATABASE :"DBNAME" SET search_path = shop, public;
ALTER DATABASE :"DBNAME" SET DateStyle = 'ISO, DMY';
ALTER DATABASE :"DBNAME" OWNER TO shop_owner;
