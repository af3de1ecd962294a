"""A submitted envelope, decoded once: what it hashes to, who pays, who signs, what it asks for.

Hashes are taken over the raw bytes; re-serialising the decoded tree would cost a hundred times more.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from hashlib import sha256

from stellar_sdk import xdr
from xdrlib3 import Unpacker

from sandbox.ledger.encoding import muxed_account
from sandbox.ledger.signatures import SignatureSet

MAX_OPERATIONS = 100
_TX_TAG = xdr.EnvelopeType.ENVELOPE_TYPE_TX.value.to_bytes(4, "big")
_FEE_BUMP_TAG = xdr.EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP.value.to_bytes(4, "big")


class MalformedEnvelope(ValueError):
    """Not a transaction this network can read."""


@dataclass(frozen=True, slots=True)
class Operation:
    """``source`` is resolved: the operation's own, else the transaction's."""

    type: xdr.OperationType
    body: xdr.OperationBody
    source: str
    source_muxed_id: int | None
    own_source: bool


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Zero means no bound; ``max_ledger`` is exclusive."""

    has_time_bounds: bool = False
    min_time: int = 0
    max_time: int = 0
    has_ledger_bounds: bool = False
    min_ledger: int = 0
    max_ledger: int = 0
    min_sequence: int | None = None
    min_sequence_age_s: int = 0
    min_sequence_ledger_gap: int = 0
    extra_signer_count: int = 0


@dataclass(frozen=True, slots=True)
class FeeBump:
    """The outer half of a fee bump; ``hash`` is the outer hash."""

    hash: bytes
    source: str
    source_muxed_id: int | None
    fee: int
    signatures: SignatureSet


@dataclass(frozen=True, slots=True)
class Envelope:
    """``inner_*`` fields describe the transaction itself; ``fee_bump`` is what may be wrapped around it."""

    envelope_xdr: str
    size_bytes: int
    inner_hash: bytes
    source: str
    source_muxed_id: int | None
    inner_fee: int
    sequence: int
    preconditions: Preconditions
    memo: xdr.Memo
    operations: tuple[Operation, ...]
    soroban_data: xdr.SorobanTransactionData | None
    signatures: SignatureSet
    fee_bump: FeeBump | None = None

    @property
    def hash(self) -> bytes:
        return self.inner_hash if self.fee_bump is None else self.fee_bump.hash

    @property
    def fee_source(self) -> str:
        return self.source if self.fee_bump is None else self.fee_bump.source

    @property
    def max_fee(self) -> int:
        return self.inner_fee if self.fee_bump is None else self.fee_bump.fee

    @property
    def resource_fee(self) -> int:
        return 0 if self.soroban_data is None else self.soroban_data.resource_fee.int64

    @property
    def fee_units(self) -> int:
        """Operations as the fee counts them: a fee bump is one more."""
        return len(self.operations) + (0 if self.fee_bump is None else 1)

    @property
    def inclusion_fee(self) -> int:
        return self.max_fee - self.resource_fee


def decode_envelope(envelope_xdr: str, network_passphrase: str) -> Envelope:
    """Raises MalformedEnvelope."""
    try:
        raw = base64.b64decode(envelope_xdr, validate=True)
        return _decode(raw, envelope_xdr, sha256(network_passphrase.encode()).digest())
    except MalformedEnvelope:
        raise
    except (binascii.Error, ValueError, EOFError, AssertionError, RecursionError) as error:
        raise MalformedEnvelope(str(error)) from error


def _decode(raw: bytes, envelope_xdr: str, network_id: bytes) -> Envelope:
    unpacker = Unpacker(raw)
    tag = xdr.EnvelopeType.unpack(unpacker)
    if tag == xdr.EnvelopeType.ENVELOPE_TYPE_TX:
        envelope = _inner(unpacker, raw, envelope_xdr, network_id)
    elif tag == xdr.EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP:
        envelope = _bumped(unpacker, raw, envelope_xdr, network_id)
    else:
        raise MalformedEnvelope(f"unsupported envelope type {tag.name}")
    if unpacker.get_position() != len(raw):
        raise MalformedEnvelope("trailing bytes")
    return envelope


def _bumped(unpacker: Unpacker, raw: bytes, envelope_xdr: str, network_id: bytes) -> Envelope:
    start = unpacker.get_position()
    fee_source, muxed_id = muxed_account(xdr.MuxedAccount.unpack(unpacker))
    fee = xdr.Int64.unpack(unpacker).int64
    if xdr.EnvelopeType.unpack(unpacker) != xdr.EnvelopeType.ENVELOPE_TYPE_TX:
        raise MalformedEnvelope("a fee bump must wrap a V1 transaction")
    inner = _inner(unpacker, raw, envelope_xdr, network_id)
    xdr.FeeBumpTransactionExt.unpack(unpacker)
    outer_hash = sha256(network_id + _FEE_BUMP_TAG + raw[start : unpacker.get_position()]).digest()
    bump = FeeBump(outer_hash, fee_source, muxed_id, fee, _signatures(unpacker, outer_hash))
    return replace(inner, fee_bump=bump)


def _inner(unpacker: Unpacker, raw: bytes, envelope_xdr: str, network_id: bytes) -> Envelope:
    start = unpacker.get_position()
    transaction = xdr.Transaction.unpack(unpacker)
    end = unpacker.get_position()
    inner_hash = sha256(network_id + _TX_TAG + raw[start:end]).digest()
    signatures = _signatures(unpacker, inner_hash)
    source, muxed_id = muxed_account(transaction.source_account)
    if len(transaction.operations) > MAX_OPERATIONS:
        raise MalformedEnvelope(f"more than {MAX_OPERATIONS} operations")
    return Envelope(
        envelope_xdr=envelope_xdr,
        size_bytes=unpacker.get_position() - start + 4,
        inner_hash=inner_hash,
        source=source,
        source_muxed_id=muxed_id,
        inner_fee=transaction.fee.uint32,
        sequence=transaction.seq_num.sequence_number.int64,
        preconditions=_preconditions(transaction.cond),
        memo=transaction.memo,
        operations=tuple(_operation(each, source, muxed_id) for each in transaction.operations),
        soroban_data=transaction.ext.soroban_data,
        signatures=signatures,
    )


def _signatures(unpacker: Unpacker, contents_hash: bytes) -> SignatureSet:
    count = unpacker.unpack_uint()
    if count > 20:
        raise MalformedEnvelope("more than 20 signatures")
    decorated = [xdr.DecoratedSignature.unpack(unpacker) for _ in range(count)]
    return SignatureSet(contents_hash, [(each.hint.signature_hint, each.signature.signature) for each in decorated])


def _operation(operation: xdr.Operation, source: str, muxed_id: int | None) -> Operation:
    own = operation.source_account is not None
    if operation.source_account is not None:
        source, muxed_id = muxed_account(operation.source_account)
    return Operation(operation.body.type, operation.body, source, muxed_id, own)


def _preconditions(value: xdr.Preconditions) -> Preconditions:
    if value.type == xdr.PreconditionType.PRECOND_NONE:
        return Preconditions()
    bounds = value.time_bounds if value.v2 is None else value.v2.time_bounds
    min_time = bounds.min_time.time_point.uint64 if bounds is not None else 0
    max_time = bounds.max_time.time_point.uint64 if bounds is not None else 0
    if value.v2 is None:
        return Preconditions(has_time_bounds=True, min_time=min_time, max_time=max_time)
    v2 = value.v2
    ledgers = v2.ledger_bounds
    return Preconditions(
        has_time_bounds=bounds is not None,
        min_time=min_time,
        max_time=max_time,
        has_ledger_bounds=ledgers is not None,
        min_ledger=ledgers.min_ledger.uint32 if ledgers is not None else 0,
        max_ledger=ledgers.max_ledger.uint32 if ledgers is not None else 0,
        min_sequence=v2.min_seq_num.sequence_number.int64 if v2.min_seq_num is not None else None,
        min_sequence_age_s=v2.min_seq_age.duration.uint64,
        min_sequence_ledger_gap=v2.min_seq_ledger_gap.uint32,
        extra_signer_count=len(v2.extra_signers),
    )
