"""Where both escrows keep their record: the instance storage of the contract that is being called."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stellar_sdk import xdr

    from sandbox.contracts.call import Call

ESCROW_KEY = "Escrow"


def stored_escrow(call: Call) -> xdr.SCVal | None:
    """None where the contract was deployed but not initialised."""
    instance = call.world.instance(call.contract_id)
    return None if instance is None else instance.storage.get(ESCROW_KEY)


def put_escrow(call: Call, stored: xdr.SCVal) -> None:
    instance = call.world.instance(call.contract_id)
    if instance is None:
        raise LookupError(f"{call.contract_id} runs without an instance")
    call.world.put_instance(replace(instance, storage={**instance.storage, ESCROW_KEY: stored}))
