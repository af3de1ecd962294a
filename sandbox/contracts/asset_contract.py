"""The Stellar Asset Contract: the two functions through which contracts and wallets move a classic asset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stellar_sdk import scval, xdr

from sandbox.contracts.interface import ContractFailure, Transfer
from sandbox.contracts.values import address_value, as_address, as_i128

if TYPE_CHECKING:
    from sandbox.contracts.call import Call

NEGATIVE_AMOUNT = 8


def transfer(call: Call) -> xdr.SCVal:
    sender, recipient, amount = call.arguments(3)
    call.require_auth(as_address(sender))
    amount_stroops = as_i128(amount)
    if amount_stroops < 0:
        raise ContractFailure(call.contract_id, "NegativeAmountError", NEGATIVE_AMOUNT)
    call.world.transfer(Transfer(call.contract_id, as_address(sender), as_address(recipient), amount_stroops))
    return scval.to_void()


def balance(call: Call) -> xdr.SCVal:
    (holder,) = call.arguments(1)
    return scval.to_int128(call.world.balance_stroops(call.contract_id, as_address(holder)))


def transfer_args(sender: str, recipient: str, amount_stroops: int) -> list[xdr.SCVal]:
    return [address_value(sender), address_value(recipient), scval.to_int128(amount_stroops)]


FUNCTIONS = {"transfer": transfer, "balance": balance}
