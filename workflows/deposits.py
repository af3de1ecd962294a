"""Follow the network's payments for ever and credit what reaches our wallets."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import calls
from workflows.decision import MalformedDecision, read_note

_AFTER_FAILURE = timedelta(seconds=30)


@workflow.defn(name="Deposits")
class DepositsWorkflow:
    """``deposits``, one for the whole installation. The position lives in the database, next to what was credited up to it."""

    @workflow.run
    async def run(self) -> None:
        """One long activity does the reading; once a day it hands over to a new run so that the history stays short."""
        await calls.open_payments_cursor()
        while True:
            workflow.set_current_details("Following the payments stream. The activity's heartbeat shows the position.")
            try:
                await calls.follow_payments()
            except ActivityError as error:
                # Nothing may end the reading of deposits: it is shown, and tried again.
                workflow.set_current_details(f"**Deposits are not being read: {error.cause or error}** Trying again.")
                await workflow.sleep(_AFTER_FAILURE, summary="deposits are not being read, trying again")
            else:
                workflow.continue_as_new()

    @workflow.signal
    async def accept_gap(self, *sent: object) -> None:
        """A person decides to go on although a part of the history cannot be read; one string says who and why."""
        try:
            result = await calls.accept_payments_gap(read_note(sent))
        except MalformedDecision as malformed:
            result = f"The gap was not accepted: {malformed}."
        except ActivityError as error:
            result = f"The gap was not accepted: {error.cause}"
        workflow.set_current_details(f"{result} Following the payments stream.")
