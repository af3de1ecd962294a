"""Follow the network's payments for ever and credit what reaches our wallets."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import calls


@workflow.defn(name="Deposits")
class DepositsWorkflow:
    """``deposits``, one for the whole installation. The position lives in the database, next to what was credited up to it."""

    @workflow.run
    async def run(self) -> None:
        """One long activity does the reading; once a day it hands over to a new run so that the history stays short."""
        await calls.open_payments_cursor()
        workflow.set_current_details("Following the payments stream. The activity's heartbeat shows the position.")
        await calls.follow_payments()
        workflow.continue_as_new()

    @workflow.signal
    async def accept_gap(self, note: str) -> None:
        """A person decides to go on although a part of the history cannot be read; says who and why in ``note``."""
        try:
            result = await calls.accept_payments_gap(note)
        except ActivityError as error:
            result = f"The gap was not accepted: {error.cause}"
        workflow.set_current_details(f"{result} Following the payments stream.")
