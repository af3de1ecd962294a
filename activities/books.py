"""Our own books: each activity is one command in one transaction, run as a local activity of the order's workflow or its child."""

from __future__ import annotations

from temporalio import activity
from temporalio.exceptions import ApplicationError

from offerhub.commands import deadlines
from offerhub.commands import operations as commands
from offerhub.commands.dispute_facts import DisputeDeadlines
from offerhub.domain.context import Context
from offerhub.domain.errors import LedgerMismatchError
from offerhub.domain.messages import Booking, BookingResult, OperationPlan, OrderView, Refusal
from offerhub.storage import operations
from offerhub.storage.unit_of_work import Database


class BookActivities:
    def __init__(self, database: Database, deadlines: DisputeDeadlines) -> None:
        self._database = database
        self._deadlines = deadlines

    @activity.defn
    async def look_at_order(self, order_id: str) -> OrderView:
        async with self._database.reading() as reader:
            return await commands.look_at_order(reader, order_id)

    @activity.defn
    async def pass_order_deadline(self, order_id: str) -> OrderView:
        """Does what is due by the engine's clock; nothing when nothing is."""
        context = Context("system", "deadline", workflow_id=activity.info().workflow_id)
        async with self._database.transaction(context) as transaction:
            return await deadlines.pass_order_deadline(transaction, order_id)

    @activity.defn
    async def begin_operation(self, operation_id: str) -> OperationPlan:
        """An id that nobody knows can only come from a signal sent by hand; asking again would not help."""
        context = await context_of(self._database, operation_id)
        try:
            async with self._database.transaction(context) as transaction:
                return await commands.begin_operation(transaction, operation_id)
        except LookupError as error:
            raise ApplicationError(str(error), type="UNKNOWN_OPERATION", non_retryable=True) from None

    @activity.defn
    async def book_operation(self, wanted: Booking) -> BookingResult:
        """A mismatch between quote and chain is not booked but reported, in a transaction of its own."""
        context = await context_of(self._database, wanted.operation_id)
        try:
            async with self._database.transaction(context) as transaction:
                return BookingResult(await commands.book_operation(transaction, wanted.operation_id, wanted.accepted))
        except LedgerMismatchError as mismatch:
            async with self._database.transaction(context) as transaction:
                order = await commands.report_mismatch(transaction, wanted.operation_id, str(mismatch))
            return BookingResult(order, str(mismatch), mismatch.may_be_accepted)

    @activity.defn
    async def refuse_operation(self, refusal: Refusal) -> OrderView | None:
        """None when an envelope of the operation may still apply, or has: then nothing is refused."""
        async with self._database.transaction(await context_of(self._database, refusal.operation_id)) as transaction:
            return await commands.refuse_operation(transaction, refusal, self._deadlines)


async def context_of(database: Database, operation_id: str) -> Context:
    """In the train of the request that asked for the operation."""
    async with database.reading() as reader:
        operation = await operations.get(reader, operation_id)
    correlation_id = operation.correlation_id if operation is not None else ""
    workflow_id = activity.info().workflow_id
    return Context("system", correlation_id, operation_id=operation_id, workflow_id=workflow_id)
