"""The books of a withdrawal: each activity is one command in one transaction, run as a local activity of its workflow."""

from __future__ import annotations

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.books import context_of
from offerhub.commands import withdrawals as commands
from offerhub.domain.errors import LedgerMismatchError
from offerhub.domain.messages import Refusal, WithdrawalBooking, WithdrawalPlan, WithdrawalView
from offerhub.storage.unit_of_work import Database


class WithdrawalActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def begin_withdrawal(self, operation_id: str) -> WithdrawalPlan:
        """An id that nobody knows can only come from a workflow started by hand; asking again would not help."""
        context = await context_of(self._database, operation_id)
        try:
            async with self._database.transaction(context) as transaction:
                return await commands.begin_withdrawal(transaction, operation_id)
        except LookupError as error:
            raise ApplicationError(str(error), type="UNKNOWN_OPERATION", non_retryable=True) from None

    @activity.defn
    async def book_withdrawal(self, operation_id: str) -> WithdrawalBooking:
        """A mismatch between withdrawal and chain is not booked but reported, in a transaction of its own."""
        context = await context_of(self._database, operation_id)
        try:
            async with self._database.transaction(context) as transaction:
                return WithdrawalBooking(await commands.book_withdrawal(transaction, operation_id))
        except LedgerMismatchError as mismatch:
            async with self._database.transaction(context) as transaction:
                view = await commands.report_withdrawal_mismatch(transaction, operation_id, str(mismatch))
            return WithdrawalBooking(view, str(mismatch))

    @activity.defn
    async def refuse_withdrawal(self, refusal: Refusal) -> WithdrawalView:
        async with self._database.transaction(await context_of(self._database, refusal.operation_id)) as transaction:
            return await commands.refuse_withdrawal(transaction, refusal)
