"""Calls of the multi-release escrow: each names its milestone, and the milestone's receiver is whom a release pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.contracts import factory
from sandbox.contracts.addresses import multi_release_wasm_hash
from sandbox.contracts.values import address_value, amounts_value
from sandbox.trustless.envelope import ContractCall
from sandbox.trustless.footprint import Token, balance_keys, instance_key
from sandbox.trustless.plans import Deployment, EscrowPlanner, Plan, index_value

if TYPE_CHECKING:
    from sandbox.contracts.multi_release_record import MultiReleaseEscrow
    from sandbox.trustless.multi_release_requests import DisputeMilestoneBody, ReleaseMilestoneBody, ResolveMilestoneBody
    from sandbox.trustless.requests import ResolveBody


class MultiReleasePlanner(EscrowPlanner):
    def __init__(self, network_passphrase: str) -> None:
        super().__init__(network_passphrase, multi_release_wasm_hash(network_passphrase))

    def deploy(self, signer: str, escrow: MultiReleaseEscrow, salt: bytes, token: Token) -> Plan:
        """The contract refuses to begin with a balance, so it has to look at it."""
        contract_id = factory.escrow_contract_id(self.passphrase, self.factory, salt)
        reads = (instance_key(token.contract_id), *balance_keys(token, [contract_id]))
        return self.deployment(signer, Deployment(factory.DEPLOY_MULTI_RELEASE_FUNCTION, escrow, salt, reads))

    def release(self, body: ReleaseMilestoneBody, escrow: MultiReleaseEscrow, token: Token) -> Plan:
        args = [address_value(body.release_signer), address_value(self.fee_address), index_value(body.milestone_index)]
        call = ContractCall(body.release_signer, body.contract_id, "release_milestone_funds", args)
        return self.payment(call, escrow, token, _receivers(escrow, int(body.milestone_index)))

    def dispute(self, body: DisputeMilestoneBody, escrow: MultiReleaseEscrow) -> Plan:
        args = [index_value(body.milestone_index), address_value(body.signer)]
        return self.state_change(ContractCall(body.signer, body.contract_id, "dispute_milestone", args), escrow)

    def resolve(self, body: ResolveMilestoneBody, escrow: MultiReleaseEscrow, token: Token) -> Plan:
        resolver, distributions = address_value(body.dispute_resolver), body.amounts_stroops()
        args = [resolver, index_value(body.milestone_index), address_value(self.fee_address), amounts_value(distributions)]
        call = ContractCall(body.dispute_resolver, body.contract_id, "resolve_milestone_dispute", args)
        return self.payment(call, escrow, token, list(distributions))

    def withdraw(self, body: ResolveBody, escrow: MultiReleaseEscrow, token: Token) -> Plan:
        distributions = body.amounts_stroops()
        args = [address_value(body.dispute_resolver), address_value(self.fee_address), amounts_value(distributions)]
        call = ContractCall(body.dispute_resolver, body.contract_id, "withdraw_remaining_funds", args)
        return self.payment(call, escrow, token, list(distributions))


def _receivers(escrow: MultiReleaseEscrow, index: int) -> list[str]:
    """Nobody where there is no such milestone: the simulation will say so."""
    return [milestone.receiver for milestone in escrow.milestones[index : index + 1]]
