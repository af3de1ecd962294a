"""Whatever is done to an envelope, it is the one we asked for or it is refused by ``IntentMismatchError``."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import xdr

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import EscrowIntent
from offerhub.stellar.verify import verify_envelope
from tests.unit.stellar.offered import BOUNDS, FUND, INTENTS, NETWORK, offer, verify

ORIGINALS = {intent: base64.b64decode(offer(intent).envelope_xdr) for intent in INTENTS}
# Offsets in an envelope: type and source account come first, then fee, sequence and time bounds.
SOURCE_ENDS = 40
TIME_ENDS = SOURCE_ENDS + 4 + 8 + 20


@settings(max_examples=300, deadline=None)
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
    assert (verified.source, verified.sequence) == (intent.source, BOUNDS.sequence)


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
