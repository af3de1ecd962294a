"""Trustless Work's factory: deploys an escrow of either kind under an id anyone can compute beforehand, and initialises it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from stellar_sdk import Address, Network, xdr

from sandbox.contracts import multi_release, single_release
from sandbox.contracts.addresses import escrow_wasm_hash, multi_release_wasm_hash
from sandbox.contracts.interface import ContractFailure, ContractInstance
from sandbox.contracts.values import address_value, as_address, as_bytes32, as_symbol, as_vec, sc_address, vec_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.contracts.call import Call

DEPLOY_FUNCTION = "tw_new_single_release_escrow"
DEPLOY_MULTI_RELEASE_FUNCTION = "tw_new_multi_release_escrow"


def escrow_contract_id(network_passphrase: str, factory: str, salt: bytes) -> str:
    """The host's derivation with the factory, not the signer, as deployer."""
    from_address = xdr.ContractIDPreimageFromAddress(address=sc_address(factory), salt=xdr.Uint256(salt))
    preimage = xdr.HashIDPreimage(
        xdr.EnvelopeType.ENVELOPE_TYPE_CONTRACT_ID,
        contract_id=xdr.HashIDPreimageContractID(
            network_id=xdr.Hash(Network(network_passphrase).network_id()),
            contract_id_preimage=xdr.ContractIDPreimage(
                xdr.ContractIDPreimageType.CONTRACT_ID_PREIMAGE_FROM_ADDRESS, from_address=from_address
            ),
        ),
    )
    return Address.from_raw_contract(sha256(preimage.to_xdr_bytes()).digest()).address


def deploy_single_release(call: Call) -> xdr.SCVal:
    return _deploy(call, escrow_wasm_hash(call.network_passphrase), single_release.FUNCTIONS)


def deploy_multi_release(call: Call) -> xdr.SCVal:
    return _deploy(call, multi_release_wasm_hash(call.network_passphrase), multi_release.FUNCTIONS)


def _deploy(call: Call, known_hash: bytes, code: Mapping[str, Callable[[Call], xdr.SCVal]]) -> xdr.SCVal:
    signer, wasm_hash_arg, salt, init_function, init_args, constructor_args = call.arguments(6)
    call.require_auth(as_address(signer))
    wasm_hash = as_bytes32(wasm_hash_arg)
    if wasm_hash != known_hash:
        raise ContractFailure(call.contract_id, "Error(Storage, MissingValue)", None)
    contract_id = escrow_contract_id(call.network_passphrase, call.contract_id, as_bytes32(salt))
    if call.world.instance(contract_id) is not None:
        raise ContractFailure(call.contract_id, "Error(Storage, ExistingValue)", None)
    function = code.get(as_symbol(init_function))
    if as_vec(constructor_args) or function is None:
        raise ContractFailure(call.contract_id, "Error(WasmVm, MissingValue)", None)
    call.world.put_instance(ContractInstance(contract_id, wasm_hash))
    initialised = function(call.inner(contract_id, as_symbol(init_function), as_vec(init_args)))
    return vec_value([address_value(contract_id), initialised])


FUNCTIONS = {DEPLOY_FUNCTION: deploy_single_release, DEPLOY_MULTI_RELEASE_FUNCTION: deploy_multi_release}
