"""Operations that move value: create account, payment, path payments, account merge."""

from __future__ import annotations

from typing import Any

from stellar_sdk import xdr

from sandbox.ledger.context import OperationContext
from sandbox.ledger.encoding import account_id, asset_key, muxed_account
from sandbox.ledger.entries import MAX_INT64, NATIVE, Account
from sandbox.ledger.reserves import add_reserve, release_reserve
from sandbox.ledger.results import OperationOutcome, OperationRefused
from sandbox.ledger.tokens import TokenRefusal, TokenRefused


def create_account(context: OperationContext) -> OperationOutcome:
    codes = xdr.CreateAccountResultCode
    body = context.operation.body.create_account_op
    assert body is not None
    address, starting = account_id(body.destination), body.starting_balance.int64
    view, moment = context.view, context.moment
    if view.account(address) is not None:
        raise OperationRefused(codes.CREATE_ACCOUNT_ALREADY_EXIST)
    created = Account(
        address=address,
        balance=starting,
        sequence=moment.sequence << 32,
        sequence_ledger=0,
        sequence_time=0,
        last_modified_ledger=moment.sequence,
        last_modified_time=moment.close_time,
    )
    view.put(created)
    created.sponsor = add_reserve(view, context.sponsorships, created, 2, codes.CREATE_ACCOUNT_LOW_RESERVE)
    context.note_sponsor(created.sponsor)
    funder = view.edit(context.source)
    if funder.spendable < starting:
        raise OperationRefused(codes.CREATE_ACCOUNT_UNDERFUNDED)
    funder.balance -= starting
    return context.success()


def payment(context: OperationContext) -> OperationOutcome:
    body = context.operation.body.payment_op
    assert body is not None
    destination, _ = muxed_account(body.destination)
    _move(context, asset_key(body.asset), destination, body.amount.int64)
    return context.success()


def path_payment_strict_receive(context: OperationContext) -> OperationOutcome:
    """Only between equal assets: this network has no order book."""
    codes = xdr.PathPaymentStrictReceiveResultCode
    body = context.operation.body.path_payment_strict_receive_op
    assert body is not None
    if body.path or asset_key(body.send_asset) != asset_key(body.dest_asset):
        raise OperationRefused(codes.PATH_PAYMENT_STRICT_RECEIVE_TOO_FEW_OFFERS)
    amount = body.dest_amount.int64
    if amount > body.send_max.int64:
        raise OperationRefused(codes.PATH_PAYMENT_STRICT_RECEIVE_OVER_SENDMAX)
    destination, _ = muxed_account(body.destination)
    _move(context, asset_key(body.dest_asset), destination, amount)
    last = _delivered(body.destination, body.dest_asset, amount)
    return context.success(success=xdr.PathPaymentStrictReceiveResultSuccess([], last))


def path_payment_strict_send(context: OperationContext) -> OperationOutcome:
    """Only between equal assets: this network has no order book."""
    codes = xdr.PathPaymentStrictSendResultCode
    body = context.operation.body.path_payment_strict_send_op
    assert body is not None
    if body.path or asset_key(body.send_asset) != asset_key(body.dest_asset):
        raise OperationRefused(codes.PATH_PAYMENT_STRICT_SEND_TOO_FEW_OFFERS)
    amount = body.send_amount.int64
    if amount < body.dest_min.int64:
        raise OperationRefused(codes.PATH_PAYMENT_STRICT_SEND_UNDER_DESTMIN)
    destination, _ = muxed_account(body.destination)
    _move(context, asset_key(body.dest_asset), destination, amount)
    last = _delivered(body.destination, body.dest_asset, amount)
    return context.success(success=xdr.PathPaymentStrictSendResultSuccess([], last))


def account_merge(context: OperationContext) -> OperationOutcome:
    codes = xdr.AccountMergeResultCode
    destination_account = context.operation.body.destination
    assert destination_account is not None
    address, _ = muxed_account(destination_account)
    view = context.view
    if view.account(address) is None:
        raise OperationRefused(codes.ACCOUNT_MERGE_NO_ACCOUNT)
    source = view.edit(context.source)
    if source.subentry_count != len(source.signers):
        raise OperationRefused(codes.ACCOUNT_MERGE_HAS_SUB_ENTRIES)
    if source.sequence >= context.moment.sequence << 32:
        raise OperationRefused(codes.ACCOUNT_MERGE_SEQNUM_TOO_FAR)
    if source.num_sponsoring:
        raise OperationRefused(codes.ACCOUNT_MERGE_IS_SPONSOR)
    for signer in source.signers.values():
        release_reserve(view, source, signer.sponsor)
    release_reserve(view, source, source.sponsor, 2)
    destination = view.edit(address)
    if destination.balance > MAX_INT64 - source.balance:
        raise OperationRefused(codes.ACCOUNT_MERGE_DEST_FULL)
    destination.balance += source.balance
    view.remove(source.address)
    return context.success(source_account_balance=xdr.Int64(source.balance))


_CODES: dict[xdr.OperationType, Any] = {
    xdr.OperationType.PAYMENT: xdr.PaymentResultCode,
    xdr.OperationType.PATH_PAYMENT_STRICT_RECEIVE: xdr.PathPaymentStrictReceiveResultCode,
    xdr.OperationType.PATH_PAYMENT_STRICT_SEND: xdr.PathPaymentStrictSendResultCode,
}


def _move(context: OperationContext, asset: str, destination: str, amount: int) -> None:
    """From the source to the destination; refusals become the operation's own codes, which share their names."""
    kind = context.operation.type
    codes = _CODES[kind]
    if context.view.account(destination) is None:
        raise OperationRefused(codes[f"{kind.name}_NO_DESTINATION"])
    if destination == context.source and asset == NATIVE:
        return
    try:
        context.tokens.credit(asset, destination, amount)
    except TokenRefused as refused:
        raise OperationRefused(codes[f"{kind.name}_{refused.refusal.name}"]) from refused
    try:
        context.tokens.debit(asset, context.source, amount)
    except TokenRefused as refused:
        underfunded = refused.refusal is TokenRefusal.UNDERFUNDED
        name = refused.refusal.name if underfunded else f"SRC_{refused.refusal.name}"
        raise OperationRefused(codes[f"{kind.name}_{name}"]) from refused


def _delivered(destination: xdr.MuxedAccount, asset: xdr.Asset, amount: int) -> xdr.SimplePaymentResult:
    key = destination.ed25519 if destination.med25519 is None else destination.med25519.ed25519
    receiver = xdr.AccountID(xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, key))
    return xdr.SimplePaymentResult(receiver, asset, xdr.Int64(amount))
