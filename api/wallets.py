"""A user's wallet: what it holds, how to pay into it, what moved through it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Query, Response

from api import present
from api.answers import ok, page
from api.auth import Scope, Tokens
from api.call import Call, CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.users import DepositAddress, Wallet, WalletTransaction, WalletTransactionQuery
from api.users import found, no_such_user
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import USDC, format_amount
from offerhub.storage import replay, users
from offerhub.storage.replay import UserPosting

routes = Routes("Wallets")
_MISSING = (ErrorCode.USER_NOT_FOUND, ErrorCode.WALLET_NOT_READY)
_TRANSACTIONS = Documented("What moved through a wallet", Page[WalletTransaction], errors=(ErrorCode.USER_NOT_FOUND,))


@routes.get("/users/{user_id}/wallet", Scope.READ, Documented("Read a user's wallet", One[Wallet], errors=_MISSING), tokens=Tokens.BOUND)
async def get_wallet(call: CurrentCall, user_id: str) -> Response:
    """`balance` mirrors the chain: USDC that the books hold in this account, and lumens that somebody sent there."""
    async with call.services.database.reading() as reader:
        account = await users.account(reader, user_id)
    if account is None:
        raise no_such_user(user_id)
    _ready(user_id, account.user.public_key)
    return ok({"userId": user_id, **present.wallet(account.user, account.balance)})


@routes.get(
    "/users/{user_id}/wallet/deposit", Scope.READ, Documented("How to pay in", One[DepositAddress], errors=_MISSING), tokens=Tokens.BOUND
)
async def get_deposit_address(call: CurrentCall, user_id: str) -> Response:
    async with call.services.database.reading() as reader:
        user = found(await users.get(reader, user_id), user_id)
    return ok(_deposit_address(call, _ready(user_id, user.public_key)))


@routes.get("/users/{user_id}/wallet/transactions", Scope.READ, _TRANSACTIONS, tokens=Tokens.BOUND)
async def list_wallet_transactions(call: CurrentCall, user_id: str, query: Annotated[WalletTransactionQuery, Query()]) -> Response:
    """From our own books, newest first: deposits, funding, releases, refunds, withdrawals, each with its transaction on the chain."""
    async with call.services.database.reading() as reader:
        moved = await replay.on_chain(reader, user_id, query.before_id, query.limit + 1)
        if not moved:
            found(await users.get(reader, user_id), user_id)
    return page(moved, query.limit, _transaction)


def _transaction(posting: UserPosting) -> dict[str, Any]:
    """Under both spellings that clients use."""
    shown = present.posting(posting)
    names = ("id", "kind", "transactionHash", "orderId", "counterparty", "reference")
    accounts = (posting.other_account, posting.account)
    source, target = accounts if posting.in_wallet > 0 else reversed(accounts)
    return {
        **{name: shown[name] for name in names},
        "type": posting.kind,
        "from": source,
        "to": target,
        "amount": format_amount(posting.in_wallet),
        "currency": USDC,
        "asset": USDC,
        "hash": posting.transaction_hash,
        "successful": True,
        "createdAt": shown["bookedAt"],
    }


def _deposit_address(call: Call, address: str) -> dict[str, object]:
    settings = call.services.settings
    request = {"destination": address, "asset_code": USDC, "asset_issuer": settings.usdc_issuer}
    payment = urlencode({**request, "network_passphrase": settings.network_passphrase}, quote_via=quote)
    return {
        "provider": "STELLAR",
        "method": "stellar_address",
        "address": address,
        "asset": {"code": USDC, "issuer": settings.usdc_issuer},
        "network": settings.stellar_network,
        "memo": None,
        "uri": f"web+stellar:pay?{payment}",
        "instructions": f"Send USDC of issuer {settings.usdc_issuer} on Stellar to {address}. No memo is needed. "
        "It is credited once the network has it. Other assets are not credited.",
    }


def _ready(user_id: str, public_key: str | None) -> str:
    if public_key is None:
        message = f"The wallet of user {user_id} is still being prepared; try again."
        raise DomainError(ErrorCode.WALLET_NOT_READY, message, {"userId": user_id})
    return public_key
