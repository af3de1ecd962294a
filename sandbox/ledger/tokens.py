"""Moving an asset between trustlines, native balances and contract balances; the issuer mints and burns."""

from __future__ import annotations

from enum import Enum

from sandbox.ledger.encoding import asset_contract_id, issuer_of
from sandbox.ledger.entries import MAX_INT64, NATIVE
from sandbox.ledger.state import Overlay


class TokenRefusal(Enum):
    NO_ACCOUNT = "account does not exist"
    NO_TRUST = "no trustline"
    NOT_AUTHORIZED = "trustline not authorized"
    UNDERFUNDED = "balance too low"
    LINE_FULL = "trustline limit reached"


class TokenRefused(Exception):
    def __init__(self, refusal: TokenRefusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class TokenBook:
    """Balances of every kind of holder inside one overlay."""

    def __init__(self, view: Overlay, network_passphrase: str, ledger_sequence: int) -> None:
        self._view = view
        self._network_passphrase = network_passphrase
        self._ledger_sequence = ledger_sequence

    def balance(self, asset: str, holder: str) -> int:
        if holder.startswith("C"):
            return self._view.contract_balance((self._contract_id(asset), holder))
        account = self._view.account(holder)
        if account is None:
            return 0
        if asset == NATIVE:
            return account.balance
        line = account.trustlines.get(asset)
        return line.balance if line is not None else 0

    def debit(self, asset: str, holder: str, amount: int) -> None:
        """Raises TokenRefused."""
        if holder.startswith("C"):
            self._change_contract(asset, holder, -amount)
            return
        account = self._view.account(holder)
        if account is None:
            raise TokenRefused(TokenRefusal.NO_ACCOUNT)
        if asset == NATIVE:
            if account.spendable < amount:
                raise TokenRefused(TokenRefusal.UNDERFUNDED)
            self._view.edit(holder).balance -= amount
        elif issuer_of(asset) != holder:
            self._change_line(asset, holder, -amount)

    def credit(self, asset: str, holder: str, amount: int) -> None:
        """Raises TokenRefused."""
        if holder.startswith("C"):
            self._change_contract(asset, holder, amount)
            return
        account = self._view.account(holder)
        if account is None:
            raise TokenRefused(TokenRefusal.NO_ACCOUNT)
        if asset == NATIVE:
            if account.balance > MAX_INT64 - amount:
                raise TokenRefused(TokenRefusal.LINE_FULL)
            self._view.edit(holder).balance += amount
        elif issuer_of(asset) != holder:
            self._change_line(asset, holder, amount)

    def _change_line(self, asset: str, holder: str, delta: int) -> None:
        account = self._view.account(holder)
        line = account.trustlines.get(asset) if account is not None else None
        if line is None:
            raise TokenRefused(TokenRefusal.NO_TRUST)
        if not line.authorized or self._view.refuses_transfer(holder, asset):
            raise TokenRefused(TokenRefusal.NOT_AUTHORIZED)
        if line.balance + delta < 0:
            raise TokenRefused(TokenRefusal.UNDERFUNDED)
        if line.balance + delta > line.limit:
            raise TokenRefused(TokenRefusal.LINE_FULL)
        changed = self._view.edit(holder).trustlines[asset]
        changed.balance += delta
        changed.last_modified_ledger = self._ledger_sequence

    def _change_contract(self, asset: str, holder: str, delta: int) -> None:
        key = (self._contract_id(asset), holder)
        balance = self._view.contract_balance(key) + delta
        if balance < 0:
            raise TokenRefused(TokenRefusal.UNDERFUNDED)
        self._view.balances[key] = balance

    def _contract_id(self, asset: str) -> str:
        return asset_contract_id(asset, self._network_passphrase)
