"""Escrow contracts: what each holds on the chain against its account in the books."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from offerhub.domain.money import format_amount
from offerhub.domain.reconciliation import Figures, Finding, FindingKind
from offerhub.reconciliation.steady import Compared, Side, compare, patiently
from offerhub.stellar.contract_rpc import ContractRpc
from offerhub.storage import snapshots
from offerhub.storage.snapshots import Booked
from offerhub.storage.unit_of_work import Database

PAGE_ESCROWS = 100


class EscrowReconciler:
    """Horizon does not show what contracts hold, and Trustless Work is not independent: a Stellar RPC server is asked."""

    def __init__(self, database: Database, rpc: ContractRpc) -> None:
        self._database = database
        self._rpc = rpc

    async def page(self, after: str) -> tuple[str, Figures, list[Finding]]:
        async with self._database.reading() as reader:
            first = await snapshots.escrow_page(reader, after, PAGE_ESCROWS)
        next_after = first[-1].id if len(first) == PAGE_ESCROWS else ""
        compared = await compare(first, Side(self._books, self._held, int))
        in_motion = sum(1 for one in compared if not one.is_settled)
        return next_after, Figures(len(compared), in_motion), [_drift(one) for one in compared if one.is_settled and not one.agrees]

    async def _books(self, ids: list[str]) -> Mapping[str, Booked]:
        async with self._database.reading() as reader:
            return await snapshots.escrows(reader, ids)

    async def _held(self, escrows: Sequence[Booked]) -> dict[str, int]:
        held = await patiently(lambda: self._rpc.usdc_of([one.address for one in escrows]))
        return {one.id: held[one.address] for one in escrows}


def _drift(one: Compared[int]) -> Finding:
    difference = one.seen - one.booked.stroops
    if difference > 0:
        why = "Somebody paid into the contract directly; what pays the order out pays it out too, or leaves it there."
    elif one.seen == 0:
        why = "It was paid out behind our back, or the network has archived its balance entry."
    else:
        why = "It was paid out behind our back."
    how = "more" if difference > 0 else "less"
    sentence = f"Contract {one.booked.address} holds {format_amount(abs(difference))} USDC {how} than booked. {why}"
    return Finding(FindingKind.ESCROW_DRIFT, "escrow", one.booked.id, sentence, one.booked.stroops, one.seen)
