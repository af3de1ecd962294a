"""Trustless Work's V1 API for single-release and multi-release escrows, as the sandbox network offers it.

Here: building unsigned transactions, submitting signed ones, the index of known escrows, the request limit and the
texts of refusals. Never here: contract rules (``sandbox.contracts``), ledger state, keys of anybody but the fee account.
"""

from sandbox.trustless.identity import fee_account_keypair, identity

__all__ = ["fee_account_keypair", "identity"]
