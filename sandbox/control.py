"""The control API: what a test or an operator may do that no real network offers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from stellar_sdk import StrKey

from sandbox.dispensing import Dispenser, DispensingFailed
from sandbox.identities import friendbot_keypair, usdc_asset
from sandbox.ledger.encoding import parse_amount, time_text
from sandbox.ledger.ledger import Ledger
from sandbox.rpc.routes import PATH as RPC_PATH
from sandbox.trustless import identity
from sandbox.trustless.request_limit import RequestLimit

MAX_CLOSED_AT_ONCE = 1_000
MAX_INTERVAL_S = 3_600


class _Refused(Exception):
    pass


def control_routes(ledger: Ledger, dispenser: Dispenser, limit: RequestLimit) -> list[Route]:
    control = _Control(ledger, dispenser, limit)
    return [
        Route("/control/faucet", control.faucet, methods=["POST"]),
        Route("/control/ledger", control.set_ledger, methods=["POST"]),
        Route("/control/clock/advance", control.advance_clock, methods=["POST"]),
        Route("/control/clock", control.clock, methods=["GET"]),
        Route("/control/state", control.state, methods=["GET"]),
        Route("/control/accounts/{address}", control.account, methods=["GET"]),
    ]


class _Control:
    def __init__(self, ledger: Ledger, dispenser: Dispenser, limit: RequestLimit) -> None:
        self._ledger = ledger
        self._dispenser = dispenser
        self._limit = limit

    async def faucet(self, request: Request) -> Response:
        """Pay sandbox USDC from its issuer; answers when the ledger has closed."""
        try:
            body = await _body(request)
            address, amount = body.get("address"), body.get("amount")
            if not isinstance(address, str) or not StrKey.is_valid_ed25519_public_key(address):
                raise _Refused("address must be an account (G...)")
            if not isinstance(amount, str):
                raise _Refused("amount must be a decimal string")
            stroops = parse_amount(amount)
            usdc = self._ledger.usdc
            if not self._ledger.has_trustline(address, usdc.code, usdc.issuer or ""):
                raise _Refused("the account has no USDC trustline")
            outcome = await self._dispenser.pay_usdc(address, stroops)
        except (_Refused, ValueError, DispensingFailed) as refused:
            return _answer({"error": str(refused)}, 400)
        except TimeoutError:
            return _answer({"error": "no ledger closed within 30 s"}, 504)
        return _answer({"hash": outcome.hash})

    async def set_ledger(self, request: Request) -> Response:
        """``{"intervalSeconds": n}`` (0: at once, null: only by hand) or ``{"close": n}``."""
        try:
            body = await _body(request)
            if "close" in body:
                for _ in range(_whole(body["close"], "close", MAX_CLOSED_AT_ONCE)):
                    self._ledger.close()
            elif "intervalSeconds" in body:
                self._ledger.set_interval(_interval(body["intervalSeconds"]))
            else:
                raise _Refused("give intervalSeconds or close")
        except _Refused as refused:
            return _answer({"error": str(refused)}, 400)
        return await self.clock(request)

    async def advance_clock(self, request: Request) -> Response:
        try:
            body = await _body(request)
            self._ledger.advance_clock(_whole(body.get("seconds"), "seconds", 10 * 365 * 86_400))
        except _Refused as refused:
            return _answer({"error": str(refused)}, 400)
        return await self.clock(request)

    async def clock(self, _request: Request) -> Response:
        now = self._ledger.now()
        return _answer(
            {
                "now": time_text(now),
                "nowUnix": now,
                "clockOffsetSeconds": self._ledger.clock_offset_s,
                "ledger": self._ledger.latest_ledger,
                "ledgerClosedAt": time_text(self._ledger.closed_at),
                "intervalSeconds": self._ledger.interval_s,
            }
        )

    async def state(self, _request: Request) -> Response:
        passphrase = self._ledger.network_passphrase
        usdc = usdc_asset(passphrase)
        requests = {"admitted": self._limit.admitted, "refused": self._limit.refused}
        return _answer(
            {
                "networkPassphrase": passphrase,
                "ledger": self._ledger.latest_ledger,
                "intervalSeconds": self._ledger.interval_s,
                "clockOffsetSeconds": self._ledger.clock_offset_s,
                "friendbot": friendbot_keypair(passphrase).public_key,
                "usdc": {"code": usdc.code, "issuer": usdc.issuer, "contract": usdc.contract_id(passphrase)},
                "rpcUrl": RPC_PATH,
                "trustlessWork": {"url": "/trustless-work", "requests": requests, **identity(passphrase)},
            }
        )

    async def account(self, request: Request) -> Response:
        """The raw entry, in stroops."""
        account = self._ledger.account(str(request.path_params["address"]))
        if account is None:
            return _answer({"error": "no such account"}, 404)
        return _answer({**asdict(account), "minimum_balance": account.minimum_balance})


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise _Refused("the body must be JSON") from None
    if not isinstance(body, dict):
        raise _Refused("the body must be a JSON object")
    return body


def _whole(value: object, name: str, highest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= highest:
        raise _Refused(f"{name} must be a whole number from 1 to {highest}")
    return value


def _interval(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_INTERVAL_S:
        raise _Refused(f"intervalSeconds must be null or a number from 0 to {MAX_INTERVAL_S}")
    return value


def _answer(document: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
