"""Friendbot's lumens and the faucet's USDC, paid by ordinary transactions.

Each transaction takes its sequence number from a channel account of its own, so that many can enter one ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from stellar_sdk import Account, Keypair, TransactionBuilder

from sandbox.identities import channel_keypairs, friendbot_keypair, usdc_issuer_keypair
from sandbox.ledger.encoding import amount_text
from sandbox.ledger.entries import BASE_FEE_STROOPS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox.ledger.ledger import Ledger
    from sandbox.trustless.ports import SubmissionOutcome

STARTING_LUMENS = "10000"
_VALID_S = 300
_Operations = Callable[[TransactionBuilder], TransactionBuilder]


class DispensingFailed(Exception):
    """The network refused the payment; the text holds its codes."""


class Dispenser:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._free: asyncio.Queue[Keypair] = asyncio.Queue()
        for keypair in channel_keypairs(ledger.network_passphrase):
            self._free.put_nowait(keypair)

    async def create_account(self, address: str) -> SubmissionOutcome:
        """Raises DispensingFailed or TimeoutError."""
        friendbot = friendbot_keypair(self._ledger.network_passphrase)
        return await self._pay(
            friendbot,
            lambda builder: builder.append_create_account_op(address, STARTING_LUMENS, friendbot.public_key),
        )

    async def pay_usdc(self, address: str, amount_stroops: int) -> SubmissionOutcome:
        """Raises DispensingFailed or TimeoutError."""
        issuer = usdc_issuer_keypair(self._ledger.network_passphrase)
        amount = amount_text(amount_stroops)
        return await self._pay(
            issuer,
            lambda builder: builder.append_payment_op(address, self._ledger.usdc, amount, issuer.public_key),
        )

    async def _pay(self, payer: Keypair, append_operation: _Operations) -> SubmissionOutcome:
        async with self._channel() as channel:
            sequence = self._ledger.account_sequence(channel.public_key)
            assert sequence is not None
            source = Account(channel.public_key, sequence)
            builder = TransactionBuilder(source, self._ledger.network_passphrase, BASE_FEE_STROOPS)
            now = self._ledger.now()
            envelope = append_operation(builder.add_time_bounds(0, now + _VALID_S)).build()
            envelope.sign(channel)
            envelope.sign(payer)
            outcome = await self._ledger.submit(envelope.to_xdr())
        if not outcome.successful:
            codes = ", ".join((outcome.transaction_code, *outcome.operation_codes))
            raise DispensingFailed(f"refused by the network: {codes}")
        return outcome

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[Keypair]:
        keypair = await self._free.get()
        try:
            yield keypair
        finally:
            self._free.put_nowait(keypair)
