"""Hostile changes to what is called: function, parties, amounts, who is paid.

Each is made in the authorisation tree as well, so that the network would accept what was signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256

from stellar_sdk import scval, xdr

from sandbox.contracts.factory import DEPLOY_FUNCTION, DEPLOY_MULTI_RELEASE_FUNCTION
from sandbox.contracts.values import address_value, sc_address, vec_value
from sandbox.faults.drafts import ATTACKER, ATTACKER_CONTRACT, Draft, NotApplicable
from sandbox.ledger.encoding import STROOPS_PER_UNIT

_DEPLOYS = {DEPLOY_FUNCTION, DEPLOY_MULTI_RELEASE_FUNCTION}
# Where each function takes what is changed here.
_MILESTONE_INDEX = {
    "change_milestone_status": 0,
    "approve_milestone": 0,
    "dispute_milestone": 0,
    "resolve_milestone_dispute": 1,
    "release_milestone_funds": 2,
}
_FEE_ADDRESS = {
    "release_funds": 1,
    "resolve_dispute": 1,
    "release_milestone_funds": 1,
    "withdraw_remaining_funds": 1,
    "resolve_milestone_dispute": 2,
}
_DISTRIBUTIONS = {"resolve_dispute": 2, "withdraw_remaining_funds": 2, "resolve_milestone_dispute": 3}
_CALLER = {
    DEPLOY_FUNCTION: 0,
    DEPLOY_MULTI_RELEASE_FUNCTION: 0,
    "fund_escrow": 0,
    "release_funds": 0,
    "release_milestone_funds": 0,
    "dispute_escrow": 0,
    "resolve_dispute": 0,
    "resolve_milestone_dispute": 0,
    "withdraw_remaining_funds": 0,
    "approve_milestone": 1,
    "dispute_milestone": 1,
    "change_milestone_status": 3,
}


def other_amount(draft: Draft) -> None:
    """One stroop more: of a funding, an escrow's terms, or the first share of a distribution."""
    if draft.function == "fund_escrow":
        draft.set_argument(2, _one_more(draft.call.args[2]))
        for entry in draft.invocation.auth:
            for inner in entry.root_invocation.sub_invocations:
                _raise_transfer(inner)
    elif draft.function in _DISTRIBUTIONS:
        _change_first_share(draft, lambda entry: xdr.SCMapEntry(entry.key, _one_more(entry.val)))
    elif draft.function == DEPLOY_MULTI_RELEASE_FUNCTION:
        _change_first_milestone(draft, "amount", _one_more)
    else:
        _change_escrow(draft, "amount", _one_more)


def other_receiver(draft: Draft) -> None:
    """The seller of a deploy, or the first payee of a distribution."""
    attacker = address_value(ATTACKER.public_key)
    if draft.function in _DISTRIBUTIONS:
        _change_first_share(draft, lambda entry: xdr.SCMapEntry(attacker, entry.val))
    elif draft.function == DEPLOY_MULTI_RELEASE_FUNCTION:
        _change_first_milestone(draft, "receiver", lambda _: attacker)
    else:
        _change_role(draft, "receiver")


def extra_distribution(draft: Draft) -> None:
    shares = _shares(draft)
    _set_shares(draft, [*shares, xdr.SCMapEntry(address_value(ATTACKER.public_key), scval.to_int128(STROOPS_PER_UNIT))])


def missing_distribution(draft: Draft) -> None:
    shares = _shares(draft)
    if len(shares) < 2:
        raise NotApplicable
    _set_shares(draft, shares[:-1])


def swapped_distributions(draft: Draft) -> None:
    """The first two payees get each other's share; the sum is what it was."""
    shares = _shares(draft)
    if len(shares) < 2 or shares[0].val == shares[1].val:
        raise NotApplicable
    first, second, *others = shares
    _set_shares(draft, [xdr.SCMapEntry(first.key, second.val), xdr.SCMapEntry(second.key, first.val), *others])


def other_role(draft: Draft) -> None:
    _change_role(draft, "dispute_resolver")


def other_caller(draft: Draft) -> None:
    """In whose name the call is made: of a resolution its resolver, of a dispute who opens it."""
    draft.set_argument(_position(draft, _CALLER), address_value(ATTACKER.public_key))


def other_contract(draft: Draft) -> None:
    call = draft.call
    draft.set_call(xdr.InvokeContractArgs(sc_address(ATTACKER_CONTRACT), call.function_name, call.args))


def other_function(draft: Draft) -> None:
    call = draft.call
    other = "dispute_escrow" if draft.function != "dispute_escrow" else "release_funds"
    draft.set_call(xdr.InvokeContractArgs(call.contract_address, xdr.SCSymbol(other.encode()), call.args))


def other_milestone(draft: Draft) -> None:
    position = _position(draft, _MILESTONE_INDEX)
    draft.set_argument(position, scval.to_uint32(scval.from_uint32(draft.call.args[position]) + 1))


def other_fee_address(draft: Draft) -> None:
    """Where Trustless Work's own share goes is the caller's choice whenever money leaves an escrow."""
    draft.set_argument(_position(draft, _FEE_ADDRESS), address_value(ATTACKER.public_key))


def other_wasm_hash(draft: Draft) -> None:
    if draft.function not in _DEPLOYS:
        raise NotApplicable
    draft.set_argument(1, scval.to_bytes(sha256(b"sandbox attacker code").digest()))


def _position(draft: Draft, positions: Mapping[str, int]) -> int:
    if draft.function not in positions:
        raise NotApplicable
    return positions[draft.function]


def _one_more(amount: xdr.SCVal) -> xdr.SCVal:
    return scval.to_int128(scval.from_int128(amount) + 1)


def _raise_transfer(inner: xdr.SorobanAuthorizedInvocation) -> None:
    call = inner.function.contract_fn
    assert call is not None
    call.args[2] = _one_more(call.args[2])


def _shares(draft: Draft) -> list[xdr.SCMapEntry]:
    given = draft.call.args[_position(draft, _DISTRIBUTIONS)].map
    assert given is not None
    return list(given.sc_map)


def _set_shares(draft: Draft, shares: list[xdr.SCMapEntry]) -> None:
    ascending = sorted(shares, key=lambda entry: entry.key.to_xdr_bytes())
    draft.set_argument(_position(draft, _DISTRIBUTIONS), xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap(ascending)))


def _change_first_share(draft: Draft, change: Callable[[xdr.SCMapEntry], xdr.SCMapEntry]) -> None:
    first, *others = _shares(draft)
    _set_shares(draft, [change(first), *others])


def _change_role(draft: Draft, role: str) -> None:
    attacker = address_value(ATTACKER.public_key)
    _change_escrow(draft, "roles", lambda roles: _with_field(roles, role, lambda _: attacker))


def _change_first_milestone(draft: Draft, field: str, change: Callable[[xdr.SCVal], xdr.SCVal]) -> None:
    def in_first(milestones: xdr.SCVal) -> xdr.SCVal:
        assert milestones.vec is not None
        first, *others = milestones.vec.sc_vec
        return vec_value([_with_field(first, field, change), *others])

    _change_escrow(draft, "milestones", in_first)


def _change_escrow(draft: Draft, field: str, change: Callable[[xdr.SCVal], xdr.SCVal]) -> None:
    """In the record that a deploy is given."""
    if draft.function not in _DEPLOYS:
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
