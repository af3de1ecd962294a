"""Write requests about multi-release escrows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.contracts.multi_release_record import MultiReleaseEscrow, MultiReleaseRoles, PaidMilestone
from sandbox.trustless.building import EscrowBuilder, check_new_escrow, new_salt
from sandbox.trustless.multi_release_plans import MultiReleasePlanner

if TYPE_CHECKING:
    from sandbox.trustless.index import EscrowIndex
    from sandbox.trustless.multi_release_requests import (
        DisputeMilestoneBody,
        MultiReleaseDeployBody,
        ReleaseMilestoneBody,
        ResolveMilestoneBody,
    )
    from sandbox.trustless.ports import Ledger
    from sandbox.trustless.requests import ResolveBody


class MultiReleaseBuilder(EscrowBuilder[MultiReleaseEscrow]):
    def __init__(self, ledger: Ledger, index: EscrowIndex) -> None:
        self._planner = MultiReleasePlanner(ledger.network_passphrase)
        super().__init__(ledger, index, self._planner, MultiReleaseEscrow)

    def deploy(self, body: MultiReleaseDeployBody) -> str:
        check_new_escrow(body, len(body.milestones))
        token = self._token_of(body, body.roles.platform_address)
        plan = self._planner.deploy(body.signer, _new_escrow(body, token.contract_id), new_salt(), token)
        return self._build(plan, token.asset)

    def release(self, body: ReleaseMilestoneBody) -> str:
        _, escrow, token = self._escrow(body.contract_id)
        return self._build(self._planner.release(body, escrow, token))

    def dispute(self, body: DisputeMilestoneBody) -> str:
        _, escrow, _ = self._escrow(body.contract_id)
        return self._build(self._planner.dispute(body, escrow))

    def resolve(self, body: ResolveMilestoneBody) -> str:
        _, escrow, token = self._escrow(body.contract_id)
        return self._build(self._planner.resolve(body, escrow, token))

    def withdraw(self, body: ResolveBody) -> str:
        _, escrow, token = self._escrow(body.contract_id)
        return self._build(self._planner.withdraw(body, escrow, token))


def _new_escrow(body: MultiReleaseDeployBody, asset_contract: str) -> MultiReleaseEscrow:
    roles = body.roles
    return MultiReleaseEscrow(
        description=body.description,
        engagement_id=body.engagement_id,
        milestones=tuple(PaidMilestone(each.amount, each.description, each.receiver) for each in body.milestones),
        platform_fee_bps=body.platform_fee,
        receiver_memo=body.receiver_memo,
        roles=MultiReleaseRoles(
            approver=roles.approver,
            dispute_resolver=roles.dispute_resolver,
            platform=roles.platform_address,
            release_signer=roles.release_signer,
            service_provider=roles.service_provider,
        ),
        title=body.title,
        trustline=asset_contract,
    )
