"""The ``Escrow`` that a contract is deployed with and funded as: before anything happened to it, nothing approved, no flag raised."""

from __future__ import annotations

from dataclasses import dataclass

from stellar_sdk import scval, xdr

from offerhub.domain.intents import EscrowTerms
from offerhub.stellar.network import StellarNetwork

INITIAL_MILESTONE_STATUS = "pending"
_NO = scval.to_bool(False)


@dataclass(frozen=True)
class Spelling:
    """How deployed builds of the contracts differ: type of ``receiver_memo``, and the platform role's older key."""

    memo_is_i128: bool = False
    names_platform_address: bool = False


NEWEST = Spelling()


def spelling_of(escrow: xdr.SCVal | None) -> Spelling:
    """As this ``Escrow`` has it. Whatever else the value is, a comparison that follows finds it."""
    fields = _fields(escrow)
    memo = fields.get(b"receiver_memo")
    return Spelling(
        memo_is_i128=memo is not None and memo.i128 is not None,
        names_platform_address=b"platform_address" in _fields(fields.get(b"roles")),
    )


def escrow_struct(network: StellarNetwork, terms: EscrowTerms, spelling: Spelling) -> xdr.SCVal:
    """In a multi-release escrow each milestone has the amount, the receiver and the flags that the single-release one has as a whole."""
    roles = {
        "approver": terms.approver,
        "dispute_resolver": terms.dispute_resolver,
        "platform_address" if spelling.names_platform_address else "platform": terms.platform,
        "release_signer": terms.release_signer,
        "service_provider": terms.service_provider,
    }
    if terms.is_multi_release:
        pairs = zip(terms.milestones, terms.milestone_amounts, strict=True)
        milestones = [_paid_milestone(description, amount, terms.receiver) for description, amount in pairs]
        of_kind: dict[str, xdr.SCVal] = {}
    else:
        roles["receiver"] = terms.receiver
        milestones = [_milestone(description, approved=_NO) for description in terms.milestones]
        of_kind = {"amount": scval.to_int128(terms.amount_stroops), "flags": _struct(disputed=_NO, released=_NO, resolved=_NO)}
    return _struct(
        description=scval.to_string(terms.description),
        engagement_id=scval.to_string(terms.engagement_id),
        milestones=scval.to_vec(milestones),
        platform_fee=scval.to_uint32(terms.platform_fee_bps),
        receiver_memo=scval.to_int128(0) if spelling.memo_is_i128 else scval.to_uint32(0),
        roles=_struct(**{name: scval.to_address(address) for name, address in roles.items()}),
        title=scval.to_string(terms.title),
        trustline=_struct(address=scval.to_address(network.usdc_contract)),
        **of_kind,
    )


def _paid_milestone(description: str, amount_stroops: int, receiver: str) -> xdr.SCVal:
    flags = _struct(approved=_NO, disputed=_NO, released=_NO, resolved=_NO)
    return _milestone(description, amount=scval.to_int128(amount_stroops), receiver=scval.to_address(receiver), flags=flags)


def _milestone(description: str, **others: xdr.SCVal) -> xdr.SCVal:
    status = scval.to_string(INITIAL_MILESTONE_STATUS)
    return _struct(description=scval.to_string(description), evidence=scval.to_string(""), status=status, **others)


def _struct(**fields: xdr.SCVal) -> xdr.SCVal:
    """A Soroban struct: a map by symbol, sorted by name."""
    entries = [xdr.SCMapEntry(scval.to_symbol(name), fields[name]) for name in sorted(fields)]
    return xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap(entries))


def _fields(struct: xdr.SCVal | None) -> dict[bytes, xdr.SCVal]:
    if struct is None or struct.map is None:
        return {}
    return {entry.key.sym.sc_symbol: entry.val for entry in struct.map.sc_map if entry.key.sym is not None}
