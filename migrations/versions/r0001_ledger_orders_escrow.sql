-- Money is bigint stroops (10^-7 USDC). Ids are prefixed text made by the server. Times are timestamptz, UTC.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

-- People and their wallets -------------------------------------------------------------------------------------------

CREATE TABLE users (
    id               text PRIMARY KEY,
    external_user_id text NOT NULL UNIQUE,
    email            text,
    type             text NOT NULL CHECK (type IN ('BUYER', 'SELLER', 'BOTH')),
    status           text NOT NULL CHECK (status IN ('ACTIVE', 'SUSPENDED')),
    metadata         jsonb NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);

-- One row per key that custody holds. USER wallets belong to one user for ever; the others are the platform's own accounts.
CREATE TABLE wallets (
    id           text PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('USER', 'SPONSOR', 'FEE', 'SIGNER', 'PLATFORM')),
    state        text NOT NULL CHECK (state IN ('PREPARED', 'ACTIVATING', 'READY', 'RETIRED')),
    user_id      text UNIQUE REFERENCES users,
    public_key   text NOT NULL UNIQUE,
    seal_format  smallint NOT NULL,
    seal_key_id  text NOT NULL,
    wrapped_key  bytea NOT NULL,
    seal_nonce   bytea NOT NULL,
    sealed_seed  bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    ready_at     timestamptz,
    CHECK (user_id IS NULL OR kind = 'USER')
);
CREATE INDEX wallets_stock ON wallets (id) WHERE user_id IS NULL AND kind = 'USER';
CREATE INDEX wallets_platform ON wallets (kind, id) WHERE kind <> 'USER';

-- The ledger ---------------------------------------------------------------------------------------------------------

CREATE TABLE ledger_postings (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference        text NOT NULL,
    kind             text NOT NULL,
    transaction_hash text,
    created_at       timestamptz NOT NULL,
    UNIQUE (reference, kind)
);

CREATE TABLE ledger_entries (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    posting_id bigint NOT NULL REFERENCES ledger_postings,
    account    text NOT NULL,
    amount     bigint NOT NULL CHECK (amount <> 0)
);
CREATE INDEX ledger_entries_account ON ledger_entries (account, id);
CREATE INDEX ledger_entries_posting ON ledger_entries (posting_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_postings FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_entries FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger_postings EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger_entries EXECUTE FUNCTION refuse_change();

-- At commit the entries of every posting that was touched sum to zero, whoever wrote them; one without entries does not.
CREATE FUNCTION check_posting_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posting bigint := CASE TG_TABLE_NAME WHEN 'ledger_postings' THEN (to_jsonb(NEW)->>'id')::bigint ELSE (to_jsonb(NEW)->>'posting_id')::bigint END;
BEGIN
    IF (SELECT sum(amount) FROM ledger_entries WHERE posting_id = posting) IS DISTINCT FROM 0 THEN
        RAISE EXCEPTION 'posting % does not balance', posting USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger_postings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_posting_balances();
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_posting_balances();

-- Cached sums of the entries, kept in the transaction of the posting. Only the outside world may go below zero.
CREATE TABLE account_balances (
    account    text PRIMARY KEY,
    balance    bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT account_not_negative CHECK (balance >= 0 OR account LIKE 'world:%')
);

INSERT INTO account_balances (account, balance, updated_at)
SELECT account, 0, now() FROM unnest(ARRAY['platform:revenue', 'protocol:fees', 'world:stellar']) AS account;

-- Orders and escrows -------------------------------------------------------------------------------------------------

CREATE TABLE orders (
    id               text PRIMARY KEY,
    client_order_ref text,
    buyer_id         text NOT NULL REFERENCES users,
    seller_id        text NOT NULL REFERENCES users,
    amount           bigint NOT NULL CHECK (amount > 0),
    currency         text NOT NULL,
    title            text NOT NULL,
    description      text,
    state            text NOT NULL,
    final_status     text,
    platform_fee_bps integer NOT NULL CHECK (platform_fee_bps BETWEEN 0 AND 9900),
    cancel_reason    text,
    metadata         jsonb NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    closed_at        timestamptz,
    CHECK (buyer_id <> seller_id),
    CHECK ((state = 'CLOSED') = (final_status IS NOT NULL))
);
CREATE INDEX orders_buyer ON orders (buyer_id, id);
CREATE INDEX orders_seller ON orders (seller_id, id);
CREATE INDEX orders_state ON orders (state, id);
CREATE INDEX orders_client_order_ref ON orders (client_order_ref) WHERE client_order_ref IS NOT NULL;

CREATE TABLE milestones (
    id       text PRIMARY KEY,
    order_id text NOT NULL REFERENCES orders,
    position smallint NOT NULL,
    ref      text NOT NULL,
    title    text NOT NULL,
    amount   bigint,
    state    text NOT NULL,
    UNIQUE (order_id, ref),
    UNIQUE (order_id, position)
);

-- Whose turn it is in the pool of platform signers.
CREATE SEQUENCE signer_turns;

CREATE TABLE escrows (
    id               text PRIMARY KEY,
    order_id         text NOT NULL UNIQUE REFERENCES orders,
    state            text NOT NULL,
    amount           bigint NOT NULL CHECK (amount > 0),
    -- The platform account that deploys this contract and resolves its disputes; fixed when the escrow is created.
    signer           text NOT NULL,
    contract_id      text UNIQUE,
    deploy_hash      text,
    fund_hash        text,
    release_hash     text,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);

-- Decisions and their execution --------------------------------------------------------------------------------------

CREATE TABLE operations (
    id                 text PRIMARY KEY,
    kind               text NOT NULL,
    resource_type      text NOT NULL,
    resource_id        text NOT NULL,
    status             text NOT NULL CHECK (status IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED')),
    workflow_id        text NOT NULL,
    transaction_hashes text[] NOT NULL DEFAULT '{}',
    error              jsonb,
    details            jsonb NOT NULL DEFAULT '{}',
    correlation_id     text NOT NULL,
    requested_by       text NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    finished_at        timestamptz
);
CREATE INDEX operations_resource ON operations (resource_id, id);
CREATE INDEX operations_in_flight ON operations (created_at) WHERE status IN ('PENDING', 'RUNNING');
-- Two operations never work on the same thing at once.
CREATE UNIQUE INDEX operations_one_in_flight ON operations (resource_id) WHERE status IN ('PENDING', 'RUNNING');

-- The outbox: what workflows must be told, written with the change that calls for it (operations first: lower priority number).
CREATE TABLE workflow_messages (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    priority      smallint NOT NULL,
    workflow      text NOT NULL,
    workflow_id   text NOT NULL,
    signal        text NOT NULL,
    payload       jsonb NOT NULL,
    created_at    timestamptz NOT NULL,
    -- A dispatcher at work on it; after this moment another one may take it.
    claimed_until timestamptz,
    dispatched_at timestamptz
);
CREATE INDEX workflow_messages_pending ON workflow_messages (priority, id) WHERE dispatched_at IS NULL;
CREATE INDEX workflow_messages_operation ON workflow_messages ((payload ->> 'operation_id')) WHERE payload ->> 'operation_id' <> '';

CREATE TABLE idempotency_keys (
    caller_id    text NOT NULL,
    key          text NOT NULL,
    method       text NOT NULL,
    path         text NOT NULL,
    body_hash    text NOT NULL,
    status       smallint NOT NULL,
    response     jsonb NOT NULL,
    -- Set while the answer is a promise: the operation whose outcome will replace it.
    operation_id text,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (caller_id, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- One row per signed envelope, written before the envelope leaves the house.
CREATE TABLE attempts (
    id           text PRIMARY KEY,
    intent_id    text NOT NULL,
    operation_id text REFERENCES operations,
    -- The plan's step this envelope carries out: {"action", "party", "milestone_index"}; null for the platform's own accounts.
    step         jsonb,
    via          text NOT NULL CHECK (via IN ('horizon', 'trustless')),
    source       text NOT NULL,
    sequence     bigint NOT NULL,
    inner_hash   text NOT NULL UNIQUE,
    outer_hash   text NOT NULL,
    envelope     text NOT NULL,
    max_time     bigint NOT NULL,
    -- The contract a deploy will create, known before it is sent.
    contract_id  text,
    state        text NOT NULL,
    submissions  integer NOT NULL DEFAULT 0,
    ledger       bigint,
    code         text,
    reason       text,
    movements    jsonb,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE UNIQUE INDEX attempts_one_open ON attempts (intent_id) WHERE state IN ('SIGNED', 'SUBMITTED', 'UNKNOWN');
CREATE UNIQUE INDEX attempts_one_applied ON attempts (intent_id) WHERE state = 'CONFIRMED';
CREATE INDEX attempts_intent ON attempts (intent_id, id);
CREATE INDEX attempts_source ON attempts (source, sequence);

-- The sequencer: who wants to use a source account, first come first served. The first row of an account holds it.
CREATE TABLE source_leases (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source     text NOT NULL,
    intent_id  text NOT NULL UNIQUE,
    seen_at    timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX source_leases_queue ON source_leases (source, id);

-- What the chain brought ---------------------------------------------------------------------------------------------

CREATE TABLE deposits (
    id               text PRIMARY KEY,
    chain_operation  text NOT NULL,
    change_index     smallint NOT NULL,
    transaction_hash text NOT NULL,
    user_id          text NOT NULL REFERENCES users,
    recipient        text NOT NULL,
    sender           text NOT NULL,
    amount           bigint NOT NULL CHECK (amount > 0),
    asset            text NOT NULL,
    status           text NOT NULL CHECK (status IN ('CREDITED', 'REFUSED')),
    reason           text,
    memo             text,
    ledger_closed_at timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    UNIQUE (chain_operation, change_index)
);
CREATE INDEX deposits_user ON deposits (user_id, id);

CREATE TABLE stream_cursors (
    name       text PRIMARY KEY,
    cursor     text NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Events, audit, keys ------------------------------------------------------------------------------------------------

CREATE TABLE events (
    id             text PRIMARY KEY,
    -- Insert order; the relay turns it into `position` for committed rows only, so positions follow commits.
    inserted       bigint GENERATED ALWAYS AS IDENTITY,
    position       bigint UNIQUE,
    type           text NOT NULL,
    aggregate_type text NOT NULL,
    aggregate_id   text NOT NULL,
    user_ids       text[] NOT NULL,
    payload        jsonb NOT NULL,
    metadata       jsonb NOT NULL,
    occurred_at    timestamptz NOT NULL
);
CREATE INDEX events_unnumbered ON events (inserted) WHERE position IS NULL;
CREATE INDEX events_aggregate ON events (aggregate_id, position);

CREATE FUNCTION only_number_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.position IS NOT NULL OR NEW.position IS NULL
       OR (to_jsonb(NEW) - 'position') IS DISTINCT FROM (to_jsonb(OLD) - 'position') THEN
        RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION only_number_event();
CREATE TRIGGER no_delete BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE audit_log (
    id             text PRIMARY KEY,
    action         text NOT NULL,
    resource_type  text NOT NULL,
    resource_id    text NOT NULL,
    actor_id       text NOT NULL,
    before         jsonb,
    after          jsonb,
    correlation_id text NOT NULL,
    occurred_at    timestamptz NOT NULL
);
CREATE INDEX audit_log_resource ON audit_log (resource_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE api_keys (
    id           text PRIMARY KEY,
    name         text NOT NULL,
    secret_hash  text NOT NULL,
    scopes       text[] NOT NULL,
    allowed_ips  text[] NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    created_at   timestamptz NOT NULL
);
