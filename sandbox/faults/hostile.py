"""Hostile changes to an unsigned contract call: each alters one thing, and keeps the rest such that a careless client signs it.

A change to the call itself is made in the authorisation tree as well, so that the network would accept what was signed.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from stellar_sdk import Keypair, MuxedAccount, StrKey, scval, xdr

from sandbox.contracts.values import address_value, sc_address, vec_value
from sandbox.ledger.encoding import STROOPS_PER_UNIT, muxed_account
from sandbox.trustless.envelope import time_bounds

_YEAR_S = 365 * 86_400
_OPERATION = xdr.OperationType

ATTACKER = Keypair.from_raw_ed25519_seed(sha256(b"sandbox attacker").digest())
ATTACKER_CONTRACT = StrKey.encode_contract(sha256(b"sandbox attacker contract").digest())

MutationName = Literal[
    "other_amount",
    "other_contract",
    "other_receiver",
    "other_role",
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


class NotApplicable(Exception):
    """This call has nothing of the kind that was to be changed."""


@dataclass
class Draft:
    """An envelope under change; ``tail`` follows its XDR."""

    envelope: xdr.TransactionEnvelope
    tail: bytes = b""

    @classmethod
    def read(cls, envelope_xdr: str) -> Draft:
        return cls(xdr.TransactionEnvelope.from_xdr(envelope_xdr))

    def text(self) -> str:
        return base64.b64encode(self.envelope.to_xdr_bytes() + self.tail).decode()

    @property
    def transaction(self) -> xdr.Transaction:
        envelope = self.envelope.v1 if self.envelope.fee_bump is None else self.envelope.fee_bump.tx.inner_tx.v1
        if envelope is None:
            raise NotApplicable
        return envelope.tx

    @property
    def invocation(self) -> xdr.InvokeHostFunctionOp:
        body = self.transaction.operations[0].body.invoke_host_function_op
        if body is None:
            raise NotApplicable
        return body

    @property
    def call(self) -> xdr.InvokeContractArgs:
        call = self.invocation.host_function.invoke_contract
        if call is None:
            raise NotApplicable
        return call

    @property
    def function(self) -> str:
        return self.call.function_name.sc_symbol.decode()

    @property
    def source(self) -> str:
        return muxed_account(self.transaction.source_account)[0]

    @property
    def soroban_data(self) -> xdr.SorobanTransactionData:
        data = self.transaction.ext.soroban_data
        if data is None:
            raise NotApplicable
        return data

    def set_call(self, call: xdr.InvokeContractArgs) -> None:
        """Both what is called and what is authorised."""
        self.invocation.host_function.invoke_contract = call
        for entry in self.invocation.auth:
            entry.root_invocation.function.contract_fn = call

    def set_argument(self, position: int, value: xdr.SCVal) -> None:
        call = self.call
        args = [*call.args[:position], value, *call.args[position + 1 :]]
        self.set_call(xdr.InvokeContractArgs(call.contract_address, call.function_name, args))

    def set_time_bounds(self, max_time_s: int) -> None:
        self.transaction.cond = time_bounds(max_time_s)

    def set_preconditions(self, min_sequence: int | None, extra_signers: list[xdr.SignerKey]) -> None:
        lowest = None if min_sequence is None else xdr.SequenceNumber(xdr.Int64(min_sequence))
        bounds = self.transaction.cond.time_bounds
        duration = xdr.Duration(xdr.Uint64(0))
        v2 = xdr.PreconditionsV2(bounds, None, lowest, duration, xdr.Uint32(0), extra_signers)
        self.transaction.cond = xdr.Preconditions(xdr.PreconditionType.PRECOND_V2, v2=v2)


def _other_amount(draft: Draft) -> None:
    if draft.function == "fund_escrow":
        draft.set_argument(2, scval.to_int128(scval.from_int128(draft.call.args[2]) + 1))
        for entry in draft.invocation.auth:
            for inner in entry.root_invocation.sub_invocations:
                _raise_transfer(inner)
    elif draft.function == "resolve_dispute":
        _change_distribution(draft, lambda entry: xdr.SCMapEntry(entry.key, scval.to_int128(scval.from_int128(entry.val) + 1)))
    else:
        _change_escrow(draft, "amount", lambda value: scval.to_int128(scval.from_int128(value) + 1))


def _raise_transfer(inner: xdr.SorobanAuthorizedInvocation) -> None:
    call = inner.function.contract_fn
    assert call is not None
    call.args[2] = scval.to_int128(scval.from_int128(call.args[2]) + 1)


def _change_distribution(draft: Draft, change: Callable[[xdr.SCMapEntry], xdr.SCMapEntry]) -> None:
    given = draft.call.args[2].map
    assert given is not None
    changed = [change(given.sc_map[0]), *given.sc_map[1:]]
    changed.sort(key=lambda entry: entry.key.to_xdr_bytes())
    draft.set_argument(2, xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap(changed)))


def _change_escrow(draft: Draft, field: str, change: Callable[[xdr.SCVal], xdr.SCVal]) -> None:
    """In the record that a deploy is given."""
    if not draft.function.startswith("tw_new"):
        raise NotApplicable
    initial = draft.call.args[4].vec
    assert initial is not None
    draft.set_argument(4, vec_value([_with_field(initial.sc_vec[0], field, change)]))


def _with_field(record: xdr.SCVal, field: str, change: Callable[[xdr.SCVal], xdr.SCVal]) -> xdr.SCVal:
    assert record.map is not None
    wanted = field.encode()
    entries = [
        xdr.SCMapEntry(entry.key, change(entry.val)) if entry.key.sym is not None and entry.key.sym.sc_symbol == wanted else entry
        for entry in record.map.sc_map
    ]
    return xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap(entries))


def _change_role(draft: Draft, role: str) -> None:
    attacker = address_value(ATTACKER.public_key)
    _change_escrow(draft, "roles", lambda roles: _with_field(roles, role, lambda _: attacker))


def _other_receiver(draft: Draft) -> None:
    """The seller of a deploy, or the first payee of a resolution."""
    if draft.function == "resolve_dispute":
        _change_distribution(draft, lambda entry: xdr.SCMapEntry(address_value(ATTACKER.public_key), entry.val))
    else:
        _change_role(draft, "receiver")


def _other_role(draft: Draft) -> None:
    _change_role(draft, "dispute_resolver")


def _other_contract(draft: Draft) -> None:
    call = draft.call
    draft.set_call(xdr.InvokeContractArgs(sc_address(ATTACKER_CONTRACT), call.function_name, call.args))


def _other_function(draft: Draft) -> None:
    call = draft.call
    other = "dispute_escrow" if draft.function != "dispute_escrow" else "release_funds"
    draft.set_call(xdr.InvokeContractArgs(call.contract_address, xdr.SCSymbol(other.encode()), call.args))


def _other_milestone(draft: Draft) -> None:
    if draft.function not in {"change_milestone_status", "approve_milestone"}:
        raise NotApplicable
    draft.set_argument(0, scval.to_uint32(scval.from_uint32(draft.call.args[0]) + 1))


def _other_fee_address(draft: Draft) -> None:
    """Where Trustless Work's own share goes is the caller's choice on a release or a resolution."""
    if draft.function not in {"release_funds", "resolve_dispute"}:
        raise NotApplicable
    draft.set_argument(1, address_value(ATTACKER.public_key))


def _other_wasm_hash(draft: Draft) -> None:
    if not draft.function.startswith("tw_new"):
        raise NotApplicable
    draft.set_argument(1, scval.to_bytes(sha256(b"sandbox attacker code").digest()))


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
    "other_amount": _other_amount,
    "other_contract": _other_contract,
    "other_receiver": _other_receiver,
    "other_role": _other_role,
    "other_function": _other_function,
    "other_milestone": _other_milestone,
    "other_fee_address": _other_fee_address,
    "other_wasm_hash": _other_wasm_hash,
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
