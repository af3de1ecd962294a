"""Faults of the network itself: what they refuse, what they consume, and that no money appears or vanishes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from stellar_sdk import Keypair, TransactionBuilder, xdr

from sandbox.ledger.results import transaction_texts
from tests.sandbox.contract_calls import transfer
from tests.sandbox.faults import fault, inject, listed
from tests.sandbox.network import Network, codes

PAYMENT_CODES = ["op_no_trust", "op_no_destination", "op_line_full", "op_not_authorized", "op_underfunded", "op_src_not_authorized"]
CONTRACT_CODES = ["function_trapped", "resource_limit_exceeded", "insufficient_refundable_fee", "entry_archived"]


@pytest.fixture(scope="module")
def pair(shared_network: Network) -> tuple[Keypair, Keypair]:
    shared_network.control("ledger", intervalSeconds=0)
    return shared_network.wallet("1000"), shared_network.wallet()


@pytest.fixture(autouse=True)
def conserved(network: Network, pair: tuple[Keypair, Keypair]) -> Iterator[None]:
    """Whatever a fault does, the two hold together what they held."""
    before = total(network, pair)
    yield
    network.http.delete("/control/faults")
    assert total(network, pair) == before


def total(network: Network, pair: tuple[Keypair, Keypair]) -> int:
    return sum(int(network.balance(each, network.usdc).replace(".", "")) for each in pair)


def sequence(network: Network, keypair: Keypair) -> int:
    return int(network.account(keypair)["sequence"])


@pytest.mark.parametrize("code", sorted(transaction_texts()))
@pytest.mark.parametrize("bumped", [False, True])
def test_a_transaction_is_refused_at_submission(network: Network, pair: tuple[Keypair, Keypair], code: str, *, bumped: bool) -> None:
    sender, receiver = pair
    before = sequence(network, sender)
    inner = network.pay(sender, receiver.public_key, "1")
    envelope = network.bump(inner, receiver) if bumped else inner
    with fault(network, "refuse_transaction", code=code, next=1, account=sender.public_key):
        answer = network.post(envelope)
    result = codes(answer)
    outer_only = code in {"tx_insufficient_fee", "tx_insufficient_balance"}
    if bumped and not outer_only:
        assert result == {"transaction": "tx_fee_bump_inner_failed", "inner_transaction": code}
    else:
        assert result == {"transaction": code}
    told = xdr.TransactionResult.from_xdr(answer.json()["extras"]["result_xdr"]).result.code
    assert told == (xdr.TransactionResultCode.txFEE_BUMP_INNER_FAILED if bumped and not outer_only else transaction_texts()[code])
    assert sequence(network, sender) == before
    assert network.post(envelope).status_code == 200


@pytest.mark.parametrize("code", PAYMENT_CODES)
@pytest.mark.parametrize("bumped", [False, True])
def test_a_payment_fails_on_the_ledger(network: Network, pair: tuple[Keypair, Keypair], code: str, *, bumped: bool) -> None:
    sender, receiver = pair
    before, held = sequence(network, sender), network.balance(receiver, network.usdc)
    inner = network.pay(sender, receiver.public_key, "1")
    envelope = network.bump(inner, receiver) if bumped else inner
    with fault(network, "refuse_transaction", code=code, next=1):
        result = codes(network.post(envelope))
    assert result["operations"] == [code]
    assert result["inner_transaction" if bumped else "transaction"] == "tx_failed"
    record = network.get(f"/transactions/{inner.hash_hex()}")
    assert (record["successful"], int(record["fee_charged"]) > 0) == (False, True)
    assert (sequence(network, sender), network.balance(receiver, network.usdc)) == (before + 1, held)
    assert codes(network.post(envelope))["operations"] == [code], "final: asked again it is the same answer"


@pytest.mark.parametrize("code", CONTRACT_CODES)
def test_a_contract_call_fails_on_the_ledger(network: Network, pair: tuple[Keypair, Keypair], code: str) -> None:
    sender, receiver = pair
    before = sequence(network, sender)
    call = transfer(network, sender, receiver.public_key, 10**7)
    with fault(network, "refuse_transaction", code=code, next=1, function="transfer"):
        network.submit(network.pay(receiver, sender.public_key, "0.0000001"))
        assert codes(network.post(call)) == {"transaction": "tx_failed", "operations": [code]}
    assert sequence(network, sender) == before + 1


def test_every_operation_of_a_failed_transaction_is_undone(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair

    def append(builder: TransactionBuilder) -> None:
        for amount in ("1", "2"):
            builder.append_payment_op(receiver.public_key, network.usdc, amount)

    held = network.balance(receiver, network.usdc)
    with fault(network, "refuse_transaction", code="op_line_full", operation=1, next=1):
        assert codes(network.post(network.envelope(sender, append)))["operations"] == ["op_success", "op_line_full"]
    assert network.balance(receiver, network.usdc) == held


def test_an_operation_is_refused_before_the_ledger(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair
    before, envelope = sequence(network, sender), network.pay(sender, receiver.public_key, "1")
    with fault(network, "refuse_transaction", code="op_malformed", at="validation", next=1):
        assert codes(network.post(envelope)) == {"transaction": "tx_failed", "operations": ["op_malformed"]}
    assert sequence(network, sender) == before
    assert network.http.get(f"/transactions/{envelope.hash_hex()}").status_code == 404


def test_a_code_that_does_not_suit_leaves_the_transaction_alone(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair
    fault_id = inject(network, "refuse_transaction", code="function_trapped")
    network.submit(network.pay(sender, receiver.public_key, "1"))
    assert listed(network)[fault_id]["fired"] == 0
    for body in ({"code": "tx_bad_seq", "at": "ledger"}, {"code": "op_no_such"}, {"code": "tx_bad_seq", "path": "x"}):
        assert network.http.post("/control/faults", json={"kind": "refuse_transaction", **body}).status_code == 400


def test_fees_surge(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair
    other = network.wallet()
    with fault(network, "fee_surge", feeStroops=5_000):
        refused = network.post(network.pay(sender, receiver.public_key, "1"))
        assert codes(refused) == {"transaction": "tx_insufficient_fee"}
        assert xdr.TransactionResult.from_xdr(refused.json()["extras"]["result_xdr"]).fee_charged.int64 == 5_000
        bump = network.bump(network.pay(sender, receiver.public_key, "1"), receiver, base_fee=4_999)
        assert codes(network.post(bump)) == {"transaction": "tx_insufficient_fee"}
        paid = network.submit(network.bump(network.pay(sender, receiver.public_key, "1"), receiver, base_fee=20_000))
        assert (paid["fee_charged"], paid["max_fee"]) == ("10000", "40000")
        assert int(network.get("/fee_stats")["fee_charged"]["max"]) >= 10_000
        network.control("faucet", address=other.public_key, amount="1")
    assert network.submit(network.pay(sender, receiver.public_key, "1"))["fee_charged"] == "100"


def test_a_dropped_envelope_dies_at_its_time(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair
    before, now = sequence(network, sender), network.control("clock")["nowUnix"]
    doomed = network.pay(sender, receiver.public_key, "1", time_bounds=(0, now + 60))
    with fault(network, "expire_envelopes", next=1) as fault_id:
        assert network.post_async(doomed).json()["tx_status"] == "PENDING"
        network.close()
        assert network.post_async(doomed).json()["tx_status"] == "PENDING", "posting it again does not save it"
        bumped = network.bump(doomed, receiver)
        assert network.post_async(bumped).json()["tx_status"] == "PENDING", "nor does a fee bump of it"
        network.close()
        assert listed(network)[fault_id]["fired"] == 1
        assert network.http.get(f"/transactions/{doomed.hash_hex()}").status_code == 404
        assert sequence(network, sender) == before
        network.control("clock/advance", seconds=61)
        assert codes(network.post(doomed))["transaction"] == "tx_too_late"
        network.submit(network.pay(sender, receiver.public_key, "1"))


def frozen(network: Network, keypair: Keypair) -> bool:
    (line,) = [each for each in network.account(keypair)["balances"] if each.get("asset_code") == "USDC"]
    authorized: bool = line["is_authorized"]
    return not authorized


def test_a_trustline_is_frozen_and_thawed(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair
    with fault(network, "freeze_trustline", account=receiver.public_key) as fault_id:
        assert (frozen(network, receiver), frozen(network, sender)) == (True, False)
        assert codes(network.post(network.pay(sender, receiver.public_key, "1")))["operations"] == ["op_not_authorized"]
        assert codes(network.post(network.pay(receiver, sender.public_key, "1")))["operations"] == ["op_src_not_authorized"]
        call = transfer(network, sender, receiver.public_key, 10**7)
        assert codes(network.post(call))["operations"] == ["function_trapped"]
        assert listed(network)[fault_id]["fired"] == 3
        other = network.wallet("1")
        network.submit(network.pay(other, sender.public_key, "0.5"))
        network.submit(network.pay(sender, other.public_key, "0.5"))
    assert not frozen(network, receiver)
    network.submit(network.pay(sender, receiver.public_key, "1"))
    for body in ({}, {"account": "C" + receiver.public_key[1:]}, {"account": receiver.public_key, "next": 1}):
        assert network.http.post("/control/faults", json={"kind": "freeze_trustline", **body}).status_code == 400


def test_the_ledger_stands_still(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair
    fault_id = inject(network, "stop_ledger")
    stopped_at = network.control("clock")["ledger"]
    assert network.control("clock")["intervalSeconds"] is None
    envelope = network.pay(sender, receiver.public_key, "1")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(network.post, envelope)
        time.sleep(1.2)
        assert network.control("clock")["ledger"] == stopped_at
        assert not waiting.done()
        network.http.delete(f"/control/faults/{fault_id}")
        answer: httpx.Response = waiting.result(timeout=40)
    assert answer.json()["ledger"] == stopped_at + 1
    assert network.control("clock")["intervalSeconds"] == 0
