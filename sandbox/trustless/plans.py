"""From a checked request to the contract call it asks for, with the ledger entries that call touches.

The figures for instructions and fees are those seen on testnet, rounded: a deploy costs about 0.067 XLM, other calls
0.05 to 0.15 XLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stellar_sdk import scval, xdr

from sandbox.contracts import asset_contract, factory
from sandbox.contracts.addresses import escrow_wasm_hash, factory_contract_id, factory_wasm_hash
from sandbox.contracts.records import Record, record_value
from sandbox.contracts.values import address_value, amounts_value, string_value, vec_value
from sandbox.trustless.envelope import ContractCall, Resources
from sandbox.trustless.footprint import Token, balance_keys, code_key, instance_key
from sandbox.trustless.identity import fee_account_keypair

if TYPE_CHECKING:
    from sandbox.contracts.escrow_record import Escrow
    from sandbox.trustless.requests import ApproveBody, DisputeBody, FundBody, ReleaseBody, ResolveBody, StatusBody

DEPLOY_FEE_STROOPS = 670_000
STATE_CHANGE_FEE_STROOPS = 520_000
PAYMENT_FEE_STROOPS = 740_000
FEE_PER_PAYEE_STROOPS = 15_000
BALANCE_ENTRY_BYTES = 200


@dataclass(frozen=True)
class Plan:
    """A call ready to be simulated and built; ``contract_id`` is the escrow's, also for a deploy."""

    contract_id: str
    call: ContractCall
    resources: Resources


@dataclass(frozen=True)
class Deployment:
    """What is deployed; ``reads`` are entries of the new escrow's own that its initialisation looks at."""

    function: str
    escrow: Record
    salt: bytes
    reads: tuple[xdr.LedgerKey, ...] = ()


class EscrowPlanner:
    """Plans on one network what both kinds of escrow are asked in the same words."""

    def __init__(self, network_passphrase: str, wasm_hash: bytes) -> None:
        self.passphrase = network_passphrase
        self.fee_address = fee_account_keypair(network_passphrase).public_key
        self.factory = factory_contract_id(network_passphrase)
        self._wasm_hash = wasm_hash
        self._code = code_key(wasm_hash)

    def fund(self, body: FundBody, stored: xdr.SCVal, token: Token) -> Plan:
        """``stored`` is the escrow as the chain holds it now: the contract refuses funding once it has changed."""
        moved = ContractCall(
            body.signer,
            token.contract_id,
            "transfer",
            asset_contract.transfer_args(body.signer, body.contract_id, body.amount),
        )
        args = [address_value(body.signer), stored, scval.to_int128(body.amount)]
        resources = Resources(
            read_only=[self._code, instance_key(body.contract_id), instance_key(token.contract_id)],
            read_write=balance_keys(token, [body.signer, body.contract_id]),
            instructions=4_500_000,
            write_bytes=2 * BALANCE_ENTRY_BYTES,
            fee_stroops=PAYMENT_FEE_STROOPS,
        )
        return Plan(body.contract_id, ContractCall(body.signer, body.contract_id, "fund_escrow", args, [moved]), resources)

    def status(self, body: StatusBody, escrow: Record) -> Plan:
        evidence = scval.to_void() if body.new_evidence is None else string_value(body.new_evidence)
        args = [index_value(body.milestone_index), string_value(body.new_status), evidence, address_value(body.service_provider)]
        call = ContractCall(body.service_provider, body.contract_id, "change_milestone_status", args)
        grown_bytes = len(body.new_status.encode()) + len((body.new_evidence or "").encode())
        return self.state_change(call, escrow, grown_bytes)

    def approve(self, body: ApproveBody, escrow: Record) -> Plan:
        args = [index_value(body.milestone_index), address_value(body.approver)]
        return self.state_change(ContractCall(body.approver, body.contract_id, "approve_milestone", args), escrow)

    def deployment(self, signer: str, deployment: Deployment) -> Plan:
        contract_id = factory.escrow_contract_id(self.passphrase, self.factory, deployment.salt)
        args = [
            address_value(signer),
            scval.to_bytes(self._wasm_hash),
            scval.to_bytes(deployment.salt),
            scval.to_symbol("initialize_escrow"),
            vec_value([record_value(deployment.escrow)]),
            vec_value([]),
        ]
        resources = Resources(
            read_only=[instance_key(self.factory), code_key(factory_wasm_hash(self.passphrase)), self._code, *deployment.reads],
            read_write=[instance_key(contract_id)],
            instructions=6_000_000,
            write_bytes=_state_bytes(deployment.escrow),
            fee_stroops=DEPLOY_FEE_STROOPS,
        )
        return Plan(contract_id, ContractCall(signer, self.factory, deployment.function, args), resources)

    def state_change(self, call: ContractCall, escrow: Record, grown_bytes: int = 0) -> Plan:
        resources = Resources(
            read_only=[self._code],
            read_write=[instance_key(call.contract_id)],
            instructions=3_000_000,
            write_bytes=_state_bytes(escrow) + grown_bytes,
            fee_stroops=STATE_CHANGE_FEE_STROOPS,
        )
        return Plan(call.contract_id, call, resources)

    def payment(self, call: ContractCall, escrow: Record, token: Token, payees: list[str]) -> Plan:
        holders = [call.contract_id, self.fee_address, escrow.roles.platform, *payees]
        resources = Resources(
            read_only=[self._code, instance_key(token.contract_id)],
            read_write=[instance_key(call.contract_id), *balance_keys(token, holders)],
            instructions=6_000_000 + 1_000_000 * len(payees),
            write_bytes=_state_bytes(escrow) + BALANCE_ENTRY_BYTES * len(holders),
            fee_stroops=PAYMENT_FEE_STROOPS + FEE_PER_PAYEE_STROOPS * len(payees),
        )
        return Plan(call.contract_id, call, resources)


class Planner(EscrowPlanner):
    """Plans calls of the single-release escrow."""

    def __init__(self, network_passphrase: str) -> None:
        super().__init__(network_passphrase, escrow_wasm_hash(network_passphrase))

    def deploy(self, signer: str, escrow: Escrow, salt: bytes) -> Plan:
        return self.deployment(signer, Deployment(factory.DEPLOY_FUNCTION, escrow, salt))

    def dispute(self, body: DisputeBody, escrow: Escrow) -> Plan:
        call = ContractCall(body.signer, body.contract_id, "dispute_escrow", [address_value(body.signer)])
        return self.state_change(call, escrow)

    def release(self, body: ReleaseBody, escrow: Escrow, token: Token) -> Plan:
        args = [address_value(body.release_signer), address_value(self.fee_address)]
        call = ContractCall(body.release_signer, body.contract_id, "release_funds", args)
        return self.payment(call, escrow, token, [escrow.roles.receiver])

    def resolve(self, body: ResolveBody, escrow: Escrow, token: Token) -> Plan:
        distributions = body.amounts_stroops()
        args = [address_value(body.dispute_resolver), address_value(self.fee_address), amounts_value(distributions)]
        call = ContractCall(body.dispute_resolver, body.contract_id, "resolve_dispute", args)
        return self.payment(call, escrow, token, list(distributions))


def index_value(milestone_index: str) -> xdr.SCVal:
    return scval.to_uint32(int(milestone_index))


def _state_bytes(escrow: Record) -> int:
    return len(record_value(escrow).to_xdr_bytes()) + 300
