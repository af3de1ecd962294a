"""What operators read at the top of a workflow's page, and what people may type into a decision."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

import pytest

from offerhub.domain.messages import DisputeView, OrderView, PlannedStep
from offerhub.domain.money import parse_amount
from workflows.decision import MalformedDecision, read_decision
from workflows.details import StepProgress, dispute_page, order_page, steps_page, waiting_for
from workflows.inbox import Inbox

ORDER = OrderView("ord_1", "Logo", "IN_PROGRESS", "usr_b", "usr_s", "80.00", 800_000_000, fund_hash="f" * 64)
DISPUTE = DisputeView("dsp_1", "ord_1", "OPEN", "BUYER", "QUALITY", "80.0000333", 800_000_333, frozen_hash="f" * 64)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (replace(ORDER, state="ORDER_CREATED"), "`POST /orders/ord_1/checkout`"),
        (replace(ORDER, state="ESCROW_FUNDING", escrow_state="CREATED"), "`POST /orders/ord_1/escrow/abandon`"),
        (replace(ORDER, state="ESCROW_FUNDING", escrow_state="FUNDING"), "its operation"),
        (ORDER, "`POST /orders/ord_1/resolution/release`"),
        (replace(ORDER, is_per_milestone=True), "`POST /orders/ord_1/milestones/{ref}/release`"),
        (replace(ORDER, state="DISPUTED", dispute_id="dsp_1"), "workflow `dispute/dsp_1`"),
        (replace(ORDER, state="REFUND_REQUESTED"), "its operation"),
        (replace(ORDER, state="CLOSED", final_status="SPLIT"), "nothing: closed as SPLIT"),
    ],
)
def test_an_order_says_what_it_waits_for(order: OrderView, words: str) -> None:
    assert words in waiting_for(order)
    assert words in order_page(order, "", "")


def test_what_happens_by_itself_is_shown_in_utc() -> None:
    page = order_page(replace(ORDER, deadline="the seller is paid", deadline_unix=1_800_000_000), "", "")
    assert "- By itself: `the seller is paid at 2027-01-15 08:00:00Z`" in page
    assert "By itself" not in order_page(ORDER, "", "")


def test_the_signals_a_dispute_shows_can_be_sent_as_they_stand() -> None:
    page = dispute_page(DISPUTE, "", "", "")
    release, refund, split = [read_decision([json.loads(shown)]) for shown in re.findall(r"^\{[^}]*\}$", page, re.MULTILINE)]
    assert (release.decision, refund.decision, split.decision) == ("FULL_RELEASE", "FULL_REFUND", "SPLIT")
    assert parse_amount(split.releaseAmount) + parse_amount(split.refundAmount) == DISPUTE.amount_stroops
    [command] = re.findall(r"^temporal [^`]*", page, re.MULTILINE)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:7] == ["temporal", "workflow", "signal", "--name", "decide", "--workflow-id", "dispute/dsp_1"]
    assert read_decision([json.loads(words[8])]) == refund


def test_a_dispute_that_is_decided_asks_for_nothing() -> None:
    resolved = replace(DISPUTE, state="RESOLVED", decision="SPLIT", resolved_by="ana")
    assert "temporal workflow signal" not in dispute_page(resolved, "", "", "by ben: too late")
    assert "- Last refused decision: `by ben: too late`" in dispute_page(resolved, "", "", "by ben: too late")


def test_what_people_type_cannot_leave_its_line() -> None:
    page = dispute_page(DISPUTE, "", "", "by `ana`\n# Approved: x")
    assert "\n# Approved" not in page
    assert "`by 'ana' # Approved: x`" in page


def test_a_decision_may_leave_out_what_it_does_not_need() -> None:
    decision = read_decision([{"decision": "FULL_REFUND", "by": "ana", "note": None}])
    assert (decision.decision, decision.releaseAmount, decision.note) == ("FULL_REFUND", "", "")


@pytest.mark.parametrize("sent", [[], ["x"], [1], [None], [[]], [{}], [{"by": ""}], [{"by": ["ana"]}], [{"by": "ana", "\ud800": "x"}]])
def test_anything_else_is_refused_in_words_that_can_be_shown(sent: list[object]) -> None:
    with pytest.raises(MalformedDecision) as refused:
        read_decision(sent)
    assert str(refused.value).encode()


def test_an_inbox_takes_anything_and_names_each_operation_once() -> None:
    inbox = Inbox()
    strange: list[list[object]] = [
        [],
        ["x"],
        [{}],
        [{"operation_id": 1}],
        [{"operation_id": "\x00"}],
        [{"operation_id": "x" * 65}],
        [{}, {}],
    ]
    for sent in strange:
        inbox.put(sent)
        assert inbox
        assert inbox.take() == []
    for operation_id in ("op_2", "op_1", "op_2", ""):
        inbox.put([{"operation_id": operation_id}])
    inbox.put_first(["op_0"])
    assert inbox.left() == ["op_0", "op_2", "op_1", "op_2", ""]
    assert inbox.take() == ["op_0", "op_2", "op_1"]
    assert not inbox


def test_every_step_shows_its_whole_transaction_and_the_last_reason_on_lines_of_their_own() -> None:
    step = PlannedStep("op_1/release", "release", "release · buyer usr_b · 80.00 USDC", "horizon")
    shown = StepProgress(step, "refused", 2, "a" * 64, "The contract\n\nrefused: `x`")
    page = steps_page([shown], "**Nothing is booked.**")
    assert page.splitlines() == [
        "**Nothing is booked.**",
        "",
        "Step 1, release · buyer usr_b · 80.00 USDC: **refused**",
        "",
        f"- Transaction: `{'a' * 64}`",
        "- Envelopes so far: `2`",
        "- Last reason: `The contract refused: 'x'`",
    ]
