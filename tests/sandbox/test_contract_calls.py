"""Calls of the asset contract straight through Horizon: what a classic client sees of a Soroban transaction."""

from __future__ import annotations

from stellar_sdk import scval, xdr

from tests.sandbox.contract_calls import transfer
from tests.sandbox.network import Network, codes


def test_a_transfer_is_a_payment_with_balance_changes(network: Network) -> None:
    sender, receiver = network.wallet("10"), network.wallet()
    record = network.submit(transfer(network, sender, receiver.public_key, 25_000_000))
    assert (record["fee_charged"], record["operation_count"]) == ("50100", 1)
    meta = xdr.TransactionMeta.from_xdr(record["result_meta_xdr"])
    assert meta.v3 is not None
    assert meta.v3.soroban_meta is not None
    (event,) = meta.v3.soroban_meta.events
    assert event.body.v0 is not None
    assert scval.to_native(event.body.v0.data) == 25_000_000
    payment = network.records(f"/accounts/{receiver.public_key}/payments", order="desc", limit=1)[0]
    assert (payment["type"], payment["type_i"]) == ("invoke_host_function", 24)
    assert payment["asset_balance_changes"] == [
        {
            "asset_type": "credit_alphanum4",
            "asset_code": "USDC",
            "asset_issuer": network.usdc.issuer,
            "type": "transfer",
            "from": sender.public_key,
            "to": receiver.public_key,
            "amount": "2.5000000",
        }
    ]
    assert [each["type"] for each in payment["parameters"]] == ["Address", "Sym", "Address", "Address", "I128"]
    assert xdr.SCVal.from_xdr(payment["parameters"][1]["value"]) == scval.to_symbol("transfer")


def test_a_refusing_contract_traps_and_says_why(network: Network) -> None:
    sender, receiver = network.wallet("1"), network.wallet()
    answer = network.post(transfer(network, sender, receiver.public_key, 10_000_001))
    assert codes(answer) == {"transaction": "tx_failed", "operations": ["function_trapped"]}
    (event,) = answer.json()["extras"]["diagnostic_events"]
    body = xdr.DiagnosticEvent.from_xdr(event).event.body.v0
    assert body is not None
    assert body.topics[1].error is not None
    assert body.topics[1].error.contract_code == xdr.Uint32(10)
    assert network.balance(sender, network.usdc) == "1.0000000"
    path = f"/accounts/{sender.public_key}/operations"
    assert network.records(path, order="desc", include_failed="true")[0]["type"] == "invoke_host_function"
    paid = network.records(f"/accounts/{sender.public_key}/payments", include_failed="true", limit=200)
    assert "invoke_host_function" not in {each["type"] for each in paid}


def test_an_undeclared_entry_cannot_be_touched(network: Network) -> None:
    sender, receiver = network.wallet("1"), network.wallet()
    answer = network.post(transfer(network, sender, receiver.public_key, 1, declared_holders=1))
    assert codes(answer)["operations"] == ["function_trapped"]
    assert network.balance(sender, network.usdc) == "1.0000000"


def test_the_issuer_mints_and_burns_through_the_contract(network: Network) -> None:
    sender = network.wallet("3")
    burned = network.submit(transfer(network, sender, str(network.usdc.issuer), 30_000_000))
    (change,) = network.records(f"/transactions/{burned['hash']}/payments")[0]["asset_balance_changes"]
    assert (change["type"], change["from"], "to" in change) == ("burn", sender.public_key, False)


def test_contract_calls_pay_for_their_resources(network: Network) -> None:
    sender, receiver = network.wallet("3"), network.wallet()
    cheap = transfer(network, sender, receiver.public_key, 1, fee=99)
    assert codes(network.post(cheap)) == {"transaction": "tx_insufficient_fee"}
    free = transfer(network, sender, receiver.public_key, 1, resource_fee=0)
    assert codes(network.post(free)) == {"transaction": "tx_soroban_invalid"}


def test_a_fee_bumped_call_charges_the_payer_only(network: Network) -> None:
    sender, receiver, payer = network.wallet("3"), network.wallet(), network.funded()
    lumens = network.balance(sender)
    inner = transfer(network, sender, receiver.public_key, 10_000_000)
    record = network.submit(network.bump(inner, payer, 60_000))
    assert record["fee_charged"] == "50200"
    assert (network.balance(sender), network.balance(payer)) == (lumens, "9999.9949800")
