"""Money that leaves an escrow: the two fees first, then whom it was meant for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.contracts.fees import split_fees
from sandbox.contracts.interface import Transfer

if TYPE_CHECKING:
    from sandbox.contracts.call import Call
    from sandbox.contracts.records import Record

MAX_DISTRIBUTIONS = 50


def pay_out(call: Call, escrow: Record, fee_recipient: str, gross_stroops: dict[str, int]) -> None:
    """Fees are floored per payee and paid as two sums before the payees; a share of nothing moves nothing."""
    splits = {payee: split_fees(amount, escrow.platform_fee_bps) for payee, amount in gross_stroops.items()}
    payments = [
        (fee_recipient, sum(split.trustless_work_stroops for split in splits.values())),
        (escrow.roles.platform, sum(split.platform_stroops for split in splits.values())),
        *((payee, split.payee_stroops) for payee, split in splits.items()),
    ]
    for recipient, amount_stroops in payments:
        if amount_stroops > 0:
            call.world.transfer(Transfer(escrow.trustline, call.contract_id, recipient, amount_stroops))
