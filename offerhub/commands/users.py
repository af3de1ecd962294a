"""Create users: each gets a ready wallet from the stock at once, or the next one that becomes ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from offerhub.commands.deposits import credit_held
from offerhub.domain import ledger
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.events import Event
from offerhub.storage import ledger as books
from offerhub.storage import users, wallets
from offerhub.storage.unit_of_work import Transaction, new_id
from offerhub.storage.users import NewUser, UserRecord
from offerhub.storage.wallets import WalletRecord


@dataclass(frozen=True)
class CreateUser:
    external_user_id: str
    email: str | None = None
    type: str = "BOTH"
    metadata: dict[str, Any] = field(default_factory=dict)


async def create_user(transaction: Transaction, request: CreateUser) -> UserRecord:
    """Raises ``USER_ALREADY_EXISTS`` naming the existing id."""
    user = NewUser(new_id("usr"), request.external_user_id, request.email, request.type, request.metadata)
    if not await users.insert(transaction, user):
        existing = await users.by_external_id(transaction, request.external_user_id)
        raise DomainError(
            ErrorCode.USER_ALREADY_EXISTS,
            f"A user with externalUserId {request.external_user_id!r} exists already.",
            {"userId": existing.id if existing else None, "externalUserId": request.external_user_id},
        )
    await books.open_accounts(transaction, (ledger.available(user.id), ledger.reserved(user.id)))
    payload = {"userId": user.id, "externalUserId": user.external_user_id, "type": user.type}
    transaction.emit(Event("user.created", user.id, payload, (user.id,)))
    transaction.audit("user.created", ("user", user.id), None, {"externalUserId": user.external_user_id, "type": user.type})
    await give_wallet(transaction, user.id)
    created = await users.get(transaction, user.id)
    assert created is not None, "written in this transaction"
    return created


async def give_wallet(transaction: Transaction, user_id: str) -> WalletRecord | None:
    """Take a wallet from the stock for a user; None when the stock is empty (the stock's workflow will come back to him)."""
    wallet = await wallets.take_from_stock(transaction, user_id)
    if wallet is None:
        return None
    payload = {"walletId": wallet.id, "userId": user_id, "publicKey": wallet.public_key}
    transaction.emit(Event("wallet.created", wallet.id, payload, (user_id,)))
    transaction.emit(Event("wallet.ready", wallet.id, payload, (user_id,)))
    transaction.audit("wallet.assigned", ("wallet", wallet.id), None, {"userId": user_id, "publicKey": wallet.public_key})
    await credit_held(transaction, user_id, wallet.public_key)
    return wallet
