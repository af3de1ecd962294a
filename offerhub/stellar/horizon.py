"""A thin client of the Horizon API: nine endpoints, typed answers, and no guess about what an error means for a transaction."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.stellar.event_stream import read_events
from offerhub.stellar.horizon_records import (
    AccountRecord,
    Json,
    LedgerRecord,
    Lookup,
    MalformedRecord,
    PaymentRecord,
    RootRecord,
    SubmitAnswer,
    TransactionRecord,
    read_account,
    read_ledger,
    read_page,
    read_payment,
    read_root,
    read_transaction,
)
from offerhub.stellar.network import StellarNetwork

PAGE_RECORDS = 200
# Horizon itself waits 30 s for a submitted transaction.
SUBMIT_TIMEOUT_S = 40
READ_TIMEOUT_S = 15
STREAM_SILENCE_S = 90


class HorizonUnavailable(DomainError):
    """No usable answer: connection, time-out, 5xx, a broken body, or a replica that is behind. Asking again is always safe."""

    def __init__(self, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(ErrorCode.STELLAR_NETWORK_ERROR, message)
        self.retry_after_s = retry_after_s


class Horizon:
    """Reads that a proof rests on never go back in time: an answer older than one already seen is ``HorizonUnavailable``."""

    def __init__(self, base_url: str, network: StellarNetwork, client: httpx.AsyncClient) -> None:
        self._base_url = base_url.rstrip("/")
        self._network = network
        self._client = client
        self._newest_ledger = 0

    async def root(self) -> RootRecord:
        return self._shaped(read_root, self._body(await self._get("/")))

    async def latest_ledger(self) -> LedgerRecord:
        answer = await self._get("/ledgers", {"order": "desc", "limit": "1"})
        page = self._shaped(read_page, self._body(answer))
        if not page:
            raise HorizonUnavailable("Horizon knows no ledger yet.")
        ledger = self._shaped(read_ledger, page[0])
        self._not_back_in_time(ledger.sequence)
        return ledger

    async def account(self, address: str) -> AccountRecord | None:
        """None: there is no such account as of the ledger Horizon looked at."""
        answer = await self._get(f"/accounts/{address}", may_be_missing=True)
        latest_ledger = self._ledger_of(answer)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        body = self._body(answer)
        return self._shaped(lambda found: read_account(found, self._network.usdc_issuer, latest_ledger or 0), body)

    async def transaction(self, transaction_hash: str) -> Lookup:
        """Look up by inner or outer hash; a transaction that failed in its ledger is found too."""
        answer = await self._get(f"/transactions/{transaction_hash}", may_be_missing=True)
        latest_ledger = self._ledger_of(answer)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return Lookup(None, latest_ledger)
        return Lookup(self._shaped(read_transaction, self._body(answer)), latest_ledger)

    async def payments_of(self, transaction_hash: str) -> list[Json]:
        """Every payment record of a transaction; one transaction holds at most 100 operations, so one page is all."""
        answer = await self._get(f"/transactions/{transaction_hash}/payments", {"limit": str(PAGE_RECORDS)})
        return self._shaped(read_page, self._body(answer))

    async def payments_page(self, cursor: str, limit: int = PAGE_RECORDS) -> list[PaymentRecord]:
        answer = await self._get("/payments", {"cursor": cursor, "limit": str(limit), "join": "transactions", "order": "asc"})
        return [self._shaped(read_payment, record) for record in self._shaped(read_page, self._body(answer))]

    async def stream_payments(self, cursor: str) -> AsyncIterator[PaymentRecord]:
        """Payments after ``cursor`` as they happen. Ends when Horizon closes the stream, as it does every minute; call again then."""
        # Horizon closes a stream after `limit` records: ten, unless told otherwise.
        parameters = {"cursor": cursor, "limit": str(PAGE_RECORDS), "join": "transactions"}
        timeout = httpx.Timeout(READ_TIMEOUT_S, read=STREAM_SILENCE_S)
        headers = {"Accept": "text/event-stream"}
        try:
            async with self._client.stream("GET", self._url("/payments"), params=parameters, headers=headers, timeout=timeout) as answer:
                self._check_status(answer)
                async for event in read_events(answer.aiter_bytes()):
                    if event.name == "error":
                        raise HorizonUnavailable(f"The payments stream broke: {event.data[:200]}")
                    if event.name == "message" and event.data:
                        yield self._shaped(read_payment, _parsed(event.data))
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
        self._check_status(answer)
        return True

    async def _get(self, path: str, parameters: Mapping[str, str] | None = None, *, may_be_missing: bool = False) -> httpx.Response:
        try:
            answer = await self._client.get(self._url(path), params=parameters, timeout=READ_TIMEOUT_S)
        except httpx.HTTPError as error:
            raise HorizonUnavailable(f"Horizon did not answer: {_cause(error)}") from error
        if not (may_be_missing and _says_not_found(answer)):
            self._check_status(answer)
        return answer

    async def _post(self, path: str, envelope_xdr: str) -> SubmitAnswer:
        try:
            answer = await self._client.post(self._url(path), data={"tx": envelope_xdr}, timeout=SUBMIT_TIMEOUT_S)
        except httpx.HTTPError as error:
            return SubmitAnswer(None, 0, "no_answer", _cause(error))
        body = _json_object(answer)
        record = None
        if answer.status_code == httpx.codes.OK and path == "/transactions":
            record = _transaction_or_none(body)
        return _submit_answer(answer.status_code, body, record)

    def _url(self, path: str) -> str:
        return self._base_url + path

    def _check_status(self, answer: httpx.Response) -> None:
        if answer.status_code == httpx.codes.OK:
            return
        wait = answer.headers.get("Retry-After", "")
        retry_after_s = int(wait) if wait.isascii() and wait.isdecimal() and len(wait) < 5 else None
        raise HorizonUnavailable(f"Horizon answered {answer.status_code} to {answer.request.url.path}.", retry_after_s)

    def _body(self, answer: httpx.Response) -> Any:
        return self._shaped(_parsed, answer.text)

    def _shaped(self, read: Any, body: Any) -> Any:
        try:
            return read(body)
        except (MalformedRecord, ValueError) as error:
            raise HorizonUnavailable(f"Horizon answered something unexpected: {error}") from None

    def _ledger_of(self, answer: httpx.Response) -> int | None:
        header = answer.headers.get("Latest-Ledger", "")
        if not (header.isascii() and header.isdecimal() and len(header) < 20):
            return None
        self._not_back_in_time(int(header))
        return int(header)

    def _not_back_in_time(self, ledger: int) -> None:
        if ledger < self._newest_ledger:
            raise HorizonUnavailable(f"Horizon answered from ledger {ledger}, after one from ledger {self._newest_ledger}.")
        self._newest_ledger = ledger
