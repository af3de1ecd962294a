-- After a rotation the secret before the last is still accepted for a while.
ALTER TABLE api_keys ADD COLUMN previous_secret_hash text, ADD COLUMN previous_valid_until timestamptz;

-- Short-lived tokens. One is worth nothing once its key is revoked or expired.
CREATE TABLE api_tokens (
    id          text PRIMARY KEY,
    key_id      text NOT NULL REFERENCES api_keys,
    secret_hash text NOT NULL,
    scopes      text[] NOT NULL,
    -- The only user whose events and figures it shows.
    user_id     text REFERENCES users,
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX api_tokens_of_key ON api_tokens (key_id);
CREATE INDEX api_tokens_by_expiry ON api_tokens (expires_at);
