"""The public SDK's own Horizon client, which knows nothing of this sandbox, works against it."""

from __future__ import annotations

from itertools import islice

import pytest
from stellar_sdk import Server, TransactionBuilder
from stellar_sdk.exceptions import BadRequestError, NotFoundError

from tests.sandbox.network import Network


def test_load_build_submit_and_read(network: Network) -> None:
    sender, receiver = network.wallet("9"), network.wallet()
    with Server(network.url) as server:
        source = server.load_account(sender.public_key)
        high = int(network.control("clock")["nowUnix"]) + 300
        builder = TransactionBuilder(source, network.passphrase, server.fetch_base_fee())
        envelope = builder.append_payment_op(receiver.public_key, network.usdc, "4").add_time_bounds(0, high).build()
        envelope.sign(sender)
        answer = server.submit_transaction(envelope)
        assert answer["hash"] == envelope.hash_hex()
        (payment,) = server.payments().for_transaction(envelope.hash_hex()).call()["_embedded"]["records"]
        assert payment["amount"] == "4.0000000"
        page = server.payments().for_account(receiver.public_key).order(desc=True).limit(1)
        assert page.call()["_embedded"]["records"][0]["id"] == payment["id"]
        assert page.next()["_embedded"]["records"][0]["type"] == "create_account"
        streamed = server.payments().for_account(receiver.public_key).cursor(0).limit(2).stream()
        assert [each["type"] for each in islice(streamed, 2)] == ["create_account", "payment"]
        with pytest.raises(BadRequestError) as refused:
            server.submit_transaction(network.pay(sender, receiver.public_key, "100"))
        assert refused.value.extras is not None
        assert refused.value.extras["result_codes"]["operations"] == ["op_underfunded"]
        with pytest.raises(NotFoundError):
            server.transactions().transaction("0" * 64).call()
