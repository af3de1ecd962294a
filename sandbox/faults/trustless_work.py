"""Trustless Work failing, lagging, losing what it was given, or building what nobody asked for."""

from __future__ import annotations

import base64
import secrets
from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from sandbox.contracts.records import Record, as_record
from sandbox.contracts.values import UnexpectedValue, as_vec
from sandbox.faults.answers import WrongAnswer
from sandbox.faults.drafts import Draft, NotApplicable
from sandbox.faults.exchange import Answer, Exchange, Takeover
from sandbox.faults.hostile import MUTATIONS, MutationName
from sandbox.faults.kind import SEND_TRANSACTION, TRUSTLESS_WORK, Scoped
from sandbox.trustless import exact_json
from sandbox.trustless.documents import escrow_fields
from sandbox.trustless.envelope import transaction_hash
from sandbox.trustless.index import Build
from sandbox.trustless.refusal import SEND_FAILED, Refusal, send_failed, too_many_requests
from sandbox.trustless.submission import SENT

_BUILDS = r"^POST /trustless-work/(deployer|escrow)/"


class TwTimeout(Takeover):
    """Trustless Work says nothing; after ``seconds`` the connection is closed. With ``applies`` it has done its work first."""

    default_path: ClassVar[str] = TRUSTLESS_WORK
    seconds: float = Field(default=120.0, ge=0, le=600)
    applies: bool = False

    async def act(self, exchange: Exchange) -> bool:
        if self.applies:
            await exchange.run()
        await exchange.hang(self.seconds)
        return True


class TwServerError(WrongAnswer):
    """Trustless Work answers 500; with ``applies`` it has done its work first."""

    default_path: ClassVar[str] = TRUSTLESS_WORK

    def answer(self) -> Answer:
        return _refused(Refusal(500, {"statusCode": 500, "message": "An unexpected error occurred"}))


class TwRateLimit(WrongAnswer):
    """Trustless Work answers 429 ThrottlerException with Retry-After."""

    default_path: ClassVar[str] = TRUSTLESS_WORK
    retry_after_seconds: int = Field(default=1, ge=0, le=86_400)

    def answer(self) -> Answer:
        return _refused(too_many_requests(self.retry_after_seconds))


class TwIndexLag(Scoped):
    """What a send-transaction or update-from-txHash tells Trustless Work's index shows up there only ``seconds`` later."""

    seconds: float = Field(gt=0, le=3_600)


class TwLoseDeploy(Takeover):
    """A deploy is answered SUCCESS but never sent (``not_sent``), or sent but answered FAILED (``answered_failed``)."""

    default_path: ClassVar[str] = SEND_TRANSACTION
    variant: Literal["not_sent", "answered_failed"] = "not_sent"

    async def act(self, exchange: Exchange) -> bool:
        deploy = _deploy(exchange)
        if deploy is None:
            await exchange.pass_through()
            return False
        if self.variant == "answered_failed":
            await exchange.run()
            await exchange.reply(_refused(send_failed(SEND_FAILED)))
            return True
        build, escrow = deploy
        shown = escrow_fields(escrow, build.asset_code or "", build.asset_issuer or "")
        success = {"status": "SUCCESS", "message": SENT, "contractId": build.contract_id, "escrow": shown}
        await exchange.reply(_json(200, success))
        return True


class _BuildFault(Takeover):
    """Spoils the unsigned transaction in the answer to a write request."""

    default_path: ClassVar[str] = _BUILDS

    @abstractmethod
    def spoil(self, answer: dict[str, object], exchange: Exchange) -> dict[str, object]:
        """Raises NotApplicable."""

    async def act(self, exchange: Exchange) -> bool:
        answer = await exchange.run()
        document: dict[str, object] = answer.document()
        try:
            if not document.get("unsignedTransaction"):
                raise NotApplicable
            spoiled = self.spoil(document, exchange)
        except NotApplicable:
            await exchange.reply(answer)
            return False
        await exchange.reply(_json(answer.status, spoiled))
        return True


class TwGarbage(_BuildFault):
    """The unsigned transaction is ``empty``, ``missing``, ``not_base64``, ``not_xdr`` (random bytes) or ``truncated``."""

    form: Literal["empty", "missing", "not_base64", "not_xdr", "truncated"] = "empty"

    def spoil(self, answer: dict[str, object], exchange: Exchange) -> dict[str, object]:  # noqa: ARG002
        good = str(answer.pop("unsignedTransaction"))
        forms = {
            "empty": "",
            "not_base64": "<unsigned>",
            "not_xdr": base64.b64encode(secrets.token_bytes(300)).decode(),
            "truncated": good[: len(good) // 8 * 4],
        }
        return answer if self.form == "missing" else answer | {"unsignedTransaction": forms[self.form]}


class TwExpireBuilds(_BuildFault):
    """Unsigned transactions expire ``seconds`` after they were built (ledger time)."""

    seconds: int = Field(ge=1, le=3_600)

    def spoil(self, answer: dict[str, object], exchange: Exchange) -> dict[str, object]:
        draft = Draft.read(str(answer["unsignedTransaction"]))
        draft.set_time_bounds(exchange.surroundings.ledger.now() + self.seconds)
        return answer | {"unsignedTransaction": _learned(exchange, str(answer["unsignedTransaction"]), draft)}


class TwHostile(_BuildFault):
    """The unsigned transaction is not the one asked for: ``mutation`` names what differs. Calls it does not suit stay as they are."""

    mutation: MutationName

    def spoil(self, answer: dict[str, object], exchange: Exchange) -> dict[str, object]:
        draft = Draft.read(str(answer["unsignedTransaction"]))
        MUTATIONS[self.mutation](draft)
        return answer | {"unsignedTransaction": _learned(exchange, str(answer["unsignedTransaction"]), draft)}


def _learned(exchange: Exchange, built_xdr: str, draft: Draft) -> str:
    """Trustless Work knows what it built, also where it is not what was asked for."""
    passphrase = exchange.surroundings.ledger.network_passphrase
    index = exchange.surroundings.index
    build = index.build(transaction_hash(built_xdr, passphrase))
    if build is not None:
        index.add_build(replace(build, hash=transaction_hash(draft.envelope.to_xdr(), passphrase)))
    return draft.text()


def _deploy(exchange: Exchange) -> tuple[Build, Record] | None:
    """The deploy in a send-transaction request, if it is one that Trustless Work built."""
    signed_xdr = str(Answer(200, exchange.body).document().get("signedXdr", ""))
    try:
        build = exchange.surroundings.index.build(transaction_hash(signed_xdr, exchange.surroundings.ledger.network_passphrase))
        if build is None or build.asset_code is None:
            return None
        return build, as_record(as_vec(Draft.read(signed_xdr).call.args[4])[0])
    except (ValueError, EOFError, IndexError, UnexpectedValue, NotApplicable):  # not an envelope, or not a deploy
        return None


def _refused(refusal: Refusal) -> Answer:
    return Answer.of_json(refusal.status, refusal.body, refusal.headers)


def _json(status: int, document: object) -> Answer:
    return Answer.of_text(status, exact_json.dumps(document).encode(), "application/json")
