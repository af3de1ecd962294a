"""What an escrow call must look like, built from our own intent: contract, arguments, auth tree, writable ledger entries.

Only four things are left to whoever builds the envelope (``BuilderChoices``): the salt of a deployment, and three spellings in which
deployed builds of the contract differ (``reference/trustless-work.md`` §9.1, §9.3). Everything else has exactly one right value.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk import Address, StrKey, scval, xdr

from offerhub.domain.intents import (
    ApproveMilestone,
    ChangeMilestoneStatus,
    DeployEscrow,
    EscrowIntent,
    EscrowTerms,
    FundEscrow,
    ReleaseFunds,
)
from offerhub.stellar.network import StellarNetwork

SALT_BYTES = 32
INITIAL_MILESTONE_STATUS = "pending"
# Fee address, platform and receiver: the accounts a release pays.
RELEASE_TRUSTLINES = 3


@dataclass(frozen=True)
class BuilderChoices:
    """Type of ``receiver_memo``, the platform role's older key, and whether a release names the fee account (testnet's layout)."""

    salt: bytes = bytes(SALT_BYTES)
    memo_is_i128: bool = False
    names_platform_address: bool = False
    names_fee_address: bool = False


@dataclass(frozen=True)
class ExpectedCall:
    """``arguments`` carry the contract's own parameter names. ``transfer`` is the only call the auth tree may list below the root.

    ``may_write`` holds ledger keys as XDR, ``may_read`` those of contract data that may be read besides; ``other_trustlines`` counts the
    USDC trustlines that may be written.
    """

    contract_id: str
    function: str
    arguments: tuple[tuple[str, xdr.SCVal], ...]
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
        case ChangeMilestoneStatus():
            arguments = (
                ("milestone_index", scval.to_uint32(intent.milestone_index)),
                ("new_status", scval.to_string(intent.status)),
                ("new_evidence", scval.to_string(intent.evidence)),
                ("service_provider", scval.to_address(intent.source)),
            )
            return _own_state(network, intent.contract_id, "change_milestone_status", arguments)
        case ApproveMilestone():
            approval = (("milestone_index", scval.to_uint32(intent.milestone_index)), ("approver", scval.to_address(intent.source)))
            return _own_state(network, intent.contract_id, "approve_milestone", approval)
        case ReleaseFunds():
            return _release(network, intent, choices)


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


def escrow_properties(network: StellarNetwork, terms: EscrowTerms, choices: BuilderChoices) -> xdr.SCVal:
    """The contract's ``Escrow`` as it is before anything happened to it: nothing approved, no flag raised."""
    roles = {
        "approver": terms.approver,
        "dispute_resolver": terms.dispute_resolver,
        "platform_address" if choices.names_platform_address else "platform": terms.platform,
        "receiver": terms.receiver,
        "release_signer": terms.release_signer,
        "service_provider": terms.service_provider,
    }
    no = scval.to_bool(False)
    return _struct(
        amount=scval.to_int128(terms.amount_stroops),
        description=scval.to_string(terms.description),
        engagement_id=scval.to_string(terms.engagement_id),
        flags=_struct(disputed=no, released=no, resolved=no),
        milestones=scval.to_vec([_untouched_milestone(text) for text in terms.milestones]),
        platform_fee=scval.to_uint32(terms.platform_fee_bps),
        receiver_memo=scval.to_int128(0) if choices.memo_is_i128 else scval.to_uint32(0),
        roles=_struct(**{name: scval.to_address(address) for name, address in roles.items()}),
        title=scval.to_string(terms.title),
        trustline=_struct(address=scval.to_address(network.usdc_contract)),
    )


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
    arguments = (
        ("signer", scval.to_address(intent.source)),
        ("wasm_hash", scval.to_bytes(bytes.fromhex(network.escrow_wasm_hash))),
        ("salt", scval.to_bytes(choices.salt)),
        ("init_fn", scval.to_symbol("initialize_escrow")),
        ("init_args", scval.to_vec([escrow_properties(network, intent.terms, choices)])),
        ("constructor_args", scval.to_vec([])),
    )
    may_write = frozenset({instance_key(escrow_contract), _code_key(network)})
    may_read = frozenset({instance_key(network.factory_contract), instance_key(network.usdc_contract)})
    return ExpectedCall(network.factory_contract, "tw_new_single_release_escrow", arguments, None, escrow_contract, may_write, may_read)


def _fund(network: StellarNetwork, intent: FundEscrow, choices: BuilderChoices) -> ExpectedCall:
    signer, amount = scval.to_address(intent.source), scval.to_int128(intent.amount_stroops)
    arguments = (("signer", signer), ("expected_escrow", escrow_properties(network, intent.terms, choices)), ("amount", amount))
    transfer = xdr.InvokeContractArgs(
        contract_address=Address(network.usdc_contract).to_xdr_sc_address(),
        function_name=xdr.SCSymbol(b"transfer"),
        args=[signer, scval.to_address(intent.contract_id), amount],
    )
    may_write = _escrow_entries(network, intent.contract_id) | {trustline_key(network, intent.source)}
    may_read = _readable_of_escrow(network, intent.contract_id)
    return ExpectedCall(intent.contract_id, "fund_escrow", arguments, transfer, intent.contract_id, may_write, may_read)


def _release(network: StellarNetwork, intent: ReleaseFunds, choices: BuilderChoices) -> ExpectedCall:
    arguments: tuple[tuple[str, xdr.SCVal], ...] = (("release_signer", scval.to_address(intent.source)),)
    if choices.names_fee_address:
        arguments += (("trustless_work_address", scval.to_address(network.protocol_fee_address)),)
    may_write = _escrow_entries(network, intent.contract_id)
    may_read = _readable_of_escrow(network, intent.contract_id)
    return ExpectedCall(intent.contract_id, "release_funds", arguments, None, intent.contract_id, may_write, may_read, RELEASE_TRUSTLINES)


def _own_state(network: StellarNetwork, contract_id: str, function: str, arguments: tuple[tuple[str, xdr.SCVal], ...]) -> ExpectedCall:
    may_write = frozenset({instance_key(contract_id), _code_key(network)})
    return ExpectedCall(contract_id, function, arguments, None, contract_id, may_write, _readable_of_escrow(network, contract_id))


def _escrow_entries(network: StellarNetwork, contract_id: str) -> frozenset[bytes]:
    """State and USDC of the escrow. Its code is only ever written to restore it from the archive."""
    return frozenset({instance_key(contract_id), _code_key(network), _balance_key(network, contract_id)})


def _readable_of_escrow(network: StellarNetwork, contract_id: str) -> frozenset[bytes]:
    instances = {instance_key(contract_id), instance_key(network.usdc_contract)}
    return frozenset(instances | {_balance_key(network, contract_id)})


def trustline_key(network: StellarNetwork, address: str) -> bytes:
    account = xdr.AccountID(
        xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, ed25519=xdr.Uint256(StrKey.decode_ed25519_public_key(address)))
    )
    key = xdr.LedgerKeyTrustLine(account_id=account, asset=network.usdc.to_trust_line_asset_xdr_object())
    return xdr.LedgerKey(xdr.LedgerEntryType.TRUSTLINE, trust_line=key).to_xdr_bytes()


def instance_key(contract_id: str) -> bytes:
    """The ledger key of a contract's instance: its code by hash and its instance storage."""
    return _contract_data_key(contract_id, xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE))


def _balance_key(network: StellarNetwork, holder: str) -> bytes:
    return _contract_data_key(network.usdc_contract, scval.to_vec([scval.to_symbol("Balance"), scval.to_address(holder)]))


def _contract_data_key(contract_id: str, key: xdr.SCVal) -> bytes:
    data = xdr.LedgerKeyContractData(Address(contract_id).to_xdr_sc_address(), key, xdr.ContractDataDurability.PERSISTENT)
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr_bytes()


def _code_key(network: StellarNetwork) -> bytes:
    code = xdr.LedgerKeyContractCode(xdr.Hash(bytes.fromhex(network.escrow_wasm_hash)))
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=code).to_xdr_bytes()


def _untouched_milestone(description: str) -> xdr.SCVal:
    return _struct(
        approved=scval.to_bool(False),
        description=scval.to_string(description),
        evidence=scval.to_string(""),
        status=scval.to_string(INITIAL_MILESTONE_STATUS),
    )


def _struct(**fields: xdr.SCVal) -> xdr.SCVal:
    """A Soroban struct: a map by symbol, sorted by name."""
    entries = [xdr.SCMapEntry(scval.to_symbol(name), fields[name]) for name in sorted(fields)]
    return xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap(entries))
