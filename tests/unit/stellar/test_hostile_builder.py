"""Every hostile change the sandbox can make to an envelope, on every call there is: the verifier refuses whatever it suits.

Only a changed sequence number is for the caller to compare (``tests/unit/activities/test_envelope_sequence.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import EscrowIntent
from sandbox.faults.drafts import Draft, NotApplicable
from sandbox.faults.hostile import MUTATIONS, MutationName
from tests.unit.stellar.offered import INTENTS, MULTI_RESOLVE, RESOLVE, SEQUENCE, WITHDRAW, named, offer, verify

OF_SHARES: tuple[MutationName, ...] = (
    "other_amount",
    "other_receiver",
    "extra_distribution",
    "missing_distribution",
    "swapped_distributions",
    "other_caller",
    "other_fee_address",
)


def hostile(intent: EscrowIntent, mutation: MutationName) -> str | None:
    draft = Draft.read(offer(intent).envelope_xdr)
    try:
        MUTATIONS[mutation](draft)
    except NotApplicable:
        return None
    return draft.text()


def suited() -> Iterator[tuple[EscrowIntent, MutationName]]:
    for intent in INTENTS:
        for mutation in MUTATIONS:
            if hostile(intent, mutation) is not None:
                yield intent, mutation


SUITED = tuple(suited())


@pytest.mark.parametrize(("intent", "mutation"), SUITED, ids=[f"{named(intent)} {mutation}" for intent, mutation in SUITED])
def test_what_a_hostile_builder_makes_of_a_call_is_refused(intent: EscrowIntent, mutation: MutationName) -> None:
    offered = hostile(intent, mutation)
    assert offered is not None
    assert offered != offer(intent).envelope_xdr
    if mutation == "other_sequence":
        assert verify(intent, offered).sequence != SEQUENCE, "told as it stands, for the caller to refuse"
        return
    with pytest.raises(IntentMismatchError):
        verify(intent, offered)


def test_no_change_suits_nothing() -> None:
    assert {mutation for _, mutation in SUITED} == set(MUTATIONS)
    assert {(intent, mutation) for intent in (RESOLVE, MULTI_RESOLVE, WITHDRAW) for mutation in OF_SHARES} <= set(SUITED)
