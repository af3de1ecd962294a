"""Envelopes that call the asset contract, built by hand: no simulation, every declared entry chosen by the test."""

from __future__ import annotations

from stellar_sdk import Keypair, TransactionBuilder, TransactionEnvelope, scval, xdr

from sandbox.ledger.footprint import holding_key, instance_key
from tests.sandbox.network import Network


def soroban_data(network: Network, holders: list[str], resource_fee: int) -> xdr.SorobanTransactionData:
    usdc = f"{network.usdc.code}:{network.usdc.issuer}"
    touched = [holding_key(usdc, holder, network.passphrase) for holder in holders]
    footprint = xdr.LedgerFootprint([instance_key(network.usdc_contract)], touched)
    resources = xdr.SorobanResources(footprint, xdr.Uint32(1_000_000), xdr.Uint32(1_000), xdr.Uint32(1_000))
    return xdr.SorobanTransactionData(xdr.SorobanTransactionDataExt(0), resources, xdr.Int64(resource_fee))


def transfer(network: Network, sender: Keypair, receiver: str, stroops: int, **options: int) -> TransactionEnvelope:
    args = [scval.to_address(sender.public_key), scval.to_address(receiver), scval.to_int128(stroops)]
    contract = scval.to_address(network.usdc_contract).address
    assert contract is not None
    call = xdr.InvokeContractArgs(contract, xdr.SCSymbol(b"transfer"), args)
    function = xdr.SorobanAuthorizedFunction(
        xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN, contract_fn=call
    )
    entry = xdr.SorobanAuthorizationEntry(
        xdr.SorobanCredentials(xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT),
        xdr.SorobanAuthorizedInvocation(function, []),
    )

    holders = [sender.public_key, receiver][: options.get("declared_holders", 2)]

    def append(builder: TransactionBuilder) -> None:
        builder.append_invoke_contract_function_op(network.usdc_contract, "transfer", args, [entry])
        builder.set_soroban_data(soroban_data(network, holders, options.get("resource_fee", 50_000)))

    return network.envelope(sender, append, fee=options.get("fee", 100))
