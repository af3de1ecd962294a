-- Deposits to a wallet that no user has yet wait as HELD; the number of a muxed destination is kept.
ALTER TABLE deposits ALTER COLUMN user_id DROP NOT NULL;
ALTER TABLE deposits ADD COLUMN muxed_id text;
ALTER TABLE deposits DROP CONSTRAINT deposits_status_check;
ALTER TABLE deposits ADD CONSTRAINT deposits_status_check CHECK (status IN ('CREDITED', 'REFUSED', 'HELD'));
ALTER TABLE deposits ADD CONSTRAINT deposits_credited_to_somebody CHECK (status <> 'CREDITED' OR user_id IS NOT NULL);
CREATE INDEX deposits_held ON deposits (recipient) WHERE status = 'HELD';

-- The ledger a stream was last seen to be part of: another hash in its place means that the network has started over.
ALTER TABLE stream_cursors ADD COLUMN anchor_ledger bigint;
ALTER TABLE stream_cursors ADD COLUMN anchor_hash text;
ALTER TABLE stream_cursors ADD COLUMN halted_reason text;
ALTER TABLE stream_cursors ADD COLUMN halted_at timestamptz;

-- Which posting booked a transaction of the chain.
CREATE INDEX ledger_postings_transaction ON ledger_postings (transaction_hash) WHERE transaction_hash IS NOT NULL;
-- Wallets in the order in which a run visits them.
CREATE INDEX wallets_ready ON wallets (id) WHERE kind = 'USER' AND state = 'READY';

CREATE TABLE reconciliation_runs (
    id           text PRIMARY KEY,
    status       text NOT NULL CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED')),
    trigger      text NOT NULL CHECK (trigger IN ('schedule', 'request', 'halt')),
    requested_by text NOT NULL,
    -- By part of the run: {"wallets": {"checked": 10, "inMotion": 0, "notChecked": 0}, …}.
    figures      jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz
);
CREATE INDEX reconciliation_runs_completed ON reconciliation_runs (id) WHERE status = 'COMPLETED';

CREATE TABLE reconciliation_findings (
    id            text PRIMARY KEY,
    run_id        text NOT NULL REFERENCES reconciliation_runs,
    kind          text NOT NULL,
    resource_type text NOT NULL,
    resource_id   text NOT NULL,
    user_id       text REFERENCES users,
    expected      bigint,
    found         bigint,
    explanation   text NOT NULL,
    -- The first run that found just this; events tell of it once.
    first_run_id  text NOT NULL,
    created_at    timestamptz NOT NULL,
    UNIQUE (run_id, kind, resource_id)
);
-- The pages of a run that are done, so that a page tried again adds nothing to the figures.
CREATE TABLE reconciliation_pages (
    run_id  text NOT NULL REFERENCES reconciliation_runs,
    part    text NOT NULL,
    after   text NOT NULL,
    figures jsonb NOT NULL,
    PRIMARY KEY (run_id, part, after)
);
