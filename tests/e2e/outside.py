"""Accounts that are not ours, such as an exchange's or a user's own wallet, and withdrawals to them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
from stellar_sdk import Address, Asset, Keypair, Server, TransactionBuilder, TransactionEnvelope, scval, xdr
from stellar_sdk.exceptions import BadResponseError

from offerhub.commands.withdrawals import AcceptedWithdrawal, RequestWithdrawal, request_withdrawal
from offerhub.domain.money import format_amount
from offerhub.domain.withdrawals import AddressKind, Destination, Memo
from offerhub.storage import withdrawals
from offerhub.storage.users import UserRecord
from offerhub.storage.withdrawals import WithdrawalRecord
from sandbox.ledger.footprint import holding_key, instance_key
from tests.e2e.rig import Rig, acting, patient_client
from tests.services import SandboxServer

NO_LIMIT = 2**63 - 1


@dataclass(frozen=True)
class OutsideAccount:
    sandbox: SandboxServer
    keypair: Keypair

    @property
    def address(self) -> str:
        return self.keypair.public_key

    @classmethod
    async def open(cls, sandbox: SandboxServer, limit_stroops: int = NO_LIMIT) -> OutsideAccount:
        """An account with lumens and, unless the limit is 0, a trustline to the sandbox's USDC."""
        account = cls(sandbox, Keypair.random())
        async with httpx.AsyncClient(timeout=60) as client:
            (await client.get(sandbox.environment["FRIENDBOT_URL"], params={"addr": account.address})).raise_for_status()
        if limit_stroops:
            await account.set_limit(limit_stroops)
        return account

    async def set_limit(self, limit_stroops: int) -> None:
        """0 removes the trustline, which must be empty then."""
        usdc = Asset("USDC", self.sandbox.environment["USDC_ISSUER"])
        await self._submit(lambda builder: builder.append_change_trust_op(usdc, format_amount(limit_stroops)))

    async def require_memo(self) -> None:
        """SEP-29, as exchanges do."""
        await self._submit(lambda builder: builder.append_manage_data_op("config.memo_required", b"1"))

    async def payments(self) -> list[dict[str, Any]]:
        """USDC payments to this account, oldest first, each with its transaction."""
        async with httpx.AsyncClient(timeout=60) as client:
            parameters = {"limit": "200", "join": "transactions"}
            answer = await client.get(f"{self.sandbox.url}/accounts/{self.address}/payments", params=parameters)
        records = answer.raise_for_status().json()["_embedded"]["records"]
        return [record for record in records if record.get("asset_code") == "USDC" and record["to"] == self.address]

    async def pay_into_contract(self, contract_id: str, amount_stroops: int) -> None:
        """A call of the asset's own contract: nobody can keep a stranger from making a present."""
        await self._submit(lambda builder: _transfer(builder, self, contract_id, amount_stroops))

    async def queue_payment_into_contract(self, contract_id: str, amount_stroops: int) -> None:
        """The same, without waiting for the ledger that it will be in."""
        envelope = await self._signed(lambda builder: _transfer(builder, self, contract_id, amount_stroops))
        async with patient_client() as client:
            answer = await client.post(f"{self.sandbox.url}/transactions_async", data={"tx": envelope.to_xdr()})
        assert answer.json()["tx_status"] == "PENDING", answer.text

    async def _signed(self, add: Any) -> TransactionEnvelope:
        source = await asyncio.to_thread(Server(self.sandbox.url).load_account, self.address)
        builder = TransactionBuilder(source, self.sandbox.environment["NETWORK_PASSPHRASE"], base_fee=1000)
        # Another test may have advanced the ledger's clock far beyond ours.
        envelope: TransactionEnvelope = add(builder).add_time_bounds(0, 0).build()
        envelope.sign(self.keypair)
        return envelope

    async def _submit(self, add: Any) -> None:
        horizon, envelope = Server(self.sandbox.url), await self._signed(add)
        try:
            await asyncio.to_thread(horizon.submit_transaction, envelope)
        except BadResponseError:
            # A fault of the sandbox hits this submission like any other; what counts is whether it is in a ledger.
            await asyncio.to_thread(horizon.transactions().transaction(envelope.hash_hex()).call)


def _transfer(builder: TransactionBuilder, sender: OutsideAccount, contract_id: str, amount_stroops: int) -> TransactionBuilder:
    environment = sender.sandbox.environment
    issuer, passphrase = environment["USDC_ISSUER"], environment["NETWORK_PASSPHRASE"]
    token = Asset("USDC", issuer).contract_id(passphrase)
    arguments = [scval.to_address(sender.address), scval.to_address(contract_id), scval.to_int128(amount_stroops)]
    call = xdr.InvokeContractArgs(Address(token).to_xdr_sc_address(), xdr.SCSymbol(b"transfer"), arguments)
    kind = xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN
    invocation = xdr.SorobanAuthorizedInvocation(xdr.SorobanAuthorizedFunction(kind, contract_fn=call), [])
    credentials = xdr.SorobanCredentials(xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT)
    touched = [holding_key(f"USDC:{issuer}", holder, passphrase) for holder in (sender.address, contract_id)]
    resources = xdr.SorobanResources(
        xdr.LedgerFootprint([instance_key(token)], touched), xdr.Uint32(1_000_000), xdr.Uint32(1_000), xdr.Uint32(1_000)
    )
    builder.set_soroban_data(xdr.SorobanTransactionData(xdr.SorobanTransactionDataExt(0), resources, xdr.Int64(50_000)))
    entry = xdr.SorobanAuthorizationEntry(credentials, invocation)
    return builder.append_invoke_contract_function_op(token, "transfer", arguments, [entry])


async def accept_withdrawal(rig: Rig, user: UserRecord, address: str, amount_stroops: int, memo: Memo | None = None) -> AcceptedWithdrawal:
    """As the API accepts it, for a destination that looked fine a moment ago."""
    destination = Destination(address, AddressKind.ACCOUNT, exists=True, is_authorized=True, room_stroops=NO_LIMIT)
    async with rig.database.transaction(acting()) as transaction:
        return await request_withdrawal(transaction, RequestWithdrawal(user.id, amount_stroops, memo), destination, 1)


async def read_withdrawal(rig: Rig, withdrawal_id: str) -> WithdrawalRecord:
    async with rig.database.reading() as reader:
        found = await withdrawals.get(reader, withdrawal_id)
    assert found is not None
    return found
