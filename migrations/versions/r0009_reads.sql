-- An account's entries by posting, with their amounts: a balance is summed from the index alone.
DROP INDEX ledger_entries_account;
CREATE INDEX ledger_entries_account ON ledger_entries (account, posting_id) INCLUDE (amount);
-- What a buyer's open orders hold, however many are closed.
CREATE INDEX orders_open_of_buyer ON orders (buyer_id) WHERE state <> 'CLOSED';
-- Orders by metadata, for those that have any.
CREATE INDEX orders_metadata ON orders USING gin (metadata jsonb_path_ops) WHERE metadata <> '{}';
-- The envelopes of one operation.
CREATE INDEX attempts_operation ON attempts (operation_id, id) WHERE operation_id IS NOT NULL;
-- Lumens that somebody sent to a user's wallet.
CREATE INDEX deposits_lumens ON deposits (user_id) INCLUDE (amount) WHERE asset = 'XLM';
-- Users by what they are; almost none are suspended.
CREATE INDEX users_type ON users (type, id);
CREATE INDEX users_suspended ON users (id) WHERE status = 'SUSPENDED';
