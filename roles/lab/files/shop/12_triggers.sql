-- Copyright: (c) 2026, The Crossover authors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Triggers: one per row, one per statement with a transition table, one ALWAYS, one switched off.

CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;

CREATE FUNCTION audit_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shop.audit_log (action, subject, detail)
    VALUES (lower(TG_OP), 'order ' || NEW.id, jsonb_build_object('status', NEW.status));
    RETURN NULL;
END $$;

CREATE FUNCTION audit_refunds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shop.audit_log (action, subject, detail)
    SELECT 'refund', 'invoice ' || number, jsonb_build_object('amount', amount) FROM added;
    RETURN NULL;
END $$;

CREATE FUNCTION upper_code() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.code := upper(NEW.code);
    RETURN NEW;
END $$;

CREATE TRIGGER touch BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER touch BEFORE UPDATE ON products FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER audit AFTER INSERT OR UPDATE OF status ON orders FOR EACH ROW EXECUTE FUNCTION audit_order();
CREATE TRIGGER audit AFTER INSERT ON refunds
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION audit_refunds();
CREATE TRIGGER upper_code BEFORE INSERT OR UPDATE ON coupons FOR EACH ROW EXECUTE FUNCTION upper_code();
ALTER TABLE coupons ENABLE ALWAYS TRIGGER upper_code;
CREATE TRIGGER touch BEFORE UPDATE ON carts FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE carts DISABLE TRIGGER touch;  -- it would fail: carts have no updated_at
