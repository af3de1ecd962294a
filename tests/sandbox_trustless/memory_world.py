"""An in-memory ledger for contracts: trustlines, contract balances and contract instances, without accounts or fees."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from stellar_sdk import Asset, Keypair, scval, xdr

from sandbox.contracts import execute
from sandbox.contracts.addresses import escrow_wasm_hash, factory_contract_id
from sandbox.contracts.escrow_record import Escrow, Flags, Milestone, Roles, as_escrow, escrow_value
from sandbox.contracts.factory import DEPLOY_FUNCTION, escrow_contract_id
from sandbox.contracts.interface import ContractFailure, ContractInstance, ContractResult, Invocation, Transfer
from sandbox.contracts.values import address_value, vec_value
from sandbox.trustless.envelope import ContractCall
from sandbox.trustless.identity import fee_account_keypair

PASSPHRASE = "Contract tests ; November 2026"
ISSUER = Keypair.from_raw_ed25519_seed(b"issuer" + bytes(26)).public_key
USDC = Asset("USDC", ISSUER)
TOKEN = USDC.contract_id(PASSPHRASE)
FACTORY = factory_contract_id(PASSPHRASE)
WASM_HASH = escrow_wasm_hash(PASSPHRASE)
FEE_ADDRESS = fee_account_keypair(PASSPHRASE).public_key
SALT = bytes(range(32))
UNIT = 10**7


def keypair(name: str) -> Keypair:
    return Keypair.from_raw_ed25519_seed(name.encode().ljust(32, b"."))


def address(name: str) -> str:
    return keypair(name).public_key


BUYER, SELLER, PLATFORM, RELEASER, RESOLVER, RECEIVER, STRANGER = (
    address(name) for name in ("buyer", "seller", "platform", "releaser", "resolver", "receiver", "stranger")
)


def escrow(**changes: object) -> Escrow:
    standard = Escrow(
        amount_stroops=100 * UNIT,
        description="a logo",
        engagement_id="ord_1",
        flags=Flags(),
        milestones=(Milestone("deliver"),),
        platform_fee_bps=500,
        receiver_memo=0,
        roles=Roles(
            approver=BUYER,
            dispute_resolver=RESOLVER,
            platform=PLATFORM,
            receiver=RECEIVER,
            release_signer=RELEASER,
            service_provider=SELLER,
        ),
        title="Order 1",
        trustline=TOKEN,
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


@dataclass
class MemoryWorld:
    """``balances`` holds an entry for every trustline; C... addresses need none."""

    balances: dict[tuple[str, str], int] = field(default_factory=dict)
    contracts: dict[str, ContractInstance] = field(default_factory=dict)
    transfers: list[Transfer] = field(default_factory=list)

    def instance(self, contract_id: str) -> ContractInstance | None:
        return self.contracts.get(contract_id)

    def put_instance(self, instance: ContractInstance) -> None:
        self.contracts[instance.contract_id] = instance

    def balance_stroops(self, asset_contract: str, address: str) -> int:
        return self.balances.get((asset_contract, address), 0)

    def transfer(self, transfer: Transfer) -> None:
        if transfer.asset_contract != TOKEN:
            raise ContractFailure(transfer.asset_contract, "MissingValue", None)
        source, target = ((transfer.asset_contract, end) for end in (transfer.sender, transfer.recipient))
        if transfer.recipient.startswith("G") and target not in self.balances:
            raise ContractFailure(transfer.asset_contract, "TrustlineMissingError", 13)
        if self.balances.get(source, 0) < transfer.amount_stroops:
            raise ContractFailure(transfer.asset_contract, "BalanceError", 10)
        self.balances[source] -= transfer.amount_stroops
        self.balances[target] = self.balances.get(target, 0) + transfer.amount_stroops
        self.transfers.append(transfer)

    def copy(self) -> MemoryWorld:
        return MemoryWorld(dict(self.balances), dict(self.contracts), list(self.transfers))

    def total_stroops(self) -> int:
        return sum(self.balances.values())


def world(**balances_stroops: int) -> MemoryWorld:
    """Everyone has a trustline; balances by name."""
    names = ("buyer", "seller", "platform", "releaser", "resolver", "receiver", "stranger")
    lines = {(TOKEN, address(name)): balances_stroops.get(name, 0) for name in names}
    return MemoryWorld({**lines, (TOKEN, FEE_ADDRESS): 0})


def invocation(call: ContractCall, source: str | None = None) -> Invocation:
    return Invocation(
        contract_id=call.contract_id,
        function=call.function,
        args=call.args,
        auth=[call.authorization()],
        source=source or call.source,
        network_passphrase=PASSPHRASE,
        ledger_sequence=7,
    )


def run(into: MemoryWorld, call: ContractCall, source: str | None = None) -> ContractResult:
    """Apply one call or, when it is refused, leave the world as it was."""
    overlay = into.copy()
    result = execute(invocation(call, source), overlay)
    into.balances, into.contracts, into.transfers = overlay.balances, overlay.contracts, overlay.transfers
    return result


def deploy_call(properties: Escrow, salt: bytes = SALT, wasm_hash: bytes = WASM_HASH) -> ContractCall:
    args = [
        address_value(BUYER),
        scval.to_bytes(wasm_hash),
        scval.to_bytes(salt),
        scval.to_symbol("initialize_escrow"),
        vec_value([escrow_value(properties)]),
        vec_value([]),
    ]
    return ContractCall(BUYER, FACTORY, DEPLOY_FUNCTION, args)


def deploy(into: MemoryWorld, properties: Escrow | None = None) -> str:
    run(into, deploy_call(properties or escrow()))
    return escrow_contract_id(PASSPHRASE, FACTORY, SALT)


def fund_call(contract_id: str, expected: xdr.SCVal, amount_stroops: int, signer: str = BUYER) -> ContractCall:
    moved = ContractCall(signer, TOKEN, "transfer", [address_value(signer), address_value(contract_id), scval.to_int128(amount_stroops)])
    args = [address_value(signer), expected, scval.to_int128(amount_stroops)]
    return ContractCall(signer, contract_id, "fund_escrow", args, [moved])


def fund(into: MemoryWorld, contract_id: str, amount_stroops: int) -> ContractResult:
    return run(into, fund_call(contract_id, stored(into, contract_id), amount_stroops))


def stored(of: MemoryWorld, contract_id: str) -> xdr.SCVal:
    return of.contracts[contract_id].storage["Escrow"]


def state(of: MemoryWorld, contract_id: str) -> Escrow:
    return as_escrow(stored(of, contract_id))
