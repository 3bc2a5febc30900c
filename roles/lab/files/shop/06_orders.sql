-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- What is bought: partitions by range (months) and by hash, one sequence that two tables share.

CREATE SEQUENCE document_ids;

CREATE TABLE orders (
    id          bigint NOT NULL DEFAULT nextval('shop.document_ids'),
    placed_at   timestamptz NOT NULL DEFAULT now(),
    customer_id bigint NOT NULL,
    status      order_status NOT NULL DEFAULT 'new',
    total       amount NOT NULL DEFAULT 0,
    note        text,
    PRIMARY KEY (id, placed_at)
) PARTITION BY RANGE (placed_at);

CREATE TABLE orders_default PARTITION OF orders DEFAULT;
SELECT format('CREATE TABLE orders_%s PARTITION OF orders FOR VALUES FROM (%L) TO (%L)',
              to_char(month, 'YYYY_MM'), month::timestamptz, (month + interval '1 month')::timestamptz)
FROM generate_series(date_trunc('month', now()) - interval '12 months', now() + interval '2 months', '1 month') AS month
\gexec

CREATE TABLE order_items (
    order_id  bigint NOT NULL,
    line_no   smallint NOT NULL,
    placed_at timestamptz NOT NULL,
    sku       text NOT NULL,
    quantity  integer NOT NULL,
    price     amount NOT NULL,
    amount    numeric(14, 2) GENERATED ALWAYS AS (quantity * price) STORED,
    PRIMARY KEY (order_id, line_no)
) PARTITION BY HASH (order_id);

SELECT format('CREATE TABLE order_items_%s PARTITION OF order_items FOR VALUES WITH (MODULUS 4, REMAINDER %s)', n, n)
FROM generate_series(0, 3) AS n
\gexec

CREATE TABLE quotes (
    id          bigint PRIMARY KEY DEFAULT nextval('shop.document_ids'),
    customer_id bigint NOT NULL,
    valid       tstzrange NOT NULL
);
