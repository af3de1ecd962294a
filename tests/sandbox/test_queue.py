from __future__ import annotations

import pytest
from stellar_sdk import Account, Asset, Keypair, TransactionBuilder

from sandbox.ledger.envelope import Envelope, decode_envelope
from sandbox.ledger.queue import BAN_LEDGERS, MAX_AGE_LEDGERS, TransactionQueue, TryAgainLater

PASSPHRASE = "Queue Test ; 2026"


def envelope(fee: int = 100, operations: int = 1) -> Envelope:
    source = Keypair.random()
    builder = TransactionBuilder(Account(source.public_key, 1), PASSPHRASE, fee).add_time_bounds(0, 0)
    for _ in range(operations):
        builder.append_payment_op(source.public_key, Asset.native(), "1")
    return decode_envelope(builder.build().to_xdr(), PASSPHRASE)


def test_the_best_paying_enter_a_full_ledger_in_order_of_arrival() -> None:
    queue = TransactionQueue()
    cheap, modest, generous = envelope(100, 5), envelope(200, 5), envelope(300, 5)
    for each in (modest, cheap, generous):
        queue.put(each)
    assert queue.take(10) == [modest, generous]
    assert queue.take(10) == [cheap]
    assert len(queue) == 0


def test_what_waits_too_long_is_dropped_and_banned_for_a_while() -> None:
    queue, left_out = TransactionQueue(), envelope()
    queue.put(left_out)
    for ledger in range(1, MAX_AGE_LEDGERS + 1):
        assert len(queue) == 1
        assert queue.take(0) == []
        queue.grow_older(ledger)
    assert len(queue) == 0
    for ledger in range(MAX_AGE_LEDGERS, MAX_AGE_LEDGERS + BAN_LEDGERS):
        with pytest.raises(TryAgainLater):
            queue.admit(left_out, ledger)
    queue.admit(left_out, MAX_AGE_LEDGERS + BAN_LEDGERS)
