"""Write requests answered with unsigned transactions: looked up, simulated, built, remembered by hash."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Generic, TypeVar

from stellar_sdk import Asset, xdr

from sandbox.contracts.errors import MESSAGES, EscrowError
from sandbox.contracts.escrow_record import Escrow, Flags, Milestone, Roles
from sandbox.contracts.escrow_storage import ESCROW_KEY
from sandbox.contracts.fees import MAX_PLATFORM_FEE_BPS
from sandbox.contracts.interface import ContractFailure, Invocation
from sandbox.contracts.records import Record, as_record
from sandbox.contracts.single_release import MAX_MILESTONES
from sandbox.trustless.envelope import ContractCall, build_transaction
from sandbox.trustless.footprint import Token
from sandbox.trustless.index import Build, EscrowIndex
from sandbox.trustless.plans import EscrowPlanner, Plan, Planner
from sandbox.trustless.refusal import ESCROW_NOT_FOUND, Refusal, bad_request, contract_refusal

if TYPE_CHECKING:
    from enum import IntEnum

    from sandbox.trustless.ports import Ledger
    from sandbox.trustless.requests import (
        ApproveBody,
        DeployBody,
        DisputeBody,
        FundBody,
        NewEscrowBody,
        ReleaseBody,
        ResolveBody,
        StatusBody,
    )

SALT_BYTES = 32
R = TypeVar("R", bound=Record)


class EscrowBuilder(Generic[R]):
    """One method per write endpoint; each answers the base64 envelope to sign or raises ``Refusal``.

    Here are those that both kinds of escrow have. An escrow of the other kind is not found.
    """

    def __init__(self, ledger: Ledger, index: EscrowIndex, planner: EscrowPlanner, kind: type[R]) -> None:
        self._ledger = ledger
        self._index = index
        self._shared_planner = planner
        self._kind = kind

    def fund(self, body: FundBody) -> str:
        stored, _, token = self._escrow(body.contract_id)
        return self._build(self._shared_planner.fund(body, stored, token))

    def status(self, body: StatusBody) -> str:
        _, escrow, _ = self._escrow(body.contract_id)
        return self._build(self._shared_planner.status(body, escrow))

    def approve(self, body: ApproveBody) -> str:
        _, escrow, _ = self._escrow(body.contract_id)
        return self._build(self._shared_planner.approve(body, escrow))

    def _token_of(self, body: NewEscrowBody, platform: str) -> Token:
        asset = Asset(body.trustline.symbol, body.trustline.address)
        if not self._ledger.has_trustline(platform, asset.code, body.trustline.address):
            raise bad_request(f"The platform address does not have a trustline for {asset.code}")
        return Token(asset, asset.contract_id(self._ledger.network_passphrase))

    def _escrow(self, contract_id: str) -> tuple[xdr.SCVal, R, Token]:
        """State from the chain, but only of escrows the index knows: the real API finds no others."""
        known = self._index.escrow(contract_id)
        instance = self._ledger.contract_instance(contract_id)
        if known is None or instance is None:
            raise bad_request(ESCROW_NOT_FOUND)
        stored = instance.storage[ESCROW_KEY]
        escrow = as_record(stored)
        if not isinstance(escrow, self._kind):
            raise bad_request(ESCROW_NOT_FOUND)
        return stored, escrow, Token(Asset(known.asset_code, known.asset_issuer), escrow.trustline)

    def _build(self, plan: Plan, deployed_asset: Asset | None = None) -> str:
        sequence = self._ledger.account_sequence(plan.call.source)
        if sequence is None:
            raise bad_request(f"Account not found: {plan.call.source}")
        invocation = self._invocation(plan.call)
        try:
            self._ledger.simulate(invocation)
        except ContractFailure as failure:
            raise contract_refusal(failure) from failure
        built = build_transaction(invocation, plan.resources, sequence + 1, self._ledger.now())
        asset_code, asset_issuer = (None, None) if deployed_asset is None else (deployed_asset.code, deployed_asset.issuer)
        self._index.add_build(Build(built.hash, plan.contract_id, plan.call.source, asset_code, asset_issuer))
        return built.envelope_xdr

    def _invocation(self, call: ContractCall) -> Invocation:
        return Invocation(
            contract_id=call.contract_id,
            function=call.function,
            args=call.args,
            auth=[call.authorization()],
            source=call.source,
            network_passphrase=self._ledger.network_passphrase,
            ledger_sequence=self._ledger.latest_ledger,
        )


class SingleReleaseBuilder(EscrowBuilder[Escrow]):
    def __init__(self, ledger: Ledger, index: EscrowIndex) -> None:
        self._planner = Planner(ledger.network_passphrase)
        super().__init__(ledger, index, self._planner, Escrow)

    def deploy(self, body: DeployBody) -> str:
        _check_deploy(body)
        token = self._token_of(body, body.roles.platform_address)
        plan = self._planner.deploy(body.signer, _new_escrow(body, token.contract_id), new_salt())
        return self._build(plan, token.asset)

    def release(self, body: ReleaseBody) -> str:
        _, escrow, token = self._escrow(body.contract_id)
        return self._build(self._planner.release(body, escrow, token))

    def dispute(self, body: DisputeBody) -> str:
        _, escrow, _ = self._escrow(body.contract_id)
        return self._build(self._planner.dispute(body, escrow))

    def resolve(self, body: ResolveBody) -> str:
        _, escrow, token = self._escrow(body.contract_id)
        return self._build(self._planner.resolve(body, escrow, token))


def new_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


def refused(error: IntEnum) -> Refusal:
    return bad_request(MESSAGES[error.name])


def check_new_escrow(body: NewEscrowBody, milestones: int) -> None:
    """What the API refuses before it asks the chain, of either kind."""
    if body.platform_fee > MAX_PLATFORM_FEE_BPS:
        raise refused(EscrowError.PlatformFeeTooHigh)
    if milestones == 0:
        raise refused(EscrowError.NoMilestoneDefined)
    if milestones > MAX_MILESTONES:
        raise refused(EscrowError.TooManyMilestones)
    if body.flags.disputed or body.flags.released or body.flags.resolved:
        raise refused(EscrowError.FlagsMustBeFalse)


def _check_deploy(body: DeployBody) -> None:
    """The contract itself would accept an amount of zero."""
    if body.amount <= 0:
        raise refused(EscrowError.AmountCannotBeZero)
    check_new_escrow(body, len(body.milestones))


def _new_escrow(body: DeployBody, asset_contract: str) -> Escrow:
    roles = body.roles
    return Escrow(
        amount_stroops=body.amount,
        description=body.description,
        engagement_id=body.engagement_id,
        flags=Flags(),
        milestones=tuple(Milestone(milestone.description) for milestone in body.milestones),
        platform_fee_bps=body.platform_fee,
        receiver_memo=body.receiver_memo,
        roles=Roles(
            approver=roles.approver,
            dispute_resolver=roles.dispute_resolver,
            platform=roles.platform_address,
            receiver=roles.receiver,
            release_signer=roles.release_signer,
            service_provider=roles.service_provider,
        ),
        title=body.title,
        trustline=asset_contract,
    )
