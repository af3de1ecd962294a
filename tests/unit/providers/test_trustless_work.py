"""The Trustless Work client against a local server that answers as the real one does on good and on bad days."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from offerhub.domain.errors import DomainError, ErrorCode, Retry
from offerhub.domain.intents import EscrowIntent
from offerhub.providers import exact_json
from offerhub.providers import trustless_work as client_module
from offerhub.providers.budget import Priority, RequestBudget
from offerhub.providers.errors import EscrowNotIndexedError, EscrowRejectedError, ProviderUnavailableError, RateLimitedError
from offerhub.providers.escrow_requests import escrow_request
from offerhub.providers.trustless_work import Access, TrustlessWork
from sandbox.contracts.errors import MESSAGES
from tests.unit.stellar.horizon_server import Answer, HorizonServer
from tests.unit.stellar.offered import (
    APPROVE,
    BUYER,
    DEPLOY,
    ESCROW,
    FREEZE,
    FUND,
    MULTI_APPROVE,
    MULTI_DEPLOY,
    MULTI_ESCROW,
    MULTI_FREEZE,
    MULTI_FUND,
    MULTI_RELEASE,
    MULTI_RESOLVE,
    MULTI_STATUS,
    NETWORK,
    RELEASE,
    RESOLVE,
    SELLER,
    STATUS,
    WITHDRAW,
)

API_KEY = "id.canary-secret"
BUILD = "/escrow/single-release/approve-milestone"
SEND = "/helper/send-transaction"
BUILT = Answer(200, {"status": "SUCCESS", "unsignedTransaction": "AAAA"})


@pytest.fixture
async def server() -> AsyncIterator[HorizonServer]:
    async with HorizonServer().running() as running:
        yield running


@pytest.fixture
async def budget(redis_url: str) -> AsyncIterator[RequestBudget]:
    async with Redis.from_url(redis_url) as redis:
        yield RequestBudget(redis, "trustless-work", 50)


@pytest.fixture
async def trustless(server: HorizonServer, budget: RequestBudget) -> AsyncIterator[TrustlessWork]:
    async with httpx.AsyncClient() as client:
        yield TrustlessWork(Access(server.url + "/", API_KEY), NETWORK.usdc_issuer, budget, client)


def body_of(request: str) -> Any:
    return json.loads(request.split(" ", 3)[3], parse_float=Decimal)


async def test_a_build_posts_the_intent_and_returns_the_envelope(server: HorizonServer, trustless: TrustlessWork) -> None:
    server.put(BUILD, BUILT)
    assert await trustless.build(APPROVE, Priority.RELEASE) == "AAAA"
    assert server.requests[0].startswith(f"POST {BUILD} ")
    assert body_of(server.requests[0]) == {"contractId": ESCROW, "milestoneIndex": "1", "approver": APPROVE.source}
    assert f"x-api-key: {API_KEY}" in server.heads[0]
    assert "content-type: application/json" in server.heads[0].lower()


@pytest.mark.parametrize(
    ("intent", "path"),
    [
        (DEPLOY, "/deployer/single-release"),
        (FUND, "/escrow/single-release/fund-escrow"),
        (STATUS, "/escrow/single-release/change-milestone-status"),
        (APPROVE, BUILD),
        (RELEASE, "/escrow/single-release/release-funds"),
        (FREEZE, "/escrow/single-release/dispute-escrow"),
        (RESOLVE, "/escrow/single-release/resolve-dispute"),
        (MULTI_DEPLOY, "/deployer/multi-release"),
        (MULTI_FUND, "/escrow/multi-release/fund-escrow"),
        (MULTI_STATUS, "/escrow/multi-release/change-milestone-status"),
        (MULTI_APPROVE, "/escrow/multi-release/approve-milestone"),
        (MULTI_RELEASE, "/escrow/multi-release/release-milestone-funds"),
        (MULTI_FREEZE, "/escrow/multi-release/dispute-milestone"),
        (MULTI_RESOLVE, "/escrow/multi-release/resolve-milestone-dispute"),
        (WITHDRAW, "/escrow/multi-release/withdraw-remaining-funds"),
    ],
)
def test_paths(intent: EscrowIntent, path: str) -> None:
    assert escrow_request(intent, NETWORK.usdc_issuer).path == path


def test_a_deployment_in_the_words_of_the_api() -> None:
    sent = exact_json.encode(escrow_request(DEPLOY, NETWORK.usdc_issuer).body)
    body = json.loads(sent)
    assert '"amount":80,' in sent
    assert '"platformFee":5,' in sent
    assert body["trustline"] == {"address": NETWORK.usdc_issuer, "symbol": "USDC"}
    assert body["milestones"] == [{"description": "Sketch"}, {"description": "Final"}]
    assert body["roles"]["platformAddress"] == DEPLOY.terms.platform
    assert body["description"] == DEPLOY.terms.description


def sent(intent: EscrowIntent) -> str:
    return exact_json.encode(escrow_request(intent, NETWORK.usdc_issuer).body)


def test_a_multi_release_deployment_names_amount_and_receiver_per_milestone() -> None:
    single, body = json.loads(sent(DEPLOY)), json.loads(sent(MULTI_DEPLOY))
    receiver = single["roles"].pop("receiver")
    del single["amount"]
    single["milestones"] = [
        {"description": "Sketch", "amount": 30, "receiver": receiver},
        {"description": "Final", "amount": 50, "receiver": receiver},
    ]
    assert body == single
    assert '"amount":30,' in sent(MULTI_DEPLOY)


def test_what_each_call_that_settles_says() -> None:
    milestone = {"contractId": MULTI_ESCROW, "milestoneIndex": "1"}
    assert json.loads(sent(FREEZE)) == {"contractId": ESCROW, "signer": FREEZE.source}
    assert json.loads(sent(MULTI_FREEZE)) == {**milestone, "signer": MULTI_FREEZE.source}
    assert json.loads(sent(MULTI_RELEASE)) == {**milestone, "releaseSigner": MULTI_RELEASE.source}
    resolution = json.loads(sent(RESOLVE), parse_float=Decimal)
    assert resolution == {
        "contractId": ESCROW,
        "disputeResolver": RESOLVE.source,
        "distributions": [{"address": SELLER, "amount": 50}, {"address": BUYER, "amount": Decimal("30.0000001")}],
    }
    assert json.loads(sent(MULTI_RESOLVE)) == {
        **milestone,
        "disputeResolver": MULTI_RESOLVE.source,
        "distributions": [{"address": SELLER, "amount": 20}, {"address": BUYER, "amount": 30}],
    }
    assert json.loads(sent(WITHDRAW), parse_float=Decimal) == {
        "contractId": MULTI_ESCROW,
        "disputeResolver": WITHDRAW.source,
        "distributions": [{"address": BUYER, "amount": Decimal("7.0000003")}, {"address": SELLER, "amount": Decimal("0.0000001")}],
    }


@pytest.mark.parametrize("shares", [(1, 9_007_199_254_740_992), (10_000_000, 123), (899_999_999_999_999, 1)])
def test_shares_are_exact_json_numbers(shares: tuple[int, int]) -> None:
    text = sent(replace(RESOLVE, shares=((SELLER, shares[0]), (BUYER, shares[1]))))
    told = [Decimal(share["amount"]) for share in json.loads(text, parse_float=Decimal)["distributions"]]
    assert [int(amount * 10**7) for amount in told] == list(shares)


@pytest.mark.parametrize(
    ("amount_stroops", "number"),
    [
        (1, "0.0000001"),
        (10, "0.000001"),
        (800_000_000, "80"),
        (805_000_000, "80.5"),
        (10_000_000, "1"),
        (9_007_199_254_740_993, "900719925.4740993"),
        (9_223_372_036_854_775_807, "922337203685.4775807"),
    ],
)
def test_amounts_are_exact_json_numbers(amount_stroops: int, number: str) -> None:
    request = escrow_request(replace(FUND, amount_stroops=amount_stroops), NETWORK.usdc_issuer)
    assert f'"amount":{number}}}' in exact_json.encode(request.body)


@pytest.mark.parametrize(("bps", "percent"), [(0, "0"), (1, "0.01"), (50, "0.5"), (100, "1"), (1_000, "10"), (9_900, "99")])
def test_the_fee_is_told_in_percent(bps: int, percent: str) -> None:
    request = escrow_request(replace(DEPLOY, terms=replace(DEPLOY.terms, platform_fee_bps=bps)), NETWORK.usdc_issuer)
    assert f'"platformFee":{percent},' in exact_json.encode(request.body)


REFUSALS = [
    Answer(400, {"message": "Only the approver can change milestone flag", "error": "Bad Request", "statusCode": 400}),
    Answer(400, {"message": ["amount must be positive", "title too long"], "statusCode": 400, "details": {}}),
    Answer(422, {"message": "something nobody has documented"}),
    Answer(500, {"status": "FAILED", "message": "The provided escrow properties do not match the stored escrow."}),
    Answer(500, {"error": "You cannot approve a milestone that has already been approved previously"}),
    Answer(200, {"status": "FAILED", "message": "The escrow funds have been released."}),
]


@pytest.mark.parametrize("answer", REFUSALS, ids=lambda answer: answer.content()[:50].decode())
async def test_a_business_refusal_keeps_its_words_and_is_never_retried(
    answer: Answer, server: HorizonServer, trustless: TrustlessWork
) -> None:
    server.put(BUILD, answer)
    with pytest.raises(EscrowRejectedError) as refused:
        await trustless.build(APPROVE, Priority.RELEASE)
    assert (refused.value.code, refused.value.retry) == (ErrorCode.ESCROW_REJECTED, Retry.NEVER)
    words = answer.body.get("message") or answer.body["error"]
    assert refused.value.details["reason"] == ("; ".join(words) if isinstance(words, list) else words)


@pytest.mark.parametrize("name", sorted(set(MESSAGES) - {"EscrowNotFound"}))
async def test_whatever_a_contract_refuses_is_known_by_its_text_even_as_a_500(
    name: str, server: HorizonServer, trustless: TrustlessWork
) -> None:
    server.put("/escrow/multi-release/dispute-milestone", Answer(500, {"status": "FAILED", "message": MESSAGES[name]}))
    with pytest.raises(EscrowRejectedError) as refused:
        await trustless.build(MULTI_FREEZE, Priority.RELEASE)
    assert refused.value.details["reason"] == MESSAGES[name]


OUTAGES = [
    Answer(500, {"status": "FAILED", "message": "An unexpected error occurred"}),
    Answer(502, b"<html>Bad Gateway</html>"),
    Answer(503, b""),
    Answer(504, {"message": None}),
    Answer(408, {"message": "timeout"}),
    Answer(404, b"<html>no such host here</html>"),
    Answer(200, b"<html>maintenance</html>"),
    Answer(200, {"status": "SUCCESS"}),
    Answer(200, {"status": "SUCCESS", "unsignedTransaction": ""}),
    Answer(200, {"status": "SUCCESS", "unsignedTransaction": 3}),
    Answer(200, []),
    Answer(200, b"[" * 50_000),
    Answer(200, b'{"unsignedTransaction": NaN}'),
    Answer(401, {"statusCode": 401, "message": "Unauthorized", "error": "Unauthorized"}),
    Answer(302, b"", {"Location": "http://elsewhere.invalid/"}),
    Answer(200, b"", cut=True),
]


@pytest.mark.parametrize("answer", OUTAGES, ids=lambda answer: f"{answer.status} {answer.content()[:40]!r}")
async def test_an_outage_is_retried_later_and_never_taken_for_a_refusal(
    answer: Answer, server: HorizonServer, trustless: TrustlessWork
) -> None:
    server.put(BUILD, answer)
    with pytest.raises(ProviderUnavailableError) as unavailable:
        await trustless.build(APPROVE, Priority.RELEASE)
    assert unavailable.value.retry is Retry.LATER
    assert API_KEY not in str(unavailable.value)


async def test_an_escrow_the_index_does_not_know_is_told_apart(server: HorizonServer, trustless: TrustlessWork) -> None:
    server.put(BUILD, Answer(400, {"message": "Escrow not found", "statusCode": 400}))
    with pytest.raises(EscrowNotIndexedError):
        await trustless.build(APPROVE, Priority.RELEASE)


async def test_a_429_blocks_the_budget(server: HorizonServer, trustless: TrustlessWork) -> None:
    server.put(BUILD, Answer(429, {"statusCode": 429, "message": "ThrottlerException: Too Many Requests"}, {"Retry-After": "23"}))
    for _ in range(2):
        with pytest.raises(RateLimitedError) as limited:
            await trustless.build(APPROVE, Priority.RELEASE)
        assert 22 <= limited.value.retry_after_s <= 23
    assert len(server.requests) == 1


async def test_a_used_up_budget_makes_no_request(server: HorizonServer, budget: RequestBudget, trustless: TrustlessWork) -> None:
    for _ in range(50):
        await budget.acquire(Priority.RELEASE)
    with pytest.raises(RateLimitedError):
        await trustless.build(APPROVE, Priority.RELEASE)
    assert server.requests == []


async def test_an_unreachable_or_slow_server_is_unavailable(budget: RequestBudget, monkeypatch: pytest.MonkeyPatch) -> None:
    async with httpx.AsyncClient() as client:
        dead = TrustlessWork(Access("http://127.0.0.1:9", API_KEY), NETWORK.usdc_issuer, budget, client)
        with pytest.raises(ProviderUnavailableError):
            await dead.build(APPROVE, Priority.RELEASE)
        async with HorizonServer().running() as slow:
            slow.put(SEND, Answer(200, b"{", cut=True, hold_s=2))
            monkeypatch.setattr(client_module, "SEND_TIMEOUT_S", 0.2)
            late = TrustlessWork(Access(slow.url, API_KEY), NETWORK.usdc_issuer, budget, client)
            with pytest.raises(ProviderUnavailableError) as unavailable:
                await late.send_transaction("AAAA")
    assert unavailable.value.code == ErrorCode.PROVIDER_TIMEOUT
    assert unavailable.value.retry is Retry.ASK_THE_CHAIN


async def test_only_an_explicit_success_is_an_accepted_transaction(server: HorizonServer, trustless: TrustlessWork) -> None:
    server.put(
        SEND,
        Answer(200, {"status": "SUCCESS", "message": "sent", "contractId": ESCROW, "escrow": {}}),
        Answer(500, {"status": "FAILED", "message": "The transaction may not be complete yet: its resultMetaXdr is not available"}),
        Answer(400, {"message": "Transaction submission failed: tx_bad_auth"}),
        Answer(200, {"message": "sent"}),
        Answer(502, b"<html>"),
    )
    first = await trustless.send_transaction("AAAA")
    assert (first.accepted, first.contract_id) == (True, ESCROW)
    assert body_of(server.requests[0]) == {"signedXdr": "AAAA"}
    rest = [await trustless.send_transaction("AAAA") for _ in range(4)]
    assert [one.accepted for one in rest] == [False] * 4
    assert "tx_bad_auth" in rest[1].message


async def test_the_index_is_told_in_one_spelling_or_the_other(server: HorizonServer, trustless: TrustlessWork) -> None:
    server.put("/indexer/update-from-txhash", Answer(200, {"status": "SUCCESS"}), Answer(404, {}), Answer(405, {}), Answer(500, {}))
    server.put(
        "/indexer/update-from-txHash", Answer(200, {"status": "SUCCESS"}), Answer(200, {"status": "FAILED", "message": "Escrow not found"})
    )
    assert [await trustless.tell_index("ab" * 32) for _ in range(4)] == [True, True, False, False]
    assert [request.split(" ", 1)[0] for request in server.requests] == ["PUT", "PUT", "POST", "PUT", "POST", "PUT"]
    assert body_of(server.requests[0]) == {"txHash": "ab" * 32}


async def test_the_key_is_in_no_text(server: HorizonServer, trustless: TrustlessWork) -> None:
    server.put(BUILD, Answer(500, b"boom"))
    with pytest.raises(DomainError) as failure:
        await trustless.build(APPROVE, Priority.RELEASE)
    for text in (repr(Access(server.url, API_KEY)), repr(trustless), str(failure.value), repr(failure.value.details)):
        assert API_KEY not in text


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "", "{", "\xff", "[" * 100_000])
def test_what_is_not_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        exact_json.decode(text.encode("latin-1"))
