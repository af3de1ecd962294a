"""The contracts of the sandbox network: Trustless Work's factory, its two escrows, the Stellar Asset Contract.

Here: what the WASM does on a real network, from decoded arguments to storage, transfers, events and numbered errors.
Never here: accounts, fees, sequences, signatures (the ledger's) or HTTP (``sandbox.trustless``).
"""

from sandbox.contracts.execution import execute

__all__ = ["execute"]
