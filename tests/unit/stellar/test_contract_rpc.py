"""Balances of contracts from an RPC server that answers well, badly, or about something else."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from stellar_sdk import scval, xdr

from offerhub.stellar.contract_rpc import MOST_KEYS, ContractRpc
from offerhub.stellar.horizon import HorizonUnavailable
from offerhub.stellar.ledger_keys import balance_key
from tests.unit.stellar.horizon_server import Answer, HorizonServer
from tests.unit.stellar.offered import ESCROW, NETWORK


def balance(stroops: int) -> str:
    fields = {
        scval.to_symbol("amount"): scval.to_int128(stroops),
        scval.to_symbol("authorized"): scval.to_bool(True),
        scval.to_symbol("clawback"): scval.to_bool(False),
    }
    held = xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap([xdr.SCMapEntry(key, value) for key, value in fields.items()]))
    return _entry(held)


def _entry(value: xdr.SCVal) -> str:
    contract = scval.to_address(NETWORK.usdc_contract).address
    assert contract is not None
    holder = scval.to_vec([scval.to_symbol("Balance"), scval.to_address(ESCROW)])
    durability = xdr.ContractDataDurability.PERSISTENT
    data = xdr.ContractDataEntry(xdr.ExtensionPoint(0), contract, holder, durability, value)
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr()


async def held(answer: Any, contract: str = ESCROW, since_ledger: int = 0) -> dict[str, int]:
    """What the client makes of an answer; KEY in it stands for the key it asks for."""
    async with HorizonServer().running() as server, httpx.AsyncClient() as client:
        rpc = ContractRpc(f"{server.url}/rpc", NETWORK, client)
        if isinstance(answer, Answer):
            server.put("/rpc", answer)
        else:
            written = json.dumps({"jsonrpc": "2.0", "id": 1, **answer}).replace(
                "KEY", base64.b64encode(balance_key(NETWORK, ESCROW)).decode()
            )
            server.put("/rpc", Answer(200, written.encode()))
        return {contract: await rpc.held_by_contract(contract, since_ledger)}


async def test_a_balance_in_stroops() -> None:
    assert await held({"result": {"entries": [{"key": "KEY", "xdr": balance(123)}], "latestLedger": 7}}) == {ESCROW: 123}


async def test_a_contract_without_an_entry_holds_nothing() -> None:
    assert await held({"result": {"entries": [], "latestLedger": 7}}) == {ESCROW: 0}


@pytest.mark.parametrize("ledger", [7, 8, 10**9])
async def test_a_server_that_has_seen_the_ledger_is_believed(ledger: int) -> None:
    answer = {"result": {"entries": [{"key": "KEY", "xdr": balance(123)}], "latestLedger": ledger}}
    assert await held(answer, since_ledger=7) == {ESCROW: 123}


@pytest.mark.parametrize("behind", [{"latestLedger": 6}, {"latestLedger": "9"}, {"latestLedger": None}, {}])
async def test_a_server_that_is_behind_says_nothing(behind: dict[str, Any]) -> None:
    """What we have paid out since would still be there."""
    with pytest.raises(HorizonUnavailable):
        await held({"result": {"entries": [{"key": "KEY", "xdr": balance(123)}], **behind}}, since_ledger=7)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": -32602, "message": "no"}},
        {"result": None},
        {"result": {"entries": None}},
        {"result": {"entries": [7]}},
        {"result": {"entries": [{"key": "other", "xdr": balance(1)}]}},
        {"result": {"entries": [{"key": "KEY", "xdr": "AAAA"}]}},
        {"result": {"entries": [{"key": "KEY", "xdr": _entry(scval.to_uint32(5))}]}},
        {"result": {"entries": [{"key": "KEY"}]}},
        Answer(502, b"<html>"),
        Answer(500, {"result": {"entries": []}}),
        Answer(200, b"[]"),
        Answer(200, b"", cut=True),
    ],
)
async def test_anything_else_is_no_statement(answer: Any) -> None:
    with pytest.raises(HorizonUnavailable):
        await held(answer)


async def test_more_than_a_server_takes_is_refused_before_asking() -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(ValueError, match="at most"):
            await ContractRpc("http://127.0.0.1:1", NETWORK, client)._entries(["k"] * (MOST_KEYS + 1))
