-- The same guards, without turning rows into JSON: one of them runs three times per posting, the other once per event.

CREATE OR REPLACE FUNCTION check_posting_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posting bigint;
BEGIN
    IF TG_TABLE_NAME = 'ledger_postings' THEN posting := NEW.id; ELSE posting := NEW.posting_id; END IF;
    IF (SELECT sum(amount) FROM ledger_entries WHERE posting_id = posting) IS DISTINCT FROM 0 THEN
        RAISE EXCEPTION 'posting % does not balance', posting USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION only_number_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    numbered events := OLD;
BEGIN
    numbered.position := NEW.position;
    IF OLD.position IS NOT NULL OR NEW.position IS NULL OR NEW IS DISTINCT FROM numbered THEN
        RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
