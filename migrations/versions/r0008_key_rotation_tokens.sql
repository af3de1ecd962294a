-- After a rotation the secret before the last is still accepted for a while. Each rotation begins a generation.
ALTER TABLE api_keys
    ADD COLUMN generation integer NOT NULL DEFAULT 1,
    ADD COLUMN previous_secret_hash text,
    ADD COLUMN previous_valid_until timestamptz;

-- Short-lived tokens, never changed. One is worth nothing once its key is revoked or expired, or the generation of secrets has ended
-- that it was made with.
CREATE TABLE api_tokens (
    id             text PRIMARY KEY,
    key_id         text NOT NULL REFERENCES api_keys,
    key_generation integer NOT NULL,
    secret_hash    text NOT NULL,
    scopes         text[] NOT NULL,
    -- The only user whose events and figures it shows.
    user_id        text REFERENCES users,
    expires_at     timestamptz NOT NULL,
    created_at     timestamptz NOT NULL
);
CREATE INDEX api_tokens_by_expiry ON api_tokens (expires_at);
