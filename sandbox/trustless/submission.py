"""Signed transactions sent through the API, and news of those that were sent elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox.contracts.escrow_storage import ESCROW_KEY
from sandbox.contracts.records import Record, as_record
from sandbox.trustless.documents import escrow_fields, role_holders, status_of
from sandbox.trustless.envelope import transaction_hash
from sandbox.trustless.index import Build, EscrowIndex, IndexedEscrow
from sandbox.trustless.refusal import ESCROW_NOT_FOUND, SEND_FAILED, SEND_UNFINISHED, bad_request, failure_text, send_failed

if TYPE_CHECKING:
    from sandbox.trustless.ports import Ledger, SubmissionOutcome

SENT = "The transaction has been successfully sent to the Stellar network"
UPDATED = "The escrow has been updated successfully"


IndexLag = Callable[[str], float]


def no_lag(_envelope_xdr: str) -> float:
    return 0.0


@dataclass(frozen=True)
class Submission:
    """Sends transactions and keeps the index in step with those it is told of.

    ``lag_s`` is asked for each transaction how much later the index shall learn of it; what waits is lost with the process.
    """

    ledger: Ledger
    index: EscrowIndex
    lag_s: IndexLag = no_lag

    async def send(self, signed_xdr: str) -> dict[str, object]:
        """Answers like the real API: no hash, and for a deploy the new contract's id and escrow."""
        try:
            inner_hash = transaction_hash(signed_xdr, self.ledger.network_passphrase)
        except Exception as error:  # the XDR reader raises what its layers raise: binascii, xdrlib3, ValueError
            raise bad_request("signedXdr is not a transaction envelope") from error
        try:
            outcome = await self.ledger.submit(signed_xdr)
        except TimeoutError as error:
            raise send_failed(SEND_UNFINISHED) from error
        except ValueError as error:
            raise bad_request(f"Transaction submission failed: {error}") from error
        _demand_success(outcome)
        answer: dict[str, object] = {"status": "SUCCESS", "message": SENT}
        build = self.index.build(inner_hash)
        if build is not None and build.asset_code is not None and build.asset_issuer is not None:
            escrow = self._learn_deploy(build, build.asset_code, build.asset_issuer, signed_xdr)
            answer["contractId"] = build.contract_id
            answer["escrow"] = escrow_fields(escrow, build.asset_code, build.asset_issuer)
        elif build is not None:
            self._refresh(build.contract_id, signed_xdr)
        return answer

    def update_from_hash(self, given_hash: str) -> dict[str, object]:
        """Repairs what the index knows of an escrow; a deploy it never sent stays unknown to it."""
        applied = self.ledger.transaction(given_hash.lower())
        if applied is None:
            return _failed("Transaction not found on the Stellar network")
        if not applied.successful:
            return _failed("The transaction was not successful")
        build = self.index.build(transaction_hash(applied.envelope_xdr, self.ledger.network_passphrase))
        if build is None or not self._refresh(build.contract_id, applied.envelope_xdr):
            return _failed(ESCROW_NOT_FOUND)
        return {"status": "SUCCESS", "message": UPDATED}

    def _learn_deploy(self, build: Build, asset_code: str, asset_issuer: str, envelope_xdr: str) -> Record:
        escrow, state, balance_stroops = self._chain_state(build.contract_id)
        now = self.ledger.now()
        row = IndexedEscrow(
            contract_id=build.contract_id,
            signer=build.signer,
            asset_code=asset_code,
            asset_issuer=asset_issuer,
            engagement_id=escrow.engagement_id,
            title=escrow.title,
            created_at=now,
            updated_at=now,
            status=status_of(escrow),
            balance_stroops=balance_stroops,
            state=state,
        )
        roles = role_holders(escrow, build.signer)
        self._write(envelope_xdr, lambda: self.index.add_escrow(row, roles))
        return escrow

    def _refresh(self, contract_id: str, envelope_xdr: str) -> bool:
        """False where the index does not know the escrow."""
        known = self.index.escrow(contract_id)
        if known is None:
            return False
        escrow, state, balance_stroops = self._chain_state(contract_id)
        now = self.ledger.now()
        changed = replace(known, state=state, status=status_of(escrow), balance_stroops=balance_stroops, updated_at=now)
        self._write(envelope_xdr, lambda: self.index.update_escrow(changed))
        return True

    def _write(self, envelope_xdr: str, write: Callable[[], None]) -> None:
        lag_s = self.lag_s(envelope_xdr)
        if lag_s > 0:
            asyncio.get_running_loop().call_later(lag_s, write)
        else:
            write()

    def _chain_state(self, contract_id: str) -> tuple[Record, bytes, int]:
        instance = self.ledger.contract_instance(contract_id)
        if instance is None:
            raise LookupError(f"applied transaction left no contract {contract_id}")
        stored = instance.storage[ESCROW_KEY]
        escrow = as_record(stored)
        return escrow, stored.to_xdr_bytes(), self.ledger.token_balance(escrow.trustline, contract_id)


def _demand_success(outcome: SubmissionOutcome) -> None:
    """A raw Stellar code where the network refused to take it, the contract's words where it failed on the ledger."""
    if outcome.successful:
        return
    if outcome.contract_failure is not None:
        raise send_failed(failure_text(outcome.contract_failure))
    if outcome.transaction_code == "tx_failed":
        raise send_failed(SEND_FAILED)
    raise bad_request(f"Transaction submission failed: {outcome.transaction_code}")


def _failed(message: str) -> dict[str, object]:
    return {"status": "FAILED", "message": message}
