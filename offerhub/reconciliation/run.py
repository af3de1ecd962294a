"""One run, page by page: which part reads what."""

from __future__ import annotations

from offerhub.commands.deposits import payments_stream
from offerhub.commands.reconciliation import Page
from offerhub.domain.money import format_amount
from offerhub.domain.reconciliation import Figures, Finding, FindingKind, Part
from offerhub.reconciliation.attempts import AttemptReconciler
from offerhub.reconciliation.escrows import EscrowReconciler
from offerhub.reconciliation.platform import PlatformReconciler
from offerhub.reconciliation.wallets import WalletReconciler
from offerhub.stellar.contract_rpc import ContractRpc
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.network import StellarNetwork
from offerhub.storage import ledger
from offerhub.storage.unit_of_work import Database


class Reconciler:
    def __init__(self, database: Database, horizon: Horizon, network: StellarNetwork, rpc: ContractRpc, least_xlm: int) -> None:
        self._database = database
        self.wallets = WalletReconciler(database, horizon, network)
        self._escrows = EscrowReconciler(database, rpc)
        self._attempts = AttemptReconciler(database, horizon)
        self._platform = PlatformReconciler(database, horizon, least_xlm * 10_000_000)

    async def page(self, run_id: str, part: Part, after: str) -> tuple[Page, str]:
        """Look at one page; returns it and where to go on ("" when the part is done). Writes nothing but credits of missed deposits."""
        next_after, figures, findings = await self._look(run_id, part, after)
        return Page(part, after, figures, findings), next_after

    async def _look(self, run_id: str, part: Part, after: str) -> tuple[str, Figures, list[Finding]]:
        match part:
            case Part.STREAM:
                return "", *await self._stream()
            case Part.BOOKS:
                return "", *await self._books()
            case Part.WALLETS:
                return await self.wallets.page(run_id, after)
            case Part.ESCROWS:
                return await self._escrows.page(after)
            case Part.ATTEMPTS:
                return await self._attempts.page(after)
            case Part.PLATFORM:
                return "", *await self._platform.look()

    async def _stream(self) -> tuple[Figures, list[Finding]]:
        async with self._database.reading() as reader:
            stream = await payments_stream(reader)
        if stream is None:
            return Figures(not_checked=1), []
        if stream.halted_reason is None:
            return Figures(1), []
        since = stream.halted_at.isoformat() if stream.halted_at else "unknown"
        sentence = f"Deposits have not been read since {since}: {stream.halted_reason}"
        return Figures(1), [Finding(FindingKind.STREAM_HALTED, "stream", "payments", sentence)]

    async def _books(self) -> tuple[Figures, list[Finding]]:
        """Every cached balance is the sum of its entries."""
        async with self._database.reading() as reader:
            drift = await ledger.cache_drift(reader)
            accounts = await ledger.count_accounts(reader)
        return Figures(accounts), [_cached(*one) for one in drift]


def _cached(account: str, cached: int, entries: int) -> Finding:
    user_id = account.split(":")[1] if account.startswith("user:") else None
    sentence = f"The balance of {account} says {format_amount(cached)}, its entries sum to {format_amount(entries)}."
    return Finding(FindingKind.CACHED_BALANCE_DRIFT, "account", account, sentence, entries, cached, user_id)
