"""The board itself: whom a fault covers, in which order, and that nothing is counted twice."""

from __future__ import annotations

import pytest
from stellar_sdk import Keypair, StrKey

from sandbox.faults.answers import RateLimited, ServerError
from sandbox.faults.board import MAX_SPENT_KEPT, FaultBoard
from sandbox.faults.exchange import Takeover
from sandbox.faults.kind import Occasion, Scoped
from sandbox.faults.kinds import KINDS
from sandbox.faults.network import ExpireEnvelopes
from sandbox.faults.trustless_work import TwServerError

HORIZON = Occasion("GET /ledgers")


def test_the_oldest_fault_takes_the_occasion_until_it_is_spent() -> None:
    board = FaultBoard()
    first, second = board.add("rate_limited", RateLimited(next=1)), board.add("server_error", ServerError())
    assert [board.strike(Takeover, HORIZON) for _ in range(3)] == [first, second, second]
    assert (first.spent, second.fired) == (True, 2)
    assert (list(board.spent), board.active) == ([first], [second])


def test_a_shot_that_found_nothing_is_given_back() -> None:
    board = FaultBoard()
    fault = board.add("rate_limited", RateLimited(next=1))
    assert board.strike(Takeover, HORIZON) is fault
    assert board.strike(Takeover, HORIZON) is None
    board.give_back(fault)
    assert (fault.fired, board.active) == (0, [fault])
    assert board.strike(Takeover, HORIZON) is fault


@pytest.mark.parametrize(
    "line", ["GET /ledgers", "POST /transactions", "GET /", "POST /rpc", "GET /friendbot", "POST /trustless-work/helper/x"]
)
def test_services_do_not_share_their_faults_unless_told_to(line: str) -> None:
    occasion = Occasion(line)
    trustless, others = line.startswith("POST /trustless"), line.endswith(("/rpc", "/friendbot"))
    assert ServerError().covers(occasion) is (not trustless and not others)
    assert TwServerError().covers(occasion) is trustless
    assert ServerError(path=".").covers(occasion)


def test_an_account_is_found_in_path_body_and_envelope() -> None:
    account, contract = Keypair.random(), StrKey.encode_contract(bytes(range(32)))
    kind = ExpireEnvelopes(account=account.public_key)
    assert kind.covers(Occasion(text=f"/accounts/{account.public_key}?x"))
    assert kind.covers(Occasion(envelope=b"before" + account.raw_public_key() + b"after"))
    assert not kind.covers(Occasion(text="/accounts", envelope=bytes(100)))
    assert ExpireEnvelopes(account=contract).covers(Occasion(envelope=bytes(range(40))))
    assert ExpireEnvelopes(function="release_funds").covers(Occasion(envelope=b"..release_funds.."))
    assert not ExpireEnvelopes(function="release_funds").covers(Occasion(text="release_funds"))


def test_the_spent_are_kept_for_a_while_only() -> None:
    board = FaultBoard()
    for _ in range(MAX_SPENT_KEPT + 5):
        board.add("server_error", ServerError(next=1))
        board.strike(Takeover, HORIZON)
    assert (len(board.spent), board.active) == (MAX_SPENT_KEPT, [])


def test_every_kind_describes_itself_and_every_scope_is_explained() -> None:
    for name, kind in KINDS.items():
        assert (kind.__doc__ or "").strip().endswith("."), name
        if issubclass(kind, Scoped):
            assert all(kind.model_fields[key].description for key in Scoped.model_fields), name
