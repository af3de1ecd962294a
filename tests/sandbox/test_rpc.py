"""Stellar RPC, read with the public SDK's own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from stellar_sdk import Asset, Keypair, SorobanServer, TransactionBuilder, scval, xdr

from sandbox.contracts.escrow_record import as_escrow
from sandbox.ledger.footprint import holding_key, instance_key
from tests.sandbox.contract_calls import transfer
from tests.sandbox.faults import fault
from tests.sandbox.network import Network
from tests.sandbox.test_invariants import HOLDING_CONTRACT
from tests.sandbox.trustless_parties import Parties


@pytest.fixture
def rpc(network: Network) -> Iterator[SorobanServer]:
    with SorobanServer(network.url + network.control("state")["rpcUrl"]) as server:
        yield server


def entry(rpc: SorobanServer, key: xdr.LedgerKey) -> xdr.LedgerEntryData:
    (found,) = rpc.get_ledger_entries([key]).entries or []
    assert found.key == key.to_xdr()
    return xdr.LedgerEntryData.from_xdr(found.xdr)


def storage(rpc: SorobanServer, contract_id: str) -> tuple[xdr.ContractExecutable, dict[str, xdr.SCVal]]:
    data = entry(rpc, instance_key(contract_id)).contract_data
    assert data is not None
    instance = data.val.instance
    assert instance is not None
    items = instance.storage.sc_map if instance.storage is not None else []
    return instance.executable, {_name(item.key): item.val for item in items}


def _name(key: xdr.SCVal) -> str:
    return scval.from_symbol(key.vec.sc_vec[0] if key.vec is not None else key)


def test_the_network_introduces_itself(stepped: Network, rpc: SorobanServer) -> None:
    network, sender = stepped, stepped.wallet("1")
    network.control("ledger", intervalSeconds=None)
    envelope = network.pay(sender, str(network.usdc.issuer), "1")
    network.post_async(envelope)
    network.close()
    latest = rpc.get_latest_ledger()
    published = xdr.LedgerCloseMeta.from_xdr(latest.metadata_xdr).v0
    assert published is not None
    assert [each.to_xdr() for each in published.tx_set.txs] == [envelope.to_xdr()]
    assert [each.result.transaction_hash.hash for each in published.tx_processing] == [envelope.hash()]
    record = network.get(f"/ledgers/{latest.sequence}")
    assert (latest.id, latest.protocol_version) == (record["hash"], record["protocol_version"])
    health = rpc.get_health()
    assert (health.status, health.oldest_ledger) == ("healthy", 1)
    assert health.latest_ledger >= latest.sequence
    shown = rpc.get_network()
    assert (shown.passphrase, shown.friendbot_url) == (network.passphrase, f"{network.url}/friendbot")


def test_accounts_and_trustlines(network: Network, rpc: SorobanServer) -> None:
    wallet, signer = network.wallet("12.5"), Keypair.random()

    def append(builder: TransactionBuilder) -> None:
        builder.append_manage_data_op("hello", b"world")
        builder.append_ed25519_public_key_signer(signer.public_key, 3)

    network.submit(network.envelope(wallet, append))
    assert rpc.load_account(wallet.public_key).sequence == int(network.account(wallet)["sequence"])
    account = entry(rpc, holding_key("native", wallet.public_key, network.passphrase)).account
    assert account is not None
    assert [each.weight.uint32 for each in account.signers] == [3]
    assert account.num_sub_entries.uint32 == network.account(wallet)["subentry_count"] == 3
    assert account.balance.int64 == int(network.balance(wallet).replace(".", ""))
    usdc = f"{network.usdc.code}:{network.usdc.issuer}"
    line = entry(rpc, holding_key(usdc, wallet.public_key, network.passphrase)).trust_line
    assert line is not None
    assert (line.balance.int64, line.flags.uint32) == (125_000_000, 1)
    with fault(network, "freeze_trustline", account=wallet.public_key):
        line = entry(rpc, holding_key(usdc, wallet.public_key, network.passphrase)).trust_line
        assert line is not None
        assert line.flags.uint32 == 0
        network.post(network.pay(wallet, str(network.usdc.issuer), "1"))
    nobody = Keypair.random().public_key
    missing = [holding_key(usdc, nobody, network.passphrase), holding_key("native", nobody, network.passphrase)]
    assert rpc.get_ledger_entries(missing).entries == []


def test_a_deployed_escrow_is_read_back_whatever_trustless_work_says(network: Network, rpc: SorobanServer) -> None:
    parties = Parties(network, network.wallet("250"), network.wallet(), network.wallet())
    contract_id = parties.deploy()
    deployed_in = network.get("/")["history_latest_ledger"]
    funded = parties.fund(contract_id)
    with fault(network, "tw_server_error"), fault(network, "server_error", path="^GET /ledgers$"):
        parties.indexed(contract_id)
        network.http.get("/ledgers")
        executable, kept = storage(rpc, contract_id)
        balance = rpc.get_sac_balance(contract_id, network.usdc).balance_entry
    assert executable.wasm_hash is not None
    assert executable.wasm_hash.hash.hex() == network.trustless["wasmHash"]
    escrow = as_escrow(kept["Escrow"])
    assert (escrow.amount_stroops, escrow.platform_fee_bps) == (100 * 10**7, 500)
    assert (escrow.roles.receiver, escrow.roles.platform) == (parties.seller.public_key, parties.platform.public_key)
    assert balance is not None
    assert (balance.amount, balance.authorized) == (100 * 10**7, True)
    assert balance.last_modified_ledger == funded["ledger"]
    (found,) = rpc.get_ledger_entries([instance_key(contract_id)]).entries or []
    assert 0 <= deployed_in - found.last_modified_ledger <= 3


def test_the_contracts_every_network_has(network: Network, rpc: SorobanServer) -> None:
    executable, kept = storage(rpc, network.usdc_contract)
    assert executable.type == xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET
    assert scval.to_native(kept["METADATA"]) == {"decimal": 7, "name": f"USDC:{network.usdc.issuer}", "symbol": "USDC"}
    assert scval.from_address(kept["Admin"]).address == network.usdc.issuer
    _, kept = storage(rpc, Asset.native().contract_id(network.passphrase))
    assert set(kept) == {"METADATA", "AssetInfo"}
    executable, kept = storage(rpc, network.trustless["factory"])
    assert (executable.type, kept) == (xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, {})


def test_balances_of_contracts(network: Network, rpc: SorobanServer) -> None:
    sender = network.wallet("5")
    before = rpc.get_sac_balance(HOLDING_CONTRACT, network.usdc).balance_entry
    moved = network.submit(transfer(network, sender, HOLDING_CONTRACT, 2 * 10**7))
    after = rpc.get_sac_balance(HOLDING_CONTRACT, network.usdc).balance_entry
    assert after is not None
    assert after.amount - (before.amount if before is not None else 0) == 2 * 10**7
    assert after.last_modified_ledger == moved["ledger"]
    assert rpc.get_sac_balance(HOLDING_CONTRACT, Asset("USDC", sender.public_key)).balance_entry is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[]", -32600),
        (b'{"id":7,"method":"getHealth"}', -32600),
        (b'{"jsonrpc":"2.0","id":7,"method":"sendTransaction"}', -32601),
        (b'{"jsonrpc":"2.0","id":7,"method":"getHealth","params":[1]}', -32602),
        (b'{"jsonrpc":"2.0","id":7,"method":"getLedgerEntries","params":{}}', -32602),
        (b'{"jsonrpc":"2.0","id":7,"method":"getLedgerEntries","params":{"keys":["AAAA"]}}', -32602),
        (b'{"jsonrpc":"2.0","id":7,"method":"getLedgerEntries","params":{"keys":["?"]}}', -32602),
        (b'{"jsonrpc":"2.0","id":7,"method":"getLedgerEntries","params":{"keys":[],"xdrFormat":"json"}}', -32602),
        (b'{"jsonrpc":"2.0","id":7,"method":"getLedgerEntries","params":{"keys":[' + b",".join([b'"AAAA"'] * 201) + b"]}}", -32602),
    ],
)
def test_wrong_calls_get_an_error_in_the_answer(network: Network, body: bytes, code: int) -> None:
    answer = network.http.post("/rpc", content=body)
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["jsonrpc"], document["error"]["code"]) == (200, "2.0", code)
    assert document["id"] == (7 if b'"id"' in body else None)


def test_a_fault_hits_rpc_only_where_it_names_it(network: Network) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
    with fault(network, "server_error"):
        assert network.http.post("/rpc", json=call).json()["result"]["status"] == "healthy"
        assert network.http.get("/ledgers").status_code == 500
    with fault(network, "html_bad_gateway", path="^POST /rpc$"):
        assert network.http.post("/rpc", json=call).status_code == 502
