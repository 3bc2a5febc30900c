-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- How large the shop is. With scale 1 it has about a million rows.

\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET synchronous_commit = off;

SELECT greatest(200, round(60000 * :scale))  AS customers,
       greatest(100, round(10000 * :scale))  AS products,
       greatest(500, round(150000 * :scale)) AS orders,
       greatest(100, round(10000 * :scale))  AS accounts,
       greatest(300, round(200000 * :scale)) AS events,
       greatest(200, round(120000 * :scale)) AS audits,
       greatest(100, round(30000 * :scale))  AS invoices,
       greatest(200, round(50000 * :scale))  AS moves
\gset
