-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- The rows. The same scale gives the same rows, apart from times and random uuids.

SELECT setseed(0.5) \g /dev/null

INSERT INTO regions VALUES ('ap', 'Asia-Pacific'), ('eu', 'Europe'), ('na', 'North America'), ('sa', 'South America');
INSERT INTO categories (parent_id, name) SELECT nullif(n / 5, 0), 'category ' || n FROM generate_series(1, 50) AS n;

INSERT INTO products (sku, category_id, name, price, status, former, labels, attributes, available, bargain, picture, stock)
SELECT 'sku-' || lpad(n::text, 6, '0'), 1 + n % 50, 'Product ' || n || ' of colour ' || n % 7, (n % 900) + 0.99,
       (enum_range(NULL::product_status))[1 + n % 4], CASE n % 3 WHEN 0 THEN '{draft,"sold out"}'::product_status[] ELSE '{}' END,
       CASE n % 5 WHEN 0 THEN NULL ELSE ARRAY['new', 'tag ' || n % 11] END,
       jsonb_build_object('weight', n % 100, 'colours', jsonb_build_array('red', n % 7)),
       daterange('2025-01-01', CASE n % 2 WHEN 0 THEN '2027-01-01'::date END), price_range(n % 10, n % 10 + 5),
       decode(md5(n::text), 'hex'), 1000000
FROM generate_series(1, :products) AS n;

INSERT INTO maintenance (during)
SELECT tstzrange(t, t + interval '1 hour') FROM generate_series('2025-01-01'::timestamptz, '2025-12-01', '1 month') AS t;

INSERT INTO stock_moves (sku, change)
SELECT 'sku-' || lpad((1 + n % :products)::text, 6, '0'), n % 21 - 10 FROM generate_series(1, :moves) AS n;

INSERT INTO customers (email, name, region, billing, preferences, created_at)
SELECT 'customer' || n || '@mail' || n % 97 || '.example', 'Customer ' || n, (ARRAY['ap', 'eu', 'na', 'sa'])[1 + n % 4],
       ROW('Main Street', (n % 200)::text, 'City ' || n % 300)::address_line,
       jsonb_build_object('news', n % 2 = 0, 'limit', n % 1000), now() - n % 365 * interval '1 day'
FROM generate_series(1, :customers) AS n;

INSERT INTO addresses (customer_id, line, located)
SELECT n, ROW('Side Street', NULL, 'City ' || n % 300)::address_line, point(n % 180, n % 90)
FROM generate_series(1, :customers) AS n;
UPDATE customers SET default_address_id = id WHERE id % 10 = 0;

INSERT INTO customer_notes
SELECT n, 1, (ARRAY['ap', 'eu', 'na', 'sa'])[1 + n % 4], 'note on ' || n FROM generate_series(1, :customers, 10) AS n;
INSERT INTO carts SELECT n, 'sku-' || lpad((1 + n % 100)::text, 6, '0'), 1 + n % 3 FROM generate_series(1, :customers, 7) AS n;

INSERT INTO orders (placed_at, customer_id, status, total)
SELECT now() - n % 360 * interval '1 day', 1 + n % :customers, (enum_range(NULL::order_status))[1 + n % 5], n % 500
FROM generate_series(1, :orders) AS n;
INSERT INTO order_items (order_id, line_no, placed_at, sku, quantity, price)
SELECT o.id, line, o.placed_at, 'sku-' || lpad((1 + (o.id * line) % :products)::text, 6, '0'), line, (o.id % 90) + 0.5
FROM orders AS o, generate_series(1, 2) AS line;
INSERT INTO quotes (customer_id, valid)
SELECT 1 + n % :customers, tstzrange(now(), now() + interval '30 days', '[]') FROM generate_series(1, :customers, 20) AS n;

INSERT INTO accounts SELECT n, 100000 FROM generate_series(1, :accounts) AS n;
INSERT INTO invoices (order_id, amount) SELECT n, n % 500 FROM generate_series(1, :invoices) AS n;
INSERT INTO refunds (number, amount) SELECT number, 1.50 FROM invoices WHERE number % 20 = 0;
INSERT INTO tickets (day) SELECT current_date - n / 900 FROM generate_series(1, 1500) AS n;
SELECT nextval('batch_ids') FROM generate_series(1, 3) \g /dev/null

INSERT INTO audit_log (at, actor, action, subject, detail)
SELECT now() - n * interval '1 minute', 'shop_app', 'insert', 'order ' || n, CASE n % 3 WHEN 0 THEN '{"a": 1}'::jsonb END
FROM generate_series(1, :audits) AS n;
INSERT INTO audit_log (at, action, subject) SELECT '2025-06-01', 'same', 'twice' FROM generate_series(1, 2);
INSERT INTO events (kind, at, data)
SELECT (ARRAY['click', 'view', 'cart', 'search'])[1 + n % 4], now() - n % 800 * interval '1 day', jsonb_build_object('n', n)
FROM generate_series(1, :events) AS n;
INSERT INTO sessions (expires) SELECT now() FROM generate_series(1, 100);

INSERT INTO coupons SELECT 'CODE' || n, 0.1 FROM generate_series(1, 500) AS n;
INSERT INTO wishes SELECT n, 'sku-000001', CASE n % 2 WHEN 0 THEN '' END FROM generate_series(1, 200) AS n;
INSERT INTO media (title) SELECT 'medium ' || n FROM generate_series(1, 50) AS n;
INSERT INTO books (title, isbn) SELECT 'book ' || n, '978-' || n FROM generate_series(1, 50) AS n;
INSERT INTO documents (title, content) SELECT 'manual ' || n, lo_from_bytea(0, decode(repeat(md5(n::text), 500), 'hex'))
FROM generate_series(1, 3) AS n;

INSERT INTO samples (b, i2, i8, n, f4, f8, m, t, c, v, bits, vbits, raw, d, tm, tz, ts, iv, ip, net, mac, p, bx, q, j, jb,
                     r, mr, names, status, line, lsn)
SELECT n % 2 = 0, n, n * 10000000000, n + 0.10, n / 3.0, n / 7.0, n::numeric::money, 'text ' || n, 'ab', 'v' || n,
       '1010', '101', decode(lpad(to_hex(n), 4, '0'), 'hex'), '2025-01-01'::date + n, '12:30:00.5', now(), '2025-03-30 02:30',
       n * interval '1 month 2 days 3.5 seconds', '10.0.0.1', '10.1.0.0/16', '08:00:2b:01:02:03', point(n, -n),
       box(point(0, 0), point(n, n)), 'red & !blue', '{"b": 1,  "a": 1, "a": 2}', '{"b": 1, "a": [null, 1.0, 1.00]}',
       int4range(n, n + 5), int4multirange(int4range(1, 3), int4range(7, 9)), ARRAY[['a', NULL], ['', 'NULL']],
       'paid', ROW('x,y', '"', NULL)::address_line, '16/B374D848'
FROM generate_series(1, 200) AS n;
INSERT INTO samples (n, f4, f8, t, tz, d) VALUES
    ('NaN', '-0', '-0', '', 'infinity', '-infinity'), (1.0, 'NaN', 'Infinity', NULL, '-infinity', 'infinity'),
    (1.00, 0, 1e-300, E'tab\tnewline\nbackslash\\', '0001-01-01 00:00:00+00 BC', NULL), (NULL, NULL, NULL, '🛒 ñ ß', NULL, NULL),
    (repeat('9', 60)::numeric, 1, 1, repeat('long ', 20000), now(), now());

RESET ROLE;
SET ROLE legacy_owner;
SET search_path = "Legacy";
INSERT INTO "Order" ("Mixed Case", "dot.ted", "quo""te", "straße") SELECT 'x' || n, n, '"', 'ß' FROM generate_series(1, 300) AS n;
INSERT INTO "od.d ""name""" SELECT 'u' || n % 7, n FROM generate_series(1, 100) AS n;
INSERT INTO "two
lines" SELECT n, '%' FROM generate_series(1, 20) AS n;
INSERT INTO "größe_наименование" SELECT 'größe ' || n, n FROM generate_series(1, 20) AS n;
INSERT INTO nothing SELECT FROM generate_series(1, 3);
SELECT nextval('"Odd.Sequence"') \g /dev/null
RESET ROLE;
SET ROLE shop_owner;
SET search_path = shop;
