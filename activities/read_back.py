"""The last look before money moves: is the contract on the chain the one our order calls for?"""

from __future__ import annotations

from temporalio import activity

from activities.escrow import operation_context
from activities.failures import WaitingError
from activities.intents import escrow_step
from offerhub.commands.operations import report_refused_signature
from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import FundEscrow
from offerhub.domain.messages import PlannedStep
from offerhub.domain.states import AttemptState
from offerhub.stellar.contract_rpc import ContractRpc
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.read_back import check_contract
from offerhub.storage import attempts
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
