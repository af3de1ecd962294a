"""Calls of contracts inside a transaction: the world they see, their events, and what a trap leaves behind."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk import scval, xdr

from sandbox.contracts import execute
from sandbox.contracts.interface import ContractFailure, ContractInstance, ContractResult, Invocation, Transfer
from sandbox.ledger.context import LedgerMoment, OperationContext
from sandbox.ledger.encoding import (
    amount_text,
    asset_fields,
    issuer_of,
    sc_address,
)
from sandbox.ledger.entries import NATIVE
from sandbox.ledger.footprint import Footprint, OutsideFootprint, holding_key, instance_key
from sandbox.ledger.results import OperationOutcome, OperationRefused
from sandbox.ledger.state import Overlay
from sandbox.ledger.tokens import TokenBook, TokenRefusal, TokenRefused

_LOG = logging.getLogger(__name__)
# Error numbers of the Stellar Asset Contract, as the host names them.
_TOKEN_ERRORS = {
    TokenRefusal.NO_ACCOUNT: ("AccountMissingError", 6),
    TokenRefusal.UNDERFUNDED: ("BalanceError", 10),
    TokenRefusal.LINE_FULL: ("BalanceError", 10),
    TokenRefusal.NOT_AUTHORIZED: ("BalanceDeauthorizedError", 11),
    TokenRefusal.NO_TRUST: ("TrustlineMissingError", 13),
}
_NEGATIVE_AMOUNT_ERROR = ("NegativeAmountError", 8)


class TransactionWorld:
    """What contracts see of the ledger during one operation; implements ``sandbox.contracts.interface.World``.

    Without a footprint (simulation) everything may be touched.
    """

    def __init__(self, view: Overlay, moment: LedgerMoment, footprint: Footprint | None) -> None:
        self._view = view
        self._network_passphrase = moment.network_passphrase
        self._tokens = TokenBook(view, moment.network_passphrase, moment.sequence)
        self._footprint = footprint
        self.transfers: list[Transfer] = []

    def instance(self, contract_id: str) -> ContractInstance | None:
        if self._footprint is not None:
            self._footprint.require_readable(instance_key(contract_id))
        return self._view.instance(contract_id)

    def put_instance(self, instance: ContractInstance) -> None:
        if self._footprint is not None:
            self._footprint.require_writable(instance_key(instance.contract_id))
        self._view.instances[instance.contract_id] = instance

    def balance_stroops(self, asset_contract: str, address: str) -> int:
        asset = self._view.asset_of_contract(asset_contract)
        if asset is None:
            return 0
        if self._footprint is not None and address != issuer_of(asset):
            self._footprint.require_readable(self._holding(asset, address))
        return self._tokens.balance(asset, address)

    def transfer(self, transfer: Transfer) -> None:
        asset = self._view.asset_of_contract(transfer.asset_contract)
        if asset is None:
            raise ContractFailure(transfer.asset_contract, "MissingValue: no such asset contract", None)
        if transfer.amount_stroops < 0:
            raise ContractFailure(transfer.asset_contract, *_NEGATIVE_AMOUNT_ERROR)
        if self._footprint is not None:
            self._footprint.require_readable(instance_key(transfer.asset_contract))
            for holder in {transfer.sender, transfer.recipient} - {issuer_of(asset)}:
                self._footprint.require_writable(self._holding(asset, holder))
        try:
            self._tokens.debit(asset, transfer.sender, transfer.amount_stroops)
            self._tokens.credit(asset, transfer.recipient, transfer.amount_stroops)
        except TokenRefused as refused:
            name, code = _TOKEN_ERRORS[refused.refusal]
            raise ContractFailure(transfer.asset_contract, name, code) from refused
        self.transfers.append(transfer)

    def _holding(self, asset: str, holder: str) -> xdr.LedgerKey:
        return holding_key(asset, holder, self._network_passphrase)


@dataclass(frozen=True)
class ContractCall:
    """What an applied or trapped call leaves for history: meta, diagnostics, and the changes of balances."""

    balance_changes: list[dict[str, str]]
    meta_xdr: str | None = None
    diagnostic_events: tuple[str, ...] = ()
    failure: str | None = None


def invoke_host_function(context: OperationContext) -> OperationOutcome:
    """Raises OperationRefused; either way ``context.facts['call']`` holds the ContractCall."""
    codes = xdr.InvokeHostFunctionResultCode
    body = context.operation.body.invoke_host_function_op
    assert body is not None
    invocation = decode_invocation(body, context.source, context.moment)
    assert context.soroban_data is not None
    world = TransactionWorld(context.view, context.moment, Footprint(context.soroban_data.resources.footprint))
    try:
        _require_source_credentials(invocation)
        result = _execute(invocation, world)
    except ContractFailure as failure:
        context.facts["call"] = ContractCall([], diagnostic_events=(_error_event(failure).to_xdr(),), failure=failure.name)
        raise OperationRefused(codes.INVOKE_HOST_FUNCTION_TRAPPED) from failure
    assets = {each.asset_contract: context.view.asset_of_contract(each.asset_contract) for each in world.transfers}
    events = [_transfer_event(each, assets[each.asset_contract] or NATIVE) for each in world.transfers]
    events += [_contract_event(invocation.contract_id, topics, data) for topics, data in result.events]
    changes = [_balance_change(each, assets[each.asset_contract] or NATIVE) for each in world.transfers]
    context.facts["call"] = ContractCall(changes, meta_xdr=_meta_xdr(result.return_value, events))
    preimage = xdr.InvokeHostFunctionSuccessPreImage(result.return_value, events)
    return context.success(success=xdr.Hash(sha256(preimage.to_xdr_bytes()).digest()))


def simulate(invocation: Invocation, view: Overlay, moment: LedgerMoment) -> ContractResult:
    """Run a call and leave its changes in ``view``; raises ContractFailure."""
    return execute(invocation, TransactionWorld(view, moment, None))


def _execute(invocation: Invocation, world: TransactionWorld) -> ContractResult:
    """A defect of our own in a contract must trap that call, not end the network."""
    try:
        return execute(invocation, world)
    except ContractFailure:
        raise
    except OutsideFootprint as outside:
        text = f"Storage, ExceededLimit: {outside} outside of the footprint"
        raise ContractFailure(invocation.contract_id, text, None) from outside
    except Exception as defect:
        _LOG.exception("contract %s failed in %s", invocation.contract_id, invocation.function)
        raise ContractFailure(invocation.contract_id, "WasmVm, InvalidAction: unreachable", None) from defect


def decode_invocation(body: xdr.InvokeHostFunctionOp, source: str, moment: LedgerMoment) -> Invocation:
    call = body.host_function.invoke_contract
    assert call is not None
    return Invocation(
        contract_id=sc_address(call.contract_address),
        function=call.function_name.sc_symbol.decode("ascii", "replace"),
        args=call.args,
        auth=body.auth,
        source=source,
        network_passphrase=moment.network_passphrase,
        ledger_sequence=moment.sequence,
    )


def _require_source_credentials(invocation: Invocation) -> None:
    allowed = xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT
    if any(entry.credentials.type != allowed for entry in invocation.auth):
        raise ContractFailure(invocation.contract_id, "Auth, InvalidAction: only source-account credentials", None)


def _kind(transfer: Transfer, asset: str) -> str:
    issuer = issuer_of(asset)
    if transfer.sender == issuer:
        return "mint"
    return "burn" if transfer.recipient == issuer else "transfer"


def _balance_change(transfer: Transfer, asset: str) -> dict[str, str]:
    kind = _kind(transfer, asset)
    change = {**asset_fields(asset), "type": kind}
    if kind != "mint":
        change["from"] = transfer.sender
    if kind != "burn":
        change["to"] = transfer.recipient
    return {**change, "amount": amount_text(transfer.amount_stroops)}


def _transfer_event(transfer: Transfer, asset: str) -> xdr.ContractEvent:
    kind = _kind(transfer, asset)
    topics = [scval.to_symbol(kind)]
    if kind != "mint":
        topics.append(scval.to_address(transfer.sender))
    if kind != "burn":
        topics.append(scval.to_address(transfer.recipient))
    topics.append(scval.to_string(asset))
    return _contract_event(transfer.asset_contract, topics, scval.to_int128(transfer.amount_stroops))


def _contract_event(
    contract_id: str,
    topics: list[xdr.SCVal],
    data: xdr.SCVal,
    kind: xdr.ContractEventType = xdr.ContractEventType.CONTRACT,
) -> xdr.ContractEvent:
    address = scval.to_address(contract_id).address
    assert address is not None
    body = xdr.ContractEventBody(0, v0=xdr.ContractEventV0(topics, data))
    return xdr.ContractEvent(xdr.ExtensionPoint(0), address.contract_id, kind, body)


def _error_event(failure: ContractFailure) -> xdr.DiagnosticEvent:
    if failure.code is None:
        code = xdr.SCErrorCode.SCEC_INVALID_ACTION
        error = xdr.SCError(xdr.SCErrorType.SCE_CONTEXT, code=code)
    else:
        error = xdr.SCError(xdr.SCErrorType.SCE_CONTRACT, contract_code=xdr.Uint32(failure.code))
    value = xdr.SCVal(xdr.SCValType.SCV_ERROR, error=error)
    event = _contract_event(
        failure.contract_id,
        [scval.to_symbol("error"), value],
        scval.to_string(failure.name),
        xdr.ContractEventType.DIAGNOSTIC,
    )
    return xdr.DiagnosticEvent(False, event)


def _meta_xdr(return_value: xdr.SCVal, events: list[xdr.ContractEvent]) -> str:
    """Events and return value only: entry changes are what an operator of a lean Horizon leaves out as well."""
    no_changes = xdr.LedgerEntryChanges([])
    soroban = xdr.SorobanTransactionMeta(xdr.SorobanTransactionMetaExt(0), events, return_value, [])
    v3 = xdr.TransactionMetaV3(xdr.ExtensionPoint(0), no_changes, [], no_changes, soroban)
    return xdr.TransactionMeta(3, v3=v3).to_xdr()
