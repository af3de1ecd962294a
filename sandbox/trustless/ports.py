"""What the Trustless Work API needs of the ledger it stands beside.

The ledger engineer's side of the seam, in one place::

    from sandbox.trustless import fee_account_keypair, identity
    from sandbox.trustless.index import EscrowIndex
    from sandbox.trustless.request_limit import RequestLimit
    from sandbox.trustless.router import build_router

    app.include_router(build_router(ledger, RequestLimit(50), EscrowIndex(Path("DIR"))), prefix="/trustless-work")

``ledger`` is any object with the members of ``Ledger`` below. The index keeps its ``trustless.sqlite3`` in an existing
directory. Genesis must create ``fee_account_keypair(passphrase)`` and its USDC trustline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sandbox.contracts.interface import ContractInstance, ContractResult, Invocation


@dataclass(frozen=True)
class SubmissionOutcome:
    """The end of one submission: refused before the ledger, failed on it, or applied.

    ``transaction_code`` and ``operation_codes`` are Horizon's texts (``tx_success``, ``tx_bad_seq``, ``tx_too_late``,
    ``op_inner``, ``function_trapped``, …). ``contract_failure`` is ``ContractFailure.name`` where a contract refused.
    """

    hash: str
    successful: bool
    transaction_code: str
    operation_codes: tuple[str, ...] = ()
    contract_failure: str | None = None


@dataclass(frozen=True)
class AppliedTransaction:
    """A transaction in a closed ledger; ``envelope_xdr`` is the submitted base64 envelope (fee bump included)."""

    hash: str
    successful: bool
    envelope_xdr: str
    ledger_sequence: int


class Ledger(Protocol):
    """Reads see the last closed ledger only; nothing here changes state but ``submit``."""

    @property
    def network_passphrase(self) -> str: ...

    @property
    def latest_ledger(self) -> int:
        """Sequence of the last closed ledger."""
        ...

    def now(self) -> int:
        """Ledger time in unix seconds, including the control API's clock offset."""
        ...

    def account_sequence(self, address: str) -> int | None:
        """Current sequence number; None where there is no such account."""
        ...

    def has_trustline(self, address: str, code: str, issuer: str) -> bool:
        """True also for the issuer itself, who needs none."""
        ...

    def token_balance(self, asset_contract: str, address: str) -> int:
        """Balance in stroops of a G... trustline or a C... contract; 0 where there is none."""
        ...

    def contract_instance(self, contract_id: str) -> ContractInstance | None: ...

    def simulate(self, invocation: Invocation) -> ContractResult:
        """Run against the current state and discard the changes; raises ContractFailure."""
        ...

    def transaction(self, transaction_hash: str) -> AppliedTransaction | None:
        """Look up by inner or outer hash (hex)."""
        ...

    async def submit(self, envelope_xdr: str) -> SubmissionOutcome:
        """Validate, queue and wait until the transaction is in a closed ledger or refused for good.

        Raises ``TimeoutError`` when it is still pending after 30 s, ``ValueError`` when it is no transaction at all.
        An envelope applied before answers its old outcome.
        """
        ...
