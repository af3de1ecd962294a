"""Our own transactions, unsigned: wallets under sponsorship, the platform's trustline, payments out. Built, so nobody verifies them."""

from __future__ import annotations

from dataclasses import dataclass

from stellar_sdk import (
    BeginSponsoringFutureReserves,
    ChangeTrust,
    CreateAccount,
    EndSponsoringFutureReserves,
    HashMemo,
    IdMemo,
    Memo,
    NoneMemo,
    Payment,
    Preconditions,
    ReturnHashMemo,
    TextMemo,
    TimeBounds,
    Transaction,
    xdr,
)
from stellar_sdk.operation import Operation

from offerhub.domain import withdrawals
from offerhub.domain.intents import ActivateWallets, OwnIntent, PayOut, TrustAsset
from offerhub.domain.money import format_amount
from offerhub.domain.withdrawals import MemoType
from offerhub.stellar.envelope import MAX_SIGNATURES, encode_envelope, inner_hash
from offerhub.stellar.network import StellarNetwork

# The sponsor signs too.
MAX_WALLETS = MAX_SIGNATURES - 1


@dataclass(frozen=True)
class Placement:
    """Where a transaction goes in its account's sequence, what it bids per operation and until when it may be applied."""

    sequence: int
    base_fee_stroops: int
    max_time: int

    def __post_init__(self) -> None:
        if self.max_time <= 0:
            raise ValueError("to the network a max_time of 0 means for ever")


@dataclass(frozen=True)
class UnsignedEnvelope:
    """``inner_hash`` (hex) is what every account in ``signers`` has to sign."""

    envelope_xdr: str
    inner_hash: str
    sequence: int
    max_time: int
    fee_stroops: int
    signers: tuple[str, ...]


def build_envelope(network: StellarNetwork, intent: OwnIntent, placement: Placement) -> UnsignedEnvelope:
    operations = _operations(network, intent)
    fee_stroops = placement.base_fee_stroops * len(operations)
    transaction = Transaction(
        source=intent.source,
        sequence=placement.sequence,
        fee=fee_stroops,
        operations=operations,
        memo=_memo(intent.memo) if isinstance(intent, PayOut) else NoneMemo(),
        preconditions=Preconditions(time_bounds=TimeBounds(0, placement.max_time)),
        v1=True,
    )
    body = transaction.to_xdr_object()
    if not isinstance(body, xdr.Transaction):
        raise TypeError("the SDK built a transaction of the old format")
    envelope = xdr.TransactionEnvelope(xdr.EnvelopeType.ENVELOPE_TYPE_TX, v1=xdr.TransactionV1Envelope(body, []))
    raw = envelope.to_xdr_bytes()
    wallets = intent.wallets if isinstance(intent, ActivateWallets) else ()
    return UnsignedEnvelope(
        envelope_xdr=encode_envelope(raw),
        inner_hash=inner_hash(network, raw).hex(),
        sequence=placement.sequence,
        max_time=placement.max_time,
        fee_stroops=fee_stroops,
        signers=(intent.source, *wallets),
    )


def _operations(network: StellarNetwork, intent: OwnIntent) -> list[Operation]:
    if isinstance(intent, TrustAsset):
        return [ChangeTrust(network.usdc)]
    if isinstance(intent, PayOut):
        return [Payment(intent.destination, network.usdc, format_amount(intent.amount_stroops))]
    if not 1 <= len(set(intent.wallets)) == len(intent.wallets) <= MAX_WALLETS:
        raise ValueError(f"one transaction activates 1 to {MAX_WALLETS} different wallets")
    operations: list[Operation] = []
    for wallet in intent.wallets:
        operations += [
            BeginSponsoringFutureReserves(wallet),
            CreateAccount(wallet, "0"),
            ChangeTrust(network.usdc, source=wallet),
            EndSponsoringFutureReserves(source=wallet),
        ]
    return operations


def _memo(memo: withdrawals.Memo | None) -> Memo:
    if memo is None:
        return NoneMemo()
    match memo.type:
        case MemoType.TEXT:
            return TextMemo(memo.value)
        case MemoType.ID:
            return IdMemo(int(memo.value))
        case MemoType.HASH:
            return HashMemo(memo.value)
        case MemoType.RETURN:
            return ReturnHashMemo(memo.value)
