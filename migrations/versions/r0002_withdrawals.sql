-- Money on its way out of a user's wallet. What is held for it is the balance of the account `transit:<id>`.

CREATE TABLE withdrawals (
    id               text PRIMARY KEY,
    user_id          text NOT NULL REFERENCES users,
    amount           bigint NOT NULL CHECK (amount > 0),
    currency         text NOT NULL,
    destination_type text NOT NULL,
    destination      text NOT NULL,
    memo_type        text,
    memo             text,
    description      text,
    state            text NOT NULL,
    operation_id     text NOT NULL REFERENCES operations,
    transaction_hash text,
    -- Why it failed: {"code", "message"}.
    failure          jsonb,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    finished_at      timestamptz,
    CHECK ((memo IS NULL) = (memo_type IS NULL)),
    CHECK ((state = 'WITHDRAWAL_COMPLETED') = (transaction_hash IS NOT NULL))
);
CREATE INDEX withdrawals_user ON withdrawals (user_id, id);
CREATE INDEX withdrawals_state ON withdrawals (state, id);
CREATE INDEX withdrawals_in_transit ON withdrawals (user_id) WHERE finished_at IS NULL;
