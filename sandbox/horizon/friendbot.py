"""Friendbot: 10,000 XLM for a new account."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from stellar_sdk import StrKey

from sandbox.dispensing import Dispenser, DispensingFailed
from sandbox.horizon.answers import Problem, bad_parameter, hal
from sandbox.horizon.parameters import base_url
from sandbox.horizon.resources import transaction_resource
from sandbox.ledger.ledger import Ledger


async def fund(ledger: Ledger, dispenser: Dispenser, request: Request) -> Response:
    """Answers Horizon's transaction resource once the ledger has closed."""
    address = request.query_params.get("addr", "")
    if not StrKey.is_valid_ed25519_public_key(address):
        raise bad_parameter("addr", "base32 decode failed: not a public key")
    if ledger.account(address) is not None:
        raise Problem("bad_request", "account already funded to starting balance")
    try:
        outcome = await dispenser.create_account(address)
    except DispensingFailed as failed:
        raise Problem("bad_request", str(failed)) from failed
    found = ledger.find(outcome.hash)
    assert found is not None
    return hal(transaction_resource(found, found.hash, base_url(request)))
