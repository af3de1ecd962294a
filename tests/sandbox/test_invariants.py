"""Random traffic; after it, nothing was created or lost. Read from the file the sandbox leaves behind, not from its answers."""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from stellar_sdk import Asset, Keypair, StrKey, TransactionBuilder

from tests.sandbox.contract_calls import transfer
from tests.sandbox.network import Append, Network

HOLDING_CONTRACT = StrKey.encode_contract(bytes(32))
TOTAL_LUMENS_STROOPS = 100_000_000_000 * 10**7
RESERVE_STROOPS = 5_000_000


@dataclass
class Books:
    lumens: int = 0
    usdc: int = 0
    held_by_contracts: int = 0
    sequences: dict[str, int] = field(default_factory=dict)


def books(home: Path, usdc: str, contract: str) -> Books:
    read = Books()
    connection = sqlite3.connect(f"file:{home / 'ledger.sqlite3'}?mode=ro", uri=True)
    accounts = [json.loads(document) for (document,) in connection.execute("SELECT document FROM accounts")]
    for account in accounts:
        read.lumens += account["balance"]
        read.sequences[account["address"]] = account["sequence"]
        line = account["trustlines"].get(usdc)
        read.usdc += line["balance"] if line else 0
        subentries = len(account["trustlines"]) + len(account["signers"]) + len(account["data"])
        reserve = (2 + subentries + account["num_sponsoring"] - account["num_sponsored"]) * RESERVE_STROOPS
        assert account["balance"] >= reserve >= 0
    assert sum(each["num_sponsoring"] for each in accounts) == sum(each["num_sponsored"] for each in accounts)
    (fee_pool,) = connection.execute("SELECT value FROM meta WHERE key = 'fee_pool'").fetchone()
    read.lumens += int(fee_pool)
    (held,) = connection.execute("SELECT coalesce(sum(amount), 0) FROM contract_balances WHERE contract = ?", (contract,)).fetchone()
    read.usdc += held
    read.held_by_contracts = held
    connection.close()
    return read


def pay_lumens(receiver: Keypair, amount: str) -> Append:
    return lambda builder: builder.append_payment_op(receiver.public_key, Asset.native(), amount)


def sponsor_wallet(network: Network, sponsor: Keypair, wallet: Keypair) -> None:
    def append(builder: TransactionBuilder) -> None:
        builder.append_begin_sponsoring_future_reserves_op(wallet.public_key)
        builder.append_create_account_op(wallet.public_key, "0")
        builder.append_change_trust_op(network.usdc, source=wallet.public_key)
        builder.append_end_sponsoring_future_reserves_op(source=wallet.public_key)

    network.post(network.envelope(sponsor, append, wallet))


def test_random_traffic_conserves_lumens_usdc_and_order(own_network: Network) -> None:
    network, chance = own_network, random.Random(20261122)
    usdc = f"{network.usdc.code}:{network.usdc.issuer}"
    payer = network.funded()
    issued, wallets = 0, [network.wallet() for _ in range(4)]
    highest: dict[str, int] = {}
    for step in range(150):
        sender, receiver = chance.sample(wallets, 2)
        amount = chance.randint(1, 3 * 10**7)
        text = f"{amount // 10**7}.{amount % 10**7:07d}"
        match chance.choice(("faucet", "pay", "pay", "bump", "burn", "lumens", "sponsor", "contract")):
            case "faucet":
                network.control("faucet", address=receiver.public_key, amount=text)
                issued += amount
            case "pay":
                network.post(network.pay(sender, receiver.public_key, text))
            case "bump":
                network.post(network.bump(network.pay(sender, receiver.public_key, text), payer))
            case "burn":
                burned = network.post(network.pay(sender, str(network.usdc.issuer), text))
                issued -= amount if burned.is_success else 0
            case "lumens":
                network.post(network.envelope(payer, pay_lumens(receiver, text)))
            case "contract":
                network.post(transfer(network, sender, HOLDING_CONTRACT, amount))
            case "sponsor":
                wallets.append(Keypair.random())
                sponsor_wallet(network, payer, wallets[-1])
                network.post(network.bump(network.pay(sender, wallets[-1].public_key, text), payer))
        if step % 30 == 0:
            now = books(network.home, usdc, network.usdc_contract)
            assert (now.lumens, now.usdc) == (TOTAL_LUMENS_STROOPS, issued)
            assert all(now.sequences[address] >= before for address, before in highest.items())
            highest = now.sequences
    network.kill()
    final = books(network.home, usdc, network.usdc_contract)
    assert (final.lumens, final.usdc) == (TOTAL_LUMENS_STROOPS, issued)
    assert issued > final.held_by_contracts > 0
    network.start()
