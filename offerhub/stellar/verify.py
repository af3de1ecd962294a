"""The security boundary of the product: is this envelope, to the byte, the call our own order asks for?

Trustless Work builds the escrow envelopes and we sign them, so a hostile or broken answer must not get past this file. Every part of
the envelope is compared with ``expected.py``; what is not compared is bounded (time and sequence here, fee, footprint and
resources in ``resources.py``) and what is neither is refused.
Whatever the bytes are, the only exception for them is ``IntentMismatchError``.
"""

from __future__ import annotations

from dataclasses import dataclass

from stellar_sdk import Address, StrKey, xdr

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import DeployEscrow, EscrowIntent, FundEscrow, ReleaseFunds, ResolveEscrow, WithdrawRemaining
from offerhub.stellar.difference import first_difference
from offerhub.stellar.envelope import decode_envelope, inner_hash
from offerhub.stellar.escrow_struct import spelling_of
from offerhub.stellar.expected import SALT_BYTES, BuilderChoices, ExpectedCall, authorization, expected_call
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.resources import check_resources, require_range


@dataclass(frozen=True)
class EnvelopeBounds:
    """``now_unix`` is ledger time."""

    now_unix: int
    max_fee_stroops: int
    max_window_s: int = 300
    min_remaining_s: int = 20


@dataclass(frozen=True)
class VerifiedEnvelope:
    """An unsigned envelope that passed; ``contract_id`` is the escrow's, derived from factory and salt for a deployment."""

    envelope_xdr: str
    inner_hash: str
    source: str
    sequence: int
    max_time: int
    fee_stroops: int
    contract_id: str


def verify_envelope(network: StellarNetwork, intent: EscrowIntent, envelope_xdr: str, bounds: EnvelopeBounds) -> VerifiedEnvelope:
    """Raise ``IntentMismatchError`` at the first difference. Time is judged by ``bounds`` alone.

    Any sequence number passes: whether it is the account's next one, the caller has to ask the network before it signs.
    """
    raw, transaction = _parse(envelope_xdr)
    _require("source", intent.source, _account(transaction.source_account))
    max_time = _check_time(transaction.cond, bounds)
    sequence = transaction.seq_num.sequence_number.int64
    require_range("sequence", sequence, 1, 2**63 - 1)
    _require("memo", xdr.MemoType.MEMO_NONE.name, transaction.memo.type.name)
    operation, invoke, found = _only_call(transaction)
    if operation.source_account is not None:
        _require("operation.source", intent.source, _account(operation.source_account))
    call = _check_call(network, intent, found)
    _check_authorization(invoke.auth, call, found)
    check_resources(network, transaction, call, bounds.max_fee_stroops)
    return VerifiedEnvelope(
        envelope_xdr=envelope_xdr,
        inner_hash=inner_hash(network, raw).hex(),
        source=intent.source,
        sequence=sequence,
        max_time=max_time,
        fee_stroops=transaction.fee.uint32,
        contract_id=call.escrow_contract,
    )


def _parse(envelope_xdr: str) -> tuple[bytes, xdr.Transaction]:
    try:
        raw = decode_envelope(envelope_xdr)
        envelope = xdr.TransactionEnvelope.from_xdr_bytes(raw)
        canonical = envelope.to_xdr_bytes() == raw
    except Exception as error:  # noqa: BLE001 - the parser meets hostile bytes; whatever it trips over is a refusal
        raise IntentMismatchError("envelope", "a transaction envelope", f"{type(error).__name__}: {error}"[:200]) from None
    _require("envelope.canonical", expected=True, found=canonical)
    if envelope.v1 is None:
        raise IntentMismatchError("envelope.type", xdr.EnvelopeType.ENVELOPE_TYPE_TX.name, envelope.type.name)
    _require("signatures", 0, len(envelope.v1.signatures))
    return raw, envelope.v1.tx


def _check_time(preconditions: xdr.Preconditions, bounds: EnvelopeBounds) -> int:
    """Time bounds are the only precondition allowed: without a close end an envelope could lie in wait after it was signed."""
    time_bounds = preconditions.time_bounds
    if time_bounds is None:
        raise IntentMismatchError("preconditions", xdr.PreconditionType.PRECOND_TIME.name, preconditions.type.name)
    min_time, max_time = time_bounds.min_time.time_point.uint64, time_bounds.max_time.time_point.uint64
    require_range("min_time", min_time, 0, bounds.now_unix)
    require_range("max_time", max_time, bounds.now_unix + bounds.min_remaining_s, bounds.now_unix + bounds.max_window_s)
    return max_time


def _only_call(transaction: xdr.Transaction) -> tuple[xdr.Operation, xdr.InvokeHostFunctionOp, xdr.InvokeContractArgs]:
    _require("operations", 1, len(transaction.operations))
    operation = transaction.operations[0]
    invoke = operation.body.invoke_host_function_op
    if invoke is None:
        raise IntentMismatchError("operation.type", xdr.OperationType.INVOKE_HOST_FUNCTION.name, operation.body.type.name)
    call, kind = invoke.host_function.invoke_contract, invoke.host_function.type
    if call is None:
        raise IntentMismatchError("host_function.type", xdr.HostFunctionType.HOST_FUNCTION_TYPE_INVOKE_CONTRACT.name, kind.name)
    return operation, invoke, call


def _check_call(network: StellarNetwork, intent: EscrowIntent, found: xdr.InvokeContractArgs) -> ExpectedCall:
    call = expected_call(network, intent, _choices(network, intent, found.args))
    _require("contract", call.contract_id, _contract(found.contract_address))
    _require("function", call.function, found.function_name.sc_symbol.decode("ascii", "backslashreplace"))
    _require("arguments", len(call.arguments), len(found.args))
    for (name, expected), argument in zip(call.arguments, found.args, strict=True):
        if expected.to_xdr_bytes() != argument.to_xdr_bytes():
            raise first_difference(name, expected, argument)
    return call


def _check_authorization(entries: list[xdr.SorobanAuthorizationEntry], call: ExpectedCall, found: xdr.InvokeContractArgs) -> None:
    """The crown jewel: under source-account credentials a contract may do in our name all that this tree lists."""
    _require("auth", 1, len(entries))
    credentials = entries[0].credentials.type.name
    _require("auth.credentials", xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT.name, credentials)
    _require("auth.sub_invocations", 0 if call.transfer is None else 1, len(entries[0].root_invocation.sub_invocations))
    arguments = len(found.args).to_bytes(4) + b"".join(argument.to_xdr_bytes() for argument in found.args)
    expected = authorization(call, arguments)
    if entries[0].to_xdr_bytes() != expected:
        raise IntentMismatchError("auth.tree", f"{call.function} and what it needs", "another tree of calls")


def _choices(network: StellarNetwork, intent: EscrowIntent, arguments: list[xdr.SCVal]) -> BuilderChoices:
    """Read off what the builder may choose; the comparison that follows fixes everything else, so a wrong reading only refuses."""
    match intent:
        case DeployEscrow():
            salt = arguments[2].bytes.sc_bytes if len(arguments) > 2 and arguments[2].bytes is not None else b""
            if len(salt) != SALT_BYTES:
                raise IntentMismatchError("salt", f"{SALT_BYTES} bytes", f"{len(salt)} bytes")
            initial = arguments[4].vec.sc_vec if len(arguments) > 4 and arguments[4].vec is not None else []
            return BuilderChoices(salt=salt, spelling=spelling_of(initial[0] if initial else None))
        case FundEscrow():
            return BuilderChoices(spelling=spelling_of(arguments[1] if len(arguments) > 1 else None))
        case ReleaseFunds() | ResolveEscrow() | WithdrawRemaining():
            without = expected_call(network, intent, BuilderChoices())
            return BuilderChoices(names_fee_address=len(arguments) > len(without.arguments))
        case _:
            return BuilderChoices()


def _account(source: xdr.MuxedAccount) -> str:
    """The plain G… address; a muxed account is shown as what it is and so equals nobody."""
    if source.ed25519 is None:
        return "a muxed account"
    return StrKey.encode_ed25519_public_key(source.ed25519.uint256)


def _contract(address: xdr.SCAddress) -> str:
    if address.type != xdr.SCAddressType.SC_ADDRESS_TYPE_CONTRACT:
        return f"an address of type {address.type.name}"
    return Address.from_xdr_sc_address(address).address


def _require(field: str, expected: object, found: object) -> None:
    if expected != found:
        raise IntentMismatchError(field, expected, found)
