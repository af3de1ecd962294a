-- Where marketplaces want to be told of events, and every attempt to tell them.

CREATE TABLE webhook_endpoints (
    id                    text PRIMARY KEY,
    url                   text NOT NULL,
    description           text,
    event_types           text[] NOT NULL,
    enabled               boolean NOT NULL,
    disabled_reason       text,
    -- Sealed with WEBHOOK_ENCRYPTION_KEY. The previous secret signs too until its time is over.
    secret                bytea NOT NULL,
    previous_secret       bytea,
    previous_secret_until timestamptz,
    -- The cursor: every event wanted up to here has been delivered.
    position              bigint NOT NULL,
    -- How the first event after the cursor fares.
    failures              integer NOT NULL DEFAULT 0,
    failing_since         timestamptz,
    next_try_at           timestamptz,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL)),
    CHECK ((failures = 0) = (failing_since IS NULL)),
    CHECK (NOT enabled OR disabled_reason IS NULL)
);

-- One attempt each. Those that somebody asked for are PENDING first; the log outlives its endpoint.
CREATE TABLE webhook_deliveries (
    id              text PRIMARY KEY,
    endpoint_id     text NOT NULL,
    event_id        text NOT NULL REFERENCES events,
    trigger         text NOT NULL CHECK (trigger IN ('event', 'redelivery')),
    status          text NOT NULL CHECK (status IN ('PENDING', 'SUCCEEDED', 'FAILED')),
    response_status integer,
    response_body   text,
    error           text,
    duration_ms     integer,
    created_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    CHECK ((status = 'PENDING') = (finished_at IS NULL))
);
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (endpoint_id, id) WHERE status = 'PENDING';
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);
