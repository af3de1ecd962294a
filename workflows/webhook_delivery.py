"""Tell one webhook endpoint of every event it wants, in order, for as long as it is enabled."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

from offerhub.domain.messages import DeliveryReport, WebhookInput
from workflows import calls


@workflow.defn(name="WebhookDelivery")
class WebhookDeliveryWorkflow:
    """``webhook/<id>``, started by the outbox. Cursor, failures and the time of the next try live in the endpoint's row."""

    def __init__(self) -> None:
        self._told_to_look = False
        self._last_answer = ""

    @workflow.run
    async def run(self, started: WebhookInput) -> str:
        """A long activity delivers; when the receiver fails, this waits until it is time to try again or the endpoint was changed."""
        while True:
            self._told_to_look = False
            report = await calls.deliver_webhooks(started)
            self._show(report)
            if report.ended and not self._told_to_look:
                return report.ended
            if report.retry_in_s:
                await self._until_next_try(report.retry_in_s)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(started)

    @workflow.signal(description="The endpoint was changed, or a delivery is to be repeated: try now.")
    def look(self, *_sent: object) -> None:
        self._told_to_look = True

    async def _until_next_try(self, seconds: float) -> None:
        try:
            await workflow.wait_condition(
                lambda: self._told_to_look, timeout=timedelta(seconds=seconds), timeout_summary="the receiver failed; next try"
            )
        except TimeoutError:
            return

    def _show(self, report: DeliveryReport) -> None:
        self._last_answer = report.last_answer or self._last_answer
        state = report.ended or "Delivering."
        if report.retry_in_s:
            next_try = workflow.now() + timedelta(seconds=report.retry_in_s)
            state = f"**The receiver fails.** Next try at {next_try:%Y-%m-%d %H:%M:%S}Z."
        lines = [state, "", f"- Last answer: {self._last_answer or 'none yet'}"]
        if report.receiver:
            lines += [f"- Receiver: {report.receiver}", f"- Delivered up to position {report.position}"]
        workflow.set_current_details("\n".join(lines))
