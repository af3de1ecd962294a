from __future__ import annotations

import pytest
from stellar_sdk import (
    BeginSponsoringFutureReserves,
    ChangeTrust,
    CreateAccount,
    EndSponsoringFutureReserves,
    HashMemo,
    IdMemo,
    NoneMemo,
    Payment,
    ReturnHashMemo,
    TextMemo,
    TransactionEnvelope,
)

from offerhub.domain.intents import ActivateWallets, PayOut, TrustAsset
from offerhub.domain.withdrawals import Memo, MemoType
from offerhub.stellar.build import MAX_WALLETS, Placement, build_envelope
from offerhub.stellar.envelope import decode_envelope, inner_hash
from tests.unit.stellar.offered import NETWORK, PASSPHRASE, PLATFORM, account

PLACEMENT = Placement(sequence=77, base_fee_stroops=200, max_time=1_800_000_100)
WALLETS = tuple(account(f"wallet {number}") for number in range(MAX_WALLETS))


def test_nineteen_wallets_are_activated_in_one_transaction_of_the_sponsor() -> None:
    built = build_envelope(NETWORK, ActivateWallets(PLATFORM, WALLETS), PLACEMENT)
    read = TransactionEnvelope.from_xdr(built.envelope_xdr, PASSPHRASE)
    assert built.inner_hash == read.hash_hex() == inner_hash(NETWORK, decode_envelope(built.envelope_xdr)).hex()
    assert built.signers == (PLATFORM, *WALLETS)
    transaction = read.transaction
    assert (transaction.sequence, transaction.fee, transaction.source.account_id) == (77, 200 * 76, PLATFORM)
    assert transaction.preconditions is not None
    assert transaction.preconditions.time_bounds is not None
    assert (transaction.preconditions.time_bounds.min_time, transaction.preconditions.time_bounds.max_time) == (0, PLACEMENT.max_time)
    assert read.signatures == []
    for number, wallet in enumerate(WALLETS):
        begin, create, trust, end = transaction.operations[4 * number : 4 * number + 4]
        assert isinstance(begin, BeginSponsoringFutureReserves)
        assert (begin.sponsored_id, begin.source) == (wallet, None)
        assert isinstance(create, CreateAccount)
        assert (create.destination, create.starting_balance, create.source) == (wallet, "0", None)
        assert isinstance(trust, ChangeTrust)
        assert (trust.asset, trust.source.account_id if trust.source else None) == (NETWORK.usdc, wallet)
        assert isinstance(end, EndSponsoringFutureReserves)
        assert end.source is not None
        assert end.source.account_id == wallet


def test_the_platform_s_trustline_is_its_own() -> None:
    built = build_envelope(NETWORK, TrustAsset(PLATFORM), PLACEMENT)
    (trust,) = TransactionEnvelope.from_xdr(built.envelope_xdr, PASSPHRASE).transaction.operations
    assert isinstance(trust, ChangeTrust)
    assert (trust.asset, trust.source) == (NETWORK.usdc, None)
    assert (built.fee_stroops, built.signers) == (200, (PLATFORM,))


@pytest.mark.parametrize("wallets", [(), (*WALLETS, account("one more")), (WALLETS[0], WALLETS[0])])
def test_no_more_wallets_than_signatures_and_each_once(wallets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="1 to 19"):
        build_envelope(NETWORK, ActivateWallets(PLATFORM, wallets), PLACEMENT)


def test_nothing_is_built_that_never_ends() -> None:
    with pytest.raises(ValueError, match="for ever"):
        Placement(sequence=1, base_fee_stroops=100, max_time=0)


@pytest.mark.parametrize(
    ("memo", "built_memo"),
    [
        (None, NoneMemo()),
        (Memo(MemoType.TEXT, "rent 7 ü"), TextMemo("rent 7 ü")),
        (Memo(MemoType.ID, str(2**64 - 1)), IdMemo(2**64 - 1)),
        (Memo(MemoType.HASH, "ab" * 32), HashMemo("ab" * 32)),
        (Memo(MemoType.RETURN, "cd" * 32), ReturnHashMemo("cd" * 32)),
    ],
)
def test_a_payment_out_is_one_usdc_payment_with_its_memo(memo: Memo | None, built_memo: object) -> None:
    wallet, outside = WALLETS[:2]
    built = build_envelope(NETWORK, PayOut(wallet, outside, 123_456_789_000_000_001, memo), PLACEMENT)
    read = TransactionEnvelope.from_xdr(built.envelope_xdr, PASSPHRASE)
    assert built.inner_hash == read.hash_hex()
    assert (built.signers, read.transaction.source.account_id) == ((wallet,), wallet)
    assert read.transaction.memo == built_memo
    (payment,) = read.transaction.operations
    assert isinstance(payment, Payment)
    assert (payment.source, payment.asset, payment.amount) == (None, NETWORK.usdc, "12345678900.0000001")
    assert payment.destination.account_id == outside
    assert payment.destination.account_muxed is None
