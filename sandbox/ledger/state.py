"""The current ledger entries, and overlays in which a transaction changes them all or not at all."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sandbox.contracts.interface import ContractInstance
from sandbox.ledger.disturbance import Calm, Disturbance
from sandbox.ledger.encoding import asset_contract_id
from sandbox.ledger.entries import NATIVE, Account

PAST_LEDGERS = 100
_INSTANCE_CACHE_SIZE = 1_000
TokenKey = tuple[str, str]


@dataclass
class Replaced:
    """Accounts and contract balances as they were before one ledger."""

    ledger: int = 0
    accounts: dict[str, Account | None] = field(default_factory=dict)
    balances: dict[TokenKey, int] = field(default_factory=dict)


class Entries(Protocol):
    """What an overlay reads through to. Returned accounts must not be changed: ask an overlay's ``edit`` for that."""

    def account(self, address: str) -> Account | None: ...

    def instance(self, contract_id: str) -> ContractInstance | None: ...

    def contract_balance(self, key: TokenKey) -> int: ...

    def asset_of_contract(self, contract_id: str) -> str | None: ...

    def refuses_transfer(self, holder: str, asset: str) -> bool: ...


class State:
    """All entries as of the last applied transaction.

    Accounts and contract balances live in memory; contract instances (large, many, rarely read) stay in the store and
    are cached. ``changed_*`` collects what the next ledger close has to persist; ``past`` holds, for recent ledgers, what
    their changes replaced, so that accounts and balances can be seen as they were.
    """

    def __init__(self, network_passphrase: str, load_instance: Callable[[str], ContractInstance | None]) -> None:
        self._network_passphrase = network_passphrase
        self._load_instance = load_instance
        self._accounts: dict[str, Account] = {}
        self._contract_balances: dict[TokenKey, int] = {}
        self._assets: dict[str, str] = {asset_contract_id(NATIVE, network_passphrase): NATIVE}
        self._instances: OrderedDict[str, ContractInstance] = OrderedDict()
        self.fee_pool = 0
        self.disturbance: Disturbance = Calm()
        self.past: deque[Replaced] = deque(maxlen=PAST_LEDGERS)
        self._replaced = Replaced()
        self.changed_accounts: set[str] = set()
        self.changed_balances: set[TokenKey] = set()
        self.changed_instances: dict[str, ContractInstance] = {}

    def account(self, address: str) -> Account | None:
        return self._accounts.get(address)

    def accounts(self) -> Iterable[Account]:
        return self._accounts.values()

    def contract_balances(self) -> dict[TokenKey, int]:
        return self._contract_balances

    def contract_balance(self, key: TokenKey) -> int:
        return self._contract_balances.get(key, 0)

    def asset_of_contract(self, contract_id: str) -> str | None:
        return self._assets.get(contract_id)

    def refuses_transfer(self, holder: str, asset: str) -> bool:
        """Whether a fault froze the trustline; the entry itself stays as it is."""
        frozen = self.disturbance.is_frozen(holder, asset)
        if frozen:
            self.disturbance.note_frozen(holder, asset)
        return frozen

    def instance(self, contract_id: str) -> ContractInstance | None:
        changed = self.changed_instances.get(contract_id)
        if changed is not None:
            return changed
        cached = self._instances.get(contract_id)
        if cached is None:
            cached = self._load_instance(contract_id)
        if cached is not None:
            self._remember(cached)
        return cached

    def load(self, accounts: Iterable[Account], balances: dict[TokenKey, int]) -> None:
        for account in accounts:
            self._put_account(account)
        self._contract_balances.update(balances)

    def merge(self, overlay: Overlay) -> None:
        for address, account in overlay.accounts.items():
            self._replaced.accounts.setdefault(address, self._accounts.get(address))
            if account is None:
                self._accounts.pop(address, None)
            else:
                self._put_account(account)
            self.changed_accounts.add(address)
        for key in overlay.balances:
            self._replaced.balances.setdefault(key, self.contract_balance(key))
        self._contract_balances.update(overlay.balances)
        self.changed_balances.update(overlay.balances)
        self.changed_instances.update(overlay.instances)

    def seal(self, ledger: int) -> None:
        """The changes so far are ledger ``ledger``, and stored."""
        self._replaced.ledger = ledger
        self.past.append(self._replaced)
        self._replaced = Replaced()
        for instance in self.changed_instances.values():
            self._remember(instance)
        self.changed_accounts.clear()
        self.changed_balances.clear()
        self.changed_instances.clear()

    def _put_account(self, account: Account) -> None:
        self._accounts[account.address] = account
        for asset in account.trustlines:
            self._assets[asset_contract_id(asset, self._network_passphrase)] = asset

    def _remember(self, instance: ContractInstance) -> None:
        self._instances[instance.contract_id] = instance
        self._instances.move_to_end(instance.contract_id)
        if len(self._instances) > _INSTANCE_CACHE_SIZE:
            self._instances.popitem(last=False)


class Overlay:
    """Changes on top of other entries; dropped unless merged."""

    def __init__(self, base: Entries) -> None:
        self._base = base
        self.accounts: dict[str, Account | None] = {}
        self.balances: dict[TokenKey, int] = {}
        self.instances: dict[str, ContractInstance] = {}

    def account(self, address: str) -> Account | None:
        if address in self.accounts:
            return self.accounts[address]
        return self._base.account(address)

    def edit(self, address: str) -> Account:
        """The account for changing; it must exist."""
        if address in self.accounts:
            account = self.accounts[address]
        else:
            original = self._base.account(address)
            account = original.clone() if original is not None else None
        if account is None:
            raise KeyError(address)
        self.accounts[address] = account
        return account

    def put(self, account: Account) -> None:
        self.accounts[account.address] = account

    def remove(self, address: str) -> None:
        self.accounts[address] = None

    def absorb(self, child: Overlay) -> None:
        """Take over what an overlay on top of this one changed."""
        self.accounts.update(child.accounts)
        self.balances.update(child.balances)
        self.instances.update(child.instances)

    def instance(self, contract_id: str) -> ContractInstance | None:
        return self.instances.get(contract_id) or self._base.instance(contract_id)

    def contract_balance(self, key: TokenKey) -> int:
        if key in self.balances:
            return self.balances[key]
        return self._base.contract_balance(key)

    def asset_of_contract(self, contract_id: str) -> str | None:
        return self._base.asset_of_contract(contract_id)

    def refuses_transfer(self, holder: str, asset: str) -> bool:
        return self._base.refuses_transfer(holder, asset)
