"""An unsigned contract call in the hands of somebody who changes it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk import Keypair, StrKey, xdr

from sandbox.ledger.encoding import muxed_account
from sandbox.trustless.envelope import time_bounds

ATTACKER = Keypair.from_raw_ed25519_seed(sha256(b"sandbox attacker").digest())
ATTACKER_CONTRACT = StrKey.encode_contract(sha256(b"sandbox attacker contract").digest())


class NotApplicable(Exception):
    """This call has nothing of the kind that was to be changed."""


@dataclass
class Draft:
    """An envelope under change; ``tail`` follows its XDR."""

    envelope: xdr.TransactionEnvelope
    tail: bytes = b""

    @classmethod
    def read(cls, envelope_xdr: str) -> Draft:
        return cls(xdr.TransactionEnvelope.from_xdr(envelope_xdr))

    def text(self) -> str:
        return base64.b64encode(self.envelope.to_xdr_bytes() + self.tail).decode()

    @property
    def transaction(self) -> xdr.Transaction:
        envelope = self.envelope.v1 if self.envelope.fee_bump is None else self.envelope.fee_bump.tx.inner_tx.v1
        if envelope is None:
            raise NotApplicable
        return envelope.tx

    @property
    def invocation(self) -> xdr.InvokeHostFunctionOp:
        body = self.transaction.operations[0].body.invoke_host_function_op
        if body is None:
            raise NotApplicable
        return body

    @property
    def call(self) -> xdr.InvokeContractArgs:
        call = self.invocation.host_function.invoke_contract
        if call is None:
            raise NotApplicable
        return call

    @property
    def function(self) -> str:
        return self.call.function_name.sc_symbol.decode()

    @property
    def source(self) -> str:
        return muxed_account(self.transaction.source_account)[0]

    @property
    def soroban_data(self) -> xdr.SorobanTransactionData:
        data = self.transaction.ext.soroban_data
        if data is None:
            raise NotApplicable
        return data

    def set_call(self, call: xdr.InvokeContractArgs) -> None:
        """Both what is called and what is authorised."""
        self.invocation.host_function.invoke_contract = call
        for entry in self.invocation.auth:
            entry.root_invocation.function.contract_fn = call

    def set_argument(self, position: int, value: xdr.SCVal) -> None:
        call = self.call
        args = [*call.args[:position], value, *call.args[position + 1 :]]
        self.set_call(xdr.InvokeContractArgs(call.contract_address, call.function_name, args))

    def set_time_bounds(self, max_time_s: int) -> None:
        self.transaction.cond = time_bounds(max_time_s)

    def set_preconditions(self, min_sequence: int | None, extra_signers: list[xdr.SignerKey]) -> None:
        lowest = None if min_sequence is None else xdr.SequenceNumber(xdr.Int64(min_sequence))
        bounds = self.transaction.cond.time_bounds
        duration = xdr.Duration(xdr.Uint64(0))
        v2 = xdr.PreconditionsV2(bounds, None, lowest, duration, xdr.Uint32(0), extra_signers)
        self.transaction.cond = xdr.Preconditions(xdr.PreconditionType.PRECOND_V2, v2=v2)
