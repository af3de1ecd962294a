"""A user's wallet and how to pay into it."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import Response

from api.answers import iso, ok
from api.auth import Scope, Tokens
from api.call import Call, CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One
from api.schemas.users import DepositAddress, Wallet
from api.users import found
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import USDC, format_amount
from offerhub.domain.states import WalletState
from offerhub.storage import deposits, ledger, users, wallets
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.wallets import WalletRecord

routes = Routes("Wallets")
_MISSING = (ErrorCode.USER_NOT_FOUND, ErrorCode.WALLET_NOT_READY)


@routes.get("/users/{user_id}/wallet", Scope.READ, Documented("Read a user's wallet", One[Wallet], errors=_MISSING), tokens=Tokens.BOUND)
async def get_wallet(call: CurrentCall, user_id: str) -> Response:
    """`balance` mirrors the chain: USDC that the books hold in this account, and lumens that somebody sent there."""
    async with call.services.database.reading() as reader:
        wallet = await _wallet(reader, user_id)
        balance = await ledger.user_balance(reader, user_id)
        xlm_stroops = await deposits.received(reader, user_id, "XLM")
    return ok(
        {
            "userId": user_id,
            "publicKey": wallet.public_key,
            "type": "INVISIBLE",
            "provider": "STELLAR",
            "isActive": wallet.state == WalletState.READY,
            "isPrimary": True,
            "balance": {"usdc": format_amount(balance.in_wallet), "xlm": format_amount(xlm_stroops)},
            "createdAt": iso(wallet.created_at),
        }
    )


@routes.get(
    "/users/{user_id}/wallet/deposit", Scope.READ, Documented("How to pay in", One[DepositAddress], errors=_MISSING), tokens=Tokens.BOUND
)
async def get_deposit_address(call: CurrentCall, user_id: str) -> Response:
    async with call.services.database.reading() as reader:
        wallet = await _wallet(reader, user_id)
    return ok(_deposit_address(call, wallet.public_key))


def _deposit_address(call: Call, address: str) -> dict[str, object]:
    settings = call.services.settings
    request = {"destination": address, "asset_code": USDC, "asset_issuer": settings.usdc_issuer}
    return {
        "provider": "STELLAR",
        "method": "stellar_address",
        "address": address,
        "asset": {"code": USDC, "issuer": settings.usdc_issuer},
        "network": settings.stellar_network,
        "memo": None,
        "uri": f"web+stellar:pay?{urlencode({**request, 'network_passphrase': settings.network_passphrase})}",
        "instructions": f"Send USDC of issuer {settings.usdc_issuer} on Stellar to {address}. No memo is needed. "
        "It is credited once the network has it. Other assets are not credited.",
    }


async def _wallet(reader: Transaction, user_id: str) -> WalletRecord:
    found(await users.get(reader, user_id), user_id)
    wallet = await wallets.of_user(reader, user_id)
    if wallet is None:
        message = f"The wallet of user {user_id} is still being prepared; try again."
        raise DomainError(ErrorCode.WALLET_NOT_READY, message, {"userId": user_id})
    return wallet
