-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Spock up to 5.0.11 does not replicate stored generated columns: what assess says to do about them has been done.

SET ROLE shop_owner;
SET search_path = shop;
ALTER TABLE order_items ALTER COLUMN amount DROP EXPRESSION;
ALTER TABLE products ALTER COLUMN search DROP EXPRESSION;

CREATE FUNCTION compute_amount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.amount := NEW.quantity * NEW.price;
    RETURN NEW;
END $$;

CREATE FUNCTION compute_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.search := to_tsvector('simple'::regconfig, NEW.name);
    RETURN NEW;
END $$;

CREATE TRIGGER compute BEFORE INSERT OR UPDATE ON order_items FOR EACH ROW EXECUTE FUNCTION compute_amount();
CREATE TRIGGER compute BEFORE INSERT OR UPDATE ON products FOR EACH ROW EXECUTE FUNCTION compute_search();
RESET ROLE;
