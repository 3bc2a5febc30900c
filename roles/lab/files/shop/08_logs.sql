-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- What is recorded: a table without a primary key, partitions in partitions, and the list that the workload appends to.

-- One row for every transaction of the workload. (run, client, seq) is the idempotency key, and deliberately not unique:
-- a unique key would hide a transaction that was applied twice.
CREATE TABLE request_log (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run    text NOT NULL,
    client smallint NOT NULL,
    seq    bigint NOT NULL,
    kind   text NOT NULL,
    parts  smallint NOT NULL DEFAULT 0,
    at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE audit_log (
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor   text NOT NULL DEFAULT current_user,
    action  text NOT NULL,
    subject text NOT NULL,
    detail  jsonb
);

CREATE TABLE events (
    id   bigserial,
    kind text NOT NULL,
    at   timestamptz NOT NULL DEFAULT now(),
    data jsonb,
    PRIMARY KEY (id, kind, at)
) PARTITION BY LIST (kind);

CREATE TABLE events_seen PARTITION OF events FOR VALUES IN ('click', 'view');
CREATE TABLE events_other PARTITION OF events DEFAULT;
CREATE TABLE events_cart PARTITION OF events FOR VALUES IN ('cart') PARTITION BY RANGE (at);
CREATE TABLE events_cart_past PARTITION OF events_cart FOR VALUES FROM (MINVALUE) TO ('2025-01-01');
CREATE TABLE events_cart_now PARTITION OF events_cart FOR VALUES FROM ('2025-01-01') TO (MAXVALUE);

CREATE UNLOGGED TABLE sessions (
    token   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    expires timestamptz NOT NULL
);
