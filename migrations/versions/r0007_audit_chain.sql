-- The audit log itself stays as it was written. The chain stands beside it, so that sealing an entry never touches it.

ALTER TABLE audit_log ADD COLUMN user_ids text[] NOT NULL DEFAULT '{}';
CREATE INDEX audit_log_actor ON audit_log (actor_id, id);
CREATE INDEX audit_log_time ON audit_log (occurred_at);
CREATE INDEX audit_log_users ON audit_log USING gin (user_ids) WITH (fastupdate = off);
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_log EXECUTE FUNCTION refuse_change();

CREATE TABLE audit_chain (
    sequence      bigint PRIMARY KEY CHECK (sequence > 0),
    audit_id      text NOT NULL UNIQUE REFERENCES audit_log,
    previous_hash text NOT NULL UNIQUE,
    hash          text NOT NULL UNIQUE,
    sealed_at     timestamptz NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_chain FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_chain EXECUTE FUNCTION refuse_change();

-- Entries that wait for their seal; whoever writes an entry, it comes here.
CREATE TABLE audit_unsealed (
    inserted bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    audit_id text NOT NULL
);
CREATE FUNCTION await_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unsealed (audit_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER await_seal AFTER INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION await_seal();
INSERT INTO audit_unsealed (audit_id) SELECT id FROM audit_log ORDER BY id;

-- Whether new money is refused. One row.
CREATE TABLE maintenance (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    draining   boolean NOT NULL,
    reason     text,
    changed_by text,
    changed_at timestamptz
);
INSERT INTO maintenance (draining) VALUES (false);

-- What ended lately, for the metrics.
CREATE INDEX operations_finished ON operations (finished_at) WHERE finished_at IS NOT NULL;
