"""Trustless Work fails, lags, loses what it was given, builds what nobody asked for: an escrow goes through, or is refused once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from offerhub.commands.order_facts import Accepted
from offerhub.commands.refund import request_refund
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain import ledger
from offerhub.domain.states import Decision
from offerhub.storage.users import UserRecord
from tests.chaos.installation import Installation, together

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(280), pytest.mark.slow]

AMOUNT = 70_000_000
DEPLOY, FUND, SEND = r"^POST /trustless-work/deployer/", r"/fund-escrow$", r"/helper/send-transaction$"
# Each meets one order, once, on its way from its escrow to its release.
FAULTS: dict[str, dict[str, Any]] = {
    # Longer than anybody waits for a build.
    "a build takes too long": {"kind": "tw_timeout", "path": FUND, "seconds": 60},
    "no answer to a build": {"kind": "tw_timeout", "path": DEPLOY, "seconds": 0.2},
    "sent, and no answer": {"kind": "tw_timeout", "path": SEND, "seconds": 0.2, "applies": True},
    "not sent, and no answer": {"kind": "tw_timeout", "path": SEND, "seconds": 0.2},
    "500 to a build": {"kind": "tw_server_error", "path": FUND},
    "sent, and 500": {"kind": "tw_server_error", "path": SEND, "applies": True},
    "sent, and answered FAILED": {"kind": "tw_lose_deploy", "variant": "answered_failed"},
    "429": {"kind": "tw_rate_limit", "path": DEPLOY},
    "502 in HTML": {"kind": "html_bad_gateway", "path": FUND},
    "its index lags": {"kind": "tw_index_lag", "seconds": 3, "function": "tw_new_single_release_escrow"},
    **{f"{form} instead of a build": {"kind": "tw_garbage", "form": form, "path": FUND} for form in ("empty", "missing")},
}
# What cannot be read as the envelope asked for is refused like one that says something else.
UNREADABLE: dict[str, dict[str, Any]] = {form: {"kind": "tw_garbage", "form": form} for form in ("not_base64", "not_xdr", "truncated")}
EXPIRED_S = 130


async def test_whatever_fails_once_an_escrow_is_made_funded_and_released(attacked: Installation) -> None:
    await together(_live_through(attacked, name, fault) for name, fault in FAULTS.items())
    await attacked.assert_settled()


async def test_lost_deployment_is_made_again_when_it_can_no_longer_come(attacked: Installation) -> None:
    """Trustless Work says SUCCESS and has sent nothing."""
    buyer, seller = await _parties(attacked)
    order = await attacked.order(buyer, seller, AMOUNT)
    lost = await attacked.fault("tw_lose_deploy", account=str(buyer.public_key), next=1)
    accepted = await attacked.accept_escrow(order.id)
    await attacked.until(lambda: attacked.fired(lost))
    await asyncio.sleep(1.5)
    [first] = await attacked.attempts_of(accepted.operation.id)
    assert first.state == "SUBMITTED"
    await attacked.pass_time(EXPIRED_S)
    await attacked.succeeded(accepted)
    dead, second = await attacked.attempts_of(accepted.operation.id)
    assert [dead.state, second.state] == ["DEAD", "CONFIRMED"]
    assert (await attacked.read_order(order.id)).the_escrow.contract_id == second.contract_id != dead.contract_id
    await attacked.succeeded(await attacked.accept_funding(order.id))
    await attacked.succeeded(await attacked.accept_release(order.id))
    await attacked.assert_settled()


@pytest.mark.parametrize(
    ("mutation", "field"),
    [("other_receiver", "init_args[0].roles.receiver"), ("other_wasm_hash", "wasm_hash"), ("pre_signed", "signatures")],
)
async def test_hostile_deployment_is_refused_once(attacked: Installation, mutation: str, field: str) -> None:
    buyer, seller = await _parties(attacked)
    order = await attacked.order(buyer, seller, AMOUNT)
    hostile = {"kind": "tw_hostile", "mutation": mutation, "path": DEPLOY}
    assert await _refused(attacked, buyer, hostile, lambda: attacked.accept_escrow(order.id)) == field
    assert (await attacked.read_order(order.id)).state == "FUNDS_RESERVED"
    await attacked.funded(order.id)
    await attacked.assert_settled()


@pytest.mark.parametrize("bent", ["other_amount", "hidden_sub_invocation", "other_sequence", *UNREADABLE])
async def test_hostile_funding_is_refused_once_and_the_money_stays_reserved(attacked: Installation, bent: str) -> None:
    buyer, seller = await _parties(attacked)
    order = await attacked.order(buyer, seller, AMOUNT)
    await attacked.succeeded(await attacked.accept_escrow(order.id))
    hostile = UNREADABLE.get(bent, {"kind": "tw_hostile", "mutation": bent})
    field = await _refused(attacked, buyer, {**hostile, "path": FUND}, lambda: attacked.accept_funding(order.id))
    assert (field == "envelope") is (bent in UNREADABLE)
    assert (await attacked.read_order(order.id)).the_escrow.state == "CREATED"
    assert await attacked.balance(ledger.reserved(buyer.id)) == AMOUNT
    await attacked.succeeded(await attacked.accept_funding(order.id))
    await attacked.assert_settled()


async def test_hostile_release_is_refused_once_and_pays_nobody(attacked: Installation) -> None:
    """Trustless Work's own fee goes to whom the caller says; the milestone that the release approves is another one."""
    buyer, order_id = await _funded(attacked)
    for mutation, path, field in (
        ("other_milestone", "/approve-milestone$", "milestone_index"),
        ("other_fee_address", "/release-funds$", "trustless_work_address"),
    ):
        hostile = {"kind": "tw_hostile", "mutation": mutation, "path": path}
        assert await _refused(attacked, buyer, hostile, lambda: attacked.accept_release(order_id)) == field
        resting = await attacked.read_order(order_id)
        assert (resting.state, await attacked.balance(ledger.available(resting.seller_id))) == ("IN_PROGRESS", 0)
    await attacked.succeeded(await attacked.accept_release(order_id))
    await attacked.assert_settled()


async def test_hostile_refund_is_refused_once_and_pays_nobody(attacked: Installation) -> None:
    buyer, order_id = await _funded(attacked)
    signer = (await attacked.read_order(order_id)).the_escrow.signer
    hostile = {"kind": "tw_hostile", "mutation": "other_receiver", "path": "/resolve-dispute$", "account": signer}

    async def refund() -> Accepted:
        return await attacked.commit(lambda transaction: request_refund(transaction, order_id, "late"))

    assert (await _refused(attacked, buyer, hostile, refund)).startswith("distributions")
    assert await attacked.balance(ledger.available(buyer.id)) == 0
    assert await attacked.balance(ledger.in_escrow((await attacked.read_order(order_id)).the_escrow.id)) == AMOUNT
    [dispute] = await attacked.rows("SELECT id FROM disputes WHERE order_id = :id", id=order_id)
    wanted = ResolveDispute(dispute["id"], Decision.FULL_REFUND, "ben")
    await attacked.succeeded(await attacked.commit(lambda transaction: resolve_dispute(transaction, wanted)))
    await attacked.closed(order_id, "REFUNDED")
    await attacked.assert_settled()


async def _live_through(installation: Installation, name: str, fault: dict[str, Any]) -> None:
    buyer, seller = await _parties(installation)
    order = await installation.order(buyer, seller, AMOUNT)
    placed = await installation.fault(**fault, account=str(buyer.public_key), next=1)
    for accept in (installation.accept_escrow, installation.accept_funding, installation.accept_release):
        finished = await installation.finished(accepted := await accept(order.id))
        assert finished.status == "SUCCEEDED", (name, finished.error)
        signed = Counter(attempt.intent_id for attempt in await installation.attempts_of(accepted.operation.id) if attempt.state != "DEAD")
        assert set(signed.values()) == {1}, (name, signed)
    assert await installation.fired(placed) == 1, name


async def _refused(
    installation: Installation, buyer: UserRecord, hostile: dict[str, Any], accept: Callable[[], Awaitable[Accepted]]
) -> str:
    """Without a limit to how often the fault strikes: it struck once because nobody asked again. Returns the field that was named."""
    placed = await installation.fault(**{"account": str(buyer.public_key), **hostile})
    accepted = await accept()
    refused = await installation.finished(accepted)
    assert refused.error is not None
    assert (refused.status, refused.error["code"]) == ("FAILED", "PROVIDER_ERROR"), refused.error
    assert await installation.fired(placed) == 1
    await installation.heal(placed)
    [told] = await installation.events_of("signing.refused", refused.id)
    audited = "SELECT after FROM audit_log WHERE action = 'signing.refused' AND resource_id = :id"
    assert [row["after"] for row in await installation.rows(audited, id=refused.id)] == [told]
    signed = {attempt.intent_id for attempt in await installation.attempts_of(refused.id)}
    assert told["intentId"] not in signed, "nothing was signed for it"
    return str(told["field"])


async def _parties(installation: Installation) -> tuple[UserRecord, UserRecord]:
    """The buyer has the price of one order."""
    buyer, seller = await installation.party(), await installation.party()
    await installation.deposit(buyer, AMOUNT)
    return buyer, seller


async def _funded(installation: Installation) -> tuple[UserRecord, str]:
    buyer, seller = await _parties(installation)
    order = await installation.order(buyer, seller, AMOUNT)
    await installation.funded(order.id)
    return buyer, order.id
