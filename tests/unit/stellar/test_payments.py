"""Every way in which Horizon's payments fool a reader (``reference/stellar.md`` §1.6)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from offerhub.domain.messages import Movement
from offerhub.domain.payments import IncomingPayment, WalletMovement
from offerhub.stellar.horizon_records import MalformedRecord
from offerhub.stellar.payments import incoming_payments, movements_of, wallet_movements
from tests.unit.stellar.offered import BUYER, ESCROW, NETWORK, PLATFORM, SELLER, STRANGER

USDC = {"asset_type": "credit_alphanum4", "asset_code": "USDC", "asset_issuer": NETWORK.usdc_issuer}
LEDGER = 1_234
OPERATION = str((LEDGER << 32) + 4097)


def record(kind: str = "payment", type_i: int = 1, **other: Any) -> dict[str, Any]:
    return {
        "id": OPERATION,
        "paging_token": OPERATION,
        "transaction_successful": True,
        "type": kind,
        "type_i": type_i,
        "created_at": "2026-11-22T12:00:00Z",
        "transaction_hash": "ab" * 32,
        "transaction": {"memo": "hello", "memo_type": "text"},
        "from": STRANGER,
        "to": BUYER,
        "amount": "80.0000000",
        **USDC,
        **other,
    }


def call(*changes: dict[str, Any], **other: Any) -> dict[str, Any]:
    bare = {name: value for name, value in record().items() if name not in {"from", "to", "amount", *USDC}}
    return {**bare, "type": "invoke_host_function", "type_i": 24, "asset_balance_changes": list(changes), **other}


def change(sender: str, recipient: str, amount: str, **other: Any) -> dict[str, Any]:
    return {"type": "transfer", "from": sender, "to": recipient, "amount": amount, **USDC, **other}


def read(found: dict[str, Any]) -> tuple[IncomingPayment, ...]:
    return incoming_payments(found, NETWORK.usdc_issuer)


def test_a_plain_payment() -> None:
    assert read(record()) == (
        IncomingPayment(
            chain_operation=OPERATION,
            change_index=0,
            transaction_hash="ab" * 32,
            sender=STRANGER,
            recipient=BUYER,
            amount_stroops=800_000_000,
            asset="USDC",
            closed_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
            memo="hello",
            muxed_id=None,
        ),
    )


@pytest.mark.parametrize(
    ("asset", "name"),
    [
        ({"asset_issuer": STRANGER}, f"USDC:{STRANGER}"),
        ({"asset_code": "USDT"}, f"USDT:{NETWORK.usdc_issuer}"),
        ({"asset_code": "USDC\0"}, f"USDC\ufffd:{NETWORK.usdc_issuer}"),
        ({"asset_type": "credit_alphanum12"}, f"USDC:{NETWORK.usdc_issuer}"),
        ({"asset_type": "native", "asset_code": None, "asset_issuer": None}, "XLM"),
    ],
)
def test_a_namesake_is_seen_but_is_not_usdc(asset: dict[str, Any], name: str) -> None:
    (payment,) = read(record(**asset))
    assert payment.asset == name != "USDC"


@pytest.mark.parametrize("memo", ["a\0b", "a\ud800b"])
def test_a_memo_that_no_database_takes_is_kept_as_far_as_it_goes(memo: str) -> None:
    (payment,) = read(record(transaction={"memo": memo}))
    assert payment.memo is not None
    assert payment.memo.encode()[:1] == b"a"
    assert "\0" not in payment.memo


@pytest.mark.parametrize("successful", [False, None, "true", 1])
def test_only_successful_transactions_count(successful: object) -> None:
    assert read(record(transaction_successful=successful)) == ()
    assert movements_of([call(change(BUYER, ESCROW, "1.0"), transaction_successful=successful)], NETWORK.usdc_issuer, ESCROW) == []


@pytest.mark.parametrize(("kind", "type_i"), [("path_payment_strict_receive", 2), ("path_payment_strict_send", 13)])
def test_a_path_payment_credits_what_arrives(kind: str, type_i: int) -> None:
    found = record(kind, type_i, source_amount="99.0000000", source_asset_code="EURC", source_asset_type="credit_alphanum4")
    (payment,) = read(found)
    assert (payment.amount_stroops, payment.asset) == (800_000_000, "USDC")


def test_every_balance_change_of_a_contract_call_is_a_payment_of_its_own() -> None:
    found = call(
        change(ESCROW, NETWORK.protocol_fee_address, "0.2400000"),
        change(ESCROW, PLATFORM, "4.0000000"),
        change(ESCROW, SELLER, "75.7600000", destination_muxed_id="77"),
        change(BUYER, ESCROW, "1.0000000"),
    )
    payments = read(found)
    assert [(one.change_index, one.recipient, one.amount_stroops) for one in payments] == [
        (0, NETWORK.protocol_fee_address, 2_400_000),
        (1, PLATFORM, 40_000_000),
        (2, SELLER, 757_600_000),
    ]
    assert {one.chain_operation for one in payments} == {OPERATION}
    assert (payments[2].sender, payments[2].muxed_id) == (ESCROW, "77")


def test_a_mint_comes_from_the_issuer() -> None:
    minted = change("", BUYER, "5.0000000", type="mint")
    del minted["from"]
    (payment,) = read(call(minted))
    assert payment.sender == NETWORK.usdc_issuer


def test_a_muxed_destination_keeps_its_number() -> None:
    (payment,) = read(record(to_muxed="M…", to_muxed_id="12345"))
    assert (payment.recipient, payment.muxed_id) == (BUYER, "12345")


@pytest.mark.parametrize(
    "found",
    [
        record("create_account", 0, account=BUYER, starting_balance="5.0"),
        record("account_merge", 8, account=STRANGER, into=BUYER),
        call(change(BUYER, ESCROW, "1.0000000")),
        call(),
        {name: value for name, value in call().items() if name != "asset_balance_changes"},
        call(asset_balance_changes=None),
    ],
)
def test_what_pays_no_account_of_ours_is_nothing(found: dict[str, Any]) -> None:
    assert read(found) == ()


def test_a_stranger_s_absurd_token_does_not_stop_the_reader() -> None:
    """Between contracts an amount may exceed what any account can hold; such a record must not wedge the deposits."""
    absurd = change(ESCROW, ESCROW, "170141183460469231731687303715884.1057280", asset_issuer=STRANGER)
    payments = read(call(absurd, change(STRANGER, BUYER, "1.0000000")))
    assert [(one.change_index, one.amount_stroops) for one in payments] == [(1, 10_000_000)]
    assert movements_of([call(absurd)], NETWORK.usdc_issuer, ESCROW) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"amount": "1e3"},
        {"amount": 80},
        {"amount": "-1.0000000"},
        {"amount": "1.00000000"},
        {"id": None},
        {"type_i": "1"} | {"amount": None},
        {"transaction": []},
    ],
)
def test_a_malformed_record_is_said_and_not_skipped(broken: dict[str, Any]) -> None:
    with pytest.raises(MalformedRecord):
        read(record(**broken))


def test_movements_of_an_escrow_are_in_order_and_only_its_own_usdc() -> None:
    funding = call(change(BUYER, ESCROW, "80.0000000"))
    release = call(
        change(ESCROW, NETWORK.protocol_fee_address, "0.2400000"),
        change(STRANGER, BUYER, "9.0000000"),
        change(ESCROW, SELLER, "999.0000000", asset_issuer=STRANGER),
        change(ESCROW, SELLER, "79.7600000"),
    )
    assert movements_of([funding, release], NETWORK.usdc_issuer, ESCROW) == [
        Movement(BUYER, ESCROW, 800_000_000),
        Movement(ESCROW, NETWORK.protocol_fee_address, 2_400_000),
        Movement(ESCROW, SELLER, 797_600_000),
    ]


def test_the_movements_of_a_wallet_have_signs_and_both_hashes() -> None:
    swap = record(
        "path_payment_strict_send",
        13,
        **{"from": BUYER, "to": SELLER, "amount": "3.0000000", "asset_code": "EURC", "source_amount": "7.0000000"},
        source_asset_type="credit_alphanum4",
        source_asset_code="USDC",
        source_asset_issuer=NETWORK.usdc_issuer,
        transaction={"inner_transaction": {"hash": "cd" * 32}},
    )
    release = call(change(ESCROW, BUYER, "2.0000000"), change(ESCROW, SELLER, "1.0000000"))
    fake = record(asset_issuer=STRANGER)
    found = [one for each in (record(), swap, release, fake) for one in wallet_movements(each, NETWORK.usdc_issuer, BUYER)]
    assert found == [
        WalletMovement(OPERATION, ("ab" * 32,), STRANGER, 800_000_000),
        WalletMovement(OPERATION, ("ab" * 32, "cd" * 32), SELLER, -70_000_000),
        WalletMovement(OPERATION, ("ab" * 32,), ESCROW, 20_000_000),
    ]
    assert wallet_movements(record(transaction_successful=False), NETWORK.usdc_issuer, BUYER) == []


def test_a_transfer_of_nothing_is_no_payment_and_does_not_shift_the_others() -> None:
    [payment] = read(call(change(BUYER, SELLER, "0.0000000"), change(BUYER, SELLER, "5.0000000")))
    assert (payment.change_index, payment.amount_stroops) == (1, 50_000_000)
