from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise

from stellar_sdk import Keypair

from tests.sandbox.network import Network

# Told by the ledger that closes, not by looking again and again; an idle stream lasts for 55 seconds.
AT_ONCE_S = 5


def test_pages_always_carry_their_links_and_walk_both_ways(network: Network) -> None:
    sender, receiver = network.wallet("5"), network.wallet()
    for _ in range(5):
        network.submit(network.pay(sender, receiver.public_key, "1"))
    path = f"/accounts/{receiver.public_key}/payments"
    everything = network.records(path, limit=200)
    assert len(everything) == 6
    page = network.get(path, limit=2)
    walked = page["_embedded"]["records"]
    while page["_embedded"]["records"]:
        page = network.http.get(page["_links"]["next"]["href"]).json()
        walked += page["_embedded"]["records"]
    assert walked == everything
    assert set(page["_links"]) == {"self", "next", "prev"}
    backwards = network.records(path, limit=200, order="desc")
    assert backwards == everything[::-1]
    joined = network.records(path, limit=1, order="desc", join="transactions")[0]
    assert joined["transaction"]["hash"] == joined["transaction_hash"]


def test_answers_about_state_name_their_ledger_and_answers_about_history_do_not(network: Network) -> None:
    sender, receiver, nobody = network.wallet("5"), network.wallet(), Keypair.random()
    paid = network.submit(network.pay(sender, receiver.public_key, "1"))["hash"]
    latest = network.get("/")["history_latest_ledger"]
    for path in (f"/accounts/{sender.public_key}", f"/accounts/{nobody.public_key}", "/assets", "/claimable_balances"):
        assert int(network.http.get(path).headers["Latest-Ledger"]) - latest in range(3)
    for path in (
        "/payments",
        f"/transactions/{paid}",
        f"/transactions/{'0' * 64}",
        f"/accounts/{sender.public_key}/payments",
        "/ledgers",
        "/",
    ):
        assert "Latest-Ledger" not in network.http.get(path).headers


def test_bad_parameters_are_named(network: Network) -> None:
    for name, value in (("limit", "201"), ("limit", "0"), ("order", "up"), ("cursor", "x"), ("join", "all")):
        answer = network.http.get("/payments", params={name: value})
        assert (answer.status_code, answer.json()["extras"]["invalid_field"]) == (400, name)
    assert network.http.get("/transactions/ABC").status_code == 400
    assert network.http.get(f"/transactions/{'0' * 64}").status_code == 404
    assert network.http.get("/accounts/x/payments").status_code == 400
    assert network.http.get("/ledgers/999999999/payments").status_code == 404
    assert network.http.get("/no/such/path").json()["type"] == "https://stellar.org/horizon-errors/not_found"


def test_ledgers_form_a_chain(network: Network) -> None:
    sender, receiver = network.wallet("5"), network.wallet()
    record = network.submit(network.pay(sender, receiver.public_key, "1"))
    ledgers = network.records("/ledgers", order="desc", limit=5)
    for newer, older in pairwise(ledgers):
        assert newer["prev_hash"] == older["hash"]
        assert newer["sequence"] == older["sequence"] + 1
        assert newer["closed_at"] >= older["closed_at"]
        assert newer["paging_token"] == str(newer["sequence"] << 32)
    ledger = network.get(f"/ledgers/{record['ledger']}")
    assert (ledger["successful_transaction_count"], ledger["operation_count"]) == (1, 1)
    assert [each["transaction_hash"] for each in network.records(f"/ledgers/{record['ledger']}/payments")] == [record["hash"]]


def test_root_fees_and_assets(network: Network) -> None:
    network.wallet("5")
    assert network.get("/")["network_passphrase"] == network.passphrase
    assert int(network.get("/fee_stats")["max_fee"]["p50"]) >= 100
    (asset,) = network.records("/assets", asset_code="USDC", asset_issuer=network.usdc.issuer)
    assert asset["contract_id"] == network.usdc_contract == network.usdc.contract_id(network.passphrase)
    assert asset["flags"] == {"auth_required": False, "auth_revocable": False, "auth_immutable": False, "auth_clawback_enabled": False}
    assert network.records("/claimable_balances", claimant=network.usdc.issuer) == []


def test_a_stream_resumes_from_its_cursor_without_gap_or_duplicate(network: Network) -> None:
    sender, receiver = network.wallet("50"), network.wallet()
    start = network.records("/payments", order="desc", limit=1)[0]["paging_token"]
    expected = [network.submit(network.pay(sender, receiver.public_key, "1"))["hash"] for _ in range(3)]
    first = list(islice(network.events("/payments", cursor=start, limit=200), 3))
    with ThreadPoolExecutor() as pool:
        following = pool.submit(lambda: list(network.events("/payments", {"Last-Event-ID": first[-1]["id"]}, cursor=start, limit=3)))
        time.sleep(0.1)
        expected += [network.submit(network.pay(sender, receiver.public_key, "1"))["hash"] for _ in range(3)]
        second = following.result(timeout=40)
    assert [each["transaction_hash"] for each in first + second] == expected


def test_a_stream_ends_after_limit_events_and_hears_of_a_payment_at_once(network: Network) -> None:
    sender, receiver = network.wallet("50"), network.wallet()
    path, wanted = f"/accounts/{receiver.public_key}/payments", {"cursor": "now", "join": "transactions", "limit": "2"}
    with network.http.stream("GET", path, params=wanted, headers={"Accept": "text/event-stream"}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000", "from here on it is open"
        for _ in range(2):
            paid = network.submit(network.pay(sender, receiver.public_key, "1"))["hash"]
            done = time.monotonic()
            heard = next(line for line in lines if line.startswith("data: {"))
            assert json.loads(heard.removeprefix("data: "))["transaction_hash"] == paid
            assert time.monotonic() - done < AT_ONCE_S
        assert 'data: "byebye"' in lines


def test_the_raw_stream_has_hello_and_byebye(network: Network) -> None:
    network.wallet("1")
    with network.http.stream("GET", "/payments", params={"limit": 1}, headers={"Accept": "text/event-stream"}) as answer:
        text = answer.read().decode()
    assert text.startswith('retry: 1000\nevent: open\ndata: "hello"\n\nid: ')
    assert text.endswith('retry: 10\nevent: close\ndata: "byebye"\n\n')


def test_ledgers_stream(network: Network) -> None:
    latest = network.get("/")["history_latest_ledger"]
    with ThreadPoolExecutor() as pool:
        listening = pool.submit(lambda: [each["sequence"] for each in network.events("/ledgers", cursor=str(latest << 32), limit=3)])
        network.close(3)
        assert listening.result(timeout=40) == [latest + 1, latest + 2, latest + 3]


def test_the_control_api_names_what_it_refuses(network: Network) -> None:
    funded = network.funded()
    for body, reason in (
        ({"address": funded.public_key, "amount": "1"}, "trustline"),
        ({"address": "nobody", "amount": "1"}, "address"),
        ({"address": funded.public_key, "amount": 1}, "decimal string"),
    ):
        answer = network.http.post("/control/faucet", json=body)
        assert answer.status_code == 400
        assert reason in answer.json()["error"]
    wallet = network.wallet()
    assert network.http.post("/control/faucet", json={"address": wallet.public_key, "amount": "0.00000001"}).status_code == 400
    assert network.http.post("/control/ledger", json={"close": 0}).status_code == 400
    assert network.http.post("/control/ledger", json={"intervalSeconds": -1}).status_code == 400
    before = network.control("clock")
    after = network.control("clock/advance", seconds=3600)
    assert after["nowUnix"] - before["nowUnix"] in range(3600, 3605)
    assert network.get("/ledgers", order="desc", limit=1)["_embedded"]["records"][0]["closed_at"] == after["ledgerClosedAt"]
    assert network.control("state")["clockOffsetSeconds"] == after["clockOffsetSeconds"]


def test_many_faucets_and_friendbots_fit_one_ledger(stepped: Network) -> None:
    wallets = [stepped.wallet() for _ in range(8)]
    stepped.control("ledger", intervalSeconds=None)
    with ThreadPoolExecutor(len(wallets)) as pool:
        paid = [pool.submit(stepped.control, "faucet", address=each.public_key, amount="1.5") for each in wallets]
        time.sleep(0.5)
        stepped.close()
        hashes = [each.result()["hash"] for each in paid]
    assert len({stepped.get(f"/transactions/{each}")["ledger"] for each in hashes}) == 1
    assert {stepped.balance(each, stepped.usdc) for each in wallets} == {"1.5000000"}
