"""An in-memory ledger for the API: the port of ``sandbox.trustless.ports`` over a ``MemoryWorld``, with real signatures."""

from __future__ import annotations

from dataclasses import dataclass, field

from stellar_sdk import FeeBumpTransactionEnvelope, Keypair, TransactionEnvelope, xdr
from stellar_sdk.exceptions import BadSignatureError

from sandbox.contracts import execute
from sandbox.contracts.interface import ContractFailure, ContractInstance, ContractResult, Invocation
from sandbox.contracts.values import as_address
from sandbox.trustless.ports import AppliedTransaction, SubmissionOutcome
from tests.sandbox_trustless.memory_world import ISSUER, PASSPHRASE, TOKEN, MemoryWorld

CLOSE_TIME_S = 1_800_000_000


@dataclass
class MemoryLedger:
    world: MemoryWorld
    sequences: dict[str, int]
    applied: dict[str, AppliedTransaction] = field(default_factory=dict)
    pending: bool = False
    network_passphrase: str = PASSPHRASE
    latest_ledger: int = 7

    def now(self) -> int:
        return CLOSE_TIME_S

    def account_sequence(self, address: str) -> int | None:
        return self.sequences.get(address)

    def has_trustline(self, address: str, code: str, issuer: str) -> bool:
        return (code, issuer) == ("USDC", ISSUER) and (address == ISSUER or (TOKEN, address) in self.world.balances)

    def token_balance(self, asset_contract: str, address: str) -> int:
        return self.world.balance_stroops(asset_contract, address)

    def contract_instance(self, contract_id: str) -> ContractInstance | None:
        return self.world.instance(contract_id)

    def simulate(self, invocation: Invocation) -> ContractResult:
        return execute(invocation, self.world.copy())

    def transaction(self, transaction_hash: str) -> AppliedTransaction | None:
        return self.applied.get(transaction_hash)

    async def submit(self, envelope_xdr: str) -> SubmissionOutcome:
        if self.pending:
            raise TimeoutError
        return self.apply(envelope_xdr)

    def apply(self, envelope_xdr: str) -> SubmissionOutcome:
        """Close a ledger with this one transaction."""
        kind = FeeBumpTransactionEnvelope if xdr.TransactionEnvelope.from_xdr(envelope_xdr).fee_bump else TransactionEnvelope
        envelope = kind.from_xdr(envelope_xdr, PASSPHRASE)
        inner = envelope.transaction.inner_transaction_envelope if isinstance(envelope, FeeBumpTransactionEnvelope) else envelope
        code = self._refusal(inner)
        if code is not None:
            return SubmissionOutcome(envelope.hash_hex(), successful=False, transaction_code=code)
        source = inner.transaction.source.account_id
        self.sequences[source] = inner.transaction.sequence
        overlay = self.world.copy()
        try:
            execute(_invocation(inner), overlay)
        except ContractFailure as failure:
            self._record(envelope_xdr, envelope.hash_hex(), inner.hash_hex(), successful=False)
            return SubmissionOutcome(envelope.hash_hex(), False, "tx_failed", ("function_trapped",), failure.name)
        self.world.balances, self.world.contracts = overlay.balances, overlay.contracts
        self._record(envelope_xdr, envelope.hash_hex(), inner.hash_hex(), successful=True)
        return SubmissionOutcome(envelope.hash_hex(), True, "tx_success")

    def _record(self, envelope_xdr: str, *hashes: str, successful: bool) -> None:
        for transaction_hash in hashes:
            self.applied[transaction_hash] = AppliedTransaction(transaction_hash, successful, envelope_xdr, self.latest_ledger)

    def _refusal(self, envelope: TransactionEnvelope) -> str | None:
        source = envelope.transaction.source.account_id
        try:
            Keypair.from_public_key(source).verify(envelope.hash(), envelope.signatures[0].signature)
        except (BadSignatureError, IndexError):
            return "tx_bad_auth"
        return None if envelope.transaction.sequence == self.sequences[source] + 1 else "tx_bad_seq"


def _invocation(envelope: TransactionEnvelope) -> Invocation:
    operation = envelope.transaction.operations[0].to_xdr_object().body.invoke_host_function_op
    assert operation is not None
    call = operation.host_function.invoke_contract
    assert call is not None
    return Invocation(
        contract_id=as_address(xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=call.contract_address)),
        function=call.function_name.sc_symbol.decode(),
        args=call.args,
        auth=operation.auth,
        source=envelope.transaction.source.account_id,
        network_passphrase=PASSPHRASE,
        ledger_sequence=8,
    )
