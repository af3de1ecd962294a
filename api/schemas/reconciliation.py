"""Reconciliation: books and chain compared."""

from __future__ import annotations

from typing import Literal

from api.schemas.answers import PageQuery
from api.schemas.balances import BalanceFigures, SignedAmount
from api.schemas.fields import Amount, Shape, Time
from offerhub.domain.reconciliation import FindingKind


class PartFigures(Shape):
    """``inMotion`` changed while it was looked at or has work in flight; ``notChecked`` could not be looked at."""

    checked: int
    in_motion: int
    not_checked: int


class ReconciliationRun(Shape):
    """``figures`` by part of the run (stream, books, wallets, escrows, attempts, platform), once it is over."""

    id: str
    status: Literal["PENDING", "RUNNING", "COMPLETED"]
    trigger: Literal["schedule", "request", "halt"]
    requested_by: str
    figures: dict[str, PartFigures]
    finding_count: int
    created_at: Time
    finished_at: Time | None


class ReconciliationFinding(Shape):
    """``expected`` is what the books say, ``found`` what the chain says. ``firstRunId`` is the run that found just this first."""

    id: str
    kind: FindingKind
    resource_type: str
    resource_id: str
    user_id: str | None
    expected: SignedAmount | None
    found: SignedAmount | None
    explanation: str
    first_run_id: str
    created_at: Time


class ReconciliationRunWithFindings(ReconciliationRun):
    """At most a thousand findings, oldest first; ``findingCount`` counts them all."""

    findings: list[ReconciliationFinding]


class FoundInWallet(Shape):
    kind: FindingKind
    explanation: str


class BalanceComparison(BalanceFigures):
    """``status``: AGREES; IN_MOTION, ask again; DIFFERS; NO_WALLET; a sync also CREDITED, deposits were missing and are in the balance now.
    ``booked`` is what the books say the wallet holds, ``onChain`` what it does hold.
    """

    user_id: str
    updated_at: Time | None
    status: Literal["AGREES", "CREDITED", "IN_MOTION", "DIFFERS", "NO_WALLET"]
    public_key: str | None
    on_chain: Amount
    booked: Amount
    difference: SignedAmount
    checked_at: Time


class BareBalanceComparison(BalanceComparison):
    """The comparison at the top level and under ``data``."""

    success: Literal[True] = True
    data: BalanceComparison


class BalanceSync(BalanceComparison):
    """``findings`` say why they differ."""

    credited_deposit_ids: list[str]
    findings: list[FoundInWallet]


class BareBalanceSync(BalanceSync):
    """The comparison at the top level and under ``data``."""

    success: Literal[True] = True
    data: BalanceSync


class ReconciliationQuery(PageQuery):
    prefix = "rec"
