"""What an operator may meet, made on a running stack through its REST API and the sandbox's faults: for the pages and their pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

import httpx
import psycopg

AMOUNT = "80.00"
# After its last moment an envelope has two minutes; five more without proof make it UNKNOWN.
UNTIL_UNKNOWN_S = 120 + 300 + 10
_PATIENCE_S = 180.0
_LOOK_AGAIN_S = 0.2
Found = TypeVar("Found")


@dataclass(frozen=True)
class Trade:
    """A funded order between two users of its own."""

    order_id: str
    buyer_id: str
    seller_id: str


class Town:
    """A stack as its ``stack.json`` describes it, and what can happen in it."""

    def __init__(self, stack: Mapping[str, Any]) -> None:
        self._stack = stack
        self._api = httpx.Client(base_url=stack["apiUrl"], headers={"Authorization": f"Bearer {stack['masterKey']}"}, timeout=60)
        self._sandbox = httpx.Client(base_url=stack["sandboxUrl"], timeout=60)

    def close(self) -> None:
        """The network is left without faults."""
        self.heal()
        self._api.close()
        self._sandbox.close()

    def call(self, method: str, path: str, body: object = None) -> Any:
        answer = self._api.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()["data"]

    def new_user(self, kind: str) -> Any:
        return self.call("POST", "/users", {"externalUserId": f"user-{time.time_ns()}", "type": kind})

    def funded(self, title: str = "A logo") -> Trade:
        buyer, seller = self.new_user("BUYER"), self.new_user("SELLER")
        address = buyer["wallet"]["publicKey"]
        self._control("/control/faucet", {"address": address, "amount": "100.00"})
        until(lambda: self.call("GET", f"/users/{buyer['id']}/balance")["available"] == "100.00")
        wanted = {"buyerId": buyer["id"], "sellerId": seller["id"], "amount": AMOUNT, "title": title, "checkout": "fund"}
        order_id = self.call("POST", "/orders", wanted)["id"]
        until(lambda: self.call("GET", f"/orders/{order_id}")["status"] == "IN_PROGRESS")
        return Trade(order_id, buyer["id"], seller["id"])

    def release(self, trade: Trade) -> str:
        """The operation's id."""
        answer = self._api.post(f"/orders/{trade.order_id}/resolution/release", headers={"Prefer": "respond-async"})
        assert answer.is_success, answer.text
        operation_id: str = answer.json()["operation"]["id"]
        return operation_id

    def disputed(self, trade: Trade) -> str:
        """The id of a dispute whose contract is frozen."""
        wanted = {"openedBy": "BUYER", "reason": "QUALITY_ISSUE", "description": "the logo has the wrong colors"}
        dispute_id: str = self.call("POST", f"/orders/{trade.order_id}/resolution/dispute", wanted)["id"]
        until(lambda: self.call("GET", f"/disputes/{dispute_id}")["freezeTransactionHash"])
        return dispute_id

    def fault(self, kind: str, **settings: object) -> str:
        fault_id: str = self._control("/control/faults", {"kind": kind, **settings})["id"]
        return fault_id

    def heal(self) -> None:
        self._sandbox.delete("/control/faults").raise_for_status()

    def pass_time(self, seconds: int) -> None:
        self._control("/control/clock/advance", {"seconds": seconds})

    def events(self, event_type: str) -> list[dict[str, Any]]:
        answer = self._api.get("/events", params={"types": event_type, "limit": 100}, headers={"Accept": "application/json"})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
        return found

    def wallet(self, user_id: str) -> str:
        address: str = self.call("GET", f"/users/{user_id}/wallet")["publicKey"]
        return address

    def lose_history(self) -> None:
        """As if payments had last been read from a ledger that this Horizon no longer has."""
        self._execute("UPDATE stream_cursors SET cursor = '0', anchor_ledger = NULL, anchor_hash = NULL", ())
        self.fault("stream_cut", next=5)

    @contextmanager
    def another_fee(self, trade: Trade) -> Iterator[None]:
        """Inside, the books expect another platform fee than the contract has: they do not agree with what it pays."""
        sql = "UPDATE orders SET platform_fee_bps = %s WHERE id = %s"
        self._execute(sql, (100, trade.order_id))
        yield
        self._execute(sql, (0, trade.order_id))

    def _execute(self, sql: LiteralString, values: tuple[object, ...]) -> None:
        with psycopg.connect(self._stack["databaseUrl"], autocommit=True) as connection:
            connection.execute(sql, values)

    def _control(self, path: str, body: object) -> Any:
        answer = self._sandbox.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()


def until(look: Callable[[], Found]) -> Found:
    """What ``look`` answers, once that is something."""
    ends = time.monotonic() + _PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(_LOOK_AGAIN_S)
    return found
