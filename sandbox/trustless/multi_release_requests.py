"""Bodies of the write endpoints that only the multi-release escrow has; funding, status and approval take the shared ones."""

from __future__ import annotations

from sandbox.trustless.requests import Account, Amount, Body, Contract, MilestoneIndex, NewEscrowBody, Payee, ResolveBody, Text


class MultiReleaseRolesBody(Body):
    approver: Payee
    service_provider: Payee
    platform_address: Payee
    release_signer: Payee
    dispute_resolver: Payee


class PaidMilestoneBody(Body):
    description: Text
    amount: Amount
    receiver: Payee


class MultiReleaseDeployBody(NewEscrowBody):
    roles: MultiReleaseRolesBody
    milestones: list[PaidMilestoneBody]


class ReleaseMilestoneBody(Body):
    contract_id: Contract
    release_signer: Account
    milestone_index: MilestoneIndex


class DisputeMilestoneBody(Body):
    contract_id: Contract
    signer: Account
    milestone_index: MilestoneIndex


class ResolveMilestoneBody(ResolveBody):
    milestone_index: MilestoneIndex
