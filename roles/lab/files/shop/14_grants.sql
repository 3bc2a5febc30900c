-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Who may do what: schemas, tables, columns, sequences, functions, default privileges, several grantors' worth.

GRANT USAGE ON SCHEMA shop TO shop_app, shop_readers;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO shop_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA shop TO shop_app;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO shop_readers;
REVOKE SELECT ON customers FROM shop_readers;
GRANT SELECT (id, name, region) ON customers TO shop_readers;
GRANT UPDATE (note) ON orders TO shop_support WITH GRANT OPTION;
REVOKE EXECUTE ON PROCEDURE refresh_sales() FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE refresh_sales() TO shop_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO shop_readers;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO shop_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT USAGE ON SEQUENCES TO shop_app;

RESET ROLE;
SET ROLE legacy_owner;
GRANT USAGE ON SCHEMA "Legacy" TO shop_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "Legacy" TO shop_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA "Legacy" TO shop_app;

RESET ROLE;
ANALYZE;
