"""One user's wallet compared now, for a caller who waits for the answer."""

from __future__ import annotations

from collections.abc import Awaitable

from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.reconciliation.wallets import WalletReconciler, WalletState
from offerhub.settings import Settings
from offerhub.stellar.connection import HorizonConnection
from offerhub.stellar.horizon import HorizonUnavailable
from offerhub.storage.unit_of_work import Database

PATIENCE_S = (0.5, 1.0)


class WalletComparison:
    def __init__(self, settings: Settings, database: Database) -> None:
        self._connection = HorizonConnection(settings)
        self._wallets = WalletReconciler(database, self._connection.horizon, self._connection.network, PATIENCE_S)

    async def of(self, user_id: str) -> WalletState | None:
        """None while the user has no wallet. Missed deposits are credited. Raises ``PROVIDER_UNAVAILABLE`` without Horizon."""
        return await _answer(self._wallets.user(user_id))

    async def seen(self, user_id: str) -> WalletState | None:
        """The same, and nothing is credited: whether they agree, not why they do not."""
        return await _answer(self._wallets.seen(user_id))

    async def close(self) -> None:
        await self._connection.close()


async def _answer(comparison: Awaitable[WalletState | None]) -> WalletState | None:
    try:
        return await comparison
    except HorizonUnavailable as away:
        message = f"The network could not be asked about the wallet. {away.message}"
        raise DomainError(ErrorCode.PROVIDER_UNAVAILABLE, message) from away
