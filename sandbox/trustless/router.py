"""The HTTP surface of Trustless Work's V1 API."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError

from sandbox.trustless import exact_json
from sandbox.trustless.building import EscrowBuilder, R, SingleReleaseBuilder
from sandbox.trustless.identity import api_key
from sandbox.trustless.index import EscrowIndex
from sandbox.trustless.multi_release_building import MultiReleaseBuilder
from sandbox.trustless.multi_release_requests import (
    DisputeMilestoneBody,
    MultiReleaseDeployBody,
    ReleaseMilestoneBody,
    ResolveMilestoneBody,
)
from sandbox.trustless.reading import EscrowReader
from sandbox.trustless.refusal import Refusal, bad_request, invalid_fields, too_many_requests, unauthorized
from sandbox.trustless.request_limit import RequestLimit
from sandbox.trustless.requests import (
    ApproveBody,
    Body,
    DeployBody,
    DisputeBody,
    FundBody,
    ReleaseBody,
    ResolveBody,
    SendBody,
    StatusBody,
    UpdateFromHashBody,
)
from sandbox.trustless.submission import IndexLag, Submission, no_lag

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from sandbox.trustless.ports import Ledger

B = TypeVar("B", bound=Body)


def build_router(ledger: Ledger, limit: RequestLimit, index: EscrowIndex, lag_s: IndexLag = no_lag) -> APIRouter:
    """The API over one ledger and one index; ``lag_s`` says how much later a submission shows up in that index."""
    router = APIRouter(route_class=_guarded_route(api_key(ledger.network_passphrase), limit))
    _add_single_release(router, SingleReleaseBuilder(ledger, index))
    _add_multi_release(router, MultiReleaseBuilder(ledger, index))
    _add_submission(router, Submission(ledger, index, lag_s))
    _add_reads(router, EscrowReader(ledger, index))
    return router


def _guarded_route(key: str, limit: RequestLimit) -> type[APIRoute]:
    """Every request passes the limit and the key here, every refusal becomes its answer here."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    _admit(request, key, limit)
                    return await handle(request)
                except Refusal as refusal:
                    return _answer(refusal.body, refusal.status, refusal.headers)

            return guarded

    return GuardedRoute


def _admit(request: Request, key: str, limit: RequestLimit) -> None:
    retry_after_s = limit.retry_after_s(request.client.host if request.client else "")
    if retry_after_s is not None:
        raise too_many_requests(retry_after_s)
    if not hmac.compare_digest(request.headers.get("x-api-key", "").encode(), key.encode()):
        raise unauthorized()


def _add_single_release(router: APIRouter, builder: SingleReleaseBuilder) -> None:
    escrow = "/escrow/single-release"
    _add_write(router, "/deployer/single-release", DeployBody, builder.deploy, 201)
    _add_shared(router, escrow, builder)
    _add_write(router, f"{escrow}/release-funds", ReleaseBody, builder.release, 200)
    _add_write(router, f"{escrow}/dispute-escrow", DisputeBody, builder.dispute, 200)
    _add_write(router, f"{escrow}/resolve-dispute", ResolveBody, builder.resolve, 200)


def _add_multi_release(router: APIRouter, builder: MultiReleaseBuilder) -> None:
    escrow = "/escrow/multi-release"
    _add_write(router, "/deployer/multi-release", MultiReleaseDeployBody, builder.deploy, 201)
    _add_shared(router, escrow, builder)
    _add_write(router, f"{escrow}/release-milestone-funds", ReleaseMilestoneBody, builder.release, 200)
    _add_write(router, f"{escrow}/dispute-milestone", DisputeMilestoneBody, builder.dispute, 200)
    _add_write(router, f"{escrow}/resolve-milestone-dispute", ResolveMilestoneBody, builder.resolve, 200)
    _add_write(router, f"{escrow}/withdraw-remaining-funds", ResolveBody, builder.withdraw, 200)


def _add_shared(router: APIRouter, escrow: str, builder: EscrowBuilder[R]) -> None:
    _add_write(router, f"{escrow}/fund-escrow", FundBody, builder.fund, 201)
    _add_write(router, f"{escrow}/change-milestone-status", StatusBody, builder.status, 200)
    _add_write(router, f"{escrow}/approve-milestone", ApproveBody, builder.approve, 200)


def _add_write(router: APIRouter, path: str, body_type: type[B], build: Callable[[B], str], status: int) -> None:
    async def write(request: Request) -> Response:
        envelope_xdr = build(await _read_body(request, body_type))
        return _answer({"status": "SUCCESS", "unsignedTransaction": envelope_xdr}, status)

    router.add_api_route(path, write, methods=["POST"], response_model=None)


def _add_submission(router: APIRouter, submission: Submission) -> None:
    async def send(request: Request) -> Response:
        body = await _read_body(request, SendBody)
        return _answer(await submission.send(body.signed_xdr))

    async def update(request: Request) -> Response:
        body = await _read_body(request, UpdateFromHashBody)
        return _answer(submission.update_from_hash(body.tx_hash))

    router.add_api_route("/helper/send-transaction", send, methods=["POST"], response_model=None)
    router.add_api_route("/indexer/update-from-txhash", update, methods=["PUT"], response_model=None)
    router.add_api_route("/indexer/update-from-txHash", update, methods=["POST"], response_model=None)


def _add_reads(router: APIRouter, reader: EscrowReader) -> None:
    async def by_contract_ids(request: Request) -> Response:
        validate = request.query_params.get("validateOnChain") == "true"
        contract_ids = request.query_params.getlist("contractIds[]")
        return _answer(reader.by_contract_ids(contract_ids, validate_on_chain=validate))

    async def balances(request: Request) -> Response:
        return _answer(reader.balances(request.query_params.getlist("addresses[]")))

    async def by_signer(request: Request) -> Response:
        return _answer(reader.by_signer(request.query_params))

    async def by_role(request: Request) -> Response:
        return _answer(reader.by_role(request.query_params))

    router.add_api_route("/helper/get-escrow-by-contract-ids", by_contract_ids, methods=["GET"], response_model=None)
    router.add_api_route("/helper/get-multiple-escrow-balance", balances, methods=["GET"], response_model=None)
    router.add_api_route("/helper/get-escrows-by-signer", by_signer, methods=["GET"], response_model=None)
    router.add_api_route("/helper/get-escrows-by-role", by_role, methods=["GET"], response_model=None)


async def _read_body(request: Request, body_type: type[B]) -> B:
    try:
        return body_type.model_validate(exact_json.loads(await request.body()))
    except ValidationError as error:
        raise invalid_fields(error) from error
    except ValueError as error:
        raise bad_request(f"The body is not JSON: {error}") from error


def _answer(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(exact_json.dumps(content), status, headers, media_type="application/json")
