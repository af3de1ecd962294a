"""What an order's contract is and holds, read from the chain before money goes into it, and before it is emptied."""

from __future__ import annotations

from temporalio import activity

from activities.escrow import operation_context
from activities.failures import WaitingError
from activities.intents import escrow_step
from offerhub.commands import remainder
from offerhub.commands.operations import report_refused_signature
from offerhub.domain.context import Context
from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import FundEscrow
from offerhub.domain.messages import PlannedStep
from offerhub.domain.states import AttemptState
from offerhub.stellar.contract_rpc import ContractRpc
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.read_back import check_contract
from offerhub.storage import attempts, operations, orders
from offerhub.storage.unit_of_work import Database


class ReadBackActivities:
    def __init__(self, database: Database, rpc: ContractRpc, network: StellarNetwork) -> None:
        self._database = database
        self._rpc = rpc
        self._network = network

    @activity.defn
    async def read_contract_back(self, step: PlannedStep) -> None:
        """``step`` is the funding. A contract that differs is reported (``signing.refused``) and never funded.

        Once an envelope is signed it is too late to judge the contract: what counts then is what became of the envelope.
        """
        async with self._database.reading() as reader:
            wanted = await escrow_step(reader, step.intent_id)
            signed = await attempts.of_intent(reader, step.intent_id)
        if any(attempt.is_open or attempt.state is AttemptState.CONFIRMED for attempt in signed):
            return
        intent = wanted.intent
        if not isinstance(intent, FundEscrow):
            raise TypeError(f"{step.intent_id} funds nothing")
        entry = await self._rpc.instance_of(intent.contract_id)
        if entry is None:
            raise WaitingError(f"The RPC server does not show contract {intent.contract_id} yet.")
        try:
            check_contract(self._network, intent, entry)
        except IntentMismatchError as mismatch:
            difference = (mismatch.field, mismatch.expected, mismatch.found)
            async with self._database.transaction(operation_context(wanted.operation)) as transaction:
                await report_refused_signature(transaction, wanted.operation.id, wanted.intent_id, difference)
            raise

    @activity.defn
    async def observe_excess(self, operation_id: str) -> int:
        """Before a resolution: what the contract holds beyond our books goes to the buyer with it, or it could not be resolved.

        Returns what that is, in stroops.
        """
        async with self._database.reading() as reader:
            operation = await operations.get(reader, operation_id)
        if operation is None:
            raise LookupError(f"there is no operation {operation_id}")
        held_stroops = await self._held(operation.resource_id)
        async with self._database.transaction(operation_context(operation)) as transaction:
            return await remainder.take_in_excess(transaction, operation_id, held_stroops)

    @activity.defn
    async def withdraw_remaining(self, order_id: str) -> None:
        """After the last milestone: an operation that empties the contract is accepted, if it still holds anything."""
        held_stroops = await self._held(order_id)
        async with self._database.transaction(Context("system", "", workflow_id=activity.info().workflow_id)) as transaction:
            await remainder.withdraw_remaining(transaction, order_id, held_stroops)

    async def _held(self, order_id: str) -> int:
        """Not by a server that has yet to see our own last payment: what has left the contract would look like somebody's gift."""
        async with self._database.reading() as reader:
            order = await orders.get(reader, order_id)
            seen_ledger = await attempts.newest_ledger(reader, order_id)
        if order is None or order.escrow is None or order.escrow.contract_id is None:
            return 0
        return await self._rpc.held_by_contract(order.escrow.contract_id, seen_ledger)
