"""Operations that change what an account is: trustlines, sponsorship brackets, signers and options, data entries."""

from __future__ import annotations

import base64

from stellar_sdk import xdr

from sandbox.ledger.context import OperationContext
from sandbox.ledger.encoding import account_id, address_of, asset_key, issuer_of
from sandbox.ledger.entries import Account, DataEntry, Signer, Trustline
from sandbox.ledger.reserves import add_reserve, release_reserve
from sandbox.ledger.results import OperationOutcome, OperationRefused

MAX_SIGNERS = 20
AUTH_REQUIRED_FLAG = 1


def change_trust(context: OperationContext) -> OperationOutcome:
    codes = xdr.ChangeTrustResultCode
    body = context.operation.body.change_trust_op
    assert body is not None
    asset, limit = asset_key(body.line), body.limit.int64
    view = context.view
    owner = view.edit(context.source)
    line = owner.trustlines.get(asset)
    if line is not None:
        if limit < line.balance:
            raise OperationRefused(codes.CHANGE_TRUST_INVALID_LIMIT)
        if limit == 0:
            del owner.trustlines[asset]
            release_reserve(view, owner, line.sponsor)
        else:
            line.limit = limit
            line.last_modified_ledger = context.moment.sequence
        return context.success()
    if limit == 0:
        raise OperationRefused(codes.CHANGE_TRUST_INVALID_LIMIT)
    issuer = view.account(issuer_of(asset) or "")
    if issuer is None:
        raise OperationRefused(codes.CHANGE_TRUST_NO_ISSUER)
    line = Trustline(0, limit, context.moment.sequence, flags=0 if issuer.flags & AUTH_REQUIRED_FLAG else 1)
    owner.trustlines[asset] = line
    line.sponsor = add_reserve(view, context.sponsorships, owner, 1, codes.CHANGE_TRUST_LOW_RESERVE)
    context.note_sponsor(line.sponsor)
    return context.success()


def begin_sponsoring(context: OperationContext) -> OperationOutcome:
    codes = xdr.BeginSponsoringFutureReservesResultCode
    body = context.operation.body.begin_sponsoring_future_reserves_op
    assert body is not None
    sponsored = account_id(body.sponsored_id)
    open_brackets = context.sponsorships
    if open_brackets.sponsor_of(sponsored) is not None:
        raise OperationRefused(codes.BEGIN_SPONSORING_FUTURE_RESERVES_ALREADY_SPONSORED)
    if open_brackets.sponsor_of(context.source) is not None or open_brackets.is_sponsoring(sponsored):
        raise OperationRefused(codes.BEGIN_SPONSORING_FUTURE_RESERVES_RECURSIVE)
    open_brackets.begin(context.source, sponsored)
    return context.success()


def end_sponsoring(context: OperationContext) -> OperationOutcome:
    sponsor = context.sponsorships.end(context.source)
    if sponsor is None:
        raise OperationRefused(xdr.EndSponsoringFutureReservesResultCode.END_SPONSORING_FUTURE_RESERVES_NOT_SPONSORED)
    context.facts["begin_sponsor"] = sponsor
    return context.success()


def set_options(context: OperationContext) -> OperationOutcome:
    codes = xdr.SetOptionsResultCode
    body = context.operation.body.set_options_op
    assert body is not None
    account = context.view.edit(context.source)
    if body.inflation_dest is not None and context.view.account(account_id(body.inflation_dest)) is None:
        raise OperationRefused(codes.SET_OPTIONS_INVALID_INFLATION)
    if body.clear_flags is not None:
        account.flags &= ~body.clear_flags.uint32
    if body.set_flags is not None:
        account.flags |= body.set_flags.uint32
    if body.master_weight is not None:
        account.master_weight = body.master_weight.uint32
    low, medium, high = account.thresholds
    account.thresholds = (
        body.low_threshold.uint32 if body.low_threshold is not None else low,
        body.med_threshold.uint32 if body.med_threshold is not None else medium,
        body.high_threshold.uint32 if body.high_threshold is not None else high,
    )
    if body.home_domain is not None:
        account.home_domain = body.home_domain.string32.decode("ascii", "replace")
    if body.signer is not None:
        _set_signer(context, account, body.signer)
    return context.success()


def _set_signer(context: OperationContext, account: Account, signer: xdr.Signer) -> None:
    codes = xdr.SetOptionsResultCode
    public_key = signer.key.ed25519
    if public_key is None:
        raise OperationRefused(codes.SET_OPTIONS_BAD_SIGNER)
    key, weight = address_of(public_key.uint256), signer.weight.uint32
    if key == account.address:
        raise OperationRefused(codes.SET_OPTIONS_BAD_SIGNER)
    known = account.signers.get(key)
    if weight == 0:
        if known is not None:
            del account.signers[key]
            release_reserve(context.view, account, known.sponsor)
    elif known is not None:
        known.weight = weight
    else:
        if len(account.signers) >= MAX_SIGNERS:
            raise OperationRefused(codes.SET_OPTIONS_TOO_MANY_SIGNERS)
        added = account.signers[key] = Signer(weight)
        added.sponsor = add_reserve(context.view, context.sponsorships, account, 1, codes.SET_OPTIONS_LOW_RESERVE)
        context.note_sponsor(added.sponsor)


def manage_data(context: OperationContext) -> OperationOutcome:
    codes = xdr.ManageDataResultCode
    body = context.operation.body.manage_data_op
    assert body is not None
    name = body.data_name.string64.decode("utf-8", "replace")
    account = context.view.edit(context.source)
    known = account.data.get(name)
    if body.data_value is None:
        if known is None:
            raise OperationRefused(codes.MANAGE_DATA_NAME_NOT_FOUND)
        del account.data[name]
        release_reserve(context.view, account, known.sponsor)
        return context.success()
    value = base64.b64encode(body.data_value.data_value).decode()
    if known is not None:
        known.value = value
        return context.success()
    added = account.data[name] = DataEntry(value)
    added.sponsor = add_reserve(context.view, context.sponsorships, account, 1, codes.MANAGE_DATA_LOW_RESERVE)
    context.note_sponsor(added.sponsor)
    return context.success()
