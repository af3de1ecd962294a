"""Hostile changes to an unsigned contract call: each alters one thing, and keeps the rest such that a careless client signs it.

Here are those to the envelope around the call, and the table of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from stellar_sdk import Keypair, MuxedAccount, scval, xdr

from sandbox.contracts.values import address_value, sc_address
from sandbox.faults import hostile_calls
from sandbox.faults.drafts import ATTACKER, ATTACKER_CONTRACT, Draft
from sandbox.ledger.encoding import STROOPS_PER_UNIT

_YEAR_S = 365 * 86_400
_OPERATION = xdr.OperationType

MutationName = Literal[
    "other_amount",
    "other_contract",
    "other_receiver",
    "extra_distribution",
    "missing_distribution",
    "swapped_distributions",
    "other_role",
    "other_caller",
    "other_function",
    "other_milestone",
    "other_fee_address",
    "other_wasm_hash",
    "extra_operation",
    "extra_auth_entry",
    "hidden_sub_invocation",
    "missing_auth",
    "address_credentials",
    "memo",
    "far_time_bounds",
    "no_time_bounds",
    "zero_time_bounds",
    "other_sequence",
    "min_sequence",
    "extra_signer",
    "huge_fee",
    "resource_fee",
    "pre_signed",
    "trailing_bytes",
    "muxed_source",
    "other_source",
    "operation_source",
    "larger_footprint",
]


def _extra_operation(draft: Draft) -> None:
    native = xdr.Asset(xdr.AssetType.ASSET_TYPE_NATIVE)
    payment = xdr.PaymentOp(ATTACKER.xdr_muxed_account(), native, xdr.Int64(STROOPS_PER_UNIT))
    draft.transaction.operations.append(xdr.Operation(None, xdr.OperationBody(_OPERATION.PAYMENT, payment_op=payment)))


def _theft(draft: Draft) -> xdr.SorobanAuthorizedInvocation:
    """A transfer of one unit from the signer; of which token does not matter to whoever must refuse it."""
    token = sc_address(ATTACKER_CONTRACT)
    args = [address_value(draft.source), address_value(ATTACKER.public_key), scval.to_int128(STROOPS_PER_UNIT)]
    transfer = xdr.InvokeContractArgs(token, xdr.SCSymbol(b"transfer"), args)
    kind = xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN
    return xdr.SorobanAuthorizedInvocation(xdr.SorobanAuthorizedFunction(kind, contract_fn=transfer), [])


def _extra_auth_entry(draft: Draft) -> None:
    credentials = xdr.SorobanCredentials(xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT)
    draft.invocation.auth.append(xdr.SorobanAuthorizationEntry(credentials, _theft(draft)))


def _hidden_sub_invocation(draft: Draft) -> None:
    draft.invocation.auth[0].root_invocation.sub_invocations.append(_theft(draft))


def _missing_auth(draft: Draft) -> None:
    draft.invocation.auth = []


def _address_credentials(draft: Draft) -> None:
    kind = xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS
    void = xdr.SCVal(xdr.SCValType.SCV_VOID)
    address = xdr.SorobanAddressCredentials(sc_address(draft.source), xdr.Int64(1), xdr.Uint32(2**31), void)
    draft.invocation.auth[0].credentials = xdr.SorobanCredentials(kind, address=address)


def _memo(draft: Draft) -> None:
    draft.transaction.memo = xdr.Memo(xdr.MemoType.MEMO_TEXT, text=b"hostile")


def _far_time_bounds(draft: Draft) -> None:
    bounds = draft.transaction.cond.time_bounds
    assert bounds is not None
    draft.set_time_bounds(bounds.max_time.time_point.uint64 + _YEAR_S)


def _no_time_bounds(draft: Draft) -> None:
    draft.transaction.cond = xdr.Preconditions(xdr.PreconditionType.PRECOND_NONE)


def _zero_time_bounds(draft: Draft) -> None:
    draft.set_time_bounds(0)


def _other_sequence(draft: Draft) -> None:
    draft.transaction.seq_num.sequence_number.int64 += 1


def _min_sequence(draft: Draft) -> None:
    draft.set_preconditions(0, [])


def _extra_signer(draft: Draft) -> None:
    key = xdr.SignerKey(xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519, ed25519=xdr.Uint256(ATTACKER.raw_public_key()))
    draft.set_preconditions(None, [key])


def _huge_fee(draft: Draft) -> None:
    draft.transaction.fee = xdr.Uint32(400 * STROOPS_PER_UNIT)


def _resource_fee(draft: Draft) -> None:
    more = 200 * STROOPS_PER_UNIT
    draft.soroban_data.resource_fee = xdr.Int64(draft.soroban_data.resource_fee.int64 + more)
    draft.transaction.fee = xdr.Uint32(draft.transaction.fee.uint32 + more)


def _pre_signed(draft: Draft) -> None:
    assert draft.envelope.v1 is not None
    draft.envelope.v1.signatures.append(ATTACKER.sign_decorated(draft.transaction.to_xdr_bytes()).to_xdr_object())


def _trailing_bytes(draft: Draft) -> None:
    draft.tail = bytes(4)


def _muxed_source(draft: Draft) -> None:
    draft.transaction.source_account = MuxedAccount(draft.source, 7).to_xdr_object()


def _other_source(draft: Draft) -> None:
    draft.transaction.source_account = ATTACKER.xdr_muxed_account()


def _operation_source(draft: Draft) -> None:
    draft.transaction.operations[0].source_account = ATTACKER.xdr_muxed_account()


def _larger_footprint(draft: Draft) -> None:
    key = xdr.LedgerKeyAccount(Keypair.from_public_key(draft.source).xdr_account_id())
    draft.soroban_data.resources.footprint.read_write.append(xdr.LedgerKey(xdr.LedgerEntryType.ACCOUNT, account=key))


MUTATIONS: dict[MutationName, Callable[[Draft], None]] = {
    "other_amount": hostile_calls.other_amount,
    "other_contract": hostile_calls.other_contract,
    "other_receiver": hostile_calls.other_receiver,
    "extra_distribution": hostile_calls.extra_distribution,
    "missing_distribution": hostile_calls.missing_distribution,
    "swapped_distributions": hostile_calls.swapped_distributions,
    "other_role": hostile_calls.other_role,
    "other_caller": hostile_calls.other_caller,
    "other_function": hostile_calls.other_function,
    "other_milestone": hostile_calls.other_milestone,
    "other_fee_address": hostile_calls.other_fee_address,
    "other_wasm_hash": hostile_calls.other_wasm_hash,
    "extra_operation": _extra_operation,
    "extra_auth_entry": _extra_auth_entry,
    "hidden_sub_invocation": _hidden_sub_invocation,
    "missing_auth": _missing_auth,
    "address_credentials": _address_credentials,
    "memo": _memo,
    "far_time_bounds": _far_time_bounds,
    "no_time_bounds": _no_time_bounds,
    "zero_time_bounds": _zero_time_bounds,
    "other_sequence": _other_sequence,
    "min_sequence": _min_sequence,
    "extra_signer": _extra_signer,
    "huge_fee": _huge_fee,
    "resource_fee": _resource_fee,
    "pre_signed": _pre_signed,
    "trailing_bytes": _trailing_bytes,
    "muxed_source": _muxed_source,
    "other_source": _other_source,
    "operation_source": _operation_source,
    "larger_footprint": _larger_footprint,
}
