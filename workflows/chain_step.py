"""The four durable steps of every transaction on the chain, whatever the verb (``model.md`` §6): prepare, sign, submit, settle."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from offerhub.domain.messages import PlannedStep, SignedAttempt, StepOutcome, StepStatus
from offerhub.domain.plans import OWN_PAYMENTS
from workflows import calls
from workflows.details import StepProgress, steps_page

# Raised by activities: the envelope in hand is worthless (the account's turn or its time is over); nothing was sent.
START_OVER = "START_OVER"
NETWORK_SAID_NO = "STELLAR_NETWORK_ERROR"
VIA_TRUSTLESS = "trustless"
# Each envelope that failed in a ledger has cost its fee; what fails this often for a passing reason has a lasting one.
MOST_FAILURES_ON_LEDGER = 5
# Whatever makes an envelope worthless before it is sent passes by itself; asking for the next one at once would only cost requests.
# The longest pause is well below the time after which a waiter for an account counts as absent.
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)
OWN_ACTIONS = frozenset({"activate_wallets", "trust_asset", *OWN_PAYMENTS})


class StepRefused(Exception):
    """The chain, the contract, the provider or our own comparison said no. ``code`` is one of ``ErrorCode``."""

    def __init__(self, code: str, message: str, details: dict[str, str]) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


@dataclass
class Walk:
    """Carries out steps and shows how far each one is in the workflow's current details; ``note`` goes above the table."""

    note: str = ""
    progress: list[StepProgress] = field(default_factory=list)
    outcomes: list[StepOutcome] = field(default_factory=list)

    def show(self) -> None:
        workflow.set_current_details(steps_page(self.progress, self.note))

    async def carry_out(self, step: PlannedStep) -> StepOutcome:
        """Return when the step is applied, raise ``StepRefused`` when it never will be. A dead envelope is followed by a new one."""
        shown = self._shown(step)
        failures = unsent = 0
        try:
            while True:
                outcome = await self._try(step, shown)
                failures += 1 if outcome.ledger else 0
                if outcome.status is StepStatus.APPLIED:
                    self._tell(shown, "applied")
                    self.outcomes.append(outcome)
                    return outcome
                if outcome.status is StepStatus.REFUSED or failures >= MOST_FAILURES_ON_LEDGER:
                    raise StepRefused(outcome.code or NETWORK_SAID_NO, outcome.reason, {"transactionHash": outcome.inner_hash})
                self._tell(shown, "once more, with a new envelope", outcome.reason)
                unsent = 0 if outcome.attempt_id else unsent + 1
                if unsent:
                    await workflow.sleep(pause_after(unsent), summary=f"starting over: {step.summary}")
        except StepRefused as refused:
            self._tell(shown, "refused", refused.message)
            raise

    async def _try(self, step: PlannedStep, shown: StepProgress) -> StepOutcome:
        try:
            attempt = await self._signed(step, shown)
        except ActivityError as error:
            refused = _refusal(error)
            if refused.code == START_OVER:
                return StepOutcome(StepStatus.DEAD, reason=refused.message)
            raise refused from error
        shown.transaction_hash = attempt.inner_hash
        self._tell(shown, "sent to the network")
        outcome = await _submitted(attempt, step.summary)
        while outcome.status is StepStatus.PENDING:
            shown.reason = outcome.reason
            outcome = await calls.settle_attempt(attempt, step.summary)
            if outcome.status is StepStatus.PENDING:
                self._tell(shown, "UNKNOWN: neither the transaction nor proof of its death; asking on", outcome.reason)
        return outcome

    async def check_contract(self, step: PlannedStep) -> None:
        """The contract that ``step`` will pay into is read back from the chain; one that differs is refused."""
        try:
            await calls.read_contract_back(step)
        except ActivityError as error:
            refused = _refusal(error)
            self._tell(self._shown(step), "refused", refused.message)
            raise refused from error

    async def _signed(self, step: PlannedStep, shown: StepProgress) -> SignedAttempt:
        self._tell(shown, "being prepared", shown.reason)
        prepared = await (calls.prepare_own_step(step) if step.action in OWN_ACTIONS else calls.prepare_step(step))
        if prepared.attempt is not None:
            return prepared.attempt
        shown.envelopes += 1
        self._tell(shown, "being signed", shown.reason)
        return await calls.sign_step(prepared, step.summary)

    def _shown(self, step: PlannedStep) -> StepProgress:
        for known in self.progress:
            if known.step.intent_id == step.intent_id:
                return known
        self.progress.append(StepProgress(step))
        return self.progress[-1]

    def _tell(self, shown: StepProgress, state: str, reason: str = "") -> None:
        shown.state, shown.reason = state, reason
        self.show()


def pause_after(unsent: int) -> timedelta:
    """After so many envelopes in a row that were not worth sending: twice as long each time."""
    return min(FIRST_PAUSE * (1 << min(unsent - 1, 10)), LONGEST_PAUSE)


async def _submitted(attempt: SignedAttempt, summary: str) -> StepOutcome:
    if attempt.via != VIA_TRUSTLESS:
        return await calls.submit_attempt(attempt, summary)
    try:
        return await calls.send_deploy(attempt, summary)
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        # No answer is no outcome: the chain is asked next.
        return StepOutcome(StepStatus.PENDING, attempt.attempt_id, attempt.inner_hash, reason=str(error.cause or error))


def _refusal(error: ActivityError) -> StepRefused:
    """What an activity that does not retry has decided. Anything else (a cancellation) goes on as it is."""
    cause = error.cause
    if not isinstance(cause, ApplicationError) or not cause.non_retryable:
        raise error
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    return StepRefused(cause.type or "INTERNAL_ERROR", cause.message, {str(key): str(value) for key, value in details.items()})
