"""From an invocation to the contract code it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.contracts import asset_contract, factory, multi_release, single_release
from sandbox.contracts.addresses import escrow_wasm_hash, factory_contract_id, multi_release_wasm_hash
from sandbox.contracts.call import Authorization, Call, invoke_contract_args
from sandbox.contracts.interface import ContractFailure, ContractResult, Invocation, World
from sandbox.contracts.values import UnexpectedValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stellar_sdk import xdr


def execute(invocation: Invocation, world: World) -> ContractResult:
    """Run one call; ``ContractFailure`` means the ledger must forget every change made through ``world``."""
    code = _code(invocation, world)
    function = code.get(invocation.function)
    if function is None:
        raise ContractFailure(invocation.contract_id, "Error(WasmVm, MissingValue)", None)
    frame = invoke_contract_args(invocation.contract_id, invocation.function, invocation.args).to_xdr_bytes()
    call = Call(
        world=world,
        authorization=Authorization(invocation),
        network_passphrase=invocation.network_passphrase,
        contract_id=invocation.contract_id,
        function=invocation.function,
        args=invocation.args,
        frames=(frame,),
    )
    try:
        return ContractResult(return_value=function(call), events=call.events)
    except UnexpectedValue as error:
        raise ContractFailure(invocation.contract_id, f"Error(Value, UnexpectedType): {error}", None) from error


def _code(invocation: Invocation, world: World) -> Mapping[str, Callable[[Call], xdr.SCVal]]:
    """What is neither factory nor escrow is taken for an asset contract; ``World.transfer`` refuses one that is not."""
    if invocation.contract_id == factory_contract_id(invocation.network_passphrase):
        return factory.FUNCTIONS
    instance = world.instance(invocation.contract_id)
    if instance is None:
        return asset_contract.FUNCTIONS
    escrows = {
        escrow_wasm_hash(invocation.network_passphrase): single_release.FUNCTIONS,
        multi_release_wasm_hash(invocation.network_passphrase): multi_release.FUNCTIONS,
    }
    return escrows.get(instance.wasm_hash, asset_contract.FUNCTIONS)
