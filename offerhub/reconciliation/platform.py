"""The platform's own accounts: its revenue in USDC, and whether there are XLM enough to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from offerhub.domain.money import format_amount
from offerhub.domain.reconciliation import Figures, Finding, FindingKind
from offerhub.reconciliation.steady import Side, compare, patiently
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.horizon_records import AccountRecord
from offerhub.storage import snapshots, wallets
from offerhub.storage.snapshots import Booked
from offerhub.storage.unit_of_work import Database
from offerhub.storage.wallets import WalletRecord

BASE_RESERVE_STROOPS = 5_000_000
_PAYS = {"FEE": "every envelope's fee", "SPONSOR": "the reserves of new wallets", "SIGNER": "deployments", "PLATFORM": "its own fees"}


class PlatformReconciler:
    def __init__(self, database: Database, horizon: Horizon, least_stroops: int) -> None:
        self._database = database
        self._horizon = horizon
        self._least_stroops = least_stroops

    async def look(self) -> tuple[Figures, list[Finding]]:
        async with self._database.reading() as reader:
            accounts = [one for one in await wallets.platform_accounts(reader) if one.state == "READY"]
        findings: list[Finding] = []
        in_motion = 0
        for account in accounts:
            findings += await self._xlm(account)
            if account.kind == "PLATFORM":
                moving, drift = await self._revenue(account.public_key)
                in_motion += moving
                findings += drift
        return Figures(len(accounts), in_motion), findings

    async def _xlm(self, account: WalletRecord) -> list[Finding]:
        """What is low is the part that can be spent: reserves stay behind."""
        found = await patiently(lambda: self._horizon.account(account.public_key))
        spendable = max(found.xlm_stroops - _reserve(found), 0) if found else 0
        if spendable >= self._least_stroops:
            return []
        pays = _PAYS.get(account.kind, "its share")
        sentence = f"The {account.kind} account {account.public_key} has {format_amount(spendable)} XLM left to spend. It pays {pays}."
        return [
            Finding(FindingKind.PLATFORM_ACCOUNT_LOW, account.kind, account.public_key, sentence, self._least_stroops, spendable),
        ]

    async def _revenue(self, address: str) -> tuple[int, list[Finding]]:
        async def books(_ids: list[str]) -> Mapping[str, Booked]:
            async with self._database.reading() as reader:
                booked = await snapshots.revenue(reader, address)
            return {booked.id: booked}

        async def chain(asked: Sequence[Booked]) -> Mapping[str, int]:
            found = await patiently(lambda: self._horizon.account(address))
            return {one.id: (found.usdc_stroops or 0) if found else 0 for one in asked}

        [compared] = await compare(list((await books([])).values()), Side(books, chain, int))
        if compared.agrees or not compared.is_settled:
            return int(not compared.is_settled), []
        difference = compared.seen - compared.booked.stroops
        how = "more" if difference > 0 else "less"
        sentence = f"The platform account holds {format_amount(abs(difference))} USDC {how} than was booked as revenue."
        return 0, [Finding(FindingKind.PLATFORM_DRIFT, "account", address, sentence, compared.booked.stroops, compared.seen)]


def _reserve(account: AccountRecord) -> int:
    return (2 + account.subentries + account.sponsoring - account.sponsored) * BASE_RESERVE_STROOPS
