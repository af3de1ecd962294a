from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from offerhub.domain.errors import ErrorCode, Retry
from offerhub.stellar import horizon as horizon_module
from offerhub.stellar.horizon import Horizon, HorizonUnavailable
from tests.unit.stellar.horizon_server import (
    HASH,
    NOT_FOUND,
    Answer,
    HorizonServer,
    account_body,
    at,
    ledger_body,
    page,
    transaction_body,
)
from tests.unit.stellar.offered import BUYER, NETWORK, SELLER, SEQUENCE

TRANSACTION = f"/transactions/{HASH}"
ACCOUNT = f"/accounts/{BUYER}"
FEE_BUMP = {"fee_bump_transaction": {"hash": "cd" * 32}, "inner_transaction": {"hash": HASH}}


@pytest.fixture
async def server() -> AsyncIterator[HorizonServer]:
    async with HorizonServer().running() as running:
        yield running


@pytest.fixture
async def horizon(server: HorizonServer) -> AsyncIterator[Horizon]:
    async with httpx.AsyncClient() as client:
        yield Horizon(server.url + "/", replace(NETWORK, friendbot_url=f"{server.url}/friendbot"), client)


async def test_an_account_is_read_in_stroops_and_a_namesake_of_usdc_is_not_usdc(server: HorizonServer, horizon: Horizon) -> None:
    server.put(ACCOUNT, Answer(200, account_body(BUYER), at(7)))
    account = await horizon.account(BUYER)
    assert account is not None
    assert (account.usdc_stroops, account.xlm_stroops, account.sequence) == (805_000_000, 1, SEQUENCE)
    assert (account.usdc_authorized, account.sponsor, account.usdc_sponsor, account.sponsored) == (True, "GSPONSOR", "GSPONSOR", 3)
    assert account.latest_ledger == 7


async def test_a_frozen_or_missing_trustline_shows(server: HorizonServer, horizon: Horizon) -> None:
    frozen = account_body(BUYER)
    frozen["balances"][0]["is_authorized"] = False
    bare = account_body(BUYER)
    del bare["balances"][0]
    server.put(ACCOUNT, Answer(200, frozen), Answer(200, bare))
    first, second = await horizon.account(BUYER), await horizon.account(BUYER)
    assert first is not None
    assert (first.usdc_stroops, first.usdc_authorized) == (805_000_000, False)
    assert second is not None
    assert (second.usdc_stroops, second.usdc_authorized) == (None, False)


async def test_root_ledger_and_transaction(server: HorizonServer, horizon: Horizon) -> None:
    root = {
        "network_passphrase": "p",
        "history_latest_ledger": 9,
        "history_elder_ledger": 2,
        "core_latest_ledger": 10,
    }
    server.put("/", Answer(200, root))
    server.put("/ledgers", Answer(200, page(ledger_body(9))))
    server.put(TRANSACTION, Answer(200, transaction_body(**FEE_BUMP, successful=False), at(9)))
    assert (await horizon.root()).elder_ledger == 2
    ledger = await horizon.latest_ledger()
    assert (ledger.sequence, ledger.closed_at_unix) == (9, 1_795_348_800)
    found = await horizon.transaction(HASH)
    assert found.record is not None
    assert (found.record.hash, found.record.successful, found.record.fee_charged_stroops) == ("cd" * 32, False, 120)
    assert found.record.inner_hash == HASH
    assert found.latest_ledger == 9


async def test_only_horizon_s_own_404_means_not_found(server: HorizonServer, horizon: Horizon) -> None:
    server.put(TRANSACTION, Answer(404, NOT_FOUND, at(5)), Answer(404, b"<html>nginx</html>"), Answer(404, {"message": "no route"}))
    lookup = await horizon.transaction(HASH)
    assert (lookup.record, lookup.latest_ledger) == (None, 5)
    for _ in range(2):
        with pytest.raises(HorizonUnavailable):
            await horizon.transaction(HASH)


UGLY: list[Answer] = [
    Answer(504, b""),
    Answer(502, b"<html><body>Bad Gateway</body></html>"),
    Answer(503, {"type": "…/stale_history", "extras": None}),
    Answer(200, b""),
    Answer(200, b"<html>maintenance</html>"),
    Answer(200, b"null"),
    Answer(200, []),
    Answer(200, b"[" * 100_000),
    Answer(200, b'"\xff"'),
    Answer(200, {"hash": None}),
    Answer(200, {**transaction_body(), "successful": "true"}),
    Answer(200, {**transaction_body(), "ledger": "9e9"}),
    Answer(200, {**transaction_body(), "created_at": "yesterday"}),
    Answer(200, {**transaction_body(), "fee_bump_transaction": [1]}),
    Answer(200, transaction_body(hash="12" * 32)),
    Answer(301, b"", {"Location": "http://elsewhere.invalid/"}),
]


@pytest.mark.parametrize("answer", UGLY, ids=lambda answer: f"{answer.status} {answer.content()[:30]!r}")
async def test_ugly_answers_are_one_kind_of_error(answer: Answer, server: HorizonServer, horizon: Horizon) -> None:
    server.put(TRANSACTION, answer)
    server.put(ACCOUNT, answer)
    server.put("/ledgers", answer)
    for ask in (horizon.transaction(HASH), horizon.account(BUYER), horizon.latest_ledger()):
        with pytest.raises(HorizonUnavailable) as unavailable:
            await ask
        assert (unavailable.value.code, unavailable.value.retry) == (ErrorCode.STELLAR_NETWORK_ERROR, Retry.ASK_THE_CHAIN)


async def test_a_limit_tells_when_to_come_back(server: HorizonServer, horizon: Horizon) -> None:
    server.put(TRANSACTION, Answer(429, {"type": "rate_limit_exceeded"}, {"Retry-After": "17"}), Answer(429, b"", {"Retry-After": "soon"}))
    for expected in (17, None):
        with pytest.raises(HorizonUnavailable) as unavailable:
            await horizon.transaction(HASH)
        assert unavailable.value.retry_after_s == expected


async def test_an_answer_from_an_older_ledger_is_refused(server: HorizonServer, horizon: Horizon) -> None:
    server.put(TRANSACTION, Answer(404, NOT_FOUND, at(50)), Answer(404, NOT_FOUND, at(49)), Answer(404, NOT_FOUND, at(50)))
    assert (await horizon.transaction(HASH)).latest_ledger == 50
    with pytest.raises(HorizonUnavailable, match="ledger 49"):
        await horizon.transaction(HASH)
    assert (await horizon.transaction(HASH)).latest_ledger == 50


async def test_a_dead_server_is_unavailable(horizon: Horizon) -> None:
    async with httpx.AsyncClient() as client:
        dead = Horizon("http://127.0.0.1:9", NETWORK, client)
        with pytest.raises(HorizonUnavailable):
            await dead.root()
        assert (await dead.submit("AAAA")).code == "no_answer"


async def test_a_transaction_in_a_ledger_costs_one_request(server: HorizonServer, horizon: Horizon) -> None:
    server.put(TRANSACTION, Answer(200, transaction_body()))
    seen = await horizon.observe(HASH, BUYER, SEQUENCE)
    assert seen.lookup.record is not None
    assert len(server.requests) == 1


async def test_the_account_is_read_before_the_look_up_and_its_own_ledger_with_it(server: HorizonServer, horizon: Horizon) -> None:
    server.put(ACCOUNT, Answer(200, account_body(BUYER, SEQUENCE - 1), at(60)))
    server.put("/ledgers/60", Answer(200, ledger_body(60)))
    seen = await horizon.observe(HASH, BUYER, SEQUENCE)
    paths = [request.split(" ")[1] for request in server.requests]
    assert paths == [TRANSACTION, ACCOUNT, "/ledgers/60", TRANSACTION]
    assert seen.ledger is not None
    assert (seen.ledger.sequence, seen.occupant) == (60, None)


async def test_who_took_the_sequence_number_is_looked_up(server: HorizonServer, horizon: Horizon) -> None:
    other = transaction_body(source_account=SELLER, source_account_sequence=str(SEQUENCE), hash="11" * 32)
    ours = transaction_body(source_account=BUYER, hash="22" * 32, inner_transaction={"hash": "33" * 32})
    server.put(ACCOUNT, Answer(200, account_body(BUYER, SEQUENCE + 3), at(60)))
    server.put("/ledgers/60", Answer(200, ledger_body(60)))
    server.put(f"{ACCOUNT}/transactions", Answer(200, page(other, ours)))
    assert (await horizon.observe(HASH, BUYER, SEQUENCE)).occupant == "33" * 32


async def test_a_submitted_transaction_is_final_only_as_a_record(server: HorizonServer, horizon: Horizon) -> None:
    failed = {
        "type": "https://stellar.org/horizon-errors/transaction_failed",
        "title": "Transaction Failed",
        "extras": {"result_codes": {"transaction": "tx_failed", "operations": ["op_inner", None]}, "diagnostic_events": ["AAAA", 3]},
    }
    server.put("/transactions", Answer(200, transaction_body()), Answer(400, failed))
    applied = await horizon.submit("a+b/c=")
    assert applied.record is not None
    assert server.requests[0].endswith("tx=a%2Bb%2Fc%3D")
    refused = await horizon.submit("AAAA")
    assert (refused.record, refused.status, refused.code) == (None, 400, "transaction_failed")
    assert (refused.result_codes, refused.diagnostic_events) == (("tx_failed", "op_inner"), ("AAAA",))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(504, b""), "unreadable"),
        (Answer(502, b"<html>"), "unreadable"),
        (
            Answer(504, {"type": "https://stellar.org/horizon-errors/transaction_submission_timeout", "extras": None}),
            "transaction_submission_timeout",
        ),
        (Answer(400, {"type": None, "extras": []}), "unknown"),
        (Answer(400, {"type": "x", "extras": {"result_codes": None}}), "x"),
        (Answer(400, {"type": "x", "extras": {"result_codes": {"operations": "no"}}}), "x"),
        (Answer(400, ["list"]), "unreadable"),
        (Answer(200, {"hash": 3}), "unreadable"),
        (Answer(200, b"", cut=True), "unreadable"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.status),
)
async def test_ugly_submit_answers_are_kept_and_not_final(answer: Answer, code: str, server: HorizonServer, horizon: Horizon) -> None:
    server.put("/transactions", answer)
    said = await horizon.submit("AAAA")
    assert (said.record, said.code) == (None, code)


@pytest.mark.parametrize(
    ("status", "word"), [(201, "PENDING"), (409, "DUPLICATE"), (503, "TRY_AGAIN_LATER"), (400, "ERROR"), (200, "PENDING")]
)
async def test_the_asynchronous_endpoint_is_never_final(status: int, word: str, server: HorizonServer, horizon: Horizon) -> None:
    body = {**transaction_body(), "tx_status": word, "error_result_xdr": "AAAA"}
    server.put("/transactions_async", Answer(status, body))
    said = await horizon.submit_async("AAAA")
    assert (said.record, said.code) == (None, word)


async def test_friendbot(server: HorizonServer, horizon: Horizon) -> None:
    server.put("/friendbot", Answer(200, {}), Answer(400, {}), Answer(502, b""))
    assert await horizon.friendbot(BUYER) is True
    assert await horizon.friendbot(BUYER) is False
    with pytest.raises(HorizonUnavailable):
        await horizon.friendbot(BUYER)


def event(data: str, name: str = "", ident: str = "") -> bytes:
    fields = [("id", ident), ("event", name), ("data", data)]
    return ("\n".join(f"{field}: {value}" for field, value in fields if value) + "\n\n").encode()


HELLO = b'retry: 1000\nevent: open\ndata: "hello"\n\n'
BYE = b'retry: 10\nevent: close\ndata: "byebye"\n\n'
EVENTS = {"Content-Type": "text/event-stream"}


async def read_stream(horizon: Horizon, cursor: str = "5") -> list[str]:
    return [record.paging_token async for record in horizon.stream_payments(cursor)]


async def test_a_stream_yields_records_and_ends_with_the_connection(server: HorizonServer, horizon: Horizon) -> None:
    records = event('{"paging_token":"6","memo":"a\u2028b"}', ident="6") + event('{"paging_token":\ndata: "7"}', ident="7")
    server.put("/payments", Answer(200, HELLO + b": comment\n" + records + BYE + b'data: {"paging_token":"cut', EVENTS, cut=True))
    assert await read_stream(horizon) == ["6", "7"]
    assert "cursor=5&limit=200&join=transactions" in server.requests[0]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(503, b"<html>", EVENTS),
        Answer(404, NOT_FOUND),
        Answer(200, HELLO + event("ledger gone", "error"), EVENTS, cut=True),
        Answer(200, HELLO + event("{not json"), EVENTS, cut=True),
        Answer(200, HELLO + event("[]"), EVENTS, cut=True),
        Answer(200, HELLO + b"data: " + b"x" * 1_100_000, EVENTS, cut=True),
        Answer(200, HELLO + b"data: \xff\n\n", EVENTS, cut=True),
    ],
)
async def test_a_broken_stream_is_an_error(answer: Answer, server: HorizonServer, horizon: Horizon) -> None:
    server.put("/payments", answer)
    with pytest.raises(HorizonUnavailable):
        await read_stream(horizon)


async def test_a_silent_stream_is_an_error(server: HorizonServer, horizon: Horizon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon_module, "STREAM_SILENCE_S", 0.2)
    server.put("/payments", Answer(200, HELLO, EVENTS, cut=True, hold_s=2))
    with pytest.raises(HorizonUnavailable, match="ReadTimeout"):
        await read_stream(horizon)


async def test_the_payments_of_a_transaction(server: HorizonServer, horizon: Horizon) -> None:
    record: dict[str, Any] = {"paging_token": "9"}
    server.put(f"{TRANSACTION}/payments", Answer(200, page(record)), Answer(200, page()), Answer(200, {"_embedded": {"records": None}}))
    assert await horizon.payments_of(HASH) == [record]
    assert await horizon.payments_of(HASH) == []
    with pytest.raises(HorizonUnavailable):
        await horizon.payments_of(HASH)
