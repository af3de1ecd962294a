from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from stellar_sdk import Asset, Keypair, MuxedAccount, TransactionEnvelope, xdr

from tests.sandbox.network import Network, codes


def result_of(result_xdr: str) -> xdr.TransactionResult:
    return xdr.TransactionResult.from_xdr(result_xdr)


def test_a_payment_is_the_full_transaction_resource(network: Network) -> None:
    sender, receiver = network.wallet("50"), network.wallet()
    envelope = network.pay(sender, receiver.public_key, "12.5", memo="order 7")
    record = network.submit(envelope)
    assert record["hash"] == record["id"] == envelope.hash_hex()
    assert record["envelope_xdr"] == envelope.to_xdr()
    assert (record["memo_type"], record["memo"], record["memo_bytes"]) == ("text", "order 7", "b3JkZXIgNw==")
    assert record["source_account_sequence"] == str(envelope.transaction.sequence)
    assert (record["fee_charged"], record["max_fee"], record["fee_account"]) == ("100", "100", sender.public_key)
    assert record["preconditions"]["timebounds"]["min_time"] == "0"
    assert result_of(record["result_xdr"]).fee_charged.int64 == 100
    assert (network.balance(sender, network.usdc), network.balance(receiver, network.usdc)) == ("37.5000000", "12.5000000")
    (payment,) = network.records(f"/transactions/{record['hash']}/payments")
    assert payment["id"] == str(int(record["paging_token"]) + 1)
    expected = {
        "type": "payment",
        "type_i": 1,
        "from": sender.public_key,
        "to": receiver.public_key,
        "amount": "12.5000000",
        "asset_type": "credit_alphanum4",
        "asset_code": "USDC",
        "asset_issuer": network.usdc.issuer,
        "transaction_successful": True,
        "transaction_hash": record["hash"],
    }
    assert {key: payment[key] for key in expected} == expected
    assert network.get(f"/operations/{payment['id']}")["id"] == payment["id"]


@pytest.mark.parametrize(
    ("amount", "receiver_is", "expected"),
    [
        ("50.0000001", "wallet", "op_underfunded"),
        ("1", "unknown", "op_no_destination"),
        ("1", "without trustline", "op_no_trust"),
        ("11", "limited", "op_line_full"),
    ],
)
def test_refused_payments_are_on_the_ledger(network: Network, amount: str, receiver_is: str, expected: str) -> None:
    sender = network.wallet("50")
    receiver = {"wallet": network.wallet, "unknown": Keypair.random}.get(receiver_is, network.funded)()
    if receiver_is == "limited":
        network.submit(network.envelope(receiver, lambda builder: builder.append_change_trust_op(network.usdc, "10")))
    envelope = network.pay(sender, receiver.public_key, amount)
    assert codes(network.post(envelope)) == {"transaction": "tx_failed", "operations": [expected]}
    found = network.get(f"/transactions/{envelope.hash_hex()}")
    assert (found["successful"], found["fee_charged"]) == (False, "100")
    assert int(network.account(sender)["sequence"]) == envelope.transaction.sequence
    assert network.balance(sender, network.usdc) == "50.0000000"
    outgoing = network.records(f"/accounts/{sender.public_key}/payments", include_failed="true", limit=200)
    assert outgoing[-1]["transaction_successful"] is False
    successful = network.records(f"/accounts/{sender.public_key}/payments", limit=200)
    assert all(each["transaction_successful"] for each in successful)


def test_an_asset_of_the_same_code_by_another_issuer_is_another_asset(network: Network) -> None:
    forger, victim = network.funded(), network.wallet()
    fake = Asset("USDC", forger.public_key)
    network.submit(network.envelope(victim, lambda builder: builder.append_change_trust_op(fake)))
    network.submit(network.envelope(forger, lambda builder: builder.append_payment_op(victim.public_key, fake, "1000")))
    balances = {each.get("asset_issuer"): each["balance"] for each in network.account(victim)["balances"]}
    assert balances[forger.public_key] == "1000.0000000"
    assert balances[network.usdc.issuer] == "0.0000000"


def test_signatures(network: Network) -> None:
    sender, receiver, stranger = network.wallet("5"), network.wallet(), Keypair.random()
    wrong = network.pay(sender, receiver.public_key, "1")
    wrong.signatures = []
    wrong.sign(stranger)
    assert codes(network.post(wrong)) == {"transaction": "tx_bad_auth"}
    foreign = TransactionEnvelope(network.pay(sender, receiver.public_key, "1").transaction, "Another Network ; 2026")
    foreign.sign(sender)
    assert codes(network.post(foreign)) == {"transaction": "tx_bad_auth"}
    extra = network.pay(sender, receiver.public_key, "1")
    extra.sign(stranger)
    assert codes(network.post(extra)) == {"transaction": "tx_bad_auth_extra"}
    assert network.balance(sender, network.usdc) == "5.0000000"


def test_sequences_and_bounds(network: Network) -> None:
    sender, receiver = network.wallet("5"), network.wallet()
    sequence = int(network.account(sender)["sequence"])
    now = int(network.control("clock")["nowUnix"])
    ledger = network.get("/")["history_latest_ledger"]

    def refused(**options: object) -> str:
        text: str = codes(network.post(network.pay(sender, receiver.public_key, "1", **options)))["transaction"]
        return text

    assert refused(sequence=sequence) == "tx_bad_seq"
    assert refused(sequence=sequence + 2) == "tx_bad_seq"
    assert refused(time_bounds=(0, now - 1)) == "tx_too_late"
    assert refused(time_bounds=(now + 1000, now + 2000)) == "tx_too_early"
    assert refused(ledger_bounds=(0, ledger)) == "tx_too_late"
    assert refused(ledger_bounds=(ledger + 1000, 0)) == "tx_too_early"
    assert refused(fee=99) == "tx_insufficient_fee"
    assert int(network.account(sender)["sequence"]) == sequence
    network.control("clock/advance", seconds=1500)
    assert network.submit(network.pay(sender, receiver.public_key, "1", time_bounds=(now + 1000, now + 5000)))["successful"]


def test_reposting_is_idempotent_on_the_synchronous_endpoint_only(network: Network) -> None:
    sender, receiver = network.wallet("5"), network.wallet()
    envelope = network.pay(sender, receiver.public_key, "1")
    first, again = network.submit(envelope), network.submit(envelope)
    assert first == again
    answer = network.post_async(envelope)
    assert (answer.status_code, answer.json()["tx_status"]) == (400, "ERROR")
    assert result_of(answer.json()["error_result_xdr"]).result.code == xdr.TransactionResultCode.txBAD_SEQ
    assert network.balance(sender, network.usdc) == "4.0000000"
    failing = network.pay(sender, receiver.public_key, "100")
    assert network.post(failing).json() == network.post(failing).json()
    assert codes(network.post(failing))["operations"] == ["op_underfunded"]


def test_one_queued_transaction_per_account(stepped: Network) -> None:
    sender, receiver = stepped.wallet("5"), stepped.wallet()
    stepped.control("ledger", intervalSeconds=None)
    first = stepped.pay(sender, receiver.public_key, "1")
    second = stepped.pay(sender, receiver.public_key, "2", sequence=first.transaction.sequence + 1)
    assert (stepped.post_async(first).status_code, stepped.post_async(first).status_code) == (201, 409)
    refused = stepped.post_async(second)
    assert (refused.status_code, refused.json()["tx_status"]) == (503, "TRY_AGAIN_LATER")
    assert stepped.http.get(f"/transactions/{first.hash_hex()}").status_code == 404
    stepped.close()
    assert stepped.get(f"/transactions/{first.hash_hex()}")["successful"]
    assert stepped.post_async(second).status_code == 201
    stepped.close()
    assert stepped.balance(receiver, stepped.usdc) == "3.0000000"


def test_an_envelope_that_expires_in_the_queue_is_dropped_and_banned(stepped: Network) -> None:
    sender, receiver = stepped.wallet("5"), stepped.wallet()
    stepped.control("ledger", intervalSeconds=None)
    envelope = stepped.pay(sender, receiver.public_key, "1")
    assert stepped.post_async(envelope).status_code == 201
    stepped.control("clock/advance", seconds=400)
    assert stepped.http.get(f"/transactions/{envelope.hash_hex()}").status_code == 404
    assert stepped.post_async(envelope).json()["tx_status"] == "TRY_AGAIN_LATER"
    stepped.close(10)
    answer = stepped.post_async(envelope).json()
    assert result_of(answer["error_result_xdr"]).result.code == xdr.TransactionResultCode.txTOO_LATE
    assert stepped.balance(sender, stepped.usdc) == "5.0000000"


def test_the_synchronous_endpoint_waits_for_the_ledger(stepped: Network) -> None:
    sender, receiver = stepped.wallet("5"), stepped.wallet()
    stepped.control("ledger", intervalSeconds=None)
    envelope = stepped.pay(sender, receiver.public_key, "1")
    with ThreadPoolExecutor() as pool:
        assert stepped.post_async(envelope).status_code == 201
        answers = [pool.submit(stepped.post, envelope) for _ in range(3)]
        time.sleep(0.3)
        assert not any(each.done() for each in answers)
        stepped.close()
        assert {each.result().json()["hash"] for each in answers} == {envelope.hash_hex()}
    assert stepped.balance(receiver, stepped.usdc) == "1.0000000"


def test_malformed_submissions(network: Network) -> None:
    answer = network.post("AAAA")
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (400, "transaction_malformed")
    assert answer.json()["extras"] == {"envelope_xdr": "AAAA"}
    assert network.http.post("/transactions", json={"tx": "AAAA"}).status_code == 415
    sender = network.wallet("1")
    trailing = network.pay(sender, sender.public_key, "1").to_xdr_object().to_xdr_bytes() + b"\0\0\0\0"
    assert network.post(base64.b64encode(trailing).decode()).json()["title"] == "Transaction Malformed"
    multipart = network.http.post("/transactions", files={"tx": (None, network.pay(sender, sender.public_key, "1").to_xdr())})
    assert multipart.json()["successful"]


def test_unsupported_operations_are_refused(network: Network) -> None:
    sender = network.funded()
    envelope = network.envelope(sender, lambda builder: builder.append_bump_sequence_op(2**40))
    assert codes(network.post(envelope)) == {"transaction": "tx_failed", "operations": ["op_not_supported"]}


def test_a_fee_bump_is_found_by_both_hashes(network: Network) -> None:
    sender, receiver, payer = network.wallet("5"), network.wallet(), network.funded()
    lumens, paid = network.balance(sender), network.balance(payer)
    inner = network.pay(sender, receiver.public_key, "1")
    bump = network.bump(inner, payer)
    record = network.submit(bump)
    assert record["hash"] == bump.hash_hex() == record["fee_bump_transaction"]["hash"]
    assert record["inner_transaction"]["hash"] == inner.hash_hex()
    assert (record["fee_charged"], record["max_fee"], record["fee_account"]) == ("200", "400", payer.public_key)
    by_inner = network.get(f"/transactions/{inner.hash_hex()}")
    assert by_inner["hash"] == by_inner["id"] == inner.hash_hex()
    assert by_inner["signatures"] == record["inner_transaction"]["signatures"]
    assert network.balance(sender) == lumens
    assert network.balance(payer) != paid
    (payment,) = network.records(f"/transactions/{inner.hash_hex()}/payments")
    assert payment["transaction_hash"] == bump.hash_hex()
    assert network.post(inner).json()["hash"] == inner.hash_hex()


def test_a_failed_fee_bump_names_both_results(network: Network) -> None:
    sender, receiver, payer = network.wallet("5"), network.wallet(), network.funded()
    on_ledger = network.bump(network.pay(sender, receiver.public_key, "6"), payer)
    failed = {"transaction": "tx_fee_bump_inner_failed", "inner_transaction": "tx_failed", "operations": ["op_underfunded"]}
    assert codes(network.post(on_ledger)) == failed
    stale = network.bump(network.pay(sender, receiver.public_key, "1", sequence=1), payer)
    assert codes(network.post(stale)) == {"transaction": "tx_fee_bump_inner_failed", "inner_transaction": "tx_bad_seq"}
    poor = Keypair.random()
    unpaid = network.bump(network.pay(sender, receiver.public_key, "1"), poor)
    assert codes(network.post(unpaid)) == {"transaction": "tx_no_source_account"}


def test_a_queued_transaction_is_replaced_by_ten_times_its_fee(stepped: Network) -> None:
    sender, receiver, payer = stepped.wallet("5"), stepped.wallet(), stepped.funded()
    stepped.control("ledger", intervalSeconds=None)
    inner = stepped.pay(sender, receiver.public_key, "1")
    assert stepped.post_async(inner).status_code == 201
    too_cheap = stepped.post_async(stepped.bump(inner, payer, 999)).json()
    result = result_of(too_cheap["error_result_xdr"])
    assert result.result.code == xdr.TransactionResultCode.txINSUFFICIENT_FEE
    assert result.fee_charged.int64 == 2000
    replacement = stepped.bump(inner, payer, 1000)
    assert stepped.post_async(replacement).status_code == 201
    stepped.close()
    assert stepped.get(f"/transactions/{inner.hash_hex()}")["fee_bump_transaction"]["hash"] == replacement.hash_hex()
    assert stepped.balance(receiver, stepped.usdc) == "1.0000000"


def test_muxed_destination_and_path_payment(network: Network) -> None:
    sender, receiver = network.wallet("5"), network.wallet()
    muxed = MuxedAccount(receiver.public_key, 77)
    network.submit(network.envelope(sender, lambda builder: builder.append_payment_op(muxed, network.usdc, "1")))
    path = network.submit(
        network.envelope(
            sender,
            lambda builder: builder.append_path_payment_strict_receive_op(receiver.public_key, network.usdc, "3", network.usdc, "2", []),
        )
    )
    assert path["successful"]
    first, second = network.records(f"/accounts/{receiver.public_key}/payments", limit=200)[-2:]
    assert (first["to"], first["to_muxed"], first["to_muxed_id"]) == (receiver.public_key, muxed.account_muxed, "77")
    assert (second["type_i"], second["amount"], second["source_max"]) == (2, "2.0000000", "3.0000000")
    cross = network.envelope(
        sender,
        lambda builder: builder.append_path_payment_strict_send_op(receiver.public_key, Asset.native(), "1", network.usdc, "1", []),
    )
    assert codes(network.post(cross))["operations"] == ["op_too_few_offers"]
