"""A contract that takes other fees than promised: nothing is booked until a person accepts it, and then what the chain moved."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from offerhub.commands.operations import book_operation
from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_milestone_release, request_release
from offerhub.commands.remainder import withdraw_remaining
from offerhub.domain.errors import LedgerMismatchError
from offerhub.domain.messages import Acceptance, Movement
from offerhub.domain.plans import Action, Party, Step
from offerhub.domain.states import Decision, FinalStatus
from tests.integration.commands.deal import AMOUNT, TRUSTLESS_WORK, Deal, Wish
from tests.integration.commands.disputing import decide, read
from tests.integration.commands.market import PLATFORM, Market

pytestmark = pytest.mark.asyncio(loop_scope="session")

RELEASE = Step(Action.RELEASE, Party.BUYER)
RESOLVE = Step(Action.RESOLVE, Party.SIGNER)
FREEZE = Step(Action.DISPUTE_BY_BUYER, Party.BUYER)
NOTE = "ana: looked at the transaction, this build rounds the fees of both together"
_LEARNED = text("SELECT after FROM audit_log WHERE resource_id = :id AND action = 'operation.subject_learned'")


async def paid_by(deal: Deal, **paid: int) -> tuple[Movement, ...]:
    contract = str((await deal.order()).the_escrow.contract_id)
    recipients = {
        "seller": str(deal.seller.public_key),
        "buyer": str(deal.buyer.public_key),
        "platform": PLATFORM,
        "protocol": TRUSTLESS_WORK,
    }
    return tuple(Movement(contract, recipients[party], amount) for party, amount in paid.items())


async def refusal(deal: Deal, operation_id: str, accepted: Acceptance | None = None) -> LedgerMismatchError:
    with pytest.raises(LedgerMismatchError) as refused:
        await deal.run(lambda transaction: book_operation(transaction, operation_id, accepted))
    return refused.value


async def accept(deal: Deal, operation_id: str) -> Acceptance:
    """As a person does: what is read is what is accepted, and nothing else is."""
    read = await refusal(deal, operation_id)
    assert read.may_be_accepted
    await refusal(deal, operation_id, Acceptance("the payout should have paid something else", NOTE))
    accepted = Acceptance(str(read), NOTE)
    await deal.run(lambda transaction: book_operation(transaction, operation_id, accepted))
    return accepted


async def released(market: Market, **paid: int) -> tuple[Deal, str]:
    """The release is applied, with these movements, and not booked."""
    deal = await Deal.funded(market, Wish(fee_bps=250))
    operation_id = (await deal.do(request_release, None, None)).operation.id
    for step in (Step(Action.COMPLETE_MILESTONE, Party.SELLER, 0), Step(Action.APPROVE_MILESTONE, Party.BUYER, 0)):
        await deal.apply(operation_id, step)
    await deal.apply(operation_id, RELEASE, *await paid_by(deal, **paid))
    return deal, operation_id


async def test_a_split_rounded_otherwise_is_booked_as_the_chain_moved_it_and_the_dust_stays_in_the_contract(market: Market) -> None:
    deal = await Deal.funded(market, Wish(fee_bps=250))
    opened = await deal.dispute()
    await deal.finish(opened)
    resolution = (await decide(deal, opened.dispute.id, Decision.SPLIT, 333_333_333, 466_666_667)).operation
    paid = {"protocol": 2_400_000, "platform": 20_000_000, "seller": 324_000_000, "buyer": 453_599_999}
    await deal.apply(resolution.id, RESOLVE, *await paid_by(deal, **paid))
    await refusal(deal, resolution.id)
    assert await deal.books() == {"escrow": AMOUNT}
    accepted = await accept(deal, resolution.id)
    assert await deal.books() == {**paid, "escrow": 1}
    assert (await deal.order()).final_status is FinalStatus.SPLIT
    resolved = (await deal.events("dispute.resolved"))[-1][1]
    assert (resolved["sellerAmount"], resolved["buyerAmount"]) == ("32.40", "45.3599999")
    assert (await read(deal, opened.dispute.id)).state == "RESOLVED"
    booked = await market.operation(resolution.id)
    assert booked.subject == replace(resolution.subject, accepted_mismatch=accepted.mismatch, accepted_note=NOTE)
    async with market.database.reading() as reader:
        assert [row["after"]["accepted_note"] for row in await reader.rows(_LEARNED, id=resolution.id)] == [NOTE]


async def test_a_release_with_another_protocol_fee_tells_the_amounts_that_were_paid(market: Market) -> None:
    paid = {"protocol": 4_000_000, "platform": 20_000_000, "seller": 776_000_000}
    deal, operation_id = await released(market, **paid)
    accepted = await accept(deal, operation_id)
    await deal.run(lambda transaction: book_operation(transaction, operation_id, accepted))
    assert await deal.books() == paid
    told = (await deal.events("order.released"))[-1][1]
    assert (told["sellerAmount"], told["protocolFee"]) == ("77.60", "0.40")


@pytest.mark.parametrize(
    "paid",
    [
        {},
        {"protocol": 2_400_000, "platform": 20_000_000},
        {"protocol": 2_400_000, "platform": 20_000_000, "seller": 777_599_995},
        {"protocol": 2_400_000, "platform": 20_000_000, "seller": 777_600_001},
        {"protocol": 2_400_000, "platform": 20_000_000, "seller": 777_599_999, "buyer": 1},
    ],
    ids=["nothing", "without the seller", "more than dust is left", "more than there was", "somebody else was paid"],
)
async def test_what_other_fees_do_not_explain_is_booked_by_nobody(market: Market, paid: dict[str, int]) -> None:
    deal, operation_id = await released(market, **(paid or {"protocol": 1}))
    refused = await refusal(deal, operation_id)
    assert not refused.may_be_accepted
    await refusal(deal, operation_id, Acceptance(str(refused), NOTE))
    assert await deal.books() == {"escrow": AMOUNT}
    assert (await market.operation(operation_id)).subject.accepted_note == ""


async def test_what_goes_to_the_wrong_party_is_no_fee(market: Market) -> None:
    deal = await Deal.funded(market)
    opened = await deal.dispute()
    await deal.finish(opened)
    resolution = (await decide(deal, opened.dispute.id, Decision.SPLIT, 700_000_000, 100_000_000)).operation
    await deal.apply(resolution.id, RESOLVE, *await paid_by(deal, protocol=2_400_000, seller=99_700_000, buyer=697_900_000))
    assert not (await refusal(deal, resolution.id)).may_be_accepted


async def test_dust_of_a_refunded_milestone_goes_to_the_buyer_with_what_remains(market: Market) -> None:
    deal = await Deal.funded(market, Wish(parts=(AMOUNT, 333)))
    refund = (await deal.do(request_refund, "late", "m0")).operation
    await deal.apply(refund.id, replace(FREEZE, milestone_index=0))
    await deal.apply(refund.id, replace(RESOLVE, milestone_index=0), *await paid_by(deal, protocol=2_399_999, buyer=797_599_999))
    await accept(deal, refund.id)
    await deal.finish(await deal.do(request_milestone_release, "m1"))
    assert (await deal.books())["escrow"] == 2
    remainder = await deal.do(withdraw_remaining, 2)
    await deal.apply(remainder.id, Step(Action.WITHDRAW_REMAINING, Party.SIGNER))
    await deal.book(remainder.id)
    assert await deal.books() == {"protocol": 2_399_999, "buyer": 797_600_001, "seller": 333}
