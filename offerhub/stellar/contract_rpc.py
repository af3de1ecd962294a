"""What contracts hold, read from a Stellar RPC server: Horizon does not show it, and Trustless Work is not independent."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import httpx
from stellar_sdk import scval, xdr

from offerhub.stellar.horizon import HorizonUnavailable
from offerhub.stellar.ledger_keys import balance_key, instance_key
from offerhub.stellar.network import StellarNetwork

MOST_KEYS = 200
TIMEOUT_S = 15


class ContractRpc:
    """JSON-RPC ``getLedgerEntries``: contract instances, and balances in the USDC asset contract."""

    def __init__(self, url: str, network: StellarNetwork, client: httpx.AsyncClient) -> None:
        self._url = url
        self._network = network
        self._client = client

    async def instance_of(self, contract_id: str) -> str | None:
        """The ``LedgerEntryData`` (base64 XDR) of a contract's instance; None while the server shows none."""
        entries = await self._entries([base64.b64encode(instance_key(contract_id)).decode()])
        data = entries[0].get("xdr") if entries else None
        return data if isinstance(data, str) else None

    async def held_by_contract(self, contract_id: str, since_ledger: int = 0) -> int:
        """Stroops of USDC in ledger ``since_ledger`` or later; a server that is not there yet is ``HorizonUnavailable``."""
        return (await self.usdc_of([contract_id], since_ledger))[contract_id]

    async def usdc_of(self, contract_ids: Sequence[str], since_ledger: int = 0) -> dict[str, int]:
        """Stroops by contract, all as of one ledger. A contract that never held any, or whose entry is archived, has 0."""
        keys = {base64.b64encode(balance_key(self._network, contract_id)).decode(): contract_id for contract_id in contract_ids}
        found = dict.fromkeys(contract_ids, 0)
        for entry in await self._entries(list(keys), since_ledger):
            key, data = entry.get("key"), entry.get("xdr")
            if key not in keys or not isinstance(data, str):
                raise HorizonUnavailable("The RPC server answered with an entry that was not asked for.")
            found[keys[key]] = _amount(data)
        return found

    async def _entries(self, keys: list[str], since_ledger: int = 0) -> list[dict[str, Any]]:
        if len(keys) > MOST_KEYS:
            raise ValueError(f"at most {MOST_KEYS} entries at once")
        question = {"jsonrpc": "2.0", "id": 1, "method": "getLedgerEntries", "params": {"keys": keys}}
        try:
            answer = await self._client.post(self._url, json=question, timeout=TIMEOUT_S)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise HorizonUnavailable(f"The RPC server did not answer: {type(error).__name__} {error}"[:300]) from error
        result = body["result"] if isinstance(body, dict) and isinstance(body.get("result"), dict) else {}
        entries, ledger = result.get("entries"), result.get("latestLedger")
        if answer.status_code != httpx.codes.OK or not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise HorizonUnavailable(f"The RPC server answered {answer.status_code}: {str(body)[:200]}")
        if since_ledger and not (isinstance(ledger, int) and ledger >= since_ledger):
            raise HorizonUnavailable(f"The RPC server is at ledger {ledger}; ledger {since_ledger} is known to have closed.")
        return entries


def _amount(entry_xdr: str) -> int:
    """``{amount: i128, authorized: bool, clawback: bool}``."""
    try:
        data = xdr.LedgerEntryData.from_xdr(entry_xdr).contract_data
        assert data is not None
        fields = {scval.from_symbol(entry.key): entry.val for entry in (data.val.map.sc_map if data.val.map else [])}
        return scval.from_int128(fields["amount"])
    except Exception as error:  # the XDR parser raises whatever it likes
        raise HorizonUnavailable(f"The RPC server answered with an entry that is no balance: {type(error).__name__}") from error
