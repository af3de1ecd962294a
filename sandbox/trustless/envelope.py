"""Unsigned Soroban transactions, byte for byte what a client signs.

Built on raw XDR objects: the SDK's builder copies the whole tree several times and is a hundred times slower.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from stellar_sdk import Keypair, Network, xdr

from sandbox.contracts.call import invoke_contract_args

if TYPE_CHECKING:
    from sandbox.contracts.interface import Invocation

INCLUSION_FEE_STROOPS = 100
VALIDITY_S = 100


@dataclass(frozen=True)
class ContractCall:
    """One call to a contract in the name of ``source``; ``inner`` are the calls it authorises the contract to make."""

    source: str
    contract_id: str
    function: str
    args: list[xdr.SCVal]
    inner: list[ContractCall] = field(default_factory=list)

    def invoke_args(self) -> xdr.InvokeContractArgs:
        return invoke_contract_args(self.contract_id, self.function, self.args)

    def authorization(self) -> xdr.SorobanAuthorizationEntry:
        credentials = xdr.SorobanCredentials(xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT)
        return xdr.SorobanAuthorizationEntry(credentials, self.authorized_invocation())

    def authorized_invocation(self) -> xdr.SorobanAuthorizedInvocation:
        function = xdr.SorobanAuthorizedFunction(
            xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN, contract_fn=self.invoke_args()
        )
        return xdr.SorobanAuthorizedInvocation(function, [call.authorized_invocation() for call in self.inner])


@dataclass(frozen=True)
class Resources:
    """What the call may read and write, and what that costs."""

    read_only: list[xdr.LedgerKey]
    read_write: list[xdr.LedgerKey]
    instructions: int
    write_bytes: int
    fee_stroops: int


@dataclass(frozen=True)
class UnsignedTransaction:
    envelope_xdr: str
    hash: str


def build_transaction(invocation: Invocation, resources: Resources, sequence: int, now_s: int) -> UnsignedTransaction:
    transaction = xdr.Transaction(
        source_account=Keypair.from_public_key(invocation.source).xdr_muxed_account(),
        fee=xdr.Uint32(resources.fee_stroops + INCLUSION_FEE_STROOPS),
        seq_num=xdr.SequenceNumber(xdr.Int64(sequence)),
        cond=time_bounds(now_s + VALIDITY_S),
        memo=xdr.Memo(xdr.MemoType.MEMO_NONE),
        operations=[_invoke(invocation)],
        ext=xdr.TransactionExt(1, soroban_data=_soroban_data(resources)),
    ).to_xdr_bytes()
    envelope = _ENVELOPE_TYPE_TX + transaction + _NO_SIGNATURES
    return UnsignedTransaction(base64.b64encode(envelope).decode(), _hash(invocation.network_passphrase, transaction))


def transaction_hash(envelope_xdr: str, network_passphrase: str) -> str:
    """Hash of the transaction as it was built: of the inner one where the envelope is a fee bump; raises ValueError."""
    envelope = xdr.TransactionEnvelope.from_xdr(envelope_xdr)
    inner = envelope.v1 if envelope.fee_bump is None else envelope.fee_bump.tx.inner_tx.v1
    if inner is None:
        raise ValueError("transaction envelope of an obsolete version")
    return _hash(network_passphrase, inner.tx.to_xdr_bytes())


_ENVELOPE_TYPE_TX = xdr.EnvelopeType.ENVELOPE_TYPE_TX.value.to_bytes(4, "big")
_NO_SIGNATURES = bytes(4)


def _hash(network_passphrase: str, transaction: bytes) -> str:
    return sha256(Network(network_passphrase).network_id() + _ENVELOPE_TYPE_TX + transaction).hexdigest()


def time_bounds(max_time_s: int) -> xdr.Preconditions:
    bounds = xdr.TimeBounds(xdr.TimePoint(xdr.Uint64(0)), xdr.TimePoint(xdr.Uint64(max_time_s)))
    return xdr.Preconditions(xdr.PreconditionType.PRECOND_TIME, time_bounds=bounds)


def _invoke(invocation: Invocation) -> xdr.Operation:
    call = invoke_contract_args(invocation.contract_id, invocation.function, invocation.args)
    host_function = xdr.HostFunction(xdr.HostFunctionType.HOST_FUNCTION_TYPE_INVOKE_CONTRACT, invoke_contract=call)
    body = xdr.OperationBody(
        xdr.OperationType.INVOKE_HOST_FUNCTION, invoke_host_function_op=xdr.InvokeHostFunctionOp(host_function, invocation.auth)
    )
    return xdr.Operation(source_account=None, body=body)


def _soroban_data(resources: Resources) -> xdr.SorobanTransactionData:
    soroban_resources = xdr.SorobanResources(
        footprint=xdr.LedgerFootprint(read_only=resources.read_only, read_write=resources.read_write),
        instructions=xdr.Uint32(resources.instructions),
        disk_read_bytes=xdr.Uint32(sum(key.type == xdr.LedgerEntryType.TRUSTLINE for key in resources.read_write) * 200),
        write_bytes=xdr.Uint32(resources.write_bytes),
    )
    return xdr.SorobanTransactionData(
        ext=xdr.SorobanTransactionDataExt(0), resources=soroban_resources, resource_fee=xdr.Int64(resources.fee_stroops)
    )
