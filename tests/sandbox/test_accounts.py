from __future__ import annotations

from stellar_sdk import Keypair, TransactionBuilder

from tests.sandbox.network import Network, codes

RESERVE = 5_000_000


def raw(network: Network, keypair: Keypair) -> dict[str, int]:
    entry: dict[str, int] = network.control(f"accounts/{keypair.public_key}")
    return entry


def sponsored_wallets(network: Network, builder: TransactionBuilder, wallets: list[Keypair]) -> None:
    for wallet in wallets:
        builder.append_begin_sponsoring_future_reserves_op(wallet.public_key)
        builder.append_create_account_op(wallet.public_key, "0")
        builder.append_change_trust_op(network.usdc, source=wallet.public_key)
        builder.append_end_sponsoring_future_reserves_op(source=wallet.public_key)


def test_friendbot_funds_a_new_account_once(network: Network) -> None:
    keypair = network.funded()
    account = network.account(keypair)
    assert network.balance(keypair) == "10000.0000000"
    assert int(account["sequence"]) == account["last_modified_ledger"] << 32
    again = network.http.get("/friendbot", params={"addr": keypair.public_key})
    assert again.status_code == 400
    assert network.http.get("/friendbot", params={"addr": "nonsense"}).json()["extras"]["invalid_field"] == "addr"


def test_nineteen_sponsored_wallets_in_one_transaction(network: Network) -> None:
    sponsor, wallets = network.funded(), [Keypair.random() for _ in range(19)]
    envelope = network.envelope(sponsor, lambda builder: sponsored_wallets(network, builder, wallets), *wallets)
    result = network.submit(envelope)
    assert (result["operation_count"], result["fee_charged"], len(result["signatures"])) == (76, "7600", 20)
    account = network.account(sponsor)
    assert account["num_sponsoring"] == 19 * 3
    assert raw(network, sponsor)["minimum_balance"] == (2 + 19 * 3) * RESERVE
    for wallet in wallets:
        created = network.account(wallet)
        assert (created["sponsor"], created["num_sponsored"], created["subentry_count"]) == (sponsor.public_key, 3, 1)
        assert created["balances"][0]["sponsor"] == sponsor.public_key
        assert created["balances"][0]["limit"] == "922337203685.4775807"
        assert network.balance(wallet) == "0.0000000"
        assert raw(network, wallet)["minimum_balance"] == 0
    records = network.records(f"/transactions/{result['hash']}/operations", limit=200)
    assert [each["type"] for each in records[:4]] == [
        "begin_sponsoring_future_reserves",
        "create_account",
        "change_trust",
        "end_sponsoring_future_reserves",
    ]
    assert records[1]["sponsor"] == records[2]["sponsor"] == records[3]["begin_sponsor"] == sponsor.public_key


def test_one_bad_wallet_fails_the_whole_batch(network: Network) -> None:
    sponsor, wallets = network.funded(), [Keypair.random() for _ in range(3)]
    taken = network.funded()
    envelope = network.envelope(
        sponsor,
        lambda builder: sponsored_wallets(network, builder, [*wallets, taken]),
        *wallets,
        taken,
    )
    failed = codes(network.post(envelope))
    assert failed["transaction"] == "tx_failed"
    assert failed["operations"][13] == "op_already_exists"
    assert network.account(sponsor)["num_sponsoring"] == 0
    assert network.http.get(f"/accounts/{wallets[0].public_key}").status_code == 404


def test_an_open_sponsorship_is_refused(network: Network) -> None:
    sponsor, wallet = network.funded(), Keypair.random()

    def append(builder: TransactionBuilder) -> None:
        builder.append_begin_sponsoring_future_reserves_op(wallet.public_key)
        builder.append_create_account_op(wallet.public_key, "0")

    assert codes(network.post(network.envelope(sponsor, append))) == {"transaction": "tx_bad_sponsorship"}


def test_a_sponsor_cannot_go_below_its_own_reserve(network: Network) -> None:
    rich, sponsor, wallet = network.funded(), Keypair.random(), Keypair.random()
    network.submit(network.envelope(rich, lambda builder: builder.append_create_account_op(sponsor.public_key, "2.4")))
    envelope = network.envelope(sponsor, lambda builder: sponsored_wallets(network, builder, [wallet]), wallet)
    assert "op_low_reserve" in codes(network.post(envelope))["operations"]


def test_closing_a_sponsored_wallet_gives_the_reserve_back(network: Network) -> None:
    sponsor, wallet = network.funded(), Keypair.random()
    network.submit(network.envelope(sponsor, lambda builder: sponsored_wallets(network, builder, [wallet]), wallet))

    def close(builder: TransactionBuilder) -> None:
        builder.append_change_trust_op(network.usdc, "0")
        builder.append_account_merge_op(sponsor.public_key)

    closing = network.bump(network.envelope(wallet, close), sponsor)
    assert network.submit(closing)["successful"]
    assert network.account(sponsor)["num_sponsoring"] == 0
    assert network.http.get(f"/accounts/{wallet.public_key}").status_code == 404
    assert [each["type"] for each in network.records(f"/accounts/{wallet.public_key}/payments")] == ["create_account", "account_merge"]


def test_starting_balance_must_cover_the_reserve(network: Network) -> None:
    funder = network.funded()
    envelope = network.envelope(funder, lambda builder: builder.append_create_account_op(Keypair.random().public_key, "0.9"))
    assert codes(network.post(envelope))["operations"] == ["op_low_reserve"]


def test_a_second_signer_is_needed_once_the_threshold_says_so(network: Network) -> None:
    owner, second, other = network.wallet("10"), Keypair.random(), network.wallet()

    def add(builder: TransactionBuilder) -> None:
        builder.append_ed25519_public_key_signer(second.public_key, 1)
        builder.append_set_options_op(low_threshold=1, med_threshold=2, high_threshold=2)

    network.submit(network.envelope(owner, add))
    assert codes(network.post(network.pay(owner, other.public_key, "1")))["operations"] == ["op_bad_auth"]
    envelope = network.pay(owner, other.public_key, "1")
    envelope.sign(second)
    assert network.submit(envelope)["successful"]
    signers = {each["key"]: each["weight"] for each in network.account(owner)["signers"]}
    assert signers == {owner.public_key: 1, second.public_key: 1}


def test_data_entries(network: Network) -> None:
    owner = network.funded()
    network.submit(network.envelope(owner, lambda builder: builder.append_manage_data_op("config.memo_required", "1")))
    assert network.account(owner)["data"] == {"config.memo_required": "MQ=="}
    network.submit(network.envelope(owner, lambda builder: builder.append_manage_data_op("config.memo_required", None)))
    assert network.account(owner)["data"] == {}


def test_unknown_accounts_and_bad_addresses(network: Network) -> None:
    unknown = Keypair.random().public_key
    answer = network.http.get(f"/accounts/{unknown}")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["type"] == "https://stellar.org/horizon-errors/not_found"
    assert network.http.get(f"/accounts/{unknown}/payments", headers={"Accept": "text/event-stream"}).status_code == 404
    assert network.http.get("/accounts/GABC").json()["extras"]["invalid_field"] == "account_id"
