"""Every command in every state an order or dispute can rest in: what is not in these tables is refused with INVALID_STATE."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from offerhub.commands.checkout import abandon_escrow, request_checkout
from offerhub.commands.disputes import DisputeNote, OpenDispute, add_to_dispute, assign_dispute, open_dispute
from offerhub.commands.escrow_creation import request_escrow
from offerhub.commands.escrow_funding import request_funding
from offerhub.commands.milestones import extend_release, request_completion
from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_milestone_release, request_release
from offerhub.commands.reserve import cancel_order, reserve_order
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain.context import Context
from offerhub.domain.errors import DomainError
from offerhub.domain.plans import Party
from offerhub.domain.states import Decision, DisputeState, OrderState
from offerhub.storage.unit_of_work import Transaction
from tests.integration.commands.deal import NEVER, Deal, Wish
from tests.integration.commands.disputing import decide
from tests.integration.commands.market import Market

Command = Callable[[Transaction, str], Awaitable[Any]]
_S = OrderState
PASSING = {_S.ESCROW_FUNDED, _S.RELEASED, _S.REFUNDED}
RESTING = [state for state in _S if state not in PASSING]
DONE, FIRST = "done", "answered with the first"
ORDER_COMMANDS: Mapping[str, tuple[Command, tuple[OrderState, ...]]] = {
    "reserve": (reserve_order, (_S.ORDER_CREATED,)),
    "cancel": (lambda t, order: cancel_order(t, order, None, None), (_S.ORDER_CREATED, _S.FUNDS_RESERVED)),
    "escrow": (request_escrow, (_S.FUNDS_RESERVED,)),
    "fund": (request_funding, (_S.ESCROW_FUNDING,)),
    "checkout": (request_checkout, (_S.ORDER_CREATED, _S.FUNDS_RESERVED)),
    "abandon": (lambda t, order: abandon_escrow(t, order, None), (_S.ESCROW_FUNDING,)),
    "complete": (lambda t, order: request_completion(t, order, "m0", None), (_S.IN_PROGRESS,)),
    "extend": (lambda t, order: extend_release(t, order, timedelta(days=1), None), (_S.IN_PROGRESS,)),
    "release": (lambda t, order: request_release(t, order, None, None), (_S.IN_PROGRESS,)),
    "refund": (lambda t, order: request_refund(t, order, "late"), (_S.IN_PROGRESS,)),
    "dispute": (lambda t, order: open_dispute(t, OpenDispute(order, Party.BUYER, "OTHER"), NEVER), (_S.IN_PROGRESS,)),
}
# Refusals with a code that says more than the state, and repetitions that are harmless.
_AFTER_FUNDING = (_S.IN_PROGRESS, _S.RELEASE_REQUESTED, _S.REFUND_REQUESTED, _S.DISPUTED, _S.CLOSED)
SPECIAL: Mapping[tuple[str, OrderState], str] = {
    ("reserve", _S.FUNDS_RESERVED): "FUNDS_ALREADY_RESERVED",
    ("escrow", _S.ESCROW_CREATING): FIRST,
    **{("escrow", state): "ESCROW_ALREADY_EXISTS" for state in (_S.ESCROW_FUNDING, *_AFTER_FUNDING)},
    **{("checkout", state): "ESCROW_ALREADY_EXISTS" for state in (_S.ESCROW_CREATING, _S.ESCROW_FUNDING, *_AFTER_FUNDING)},
    **{(name, state): "ESCROW_NOT_FOUND" for name in ("fund", "abandon") for state in (_S.ORDER_CREATED, _S.FUNDS_RESERVED)},
    ("fund", _S.ESCROW_CREATING): "ESCROW_NOT_READY",
    **{("fund", state): "ESCROW_ALREADY_FUNDED" for state in _AFTER_FUNDING},
    ("release", _S.RELEASE_REQUESTED): FIRST,
    ("release", _S.CLOSED): FIRST,
    ("refund", _S.REFUND_REQUESTED): FIRST,
    ("dispute", _S.DISPUTED): "DISPUTE_ALREADY_OPEN",
}


async def answer(market: Market, command: Command, subject: str) -> tuple[str, dict[str, Any]]:
    """How a command would be answered; nothing of it stays."""
    try:
        async with market.database.rehearsal(Context("key_test", "req_test")) as transaction:
            accepted = await command(transaction, subject)
    except DomainError as refusal:
        return refusal.code.value, refusal.details
    operation = getattr(accepted, "operation", None)
    return (DONE if operation is None or operation.created_at == transaction.now else FIRST), {}


def expected(name: str, state: OrderState) -> tuple[str, dict[str, Any]]:
    allowed = ORDER_COMMANDS[name][1]
    if state in allowed:
        return DONE, {}
    return "INVALID_STATE", {"currentState": state.value, "allowedStates": [one.value for one in allowed]}


@pytest.mark.parametrize("state", RESTING)
async def test_every_command_on_an_order_in_every_state(market: Market, state: OrderState) -> None:
    deal = await Deal.in_state(market, state, Wish(auto_release_after_s=60))
    if state is _S.IN_PROGRESS:
        # So that there is something to extend; then `complete` is a repetition.
        await deal.finish(await deal.do(request_completion, "m0", None))
    for name, (command, _) in ORDER_COMMANDS.items():
        found, details = await answer(market, command, deal.order_id)
        if (name, state) == ("complete", _S.IN_PROGRESS):
            assert found == FIRST
        elif (name, state) in SPECIAL:
            assert found == SPECIAL[name, state], name
        else:
            assert (found, details) == expected(name, state), name
    assert (await deal.order()).state is state


@pytest.mark.parametrize("state", [state for state in RESTING if state not in {_S.RELEASE_REQUESTED, _S.REFUND_REQUESTED, _S.DISPUTED}])
async def test_a_part_is_released_while_the_order_is_in_progress_only(market: Market, state: OrderState) -> None:
    deal = await Deal.agreed(market, Wish(parts=(100, 200)))
    if state is _S.CLOSED:
        await deal.do(cancel_order, None, None)
    else:
        await deal._go_to(state)
    found, details = await answer(market, lambda t, order: request_milestone_release(t, order, "m0"), deal.order_id)
    if state is _S.IN_PROGRESS:
        assert found == DONE
    else:
        assert (found, details) == ("INVALID_STATE", {"currentState": state.value, "allowedStates": ["IN_PROGRESS"]})


UNDECIDED = ("OPEN", "UNDER_REVIEW")
OPEN_TO_WORDS = ("OPEN", "UNDER_REVIEW", "RESOLVING")
DISPUTE_COMMANDS: Mapping[str, tuple[Command, tuple[str, ...]]] = {
    "assign": (lambda t, dispute: assign_dispute(t, dispute, "agent-7", None), UNDECIDED),
    "resolve": (lambda t, dispute: resolve_dispute(t, ResolveDispute(dispute, Decision.FULL_REFUND, "agent-7")), UNDECIDED),
    "evidence": (lambda t, dispute: add_to_dispute(t, dispute, DisputeNote("EVIDENCE", "x", {"text": "y"})), OPEN_TO_WORDS),
    "message": (lambda t, dispute: add_to_dispute(t, dispute, DisputeNote("MESSAGE", "x", {"text": "y"})), OPEN_TO_WORDS),
}


@pytest.mark.parametrize("state", list(DisputeState))
async def test_every_command_on_a_dispute_in_every_state(market: Market, state: DisputeState) -> None:
    deal = await Deal.funded(market)
    opened = await deal.dispute()
    dispute_id = opened.dispute.id
    if state is DisputeState.REFUSED:
        await deal.refuse(opened)
    else:
        await deal.finish(opened)
    if state is DisputeState.UNDER_REVIEW:
        await deal.run(lambda transaction: assign_dispute(transaction, dispute_id, "agent-1", None))
    if state in {DisputeState.RESOLVING, DisputeState.RESOLVED}:
        accepted = await decide(deal, dispute_id, Decision.FULL_RELEASE)
        if state is DisputeState.RESOLVED:
            await deal.finish(accepted)
    for name, (command, allowed) in DISPUTE_COMMANDS.items():
        found, details = await answer(market, command, dispute_id)
        if state in allowed:
            assert found == DONE, name
        else:
            assert (found, details) == ("INVALID_STATE", {"currentState": state.value, "allowedStates": list(allowed)}), name


async def test_what_does_not_exist_is_not_found(market: Market) -> None:
    for name, (command, _) in ORDER_COMMANDS.items():
        assert (await answer(market, command, "ord_none"))[0] == "ORDER_NOT_FOUND", name
    for name, (command, _) in DISPUTE_COMMANDS.items():
        assert (await answer(market, command, "dsp_none"))[0] == "DISPUTE_NOT_FOUND", name
