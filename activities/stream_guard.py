"""Before the payments stream is read: is it still our chain, and does this Horizon have all the history that we have not read?"""

from __future__ import annotations

from offerhub.domain.payments import Anchor, ledger_of
from offerhub.stellar.horizon import Horizon, HorizonUnavailable
from offerhub.stellar.horizon_records import RootRecord
from offerhub.stellar.network import StellarNetwork
from offerhub.storage.streams import StreamState

# Ten minutes of ledgers. A replica may be behind by a few; one that is further back is another chain or of no use.
FAR_BEHIND_LEDGERS = 120


class StreamHalted(Exception):
    """Reading on would skip payments or book those of another chain. It ends when its cause has ended, or by a person's decision."""


class StreamGuard:
    def __init__(self, horizon: Horizon, network: StellarNetwork) -> None:
        self._horizon = horizon
        self._network = network

    async def check(self, stream: StreamState) -> Anchor:
        """The ledger to remember the chain by. Raises ``StreamHalted``, or ``HorizonUnavailable`` for a replica that is behind.

        Horizon itself says nothing of all this: a cursor older than its history is silently moved up, one from before a reset of the
        network waits for ever.
        """
        root = await self._horizon.root()
        if root.network_passphrase != self._network.passphrase:
            raise StreamHalted(f"Horizon is on the network {root.network_passphrase!r}, not on ours.")
        await self._check_chain(stream, root)
        position = ledger_of(stream.cursor)
        if root.elder_ledger > position:
            raise StreamHalted(
                f"History gap: payments are read up to ledger {position}, but this Horizon only knows ledgers from {root.elder_ledger} on."
            )
        latest = await self._horizon.ledger(root.history_ledger)
        return Anchor(latest.sequence, latest.hash)

    async def oldest_ledger(self) -> int:
        return (await self._horizon.root()).elder_ledger

    async def _check_chain(self, stream: StreamState, root: RootRecord) -> None:
        anchor = stream.anchor
        if anchor is not None and root.elder_ledger <= anchor.ledger <= root.history_ledger:
            there = await self._horizon.ledger(anchor.ledger)
            if there.hash != anchor.hash:
                raise StreamHalted(
                    f"Network reset: ledger {anchor.ledger} was {anchor.hash}, it is {there.hash} now. Nothing of it is ours."
                )
        known = max(ledger_of(stream.cursor), anchor.ledger if anchor else 0)
        behind = known - root.history_ledger
        if behind > FAR_BEHIND_LEDGERS:
            raise StreamHalted(
                f"Horizon is at ledger {root.history_ledger}, {behind} ledgers before {known}, which we have seen: "
                "the network was reset, or this replica is of no use."
            )
        if behind > 0:
            raise HorizonUnavailable(f"Horizon is at ledger {root.history_ledger}, behind {known}, which we have seen.")
