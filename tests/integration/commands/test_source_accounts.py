"""One transaction in flight per source account, first come first served; one application per intent, whatever dies."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from psycopg import IntegrityError

from offerhub.commands.attempts import Outcome, Turn, note_submission, record_attempt, settle_attempt, take_turn
from offerhub.domain.errors import OutOfTurnError
from offerhub.domain.states import AttemptState
from offerhub.storage import attempts
from offerhub.storage.attempts import ABSENCE, AttemptRecord
from offerhub.storage.unit_of_work import new_id
from tests.integration.commands.market import SIGNER, Market


def envelope(intent: str, sequence: int = 1, source: str = SIGNER) -> AttemptRecord:
    return AttemptRecord(new_id("att"), intent, None, None, "horizon", source, sequence, new_id("hash"), "outer", "AAAA", 2_000_000_000)


async def turn(market: Market, intent: str) -> Turn:
    async with market.command() as transaction:
        return await take_turn(transaction, SIGNER, intent)


async def sign(market: Market, intent: str, sequence: int = 1) -> AttemptRecord:
    async with market.command() as transaction:
        return await record_attempt(transaction, envelope(intent, sequence))


async def settle(market: Market, attempt: AttemptRecord, state: AttemptState, ledger: int | None = None) -> AttemptRecord:
    async with market.command() as transaction:
        return await settle_attempt(transaction, attempt.id, Outcome(state, ledger=ledger))


async def pass_time(market: Market, seconds: timedelta) -> None:
    async with market.database.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE source_leases SET seen_at = seen_at - make_interval(secs => %s)", (seconds.total_seconds(),)
        )


async def test_the_second_waits_until_the_first_is_settled(market: Market) -> None:
    assert [(await turn(market, intent)).ahead for intent in ("a", "b", "c", "a")] == [0, 1, 2, 0]
    first = await sign(market, "a")
    await settle(market, first, AttemptState.CONFIRMED, ledger=9)
    assert [(await turn(market, intent)).ahead for intent in ("c", "b")] == [1, 0]
    assert (await turn(market, "b")).last_sequence == 1


async def test_of_thirty_at_once_exactly_one_holds_the_account(market: Market) -> None:
    turns = await asyncio.gather(*(turn(market, f"intent-{number}") for number in range(30)))
    assert sorted(found.ahead for found in turns) == list(range(30))


async def test_one_who_prepared_and_lost_his_turn_cannot_sign(market: Market) -> None:
    await turn(market, "slow")
    await pass_time(market, ABSENCE + timedelta(seconds=1))
    assert (await turn(market, "quick")).ahead == 0
    with pytest.raises(OutOfTurnError):
        await sign(market, "slow")
    assert (await turn(market, "slow")).ahead == 1


@pytest.mark.parametrize("state", [None, AttemptState.UNKNOWN, AttemptState.DEAD])
async def test_a_signed_envelope_keeps_its_place_until_it_is_settled(market: Market, state: AttemptState | None) -> None:
    await turn(market, "a")
    attempt = await sign(market, "a")
    if state:
        await settle(market, attempt, state)
    if state is not AttemptState.DEAD:
        await pass_time(market, 10 * ABSENCE)
    assert (await turn(market, "b")).ahead == 1


async def test_a_second_signature_for_the_same_intent_yields_the_first_envelope(market: Market) -> None:
    await turn(market, "a")
    first = await sign(market, "a")
    assert (await sign(market, "a", sequence=2)).id == first.id
    await settle(market, first, AttemptState.CONFIRMED, ledger=9)
    again = await turn(market, "a")
    assert (again.ahead, again.attempts[0].state) == (0, AttemptState.CONFIRMED)


async def test_only_a_dead_envelope_makes_room_for_a_new_one(market: Market) -> None:
    await turn(market, "a")
    first = await sign(market, "a")
    await settle(market, first, AttemptState.UNKNOWN)
    assert (await sign(market, "a", sequence=2)).id == first.id
    await settle(market, first, AttemptState.DEAD)
    second = await sign(market, "a", sequence=2)
    assert second.id != first.id
    await settle(market, second, AttemptState.CONFIRMED, ledger=9)
    assert (await turn(market, "b")).ahead == 0


async def test_a_settled_attempt_is_neither_settled_nor_submitted_again(market: Market) -> None:
    await turn(market, "a")
    attempt = await sign(market, "a")
    await settle(market, attempt, AttemptState.CONFIRMED, ledger=9)
    assert (await settle(market, attempt, AttemptState.DEAD)).state is AttemptState.CONFIRMED
    async with market.command() as transaction:
        noted = await note_submission(transaction, attempt.id)
    assert (noted.state, noted.submissions) == (AttemptState.CONFIRMED, 0)


async def test_a_refused_envelope_that_never_reached_a_ledger_used_no_sequence_number(market: Market) -> None:
    await turn(market, "a")
    await settle(market, await sign(market, "a", sequence=7), AttemptState.REJECTED)
    await turn(market, "b")
    assert (await turn(market, "b")).last_sequence is None
    await settle(market, await sign(market, "b", sequence=7), AttemptState.REJECTED, ledger=3)
    assert (await turn(market, "c")).last_sequence == 7


async def test_the_database_itself_refuses_two_open_envelopes_of_one_intent(market: Market) -> None:
    async with market.command() as transaction:
        await attempts.insert(transaction, envelope("a"))
        transaction.audit("envelope.signed", ("attempt", "a"), None, None)
    with pytest.raises(IntegrityError, match="attempts_one_open"):
        async with market.command() as transaction:
            await attempts.insert(transaction, envelope("a", sequence=2))
