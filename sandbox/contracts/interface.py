"""What a contract sees of the ledger, and what the ledger learns from a contract.

The ledger (``sandbox/ledger``) calls ``sandbox.contracts.execute`` inside an overlay that it discards when
``ContractFailure`` is raised; contracts never see accounts, fees or sequences.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from stellar_sdk import xdr


@dataclass(frozen=True)
class Invocation:
    """One InvokeContract host function, as decoded from a signed envelope."""

    contract_id: str
    function: str
    args: list[xdr.SCVal]
    auth: list[xdr.SorobanAuthorizationEntry]
    source: str
    network_passphrase: str
    ledger_sequence: int


@dataclass(frozen=True)
class ContractInstance:
    """A deployed contract: its code by hash and its instance storage by symbol."""

    contract_id: str
    wasm_hash: bytes
    storage: dict[str, xdr.SCVal] = field(default_factory=dict)


@dataclass(frozen=True)
class Transfer:
    """One Stellar Asset Contract transfer, in the order it happened (addresses are G... or C...)."""

    asset_contract: str
    sender: str
    recipient: str
    amount_stroops: int


@dataclass(frozen=True)
class ContractResult:
    """What an applied call returned and emitted (contract events besides the token transfers)."""

    return_value: xdr.SCVal
    events: list[tuple[list[xdr.SCVal], xdr.SCVal]] = field(default_factory=list)


class ContractFailure(Exception):
    """The contract refused: ``code`` is its error number (None: a host trap), ``name`` the error's name in its source."""

    def __init__(self, contract_id: str, name: str, code: int | None) -> None:
        super().__init__(f"{name} (Error(Contract, #{code}))" if code is not None else name)
        self.contract_id = contract_id
        self.name = name
        self.code = code


class World(Protocol):
    """The part of the ledger that contracts may read and change, inside the current transaction."""

    def instance(self, contract_id: str) -> ContractInstance | None: ...

    def put_instance(self, instance: ContractInstance) -> None: ...

    def balance_stroops(self, asset_contract: str, address: str) -> int:
        """Balance of a G... trustline or C... contract; 0 where there is none."""
        ...

    def transfer(self, transfer: Transfer) -> None:
        """Move tokens and record the transfer event; raises ContractFailure (missing trustline, line full, too little)."""
        ...
