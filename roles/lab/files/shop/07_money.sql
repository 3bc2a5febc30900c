-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- What is paid: balances whose sum never changes, and sequences of every kind.

CREATE TABLE accounts (
    id      integer PRIMARY KEY,
    balance bigint NOT NULL,
    version integer NOT NULL DEFAULT 0
);

CREATE TABLE transfers (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run     text NOT NULL,
    client  smallint NOT NULL,
    seq     bigint NOT NULL,
    from_id integer NOT NULL,
    to_id   integer NOT NULL,
    amount  integer NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE SEQUENCE invoice_numbers AS integer START 2147000000;  -- its end is near: 483,647 numbers are left
CREATE TABLE invoices (
    number    integer PRIMARY KEY DEFAULT nextval('shop.invoice_numbers'),
    order_id  bigint NOT NULL,
    amount    amount NOT NULL,
    issued_on date NOT NULL DEFAULT current_date
);
ALTER SEQUENCE invoice_numbers OWNED BY invoices.number;

CREATE SEQUENCE refund_ids INCREMENT -1 START -1;  -- counts down
CREATE TABLE refunds (
    id     bigint PRIMARY KEY DEFAULT nextval('shop.refund_ids'),
    number integer NOT NULL,
    amount amount NOT NULL
);

CREATE SEQUENCE ticket_numbers AS smallint MAXVALUE 999 CYCLE CACHE 5;
CREATE TABLE tickets (
    day    date NOT NULL DEFAULT current_date,
    number smallint NOT NULL DEFAULT nextval('shop.ticket_numbers'),
    ticket uuid NOT NULL DEFAULT gen_random_uuid(),
    PRIMARY KEY (day, number, ticket)
);

CREATE SEQUENCE batch_ids INCREMENT 50 START 100;  -- used by the application alone, no column refers to it
CREATE SEQUENCE never_called START 7;
