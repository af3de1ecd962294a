"""The ledger: entries, envelopes, the queue, the rules of operations, closing, and the history that results.

Here: what stellar-core does and what Horizon's ingestion stores. Never here: HTTP, or the rules of contracts
(``sandbox.contracts`` executes those inside an overlay of this state).
"""
