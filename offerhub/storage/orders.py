"""Orders with their milestones and escrow."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text

from offerhub.domain.ids import first_id_at
from offerhub.domain.states import EscrowState, FinalStatus, MilestoneState, OrderState, ReleaseMode
from offerhub.storage import disputes
from offerhub.storage.disputes import DisputeRecord
from offerhub.storage.listing import newest_first
from offerhub.storage.operations import OperationRecord
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.users import LOCKING_PURSE, PURSE, PURSE_JOINS, Purse, taken_purse

_COLUMNS = """o.id, o.client_order_ref, o.buyer_id, o.seller_id, o.amount, o.currency, o.title, o.description, o.state, o.final_status,
    o.platform_fee_bps, o.cancel_reason, o.metadata, o.created_at, o.updated_at, o.closed_at, o.release_mode,
    o.reservation_expires_after_s, o.auto_release_after_s, o.make_buyer_whole, o.reservation_expires_at, o.auto_release_at"""
_WHOLE = f"""{_COLUMNS},
        (SELECT jsonb_agg(to_jsonb(m) - 'order_id' ORDER BY m.position) FROM milestones m WHERE m.order_id = o.id) AS milestones,
        (SELECT to_jsonb(e) FROM escrows e WHERE e.order_id = o.id) AS escrow,
        (SELECT to_jsonb(p) FROM operations p
         WHERE p.resource_id = o.id AND p.status IN ('PENDING', 'RUNNING')) AS operation,
        (SELECT to_jsonb(d) FROM disputes d WHERE d.order_id = o.id ORDER BY d.id DESC LIMIT 1) AS dispute"""  # noqa: S608
# Orders with everything that hangs on them, for ``order_of``; whoever adds a condition names the order ``o``.
ORDER = f"SELECT {_WHOLE} FROM orders o"  # noqa: S608
_GET = text(f"{ORDER} WHERE o.id = :id")
_GET_WITH_PURSE = text(
    f"SELECT {_WHOLE}, {PURSE} FROM orders o JOIN users u ON u.id = o.buyer_id {PURSE_JOINS} WHERE o.id = :id {LOCKING_PURSE}"  # noqa: S608
)
_FILTERS = {
    "cursor": "o.id < :cursor",
    "buyer_id": "o.buyer_id = :buyer_id",
    "seller_id": "o.seller_id = :seller_id",
    "state": "o.state = :state",
    "client_order_ref": "o.client_order_ref = :client_order_ref",
    "created_after": "o.created_at > :created_after",
    "created_before": "o.created_at < :created_before",
    # Nobody needs an index of times where ids begin with one.
    "first_id": "o.id >= :first_id",
    "beyond_id": "o.id < :beyond_id",
    # The second half names the index.
    "metadata": "o.metadata @> CAST(:metadata AS jsonb) AND o.metadata <> '{}'",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# An id is made a moment after its order's ``created_at`` is read, and clocks are set: the two are never so far apart.
_APART = timedelta(hours=1)
# Each in its turn, where there are more than may be told at once.
_NOT_EMPTIED = text(
    """
    SELECT o.id FROM orders o JOIN escrows e ON e.order_id = o.id JOIN account_balances b ON b.account = 'escrow:' || e.id
    WHERE o.state = 'CLOSED' AND o.release_mode = 'per_milestone' AND b.balance > 0 AND NOT (SELECT draining FROM maintenance)
      AND NOT EXISTS (SELECT 1 FROM operations p
                      WHERE p.resource_id = o.id AND (p.finished_at IS NULL OR p.finished_at > :untouched_since))
    ORDER BY random() LIMIT :limit
    """
)
_LOCK = text("SELECT 1 FROM orders WHERE id = :id FOR UPDATE")
_INSERT = text(
    """
    WITH written AS (
        INSERT INTO orders (id, client_order_ref, buyer_id, seller_id, amount, currency, title, description, state, platform_fee_bps,
                            metadata, release_mode, reservation_expires_after_s, auto_release_after_s, make_buyer_whole,
                            created_at, updated_at)
        VALUES (:id, :client_order_ref, :buyer_id, :seller_id, :amount, :currency, :title, :description, 'ORDER_CREATED',
                :platform_fee_bps, CAST(:metadata AS jsonb), :release_mode, :reservation_expires_after_s, :auto_release_after_s,
                :make_buyer_whole, :now, :now)
        RETURNING id
    )
    INSERT INTO milestones (id, order_id, position, ref, title, amount, state)
    SELECT m.id, written.id, m.position, m.ref, m.title, m.amount, 'OPEN'
    FROM written, jsonb_to_recordset(CAST(:milestones AS jsonb)) AS m(id text, position smallint, ref text, title text, amount bigint)
    """
)
_SET_STATE = text(
    """
    -- An order in another state than the one it was locked in would end up without any, which the column refuses.
    UPDATE orders SET state = CASE state WHEN :current THEN :target END, final_status = :final_status,
                      cancel_reason = coalesce(:reason, cancel_reason), updated_at = :now,
                      closed_at = CASE WHEN :target = 'CLOSED' THEN CAST(:now AS timestamptz) END
    WHERE id = :id
    """
)
_SET_MILESTONE = text(
    """
    UPDATE milestones SET state = :target, completed_at = coalesce(:completed_at, completed_at), evidence = coalesce(:evidence, evidence),
        payout_hash = coalesce(:payout_hash, payout_hash)
    WHERE order_id = :order_id AND position = :position
    """
)
_SETTLE_MILESTONES = text("UPDATE milestones SET state = :target WHERE order_id = :order_id")
_SET_DEADLINES = text(
    """
    UPDATE orders SET reservation_expires_at = :reservation_expires_at, auto_release_at = :auto_release_at, updated_at = :now WHERE id = :id
    """
)
_INSERT_ESCROW = text(
    """
    INSERT INTO escrows (id, order_id, state, amount, signer, created_at, updated_at)
    VALUES (:id, :order_id, 'CREATING', :amount, :signer, :now, :now)
    """
)
_SET_ESCROW = text(
    """
    UPDATE escrows SET state = :target, updated_at = :now, contract_id = coalesce(:contract_id, contract_id),
        deploy_hash = coalesce(:deploy_hash, deploy_hash), fund_hash = coalesce(:fund_hash, fund_hash),
        release_hash = coalesce(:release_hash, release_hash), dispute_hash = coalesce(:dispute_hash, dispute_hash),
        refund_hash = coalesce(:refund_hash, refund_hash)
    WHERE id = :id AND state = :current
    """
)
_DROP_ESCROW = text("DELETE FROM escrows WHERE id = :id AND state = 'CREATING' AND contract_id IS NULL")
_ESCROW_CONTRACTS = text("SELECT contract_id FROM escrows WHERE contract_id = ANY(:contract_ids)")


@dataclass(frozen=True)
class MilestoneRecord:
    id: str
    position: int
    ref: str
    title: str
    amount: int | None
    state: MilestoneState
    completed_at: datetime | None = None
    evidence: str | None = None
    payout_hash: str | None = None


@dataclass(frozen=True)
class EscrowRecord:
    id: str
    order_id: str
    state: EscrowState
    amount: int
    signer: str
    contract_id: str | None
    deploy_hash: str | None
    fund_hash: str | None
    release_hash: str | None
    created_at: datetime
    updated_at: datetime
    dispute_hash: str | None = None
    refund_hash: str | None = None


@dataclass(frozen=True)
class OrderRecord:
    """One order with everything that hangs on it; ``operation`` is the one in flight, ``dispute`` the last one."""

    id: str
    client_order_ref: str | None
    buyer_id: str
    seller_id: str
    amount: int
    currency: str
    title: str
    description: str | None
    state: OrderState
    final_status: FinalStatus | None
    platform_fee_bps: int
    cancel_reason: str | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    milestones: tuple[MilestoneRecord, ...] = ()
    escrow: EscrowRecord | None = None
    operation: OperationRecord | None = None
    dispute: DisputeRecord | None = None
    release_mode: ReleaseMode = ReleaseMode.SINGLE
    reservation_expires_after_s: int | None = None
    auto_release_after_s: int | None = None
    make_buyer_whole: bool = False
    reservation_expires_at: datetime | None = None
    auto_release_at: datetime | None = None

    @property
    def dispute_id(self) -> str | None:
        return self.dispute.id if self.dispute else None

    @property
    def is_per_milestone(self) -> bool:
        return self.release_mode is ReleaseMode.PER_MILESTONE

    @property
    def operation_id(self) -> str | None:
        return self.operation.id if self.operation else None

    def with_milestone(self, index: int, state: MilestoneState) -> OrderRecord:
        milestones = tuple(replace(one, state=state) if one.position == index else one for one in self.milestones)
        return replace(self, milestones=milestones)

    @property
    def the_escrow(self) -> EscrowRecord:
        """The escrow of an order whose state says that it has one."""
        if self.escrow is None:
            raise LookupError(f"order {self.id} has no escrow")
        return self.escrow


@dataclass(frozen=True)
class OrderFilter:
    buyer_id: str | None = None
    seller_id: str | None = None
    state: str | None = None
    client_order_ref: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EscrowChange:
    """What a state change of an escrow learns from the chain; None leaves a column as it is."""

    contract_id: str | None = None
    deploy_hash: str | None = None
    fund_hash: str | None = None
    release_hash: str | None = None
    dispute_hash: str | None = None
    refund_hash: str | None = None


def insert(transaction: Transaction, order: OrderRecord) -> None:
    milestones = [{name: getattr(m, name) for name in ("id", "position", "ref", "title", "amount")} for m in order.milestones]
    transaction.send(
        _INSERT,
        id=order.id,
        client_order_ref=order.client_order_ref,
        buyer_id=order.buyer_id,
        seller_id=order.seller_id,
        amount=order.amount,
        currency=order.currency,
        title=order.title,
        description=order.description,
        platform_fee_bps=order.platform_fee_bps,
        metadata=orjson.dumps(order.metadata).decode(),
        milestones=orjson.dumps(milestones).decode(),
        release_mode=order.release_mode,
        reservation_expires_after_s=order.reservation_expires_after_s,
        auto_release_after_s=order.auto_release_after_s,
        make_buyer_whole=order.make_buyer_whole,
        now=transaction.now,
    )


async def get(transaction: Transaction, order_id: str) -> OrderRecord | None:
    row = await transaction.first(_GET, id=order_id)
    return order_of(dict(row)) if row else None


async def not_emptied(transaction: Transaction, untouched_since: datetime, limit: int) -> list[str]:
    """Orders paid out per milestone whose contract holds money in the books still, with no operation under way or ended since then; none
    while the instance is drained.
    """
    return [row["id"] for row in await transaction.rows(_NOT_EMPTIED, untouched_since=untouched_since, limit=limit)]


async def lock(transaction: Transaction, order_id: str) -> OrderRecord | None:
    """The order as it is now, locked until the transaction ends: the first lock of every command on an order."""
    # Two statements: only one that begins when the lock is had sees all that its last holder has committed.
    transaction.send(_LOCK, id=order_id)
    return await get(transaction, order_id)


async def lock_with_purse(transaction: Transaction, order_id: str) -> tuple[OrderRecord, Purse] | None:
    """The same together with what its buyer may spend, locked as well; every user has accounts."""
    transaction.send(_LOCK, id=order_id)
    row = await transaction.first(_GET_WITH_PURSE, id=order_id)
    if row is None:
        return None
    purse = taken_purse(row)
    return order_of(row), purse


async def page(transaction: Transaction, wanted: OrderFilter, cursor: str | None, limit: int) -> list[OrderRecord]:
    """Newest first, from after ``cursor``."""
    bounds = {"first_id": _id_at(wanted.created_after, -_APART), "beyond_id": _id_at(wanted.created_before, _APART)}
    values = {**vars(wanted), **bounds, "cursor": cursor, "metadata": orjson.dumps(wanted.metadata).decode() if wanted.metadata else None}
    return [order_of(dict(row)) for row in await newest_first(transaction, ORDER, _FILTERS, values, limit)]


def _id_at(moment: datetime | None, later: timedelta) -> str | None:
    return None if moment is None else first_id_at("ord", (moment - _EPOCH + later) // timedelta(milliseconds=1))


@dataclass(frozen=True)
class StateChange:
    current: OrderState
    target: OrderState
    final_status: FinalStatus | None = None
    reason: str | None = None


def set_state(transaction: Transaction, order_id: str, change: StateChange) -> None:
    """Of an order that this transaction has locked."""
    transaction.send(_SET_STATE, id=order_id, **vars(change), now=transaction.now)


@dataclass(frozen=True)
class MilestoneChange:
    """None leaves a column as it is."""

    target: MilestoneState
    completed_at: datetime | None = None
    evidence: str | None = None
    payout_hash: str | None = None


async def set_milestone(transaction: Transaction, order_id: str, position: int, change: MilestoneChange) -> None:
    await transaction.run(_SET_MILESTONE, order_id=order_id, position=position, **vars(change))


async def settle_milestones(transaction: Transaction, order_id: str, target: MilestoneState) -> None:
    """All of them end with their order."""
    await transaction.run(_SETTLE_MILESTONES, order_id=order_id, target=target)


async def set_deadlines(
    transaction: Transaction, order_id: str, reservation_expires_at: datetime | None, auto_release_at: datetime | None
) -> None:
    deadlines = {"reservation_expires_at": reservation_expires_at, "auto_release_at": auto_release_at}
    await transaction.run(_SET_DEADLINES, id=order_id, **deadlines, now=transaction.now)


async def insert_escrow(transaction: Transaction, escrow: EscrowRecord) -> None:
    values = {"id": escrow.id, "order_id": escrow.order_id, "amount": escrow.amount, "signer": escrow.signer}
    await transaction.run(_INSERT_ESCROW, **values, now=transaction.now)


async def set_escrow_state(transaction: Transaction, escrow: EscrowRecord, target: EscrowState, learned: EscrowChange) -> None:
    values = {"id": escrow.id, "current": escrow.state, "target": target}
    if await transaction.run(_SET_ESCROW, **values, **vars(learned), now=transaction.now) != 1:
        raise RuntimeError(f"escrow {escrow.id} changed under its order's lock")


async def drop_escrow(transaction: Transaction, escrow_id: str) -> None:
    """Forget an escrow whose contract was never created."""
    await transaction.run(_DROP_ESCROW, id=escrow_id)


async def our_contracts(transaction: Transaction, contract_ids: list[str]) -> set[str]:
    """Which of these contracts are escrows of ours."""
    return {row["contract_id"] for row in await transaction.rows(_ESCROW_CONTRACTS, contract_ids=contract_ids)}


def order_of(row: dict[str, Any]) -> OrderRecord:
    """The order out of a row read with ``ORDER``."""
    milestones = tuple(_milestone(m) for m in row.pop("milestones") or ())
    escrow = row.pop("escrow")
    operation = row.pop("operation")
    dispute = row.pop("dispute")
    row["state"] = OrderState(row["state"])
    row["release_mode"] = ReleaseMode(row["release_mode"])
    row["final_status"] = FinalStatus(row["final_status"]) if row["final_status"] else None
    return OrderRecord(
        **row,
        milestones=milestones,
        escrow=_escrow(escrow) if escrow else None,
        dispute=_dispute(dispute, milestones) if dispute else None,
        operation=OperationRecord(**{**operation, **_times(operation)}) if operation else None,
    )


def _milestone(row: dict[str, Any]) -> MilestoneRecord:
    completed_at = datetime.fromisoformat(row["completed_at"]) if row["completed_at"] else None
    return MilestoneRecord(**{**row, "state": MilestoneState(row["state"]), "completed_at": completed_at})


def _dispute(row: dict[str, Any], milestones: tuple[MilestoneRecord, ...]) -> DisputeRecord:
    index = row["milestone_index"]
    return disputes.from_json({**row, "milestone_ref": None if index is None else milestones[index].ref})


def _escrow(row: dict[str, Any]) -> EscrowRecord:
    return EscrowRecord(**{**row, **_times(row), "state": EscrowState(row["state"])})


def _times(row: dict[str, Any]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(row[name]) for name in ("created_at", "updated_at")}
