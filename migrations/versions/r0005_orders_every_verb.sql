-- Time in orders: the wishes they were created with, and the deadlines that follow from what happened.
ALTER TABLE orders ADD COLUMN release_mode text NOT NULL DEFAULT 'single' CHECK (release_mode IN ('single', 'per_milestone'));
ALTER TABLE orders ADD COLUMN reservation_expires_after_s integer CHECK (reservation_expires_after_s > 0);
ALTER TABLE orders ADD COLUMN auto_release_after_s integer CHECK (auto_release_after_s > 0);
-- Whether the platform gives the buyer back what a full refund costs in fees; frozen like the fee itself.
ALTER TABLE orders ADD COLUMN make_buyer_whole boolean NOT NULL DEFAULT false;
ALTER TABLE orders ADD COLUMN reservation_expires_at timestamptz;
ALTER TABLE orders ADD COLUMN auto_release_at timestamptz;
CREATE INDEX orders_reservation_deadline ON orders (reservation_expires_at) WHERE state <> 'CLOSED' AND reservation_expires_at IS NOT NULL;
CREATE INDEX orders_release_deadline ON orders (auto_release_at) WHERE state = 'IN_PROGRESS' AND auto_release_at IS NOT NULL;

ALTER TABLE milestones ADD COLUMN completed_at timestamptz;
ALTER TABLE milestones ADD COLUMN evidence text;
ALTER TABLE milestones ADD COLUMN payout_hash text;

ALTER TABLE escrows ADD COLUMN dispute_hash text;
ALTER TABLE escrows ADD COLUMN refund_hash text;

CREATE TABLE disputes (
    id               text PRIMARY KEY,
    order_id         text NOT NULL REFERENCES orders,
    -- The milestone on a per-milestone order; null: the whole order.
    milestone_index  smallint,
    state            text NOT NULL CHECK (state IN ('OPEN', 'UNDER_REVIEW', 'RESOLVING', 'RESOLVED', 'REFUSED')),
    opened_by        text NOT NULL CHECK (opened_by IN ('BUYER', 'SELLER')),
    reason           text NOT NULL,
    description      text,
    -- Gross, and what a decision distributes: fixed when the dispute is opened.
    amount           bigint NOT NULL CHECK (amount > 0),
    assigned_to      text,
    notes            text,
    -- The contract is frozen on the chain: only then is there something to resolve.
    frozen_hash      text,
    decision         text CHECK (decision IN ('FULL_RELEASE', 'FULL_REFUND', 'SPLIT')),
    release_amount   bigint CHECK (release_amount >= 0),
    refund_amount    bigint CHECK (refund_amount >= 0),
    resolution_note  text,
    resolved_by      text,
    resolution_hash  text,
    escalates_at     timestamptz,
    escalated_at     timestamptz,
    decides_at       timestamptz,
    default_decision text CHECK (default_decision IN ('FULL_RELEASE', 'FULL_REFUND')),
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    resolved_at      timestamptz,
    CHECK (release_amount + refund_amount = amount)
);
CREATE UNIQUE INDEX disputes_one_open ON disputes (order_id) WHERE state IN ('OPEN', 'UNDER_REVIEW', 'RESOLVING');
CREATE INDEX disputes_order ON disputes (order_id, id);
CREATE INDEX disputes_state ON disputes (state, id);
CREATE INDEX disputes_assigned ON disputes (assigned_to, id) WHERE assigned_to IS NOT NULL;
CREATE INDEX disputes_escalation ON disputes (escalates_at)
    WHERE state IN ('OPEN', 'UNDER_REVIEW') AND escalates_at IS NOT NULL AND escalated_at IS NULL;
CREATE INDEX disputes_decision ON disputes (decides_at) WHERE state IN ('OPEN', 'UNDER_REVIEW') AND decides_at IS NOT NULL;

-- What the parties and support say and show; nobody can change it afterwards.
CREATE TABLE dispute_records (
    id           text PRIMARY KEY,
    dispute_id   text NOT NULL REFERENCES disputes,
    kind         text NOT NULL CHECK (kind IN ('EVIDENCE', 'MESSAGE')),
    author       text NOT NULL,
    content      jsonb NOT NULL,
    -- sha256 of the canonical JSON of author and content.
    content_hash text NOT NULL,
    created_at   timestamptz NOT NULL
);
CREATE INDEX dispute_records_dispute ON dispute_records (dispute_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON dispute_records FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON dispute_records EXECUTE FUNCTION refuse_change();

-- How far the engine's clock is ahead of the wall clock: zero, except where a sandbox's clock was advanced.
CREATE TABLE engine_clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ahead_s  bigint NOT NULL
);
INSERT INTO engine_clock (ahead_s) VALUES (0);
