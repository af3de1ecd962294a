"""Horizon's routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.dispensing import Dispenser
from sandbox.horizon import friendbot, network, submission
from sandbox.horizon.answers import Problem, bad_parameter, hal, not_found
from sandbox.horizon.collections import Reader, collection_response
from sandbox.horizon.parameters import account_parameter, base_url, hash_parameter
from sandbox.horizon.replica import Ingestion, Replica
from sandbox.horizon.resources import account_resource, operation_links, transaction_resource, with_links
from sandbox.ledger.history import Collection, Scope
from sandbox.ledger.ledger import Ledger

Handler = Callable[[Request], Awaitable[Response]]
_NAMES = {
    "transactions": Collection.TRANSACTIONS,
    "operations": Collection.OPERATIONS,
    "payments": Collection.PAYMENTS,
}


def horizon_routes(ledger: Ledger, dispenser: Dispenser, ingestion: Ingestion) -> list[Route]:
    reads = _Reads(ledger, ingestion)

    async def submit(request: Request) -> Response:
        return await submission.submit_and_wait(ledger, ingestion, request)

    async def submit_async(request: Request) -> Response:
        return await submission.submit_async(ledger, request)

    async def fund(request: Request) -> Response:
        return await friendbot.fund(ledger, dispenser, request)

    posts: list[tuple[str, Handler]] = [("/transactions", submit), ("/transactions_async", submit_async)]
    gets: list[tuple[str, Handler]] = [
        ("/", reads.root),
        ("/friendbot", fund),
        ("/fee_stats", reads.fee_stats),
        ("/assets", reads.assets),
        ("/claimable_balances", reads.claimable_balances),
        ("/accounts/{account_id}", reads.account),
        ("/ledgers", reads.ledgers),
        ("/ledgers/{sequence}", reads.ledger),
        ("/operations/{id}", reads.operation),
        ("/transactions/{hash}", reads.transaction),
        *((f"/{name}", reads.everything) for name in _NAMES),
        ("/accounts/{account_id}/{name}", reads.of_account),
        ("/ledgers/{sequence}/{name}", reads.of_ledger),
        ("/transactions/{hash}/{name}", reads.of_transaction),
    ]
    routes = [Route(path, _guarded(handler), methods=["POST"]) for path, handler in posts]
    return routes + [Route(path, _guarded(handler), methods=["GET"]) for path, handler in gets]


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except Problem as problem:
            return problem.response()

    return guarded


class _Reads:
    def __init__(self, ledger: Ledger, ingestion: Ingestion) -> None:
        self._ledger = ledger
        self._ingestion = ingestion

    def _reader(self, request: Request) -> Reader:
        return Reader(self._ledger, self._ingestion.newest(request))

    def _replica(self, request: Request) -> Replica:
        return self._reader(request).replica()

    async def root(self, request: Request) -> Response:
        return hal(network.root_resource(self._ledger, self._replica(request), base_url(request)))

    async def fee_stats(self, request: Request) -> Response:
        return hal(network.fee_stats_resource(self._ledger, self._replica(request)))

    async def assets(self, request: Request) -> Response:
        code, issuer = (request.query_params.get(name, "") for name in ("asset_code", "asset_issuer"))
        replica = self._replica(request)
        records = network.asset_resources(replica, self._ledger.network_passphrase, code, issuer)
        return _whole_page(request, records, replica.newest)

    async def claimable_balances(self, request: Request) -> Response:
        """Always empty: this network refuses to create any."""
        return _whole_page(request, [], self._replica(request).newest)

    async def account(self, request: Request) -> Response:
        replica = self._replica(request)
        account = replica.account(account_parameter(request))
        if account is None:
            raise not_found(replica.newest)
        return hal(account_resource(account, replica, base_url(request)), replica.newest)

    async def transaction(self, request: Request) -> Response:
        transaction_hash = hash_parameter(request)
        found = self._replica(request).find(transaction_hash)
        if found is None:
            raise not_found()
        return hal(transaction_resource(found, transaction_hash, base_url(request)))

    async def operation(self, request: Request) -> Response:
        found = self._replica(request).operation(_number(request, "id"))
        if found is None:
            raise not_found()
        return hal(operation_links(found, base_url(request)))

    async def ledger(self, request: Request) -> Response:
        found = self._replica(request).ledger(_number(request, "sequence"))
        if found is None:
            raise not_found()
        return hal(with_links(Collection.LEDGERS, found, base_url(request)))

    async def ledgers(self, request: Request) -> Response:
        return collection_response(self._reader(request), request, Collection.LEDGERS, Scope())

    async def everything(self, request: Request) -> Response:
        return collection_response(self._reader(request), request, _NAMES[request.url.path.lstrip("/")], Scope())

    async def of_account(self, request: Request) -> Response:
        address, reader = account_parameter(request), self._reader(request)
        replica = reader.replica()
        if replica.account(address) is None and not replica.has_history(address):
            raise not_found()
        return collection_response(reader, request, _collection(request), Scope(account=address))

    async def of_ledger(self, request: Request) -> Response:
        sequence, reader = _number(request, "sequence"), self._reader(request)
        if reader.replica().ledger(sequence) is None:
            raise not_found()
        return collection_response(reader, request, _collection(request), Scope(ledger=sequence))

    async def of_transaction(self, request: Request) -> Response:
        reader = self._reader(request)
        found = reader.replica().find(hash_parameter(request))
        collection = _collection(request)
        if found is None or collection is Collection.TRANSACTIONS:
            raise not_found()
        return collection_response(reader, request, collection, Scope(transaction_id=found.id))


def _whole_page(request: Request, records: list[dict[str, object]], latest_ledger: int) -> Response:
    here = {"href": str(request.url)}
    document = {
        "_links": {"self": here, "next": here, "prev": here},
        "_embedded": {"records": records},
    }
    return hal(document, latest_ledger)


def _collection(request: Request) -> Collection:
    collection = _NAMES.get(str(request.path_params["name"]))
    if collection is None:
        raise not_found()
    return collection


def _number(request: Request, name: str) -> int:
    text = str(request.path_params[name])
    if not text.isascii() or not text.isdigit() or int(text) >= 2**63:
        raise bad_parameter(name, f"{name}: invalid value")
    return int(text)
