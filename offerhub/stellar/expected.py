"""What an escrow call must look like, built from our own intent: contract, arguments, auth tree, writable ledger entries.

Little is left to whoever builds the envelope (``BuilderChoices``): the salt of a deployment, and spellings in which deployed
builds of the contracts differ (``reference/trustless-work.md`` §9.1, §9.3). Everything else has exactly one right value.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk import Address, StrKey, scval, xdr

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import (
    ApproveMilestone,
    ChangeMilestoneStatus,
    DeployEscrow,
    EscrowIntent,
    FreezeEscrow,
    FundEscrow,
    ReleaseFunds,
    ResolveEscrow,
    WithdrawRemaining,
    is_multi_release,
)
from offerhub.stellar.escrow_struct import NEWEST, Spelling, escrow_struct
from offerhub.stellar.ledger_keys import balance_key, code_key, instance_key, trustline_key
from offerhub.stellar.network import StellarNetwork

SALT_BYTES = 32
# Where money leaves an escrow, the fees of Trustless Work and platform are paid besides the payees.
FEE_TRUSTLINES = 2

Arguments = tuple[tuple[str, xdr.SCVal], ...]


@dataclass(frozen=True)
class BuilderChoices:
    """``names_fee_address``: whether a call that pays out names Trustless Work's fee account, which is testnet's layout."""

    salt: bytes = bytes(SALT_BYTES)
    spelling: Spelling = NEWEST
    names_fee_address: bool = False


@dataclass(frozen=True)
class ExpectedCall:
    """``arguments`` carry the contract's own parameter names. ``transfer`` is the only call the auth tree may list below the root.

    ``may_write`` holds ledger keys as XDR, ``may_read`` those of contract data that may be read besides; ``other_trustlines`` counts the
    USDC trustlines that may be written.
    """

    contract_id: str
    function: str
    arguments: Arguments
    transfer: xdr.InvokeContractArgs | None
    escrow_contract: str
    may_write: frozenset[bytes]
    may_read: frozenset[bytes]
    other_trustlines: int = 0


def expected_call(network: StellarNetwork, intent: EscrowIntent, choices: BuilderChoices) -> ExpectedCall:
    match intent:
        case DeployEscrow():
            return _deploy(network, intent, choices)
        case FundEscrow():
            return _fund(network, intent, choices)
        case ChangeMilestoneStatus() | ApproveMilestone() | FreezeEscrow():
            return _own_state(network, intent)
        case ReleaseFunds() | ResolveEscrow() | WithdrawRemaining():
            return _paying_out(network, intent, choices)


def derived_contract_id(network: StellarNetwork, salt: bytes) -> str:
    """The address at which the factory will create the contract: a hash of network, factory and salt."""
    preimage = xdr.HashIDPreimage(
        xdr.EnvelopeType.ENVELOPE_TYPE_CONTRACT_ID,
        contract_id=xdr.HashIDPreimageContractID(
            network_id=xdr.Hash(network.id),
            contract_id_preimage=xdr.ContractIDPreimage(
                xdr.ContractIDPreimageType.CONTRACT_ID_PREIMAGE_FROM_ADDRESS,
                from_address=xdr.ContractIDPreimageFromAddress(Address(network.factory_contract).to_xdr_sc_address(), xdr.Uint256(salt)),
            ),
        ),
    )
    return StrKey.encode_contract(sha256(preimage.to_xdr_bytes()).digest())


def authorization(call: ExpectedCall, arguments: bytes) -> bytes:
    """The XDR of the one allowed auth entry: source-account credentials, the call itself, and ``call.transfer`` if there is one.

    ``arguments`` is the packed argument list of the call, which the caller has compared already.
    """
    source_account, contract_function = (0).to_bytes(4), (0).to_bytes(4)
    root = Address(call.contract_id).to_xdr_sc_address().to_xdr_bytes() + xdr.SCSymbol(call.function.encode()).to_xdr_bytes() + arguments
    below = (0).to_bytes(4)
    if call.transfer is not None:
        below = (1).to_bytes(4) + contract_function + call.transfer.to_xdr_bytes() + (0).to_bytes(4)
    return source_account + contract_function + root + below


def _deploy(network: StellarNetwork, intent: DeployEscrow, choices: BuilderChoices) -> ExpectedCall:
    escrow_contract = derived_contract_id(network, choices.salt)
    code = wasm_hash(network, intent)
    arguments = (
        ("signer", scval.to_address(intent.source)),
        ("wasm_hash", scval.to_bytes(code)),
        ("salt", scval.to_bytes(choices.salt)),
        ("init_fn", scval.to_symbol("initialize_escrow")),
        ("init_args", scval.to_vec([escrow_struct(network, intent.terms, choices.spelling)])),
        ("constructor_args", scval.to_vec([])),
    )
    function = "tw_new_multi_release_escrow" if intent.terms.is_multi_release else "tw_new_single_release_escrow"
    may_write = frozenset({instance_key(escrow_contract), code_key(code)})
    # A multi-release escrow makes sure that it begins with nothing.
    looked_at = {instance_key(network.factory_contract), instance_key(network.usdc_contract), balance_key(network, escrow_contract)}
    return ExpectedCall(network.factory_contract, function, arguments, None, escrow_contract, may_write, frozenset(looked_at))


def _fund(network: StellarNetwork, intent: FundEscrow, choices: BuilderChoices) -> ExpectedCall:
    signer, amount = scval.to_address(intent.source), scval.to_int128(intent.amount_stroops)
    arguments = (("signer", signer), ("expected_escrow", escrow_struct(network, intent.terms, choices.spelling)), ("amount", amount))
    transfer = xdr.InvokeContractArgs(
        contract_address=Address(network.usdc_contract).to_xdr_sc_address(),
        function_name=xdr.SCSymbol(b"transfer"),
        args=[signer, scval.to_address(intent.contract_id), amount],
    )
    may_write = _escrow_entries(network, intent) | {trustline_key(network, intent.source)}
    may_read = _readable_of_escrow(network, intent.contract_id)
    return ExpectedCall(intent.contract_id, "fund_escrow", arguments, transfer, intent.contract_id, may_write, may_read)


def _own_state(network: StellarNetwork, intent: ChangeMilestoneStatus | ApproveMilestone | FreezeEscrow) -> ExpectedCall:
    function, arguments = _own_state_call(intent)
    may_write = frozenset({instance_key(intent.contract_id), code_key(wasm_hash(network, intent))})
    may_read = _readable_of_escrow(network, intent.contract_id)
    return ExpectedCall(intent.contract_id, function, arguments, None, intent.contract_id, may_write, may_read)


def _own_state_call(intent: ChangeMilestoneStatus | ApproveMilestone | FreezeEscrow) -> tuple[str, Arguments]:
    caller, index = scval.to_address(intent.source), _index(intent.milestone_index)
    match intent:
        case ChangeMilestoneStatus():
            status, evidence = scval.to_string(intent.status), scval.to_string(intent.evidence)
            return "change_milestone_status", (*index, ("new_status", status), ("new_evidence", evidence), ("service_provider", caller))
        case ApproveMilestone():
            return "approve_milestone", (*index, ("approver", caller))
        case FreezeEscrow():
            return "dispute_milestone" if index else "dispute_escrow", (*index, ("signer", caller))


def _paying_out(network: StellarNetwork, intent: ReleaseFunds | ResolveEscrow | WithdrawRemaining, choices: BuilderChoices) -> ExpectedCall:
    fee_address = ("trustless_work_address", scval.to_address(network.protocol_fee_address))
    function, arguments = _paying_call(intent, (fee_address,) if choices.names_fee_address else ())
    payees = 1 if isinstance(intent, ReleaseFunds) else len(intent.shares)
    may_write = _escrow_entries(network, intent)
    may_read = _readable_of_escrow(network, intent.contract_id)
    trustlines = FEE_TRUSTLINES + payees
    return ExpectedCall(intent.contract_id, function, arguments, None, intent.contract_id, may_write, may_read, trustlines)


def _paying_call(intent: ReleaseFunds | ResolveEscrow | WithdrawRemaining, fee_address: Arguments) -> tuple[str, Arguments]:
    """The fee account and the milestone's index stand in another order in each function."""
    caller = scval.to_address(intent.source)
    match intent:
        case ReleaseFunds():
            index = _index(intent.milestone_index)
            return "release_milestone_funds" if index else "release_funds", (("release_signer", caller), *fee_address, *index)
        case ResolveEscrow():
            index, shares = _index(intent.milestone_index), _distributions(intent.shares)
            function = "resolve_milestone_dispute" if index else "resolve_dispute"
            return function, (("dispute_resolver", caller), *index, *fee_address, ("distributions", shares))
        case WithdrawRemaining():
            shares = _distributions(intent.shares)
            return "withdraw_remaining_funds", (("dispute_resolver", caller), *fee_address, ("distributions", shares))


def _index(milestone_index: int | None) -> Arguments:
    return () if milestone_index is None else (("milestone_index", scval.to_uint32(milestone_index)),)


def _distributions(shares: tuple[tuple[str, int], ...]) -> xdr.SCVal:
    """``Map<Address, i128>`` in the host's order: by kind of address, then by its bytes, which is how their XDR sorts."""
    entries = [xdr.SCMapEntry(scval.to_address(address), scval.to_int128(amount)) for address, amount in shares]
    entries.sort(key=lambda entry: entry.key.to_xdr_bytes())
    return xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap(entries))


def _escrow_entries(network: StellarNetwork, intent: FundEscrow | ReleaseFunds | ResolveEscrow | WithdrawRemaining) -> frozenset[bytes]:
    """State and USDC of the escrow. Its code is only ever written to restore it from the archive."""
    contract_id = intent.contract_id
    return frozenset({instance_key(contract_id), code_key(wasm_hash(network, intent)), balance_key(network, contract_id)})


def _readable_of_escrow(network: StellarNetwork, contract_id: str) -> frozenset[bytes]:
    return frozenset({instance_key(contract_id), instance_key(network.usdc_contract), balance_key(network, contract_id)})


def wasm_hash(network: StellarNetwork, intent: EscrowIntent) -> bytes:
    """Of the code that the intent's contract runs."""
    configured = network.multi_release_wasm_hash if is_multi_release(intent) else network.escrow_wasm_hash
    if not configured:
        raise IntentMismatchError("wasm_hash", "a hash in TRUSTLESS_WORK_MULTI_WASM_HASH", "none")
    return bytes.fromhex(configured)
