"""Horizon for a process that only reads now and then, over connections of its own."""

from __future__ import annotations

import httpx

from offerhub.settings import Settings
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.network import network_of


class HorizonConnection:
    def __init__(self, settings: Settings) -> None:
        self.network = network_of(settings)
        self._client = httpx.AsyncClient()
        self.horizon = Horizon(settings.horizon_url, self.network, self._client)

    async def close(self) -> None:
        await self._client.aclose()
