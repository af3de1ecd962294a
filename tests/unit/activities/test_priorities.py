"""Who may have the last requests of a minute: what lets money out of an escrow, never what begins something new."""

from __future__ import annotations

from activities.escrow import priority_of
from offerhub.domain.plans import OperationKind
from offerhub.providers.budget import Priority

FUNDS, DEPLOYS = {OperationKind.ESCROW_FUNDING}, {OperationKind.ESCROW_CREATION, OperationKind.CHECKOUT}


def test_only_what_begins_something_new_stands_back() -> None:
    found = {priority: {kind for kind in OperationKind if priority_of(kind) is priority} for priority in Priority}
    rest = set(OperationKind) - FUNDS - DEPLOYS
    assert found == {Priority.RELEASE: rest, Priority.FUND: FUNDS, Priority.DEPLOY: DEPLOYS, Priority.INDEX: set()}
    assert {OperationKind.RELEASE, OperationKind.REFUND, OperationKind.DISPUTE_RESOLUTION} <= rest
