-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
INSERT INTO shop.customers (email, name) SELECT 'c' || i || '@example', 'c' || i FROM generate_series(1, 20) i;
INSERT INTO shop.orders (day, customer, amount) SELECT date '2025-12-01' + i, 1 + i % 20, i FROM generate_series(1, 90) i;
