"""A marketplace on a bare database: users with wallets and money, orders driven through the commands as the workflows drive them.

The chain's answers are given by the test (as attempts that end the way it says); everything else is the product.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

from stellar_sdk import StrKey

from offerhub.commands.attempts import Outcome, record_attempt, settle_attempt, take_turn
from offerhub.commands.deposits import book_payments
from offerhub.commands.operations import begin_operation
from offerhub.commands.orders import CreateOrder, Terms, create_order
from offerhub.commands.users import CreateUser, create_user
from offerhub.commands.wallets import begin_activation, book_activation, record_wallets
from offerhub.commands.withdrawals import AcceptedWithdrawal, RequestWithdrawal, begin_withdrawal, request_withdrawal
from offerhub.domain.context import Context
from offerhub.domain.messages import Movement
from offerhub.domain.payments import IncomingPayment
from offerhub.domain.plans import PAY_OUT, Step, intent_id, parse_intent_id
from offerhub.domain.states import AttemptState
from offerhub.domain.withdrawals import AddressKind, Destination
from offerhub.storage import attempts, ledger, operations, orders, users, wallets
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Database, Transaction, new_id
from offerhub.storage.users import UserRecord
from offerhub.storage.wallets import SealedWallet

PLATFORM, SIGNER = "GPLATFORM", "GSIGNER"
OUTSIDE = Destination("GOUTSIDE", AddressKind.ACCOUNT, exists=True, is_authorized=True, room_stroops=2**63 - 1)
_numbers = count(1)


def wallet(kind: str = "USER", public_key: str | None = None) -> SealedWallet:
    return SealedWallet(new_id("wal"), kind, public_key or f"G{next(_numbers):055d}", 1, "test", b"w", b"n", b"s")


@dataclass(frozen=True)
class Market:
    database: Database

    @asynccontextmanager
    async def command(self) -> AsyncIterator[Transaction]:
        async with self.database.transaction(Context(actor_id="key_test", correlation_id="req_test")) as transaction:
            yield transaction

    async def open(self, stock: int = 4) -> None:
        made = [wallet() for _ in range(stock)] + [wallet("PLATFORM", PLATFORM), wallet("SIGNER", SIGNER)]
        async with self.command() as transaction:
            await record_wallets(transaction, made)
            await wallets.move(transaction, [PLATFORM, SIGNER], "PREPARED", "ACTIVATING")
            await wallets.mark_ready(transaction, [PLATFORM, SIGNER])
            batch = await begin_activation(transaction)
            await book_activation(transaction, [entry.public_key for entry in batch])

    async def restock(self, count: int) -> None:
        """Ready wallets for more users."""
        async with self.command() as transaction:
            await record_wallets(transaction, [wallet() for _ in range(count)])
            batch = await begin_activation(transaction)
            await book_activation(transaction, [entry.public_key for entry in batch])

    async def user(self, deposited_stroops: int = 0) -> UserRecord:
        async with self.command() as transaction:
            user = await create_user(transaction, CreateUser(f"ext-{next(_numbers)}"))
        if deposited_stroops:
            await self.deposit(user, deposited_stroops)
        return user

    async def deposit(self, user: UserRecord, amount_stroops: int, *, chain_operation: str | None = None, asset: str = "USDC") -> int:
        number = chain_operation or str(next(_numbers))
        payment = IncomingPayment(number, 0, f"hash{number}", "GOUTSIDE", str(user.public_key), amount_stroops, asset, datetime.now(UTC))
        async with self.command() as transaction:
            return await book_payments(transaction, [payment], number)

    async def order(self, buyer: UserRecord, seller: UserRecord, amount_stroops: int, fee_bps: int = 0) -> OrderRecord:
        return await self.agree(CreateOrder(buyer.id, seller.id, amount_stroops, "USDC", "A logo"), Terms(fee_bps))

    async def agree(self, wanted: CreateOrder, terms: Terms) -> OrderRecord:
        async with self.command() as transaction:
            return await create_order(transaction, wanted, terms)

    async def planned(self, operation_id: str) -> tuple[Step, ...]:
        async with self.command() as transaction:
            layout = await begin_operation(transaction, operation_id)
            return tuple(parse_intent_id(step.intent_id)[1] for step in layout.steps)

    async def escrows_in_the_books(self) -> dict[str, int]:
        """What the ledger says each contract holds, for contracts that were ever funded."""
        statement = """SELECT e.contract_id, b.balance FROM escrows e JOIN account_balances b ON b.account = 'escrow:' || e.id
                       WHERE e.fund_hash IS NOT NULL"""
        async with self.database.engine.connect() as connection:
            return {row.contract_id: row.balance for row in await connection.exec_driver_sql(statement)}

    async def sign(self, operation_id: str, source: str) -> AttemptRecord:
        """Sign the next step of an operation, as prepare and sign do."""
        async with self.command() as transaction:
            layout = await begin_operation(transaction, operation_id)
            step = parse_intent_id(layout.steps[0].intent_id)[1]
        return await self._sign(operation_id, step, layout.steps[0].via, source)

    async def sign_step(self, operation_id: str, step: Step, source: str) -> AttemptRecord:
        return await self._sign(operation_id, step, "horizon", source)

    async def sign_withdrawal(self, operation_id: str, source: str) -> AttemptRecord:
        async with self.command() as transaction:
            assert (await begin_withdrawal(transaction, operation_id)).step is not None
        return await self._sign(operation_id, PAY_OUT, "horizon", source)

    async def _sign(self, operation_id: str, step: Step, via: str, source: str) -> AttemptRecord:
        intent = intent_id(operation_id, step)
        async with self.command() as transaction:
            assert (await take_turn(transaction, source, intent)).ahead == 0
        number = next(_numbers)
        signed = AttemptRecord(
            new_id("att"),
            intent,
            operation_id,
            vars(step),
            via,
            source,
            number,
            hashlib.sha256(str(number).encode()).hexdigest(),
            f"outer{number}",
            "AAAA",
            2_000_000_000,
            contract_id=StrKey.encode_contract(number.to_bytes(32)),
        )
        return await self.record(signed)

    async def record(self, signed: AttemptRecord) -> AttemptRecord:
        async with self.command() as transaction:
            return await record_attempt(transaction, signed)

    async def withdraw(self, user: UserRecord, amount_stroops: int) -> AcceptedWithdrawal:
        async with self.command() as transaction:
            return await request_withdrawal(transaction, RequestWithdrawal(user.id, amount_stroops), OUTSIDE, 1)

    async def apply(self, attempt: AttemptRecord, *movements: Movement) -> AttemptRecord:
        async with self.command() as transaction:
            return await settle_attempt(transaction, attempt.id, Outcome(AttemptState.CONFIRMED, ledger=7, movements=movements))

    async def get(self, order: OrderRecord) -> OrderRecord:
        async with self.database.reading() as reader:
            found = await orders.get(reader, order.id)
        assert found is not None
        return found

    async def settle(self, attempt: AttemptRecord, state: AttemptState) -> None:
        """End an envelope without any money moved."""
        in_ledger = 7 if state is AttemptState.REJECTED else None
        async with self.command() as transaction:
            await settle_attempt(transaction, attempt.id, Outcome(state, in_ledger, reason="the test says so"))

    async def books_of(self, user: UserRecord) -> ledger.UserBalance:
        async with self.database.reading() as reader:
            return await ledger.user_balance(reader, user.id)

    async def balance(self, user: UserRecord) -> tuple[int, int, int]:
        balance = await self.books_of(user)
        return balance.available, balance.reserved, balance.in_escrow

    async def account(self, name: str) -> int:
        async with self.command() as transaction:
            return (await ledger.lock_balances(transaction, (name,)))[name]

    async def operation(self, operation_id: str) -> operations.OperationRecord:
        async with self.database.reading() as reader:
            found = await operations.get(reader, operation_id)
        assert found is not None
        return found

    async def refreshed(self, user: UserRecord) -> UserRecord:
        async with self.database.reading() as reader:
            found = await users.get(reader, user.id)
        assert found is not None
        return found

    async def attempts(self, operation_id: str) -> list[AttemptRecord]:
        async with self.database.reading() as reader:
            return await attempts.of_operation(reader, operation_id)

    async def assert_books_balance(self) -> None:
        async with self.database.reading() as reader:
            assert await ledger.cache_drift(reader) == []
