"""Horizon's HTTP API over the sandbox's ledger: resources, pages, event streams, submission, problem documents.

Here: shapes and status codes exactly as Horizon's. Never here: a rule of the ledger, or a change of its state other
than by submitting an envelope.
"""
