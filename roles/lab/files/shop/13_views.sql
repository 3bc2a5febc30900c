-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Views on tables and on each other, a materialised view, functions and a procedure.

CREATE VIEW order_totals AS
SELECT o.id, o.placed_at, c.region, sum(i.amount) AS amount
FROM orders AS o
JOIN customers AS c ON c.id = o.customer_id
JOIN order_items AS i ON i.order_id = o.id
GROUP BY o.id, o.placed_at, c.region;

CREATE VIEW big_orders WITH (security_barrier) AS SELECT * FROM order_totals WHERE amount > 100;

CREATE MATERIALIZED VIEW sales_by_region AS
SELECT region, date_trunc('month', placed_at) AS month, count(*) AS orders, sum(amount) AS amount
FROM order_totals
GROUP BY 1, 2;
CREATE UNIQUE INDEX sales_by_region_key ON sales_by_region (region, month);

CREATE FUNCTION spent_by(customer bigint) RETURNS numeric
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT coalesce(sum(total), 0) FROM shop.orders WHERE customer_id = customer;
    END;

CREATE PROCEDURE refresh_sales() LANGUAGE sql SECURITY DEFINER SET search_path = shop AS $$
    REFRESH MATERIALIZED VIEW CONCURRENTLY shop.sales_by_region;
$$;

COMMENT ON TABLE orders IS 'one row an order; partitions by month';
COMMENT ON COLUMN orders.note IS 'it''s free text';
COMMENT ON VIEW big_orders IS 'over 100';
