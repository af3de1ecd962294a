"""A thin client of the Horizon API: a few endpoints, typed answers, and no guess about what an error means for a transaction."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.stellar.event_stream import read_events
from offerhub.stellar.horizon_records import (
    AccountRecord,
    ClaimableBalance,
    Json,
    LedgerRecord,
    Lookup,
    MalformedRecord,
    Observation,
    PaymentRecord,
    RootRecord,
    SubmitAnswer,
    read_account,
    read_claimable_balance,
    read_ledger,
    read_page,
    read_payment,
    read_root,
    read_sequence_use,
    read_transaction,
)
from offerhub.stellar.network import USDC_CODE, StellarNetwork
from offerhub.stellar.submit_answer import read_submit_answer

PAGE_RECORDS = 200
# Horizon itself waits 30 s for a submitted transaction.
SUBMIT_TIMEOUT_S = 40
READ_TIMEOUT_S = 15
STREAM_SILENCE_S = 90

Shape = TypeVar("Shape")


class HorizonUnavailable(DomainError):
    """No usable answer: connection, time-out, 5xx, a broken body, or a replica that is behind. Asking again is always safe."""

    def __init__(self, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(ErrorCode.STELLAR_NETWORK_ERROR, message)
        self.retry_after_s = retry_after_s


class Horizon:
    """Answers never go back in time: one from an older ledger than known when the question was asked is ``HorizonUnavailable``."""

    def __init__(self, base_url: str, network: StellarNetwork, client: httpx.AsyncClient) -> None:
        self._base_url = base_url.rstrip("/")
        self._network = network
        self._client = client
        self._newest_ledger = 0

    async def root(self) -> RootRecord:
        return _shaped(read_root, (await self._get("/")).json)

    async def latest_ledger(self) -> LedgerRecord:
        page = _shaped(read_page, (await self._get("/ledgers", {"order": "desc", "limit": "1"})).json)
        if not page:
            raise HorizonUnavailable("Horizon knows no ledger yet.")
        return _shaped(read_ledger, page[0])

    async def ledger(self, sequence: int) -> LedgerRecord:
        return _shaped(read_ledger, (await self._get(f"/ledgers/{sequence}")).json)

    async def account(self, address: str) -> AccountRecord | None:
        """None: there is no such account as of the ledger Horizon looked at."""
        answer = await self._get(f"/accounts/{address}", may_be_missing=True)
        if answer.json is None:
            return None
        return _shaped(lambda body: read_account(body, self._network.usdc_issuer, answer.latest_ledger), answer.json)

    async def transaction(self, transaction_hash: str) -> Lookup:
        """Look up by inner or outer hash; a transaction that failed in its ledger is found too."""
        answer = await self._get(f"/transactions/{transaction_hash}", may_be_missing=True)
        if answer.json is None:
            return Lookup(None, answer.latest_ledger)
        record = _shaped(read_transaction, answer.json)
        if transaction_hash not in {record.hash, record.inner_hash}:
            raise HorizonUnavailable(f"Horizon answered with transaction {record.hash} instead of {transaction_hash}.")
        return Lookup(record, answer.latest_ledger)

    async def observe(self, inner_hash: str, source: str, sequence: int) -> Observation:
        """Gather what ``offerhub.stellar.outcome`` decides on. A transaction in a ledger costs one request.

        The account comes before the second look-up, so that what the look-up misses was not there when the account was read.
        """
        lookup = await self.transaction(inner_hash)
        if lookup.record is not None:
            return Observation(lookup)
        account = await self.account(source)
        snapshot = account.latest_ledger if account is not None else None
        ledger = await self.ledger(snapshot) if snapshot is not None else await self.latest_ledger()
        lookup = await self.transaction(inner_hash)
        occupant = None
        if lookup.record is None and account is not None and account.sequence >= sequence:
            occupant = await self._occupant(source, sequence)
        return Observation(lookup, account, ledger, occupant)

    async def payments_of(self, transaction_hash: str) -> list[Json]:
        """Every payment record of a transaction; one transaction holds at most 100 operations, so one page is all."""
        answer = await self._get(f"/transactions/{transaction_hash}/payments", {"limit": str(PAGE_RECORDS)})
        return _shaped(read_page, answer.json)

    async def account_payments(self, address: str, cursor: str, limit: int = PAGE_RECORDS) -> list[PaymentRecord]:
        """One page of an account's own payments, newest first; ``cursor`` is empty for the first."""
        parameters = {"limit": str(limit), "join": "transactions", "order": "desc"} | ({"cursor": cursor} if cursor else {})
        answer = await self._get(f"/accounts/{address}/payments", parameters, may_be_missing=True)
        return [] if answer.json is None else [_shaped(read_payment, record) for record in _shaped(read_page, answer.json)]

    async def claimable_usdc(self, claimant: str) -> list[ClaimableBalance]:
        """The oldest claimable balances of USDC that this account might claim: they are in no payment record until it does."""
        parameters = {"claimant": claimant, "asset": f"{USDC_CODE}:{self._network.usdc_issuer}", "limit": str(PAGE_RECORDS)}
        answer = await self._get("/claimable_balances", parameters)
        return [_shaped(read_claimable_balance, record) for record in _shaped(read_page, answer.json)]

    async def stream_payments(self, cursor: str) -> AsyncIterator[PaymentRecord]:
        """Payments after ``cursor`` as they happen. Ends when Horizon closes the stream, as it does every minute; call again then."""
        # Horizon closes a stream after `limit` records: ten, unless told otherwise.
        parameters = {"cursor": cursor, "limit": str(PAGE_RECORDS), "join": "transactions"}
        request = self._client.build_request(
            "GET",
            self._base_url + "/payments",
            params=parameters,
            headers={"Accept": "text/event-stream"},
            timeout=httpx.Timeout(READ_TIMEOUT_S, read=STREAM_SILENCE_S),
        )
        try:
            async with aclosing(await self._client.send(request, stream=True)) as answer:
                _check_status(answer)
                async for event in read_events(answer.aiter_bytes()):
                    if event.name == "error":
                        raise HorizonUnavailable(f"The payments stream broke: {event.data[:200]}")
                    if event.name == "message" and event.data:
                        yield _shaped(read_payment, json.loads(event.data))
        except (httpx.HTTPError, ValueError) as error:
            raise HorizonUnavailable(f"The payments stream broke: {_cause(error)}") from error

    async def submit(self, envelope_xdr: str) -> SubmitAnswer:
        """Post and wait for the ledger. Never raises for what the network does: whatever is not a record is simply not final."""
        return await self._post("/transactions", envelope_xdr)

    async def submit_async(self, envelope_xdr: str) -> SubmitAnswer:
        """Hand over without waiting; the answer is never final (this endpoint does not know what is in the ledger already)."""
        return await self._post("/transactions_async", envelope_xdr)

    async def friendbot(self, address: str) -> bool:
        """Ask the test network for XLM; False where the account has been funded before."""
        if self._network.friendbot_url is None:
            raise HorizonUnavailable("This network has no friendbot.")
        try:
            answer = await self._client.get(
                self._network.friendbot_url, params={"addr": address}, timeout=SUBMIT_TIMEOUT_S, follow_redirects=True
            )
        except httpx.HTTPError as error:
            raise HorizonUnavailable(f"Friendbot did not answer: {_cause(error)}") from error
        if answer.status_code == httpx.codes.BAD_REQUEST:
            return False
        _check_status(answer)
        return True

    async def _occupant(self, source: str, sequence: int) -> str | None:
        parameters = {"order": "desc", "limit": str(PAGE_RECORDS), "include_failed": "true"}
        answer = await self._get(f"/accounts/{source}/transactions", parameters)
        for record in _shaped(read_page, answer.json):
            used = _shaped(lambda body: read_sequence_use(body, source), record)
            if used is not None and used[0] == sequence:
                return used[1]
        return None

    async def _get(self, path: str, parameters: Mapping[str, str] | None = None, *, may_be_missing: bool = False) -> _Answer:
        known_ledger = self._newest_ledger
        try:
            answer = await self._client.get(self._base_url + path, params=parameters, timeout=READ_TIMEOUT_S)
        except httpx.HTTPError as error:
            raise HorizonUnavailable(f"Horizon did not answer: {_cause(error)}") from error
        latest_ledger = _whole_number(answer.headers.get("Latest-Ledger"))
        if latest_ledger is not None:
            if latest_ledger < known_ledger:
                raise HorizonUnavailable(f"Horizon answered from ledger {latest_ledger}, after one from ledger {known_ledger}.")
            self._newest_ledger = max(self._newest_ledger, latest_ledger)
        if may_be_missing and _says_not_found(answer):
            return _Answer(None, latest_ledger)
        _check_status(answer)
        body = _shaped(json.loads, answer.content)
        if body is None:
            raise HorizonUnavailable("Horizon answered null.")
        return _Answer(body, latest_ledger)

    async def _post(self, path: str, envelope_xdr: str) -> SubmitAnswer:
        try:
            answer = await self._client.post(self._base_url + path, data={"tx": envelope_xdr}, timeout=SUBMIT_TIMEOUT_S)
        except httpx.HTTPError as error:
            return SubmitAnswer(None, 0, "no_answer", _cause(error))
        return read_submit_answer(answer.status_code, answer.content)


@dataclass(frozen=True)
class _Answer:
    """``json`` is None where Horizon said, in its own words, that there is no such thing."""

    json: Any
    latest_ledger: int | None


def _check_status(answer: httpx.Response) -> None:
    if answer.status_code != httpx.codes.OK:
        wait_s = _whole_number(answer.headers.get("Retry-After"))
        raise HorizonUnavailable(f"Horizon answered {answer.status_code} to {answer.request.url.path}.", wait_s)


def _says_not_found(answer: httpx.Response) -> bool:
    """A 404 of Horizon itself; one of a proxy in front of it is no statement about the ledger."""
    if answer.status_code != httpx.codes.NOT_FOUND:
        return False
    try:
        problem = json.loads(answer.content)
    except ValueError:
        return False
    return isinstance(problem, dict) and str(problem.get("type", "")).endswith("not_found")


def _shaped(read: Callable[[Any], Shape], body: object) -> Shape:
    try:
        return read(body)
    except (MalformedRecord, ValueError, RecursionError) as error:
        raise HorizonUnavailable(f"Horizon answered something unexpected: {error}") from None


def _whole_number(header: str | None) -> int | None:
    return int(header) if header and header.isascii() and header.isdecimal() and len(header) < 12 else None


def _cause(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()[:200]
