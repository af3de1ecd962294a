"""The read endpoints: escrows from the index (or checked against the chain) and balances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stellar_sdk import StrKey

from sandbox.contracts.escrow_storage import ESCROW_KEY
from sandbox.contracts.records import Record, as_record
from sandbox.trustless.documents import indexed_document, validated_document
from sandbox.trustless.exact_json import units
from sandbox.trustless.index import Search
from sandbox.trustless.refusal import ESCROW_NOT_FOUND, bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.trustless.index import EscrowIndex, IndexedEscrow
    from sandbox.trustless.ports import Ledger

MAX_BALANCES = 20
MAX_PAGE = 10**6
ROLES = frozenset({"approver", "serviceProvider", "platformAddress", "releaseSigner", "disputeResolver", "receiver", "signer"})


@dataclass(frozen=True)
class EscrowReader:
    ledger: Ledger
    index: EscrowIndex

    def by_contract_ids(self, contract_ids: Sequence[str], *, validate_on_chain: bool) -> list[dict[str, object]]:
        """Ids the index does not know are left out without a word, as on the real API."""
        found = [self.index.escrow(contract_id) for contract_id in contract_ids]
        return [self._document(row, validate_on_chain=validate_on_chain) for row in found if row is not None]

    def by_signer(self, query: Mapping[str, str]) -> list[dict[str, object]]:
        return self._search("signer", query.get("signer", ""), query)

    def by_role(self, query: Mapping[str, str]) -> list[dict[str, object]]:
        role = query.get("role", "")
        if role not in ROLES:
            raise bad_request("role must be one of " + ", ".join(sorted(ROLES)))
        return self._search(role, query.get("roleAddress", ""), query)

    def balances(self, addresses: Sequence[str]) -> list[dict[str, object]]:
        if len(addresses) > MAX_BALANCES:
            raise bad_request("You have requested too many escrows")
        return [{"address": address, "balance": units(self._chain_state(address)[1])} for address in addresses]

    def _search(self, role: str, address: str, query: Mapping[str, str]) -> list[dict[str, object]]:
        """Filters by engagement, title and status; the other filters of the real API are not offered."""
        page = query.get("page", "1")
        if not (page.isascii() and page.isdecimal() and 0 < int(page) <= MAX_PAGE):
            raise bad_request("page must be a positive number")
        search = Search(
            role=role,
            address=address,
            engagement_id=query.get("engagementId"),
            title=query.get("title"),
            status=query.get("status"),
            oldest_first=query.get("orderDirection") == "asc",
            page=int(page),
        )
        validate_on_chain = query.get("validateOnChain") == "true"
        return [self._document(row, validate_on_chain=validate_on_chain) for row in self.index.search(search)]

    def _document(self, row: IndexedEscrow, *, validate_on_chain: bool) -> dict[str, object]:
        if not validate_on_chain:
            return indexed_document(row)
        escrow, balance_stroops = self._chain_state(row.contract_id)
        return validated_document(row, escrow, balance_stroops)

    def _chain_state(self, contract_id: str) -> tuple[Record, int]:
        instance = self.ledger.contract_instance(contract_id) if StrKey.is_valid_contract(contract_id) else None
        if instance is None or ESCROW_KEY not in instance.storage:
            raise bad_request(ESCROW_NOT_FOUND)
        escrow = as_record(instance.storage[ESCROW_KEY])
        return escrow, self.ledger.token_balance(escrow.trustline, contract_id)
