"""One frame of a running call: what contract code sees of its arguments, its authorisation and the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from stellar_sdk import scval, xdr

from sandbox.contracts.interface import ContractFailure
from sandbox.contracts.values import UnexpectedValue, sc_address

if TYPE_CHECKING:
    from enum import IntEnum

    from sandbox.contracts.interface import Invocation, World

Event = tuple[list[xdr.SCVal], xdr.SCVal]


def invoke_contract_args(contract_id: str, function: str, args: list[xdr.SCVal]) -> xdr.InvokeContractArgs:
    return xdr.InvokeContractArgs(sc_address(contract_id), xdr.SCSymbol(function.encode()), args)


class Authorization:
    """The auth trees of one transaction, source-account credentials only.

    A call is authorised by an address when that address is the transaction's source and some tree's root equals the
    call byte for byte; a call inside it when it stands among the sub-invocations of that node. Entries with other
    credentials authorise nothing here, so a call that needs them traps.
    """

    def __init__(self, invocation: Invocation) -> None:
        self._source = invocation.source
        self._roots = [
            entry.root_invocation
            for entry in invocation.auth
            if entry.credentials.type == xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT
        ]

    def covers(self, address: str, frames: tuple[bytes, ...]) -> bool:
        if address != self._source:
            return False
        nodes = self._roots
        matching: list[xdr.SorobanAuthorizedInvocation] = []
        for frame in frames:
            matching = [node for node in nodes if _node_call(node) == frame]
            nodes = [child for node in matching for child in node.sub_invocations]
        return bool(matching)


def _node_call(node: xdr.SorobanAuthorizedInvocation) -> bytes | None:
    call = node.function.contract_fn
    return None if call is None else call.to_xdr_bytes()


@dataclass(frozen=True)
class Call:
    """``frames`` are the encoded calls from the transaction's own down to this one."""

    world: World
    authorization: Authorization
    network_passphrase: str
    contract_id: str
    function: str
    args: list[xdr.SCVal]
    frames: tuple[bytes, ...]
    events: list[Event] = field(default_factory=list)

    def require_auth(self, address: str) -> None:
        if not self.authorization.covers(address, self.frames):
            raise ContractFailure(self.contract_id, "Error(Auth, InvalidAction)", None)

    def inner(self, contract_id: str, function: str, args: list[xdr.SCVal]) -> Call:
        """The frame of a call this contract makes to another."""
        frame = invoke_contract_args(contract_id, function, args).to_xdr_bytes()
        return Call(
            self.world, self.authorization, self.network_passphrase, contract_id, function, args, (*self.frames, frame), self.events
        )

    def arguments(self, count: int) -> list[xdr.SCVal]:
        if len(self.args) != count:
            raise UnexpectedValue(f"{self.function} takes {count} arguments, got {len(self.args)}")
        return self.args

    def emit(self, name: str, data: xdr.SCVal) -> None:
        self.events.append(([scval.to_symbol(name)], data))

    def refuse(self, error: IntEnum) -> NoReturn:
        raise ContractFailure(self.contract_id, error.name, error.value)
