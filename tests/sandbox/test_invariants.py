"""Random traffic under faults; nothing is created or lost. Read from the file the sandbox leaves behind, not from its answers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stellar_sdk import Asset, FeeBumpTransactionEnvelope, Keypair, StrKey, TransactionBuilder, TransactionEnvelope

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


@dataclass(frozen=True)
class Step:
    """One thing that happens; wallets are taken by number, as many as there are then."""

    action: str
    sender: int
    receiver: int
    amount: int

    @property
    def text(self) -> str:
        return f"{self.amount // 10**7}.{self.amount % 10**7:07d}"


FAULTS: list[dict[str, object]] = [
    {"kind": "accept_then_drop"},
    {"kind": "refuse_transaction", "code": "op_underfunded"},
    {"kind": "refuse_transaction", "code": "function_trapped"},
    {"kind": "refuse_transaction", "code": "tx_bad_seq"},
    {"kind": "fee_surge", "feeStroops": 150},
    {"kind": "expire_envelopes"},
    {"kind": "html_bad_gateway", "path": "^POST /transactions", "applies": True},
]
ACTIONS = ("faucet", "pay", "bump", "burn", "lumens", "sponsor", "contract", "fault")
STEPS = st.lists(
    st.builds(Step, st.sampled_from(ACTIONS), st.integers(0, 99), st.integers(0, 99), st.integers(1, 3 * 10**7)), min_size=1, max_size=20
)


class Traffic:
    """A network of its own with some wallets on it, and what the issuer has given out and got back."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.usdc = f"{network.usdc.code}:{network.usdc.issuer}"
        self.payer = network.funded()
        self.wallets = [network.wallet("5") for _ in range(4)]
        self.issued = 4 * 5 * 10**7
        self.highest: dict[str, int] = {}

    def take(self, step: Step) -> None:
        network = self.network
        sender, receiver = (self.wallets[number % len(self.wallets)] for number in (step.sender, step.receiver))
        match step.action:
            case "faucet":
                network.control("faucet", address=receiver.public_key, amount=step.text)
                self.issued += step.amount
            case "pay":
                self.post(network.pay(sender, receiver.public_key, step.text))
            case "bump":
                self.post(network.bump(network.pay(sender, receiver.public_key, step.text), self.payer))
            case "burn":
                network.http.delete("/control/faults")
                burned = network.post(network.pay(sender, str(network.usdc.issuer), step.text))
                self.issued -= step.amount if burned.is_success else 0
            case "lumens":
                self.post(network.envelope(self.payer, pay_lumens(receiver, step.text)))
            case "contract":
                self.post(transfer(network, sender, HOLDING_CONTRACT, step.amount))
            case "sponsor":
                self.sponsor()
            case "fault":
                network.http.post("/control/faults", json={**FAULTS[step.sender % len(FAULTS)], "next": 1 + step.receiver % 3})

    def post(self, envelope: TransactionEnvelope | FeeBumpTransactionEnvelope) -> None:
        """Without waiting for what a fault will never let come."""
        with suppress(httpx.RemoteProtocolError):
            self.network.post_async(envelope)
        self.network.close()

    def sponsor(self) -> None:
        wallet = Keypair.random()
        self.network.http.delete("/control/faults")
        sponsor_wallet(self.network, self.payer, wallet)
        self.wallets.append(wallet)

    def check(self) -> Books:
        now = books(self.network.home, self.usdc, self.network.usdc_contract)
        assert (now.lumens, now.usdc) == (TOTAL_LUMENS_STROOPS, self.issued)
        assert all(now.sequences[address] >= before for address, before in self.highest.items())
        self.highest = now.sequences
        return now


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    network = Network(tmp_path_factory.mktemp("sandbox"))
    yield Traffic(network)
    network.kill()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_random_traffic_under_faults_conserves_lumens_usdc_and_order(traffic: Traffic, steps: list[Step]) -> None:
    for step in steps:
        traffic.take(step)
    traffic.network.http.delete("/control/faults")
    traffic.check()


def test_the_books_are_the_same_after_a_kill(traffic: Traffic) -> None:
    for action in ("faucet", "contract", "bump"):
        traffic.take(Step(action, 0, 0, 10**7))
    before = traffic.check()
    traffic.network.kill()
    traffic.network.start()
    assert traffic.check() == before
    assert before.held_by_contracts > 0
