"""Whatever is done to an envelope, it is the one we asked for or it is refused by ``IntentMismatchError``."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import xdr

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import EscrowIntent, ResolveEscrow, WithdrawRemaining
from offerhub.stellar.verify import verify_envelope
from tests.unit.stellar.offered import (
    BOUNDS,
    DEPLOY,
    FUND,
    INTENTS,
    MULTI_DEPLOY,
    MULTI_FUND,
    MULTI_RESOLVE,
    MULTI_TERMS,
    NETWORK,
    RESOLVE,
    STRANGER,
    TERMS,
    WITHDRAW,
    account,
    offer,
    verify,
)

ORIGINALS = {intent: base64.b64decode(offer(intent).envelope_xdr) for intent in INTENTS}
# Offsets in an envelope: type and source account come first, then fee, sequence and time bounds.
SOURCE_ENDS = 40
TIME_ENDS = SOURCE_ENDS + 4 + 8 + 20


@settings(max_examples=600, deadline=None)
@given(intent=st.sampled_from(INTENTS), data=st.data())
def test_changed_bytes_are_refused_or_change_nothing_that_matters(intent: EscrowIntent, data: st.DataObject) -> None:
    original = ORIGINALS[intent]
    raw = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        verified = verify(intent, base64.b64encode(raw).decode())
    except IntentMismatchError:
        return
    assert _compared(bytes(raw), intent) == _compared(original, intent)
    assert BOUNDS.now_unix < verified.max_time <= BOUNDS.now_unix + BOUNDS.max_window_s
    assert verified.fee_stroops <= BOUNDS.max_fee_stroops
    # Whoever signs compares the sequence with the account's: it is told as it stands in the envelope.
    assert (verified.source, verified.sequence) == (intent.source, int.from_bytes(raw[SOURCE_ENDS + 4 : SOURCE_ENDS + 12]))


@settings(max_examples=200, deadline=None)
@given(intent=st.sampled_from(INTENTS), raw=st.binary(max_size=400))
def test_random_bytes_are_refused(intent: EscrowIntent, raw: bytes) -> None:
    with pytest.raises(IntentMismatchError):
        verify(intent, base64.b64encode(raw).decode())


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=300))
def test_random_text_is_refused(text: str) -> None:
    with pytest.raises(IntentMismatchError):
        verify(FUND, text)


@settings(max_examples=200, deadline=None)
@given(intent=st.sampled_from(INTENTS), data=st.data())
def test_cut_repeated_and_spliced_envelopes_are_refused(intent: EscrowIntent, data: st.DataObject) -> None:
    original = ORIGINALS[intent]
    start, end = sorted((data.draw(st.integers(0, len(original))), data.draw(st.integers(0, len(original)))))
    other = ORIGINALS[data.draw(st.sampled_from(INTENTS))]
    middle = data.draw(st.sampled_from([b"", original[start:end] * 2, other[start:end]]))
    spliced = original[:start] + middle + original[end:]
    if spliced == original or len(spliced) == len(original):
        return
    with pytest.raises(IntentMismatchError):
        verify_envelope(NETWORK, intent, base64.b64encode(spliced).decode(), BOUNDS)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "engagement_id": WORDS,
    "title": WORDS,
    "description": WORDS,
    "amount_stroops": st.integers(1, 2**63 - 1),
    "platform_fee_bps": st.integers(0, 9_900),
    "milestones": st.lists(WORDS, min_size=1, max_size=4).map(tuple),
    "receiver": st.sampled_from([TERMS.platform, TERMS.approver]),
    "dispute_resolver": st.sampled_from([TERMS.receiver, TERMS.approver]),
}


@settings(max_examples=150, deadline=None)
@given(changes=st.fixed_dictionaries({}, optional=CHANGES), field=st.sampled_from(sorted(CHANGES)), data=st.data())
def test_any_terms_are_accepted_as_written_and_refused_with_one_field_changed(
    changes: dict[str, Any], field: str, data: st.DataObject
) -> None:
    terms = replace(TERMS, **changes)
    change: dict[str, Any] = {field: data.draw(CHANGES[field])}
    other = replace(terms, **change)
    for intent, bent in (
        (replace(DEPLOY, terms=terms), replace(DEPLOY, terms=other)),
        (replace(FUND, terms=terms), replace(FUND, terms=other)),
    ):
        envelope_xdr = offer(intent).envelope_xdr
        assert verify(intent, envelope_xdr).envelope_xdr == envelope_xdr
        if other != terms:
            with pytest.raises(IntentMismatchError) as refusal:
                verify(bent, envelope_xdr)
            assert refusal.value.field.startswith(("init_args[0].", "expected_escrow."))


AMOUNTS = st.integers(1, 2**63 - 1)
PAYEES = st.lists(st.sampled_from([account(f"payee {number}") for number in range(8)]), min_size=1, max_size=5, unique=True)
SHARING = (RESOLVE, MULTI_RESOLVE, WITHDRAW)


@settings(max_examples=120, deadline=None)
@given(kind=st.sampled_from(SHARING), payees=PAYEES, data=st.data())
def test_any_shares_are_accepted_as_written_and_refused_with_one_changed(
    kind: ResolveEscrow | WithdrawRemaining, payees: list[str], data: st.DataObject
) -> None:
    """In whatever order we name them; the envelope has one order."""
    shares = [(payee, data.draw(AMOUNTS)) for payee in payees]
    intent, shuffled = replace(kind, shares=tuple(shares)), replace(kind, shares=tuple(data.draw(st.permutations(shares))))
    envelope_xdr = offer(intent).envelope_xdr
    assert verify(shuffled, envelope_xdr).envelope_xdr == envelope_xdr
    place = data.draw(st.integers(0, len(shares) - 1))
    payee, amount = shares[place]
    other = data.draw(st.sampled_from([(payee, amount + 1), (payee, amount - 1), (STRANGER, amount)]))
    for bent in ([*shares[:place], other, *shares[place + 1 :]], [*shares, (STRANGER, 1)], [*shares[:place], *shares[place + 1 :]]):
        with pytest.raises(IntentMismatchError) as refusal:
            verify(replace(kind, shares=tuple(bent)), envelope_xdr)
        assert refusal.value.field.startswith("distributions")


@settings(max_examples=80, deadline=None)
@given(amounts=st.lists(AMOUNTS, min_size=1, max_size=5), titles=st.lists(WORDS, min_size=5, max_size=5), data=st.data())
def test_any_milestone_amounts_are_accepted_as_written_and_refused_with_one_changed(
    amounts: list[int], titles: list[str], data: st.DataObject
) -> None:
    terms = replace(MULTI_TERMS, milestones=tuple(titles[: len(amounts)]), milestone_amounts=tuple(amounts))
    place = data.draw(st.integers(0, len(amounts) - 1))
    changed = data.draw(AMOUNTS.filter(lambda amount: amount != amounts[place]))
    other = replace(terms, milestone_amounts=(*amounts[:place], changed, *amounts[place + 1 :]))
    for intent, where in ((MULTI_DEPLOY, "init_args[0]"), (MULTI_FUND, "expected_escrow")):
        envelope_xdr = offer(replace(intent, terms=terms)).envelope_xdr
        assert verify(replace(intent, terms=terms), envelope_xdr).envelope_xdr == envelope_xdr
        with pytest.raises(IntentMismatchError) as refusal:
            verify(replace(intent, terms=other), envelope_xdr)
        assert refusal.value.field == f"{where}.milestones[{place}].amount"


@settings(max_examples=100, deadline=None)
@given(depth=st.integers(1, 3_000))
def test_deeply_nested_arguments_are_refused(depth: int) -> None:
    """A vector in a vector in a vector: the parser must not take the process down."""
    raw = ORIGINALS[FUND]
    at = raw.index(b"fund_escrow\0") + 12
    nested = (1).to_bytes(4) + ((16).to_bytes(4) + (1).to_bytes(4) + (1).to_bytes(4)) * depth
    with pytest.raises(IntentMismatchError):
        verify(FUND, base64.b64encode(raw[:at] + nested + raw[at:]).decode())


def _compared(raw: bytes, intent: EscrowIntent) -> bytes:
    """Source account, memo, operation and auth tree: what has one right value. Fee, sequence, time and resources are checked apart."""
    envelope = xdr.TransactionEnvelope.from_xdr_bytes(ORIGINALS[intent])
    assert envelope.v1 is not None
    resources_and_signatures = len(envelope.v1.tx.ext.to_xdr_bytes()) + 4
    return raw[:SOURCE_ENDS] + raw[TIME_ENDS : len(raw) - resources_and_signatures]
