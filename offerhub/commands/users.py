"""Create and change users. Each gets a ready wallet from the stock at once, or the next one that becomes ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True)
class ChangeUser:
    """What to change; None leaves it. ``metadata`` is merged by key, null removing one; ``email`` empty removes the address."""

    email: str | None = None
    type: str | None = None
    status: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


async def change_user(transaction: Transaction, user_id: str, wish: ChangeUser) -> UserRecord:
    """Raises ``USER_NOT_FOUND``. A suspended user starts nothing new and still receives what is his."""
    user = await users.lock(transaction, user_id)
    if user is None:
        raise DomainError(ErrorCode.USER_NOT_FOUND, f"There is no user {user_id[:64]}.", {"userId": user_id[:64]})
    merged = {**user.metadata, **wish.metadata}
    changed = replace(
        user,
        email=user.email if wish.email is None else wish.email or None,
        type=wish.type or user.type,
        status=wish.status or user.status,
        metadata={key: value for key, value in merged.items() if value is not None},
    )
    if changed == user:
        return user
    changed = replace(changed, updated_at=transaction.now)
    await users.update(transaction, changed)
    names = [name for name in ("email", "type", "status", "metadata") if getattr(user, name) != getattr(changed, name)]
    before, after = ({name: getattr(version, name) for name in names} for version in (user, changed))
    transaction.audit("user.updated", ("user", user.id), before, after)
    payload = {"userId": user.id, "externalUserId": user.external_user_id, "type": changed.type, "status": changed.status}
    transaction.emit(Event("user.updated", user.id, payload, (user.id,)))
    if "status" in names and changed.status == "SUSPENDED":
        transaction.emit(Event("user.suspended", user.id, payload, (user.id,)))
    return changed


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
