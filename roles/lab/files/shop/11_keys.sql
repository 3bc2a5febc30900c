-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Secondary indexes of every kind, foreign keys (two of them a cycle), checks, statistics. After the rows: it is faster.

CREATE UNIQUE INDEX customers_email ON customers (lower(email));
CREATE INDEX customers_domain ON customers (domain_of(email));
CREATE INDEX products_search ON products USING gin (search);
CREATE INDEX products_attributes ON products USING gin (attributes jsonb_path_ops);
CREATE INDEX products_bargain ON products USING gist (available);
CREATE INDEX products_on_sale ON products (price) INCLUDE (name) WHERE status = 'on sale';
CREATE INDEX events_at ON events USING brin (at);
CREATE INDEX orders_customer ON orders (customer_id, placed_at DESC NULLS LAST);
CREATE INDEX invoices_order ON invoices USING hash (order_id);
CREATE INDEX request_log_key ON request_log (run, client, seq);
CREATE INDEX transfers_key ON transfers (run, client, seq);
ALTER TABLE customers ADD CONSTRAINT customers_external UNIQUE (external_id);
CREATE STATISTICS orders_region (dependencies) ON customer_id, status FROM orders;

ALTER TABLE categories ADD CONSTRAINT categories_parent FOREIGN KEY (parent_id) REFERENCES categories;
ALTER TABLE products ADD CONSTRAINT products_category FOREIGN KEY (category_id) REFERENCES categories;
ALTER TABLE customers ADD CONSTRAINT customers_region FOREIGN KEY (region) REFERENCES regions;
ALTER TABLE customers ADD CONSTRAINT customers_default_address FOREIGN KEY (default_address_id) REFERENCES addresses
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE addresses ADD CONSTRAINT addresses_customer FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE;
ALTER TABLE customer_notes ADD CONSTRAINT notes_customer FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE;
ALTER TABLE carts ADD CONSTRAINT carts_customer FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE carts ADD CONSTRAINT carts_product FOREIGN KEY (sku) REFERENCES products ON UPDATE CASCADE;
ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE order_items ADD CONSTRAINT items_order FOREIGN KEY (order_id, placed_at) REFERENCES orders ON DELETE CASCADE;
ALTER TABLE order_items ADD CONSTRAINT items_product FOREIGN KEY (sku) REFERENCES products;
ALTER TABLE transfers ADD CONSTRAINT transfers_from FOREIGN KEY (from_id) REFERENCES accounts;
ALTER TABLE transfers ADD CONSTRAINT transfers_to FOREIGN KEY (to_id) REFERENCES accounts;
ALTER TABLE transfers ADD CONSTRAINT transfers_positive CHECK (amount > 0 AND from_id <> to_id);
ALTER TABLE quotes ADD CONSTRAINT quotes_valid CHECK (NOT isempty(valid)) NOT VALID;
