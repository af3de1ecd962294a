"""Trustless Work's V1 API: it builds escrow transactions, takes deployments, and is told of what went to the network directly."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from offerhub.domain.errors import ErrorCode
from offerhub.domain.intents import EscrowIntent
from offerhub.providers import exact_json
from offerhub.providers.budget import Priority, RequestBudget
from offerhub.providers.errors import EscrowNotIndexedError, EscrowRejectedError, ProviderUnavailableError, RateLimitedError
from offerhub.providers.escrow_requests import escrow_request

TIMEOUT_S = 20
# It answers when the network has taken the transaction.
SEND_TIMEOUT_S = 75
DEFAULT_RETRY_AFTER_S = 10
_SHOWN_CHARACTERS = 500
_NOT_INDEXED = "escrow not found"
# Sources disagree on the status of contract refusals (400 or 500), so a 5xx with one of these words is a refusal, not an outage.
_BUSINESS_WORDS: tuple[str, ...] = (
    "amount",
    "already",
    "only the",
    "milestone",
    "dispute",
    "platform fee",
    "properties",
    "balance",
    "insufficient",
)
_BUSINESS_WORDS += ("funds", "released", "resolved", "trustline", "flags", "authorized", "completed", "distribut")


@dataclass(frozen=True)
class Access:
    """Where the API is and how we identify ourselves."""

    base_url: str
    api_key: str = field(repr=False)


@dataclass(frozen=True)
class SendAnswer:
    """``accepted`` false is no outcome: the transaction may be in the ledger all the same. Horizon knows."""

    accepted: bool
    message: str
    contract_id: str | None = None


@dataclass(frozen=True)
class _Reply:
    status: int
    body: object
    message: str


class TrustlessWork:
    """Every call first takes a slot of the shared budget; ``RateLimitedError`` means that it was not made."""

    def __init__(self, access: Access, usdc_issuer: str, budget: RequestBudget, client: httpx.AsyncClient) -> None:
        self._base_url = access.base_url.rstrip("/")
        self._headers = {"x-api-key": access.api_key, "Content-Type": "application/json"}
        self._usdc_issuer = usdc_issuer
        self._budget = budget
        self._client = client

    async def build(self, intent: EscrowIntent, priority: Priority) -> str:
        """Return an unsigned envelope that claims to be ``intent``: verify it before anything else is done with it."""
        request = escrow_request(intent, self._usdc_issuer)
        reply = await self._call(httpx.Request("POST", self._url(request.path), content=exact_json.encode(request.body)), priority)
        _check(reply)
        envelope_xdr = _field(reply.body, "unsignedTransaction")
        if not envelope_xdr:
            raise ProviderUnavailableError("Trustless Work answered without a transaction.", ErrorCode.PROVIDER_ERROR)
        return envelope_xdr

    async def send_transaction(self, signed_xdr: str, priority: Priority = Priority.DEPLOY) -> SendAnswer:
        """Submit through Trustless Work, so that its index learns of the contract. No answer and a refusal are no outcome."""
        content = exact_json.encode({"signedXdr": signed_xdr})
        request = httpx.Request("POST", self._url("/helper/send-transaction"), content=content)
        reply = await self._call(request, priority, SEND_TIMEOUT_S)
        accepted = httpx.codes.is_success(reply.status) and _field(reply.body, "status") == "SUCCESS"
        return SendAnswer(accepted, reply.message, _field(reply.body, "contractId"))

    async def tell_index(self, transaction_hash: str) -> bool:
        """Tell of a transaction that went to the network directly; False if Trustless Work could not make use of it."""
        content = exact_json.encode({"txHash": transaction_hash})
        # Both spellings are in the field.
        for method, path in (("PUT", "/indexer/update-from-txhash"), ("POST", "/indexer/update-from-txHash")):
            reply = await self._call(httpx.Request(method, self._url(path), content=content), Priority.INDEX)
            if reply.status not in {httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED}:
                return httpx.codes.is_success(reply.status) and _field(reply.body, "status") == "SUCCESS"
        return False

    def _url(self, path: str) -> str:
        return self._base_url + path

    async def _call(self, request: httpx.Request, priority: Priority, timeout_s: int = TIMEOUT_S) -> _Reply:
        retry_after_s = await self._budget.acquire(priority)
        if retry_after_s is not None:
            raise RateLimitedError(retry_after_s)
        request.headers.update(self._headers)
        request.extensions["timeout"] = httpx.Timeout(timeout_s).as_dict()
        try:
            answer = await self._client.send(request)
        except httpx.TimeoutException:
            raise ProviderUnavailableError("Trustless Work did not answer in time.", ErrorCode.PROVIDER_TIMEOUT) from None
        except httpx.HTTPError as error:
            raise ProviderUnavailableError(f"Trustless Work cannot be reached ({type(error).__name__}).") from None
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            retry_after_s = _retry_after_s(answer.headers.get("Retry-After", ""))
            await self._budget.block(retry_after_s)
            raise RateLimitedError(retry_after_s)
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise ProviderUnavailableError("Trustless Work does not accept TRUSTLESS_WORK_API_KEY.", ErrorCode.PROVIDER_ERROR)
        return _read(answer)


def _read(answer: httpx.Response) -> _Reply:
    try:
        body = exact_json.decode(answer.content)
    except ValueError:
        return _Reply(answer.status_code, None, f"HTTP {answer.status_code} without JSON")
    message = body.get("message", body.get("error")) if isinstance(body, dict) else None
    if isinstance(message, list):
        message = "; ".join(str(one) for one in message)
    return _Reply(answer.status_code, body, str(message or f"HTTP {answer.status_code}")[:_SHOWN_CHARACTERS])


def _check(reply: _Reply) -> None:
    """By text first, by status second: the statuses are not dependable (``reference/trustless-work.md`` §6)."""
    if httpx.codes.is_success(reply.status) and _field(reply.body, "status") != "FAILED":
        return
    text = reply.message.lower()
    if _NOT_INDEXED in text:
        raise EscrowNotIndexedError("Trustless Work does not know this escrow yet.")
    is_client_error = httpx.codes.is_client_error(reply.status) and reply.status != httpx.codes.REQUEST_TIMEOUT
    if reply.body is not None and (is_client_error or any(word in text for word in _BUSINESS_WORDS)):
        raise EscrowRejectedError(reply.message)
    raise ProviderUnavailableError(f"Trustless Work is not able to answer: {reply.message}")


def _field(body: object, name: str) -> str | None:
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, str) else None


def _retry_after_s(header: str) -> int:
    return max(1, int(header)) if header.isascii() and header.isdecimal() and len(header) < 5 else DEFAULT_RETRY_AFTER_S
