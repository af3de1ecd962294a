"""A random walk of one order through the API: legal commands and illegal ones, one by one, several at once, and the same one twice."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import httpx

from offerhub.domain.money import format_amount
from offerhub.storage.users import UserRecord
from tests.chaos.installation import Installation
from tests.chaos.rulebook import BEGUN, DONE, RULES, Moment, Verdict, Wish, judge
from tests.chaos.told import assert_told
from tests.chaos.witness import Witness

# Neither is a round number of stroops, so that fees are floored.
PART, PARTS = 150_000_333, 2
AMOUNT = PART * PARTS
TO_SELLER = 50_000_001
STEPS = 24
STEPS_AFTER_THE_END = 2
# What leads to the end or takes a short cut is chosen less often, what leads astray more often.
_WEIGHTS = {
    "cancel": 0.05,
    "abandon": 0.3,
    "checkout": 0.5,
    "release": 0.1,
    "refund": 0.1,
    "release milestone": 0.3,
    "resolve": 0.3,
    "dispute": 1.5,
}
_PATHS = {
    "reserve": "/orders/{order}/reserve",
    "cancel": "/orders/{order}/cancel",
    "escrow": "/orders/{order}/escrow",
    "fund": "/orders/{order}/escrow/fund",
    "checkout": "/orders/{order}/checkout",
    "abandon": "/orders/{order}/escrow/abandon",
    "complete": "/orders/{order}/milestones/m{index}/complete",
    "release milestone": "/orders/{order}/milestones/m{index}/release",
    "extend": "/orders/{order}/resolution/extend",
    "release": "/orders/{order}/resolution/release",
    "refund": "/orders/{order}/resolution/refund",
    "dispute": "/orders/{order}/resolution/dispute",
    "assign": "/disputes/{dispute}/assign",
    "evidence": "/disputes/{dispute}/evidence",
    "message": "/disputes/{dispute}/messages",
    "resolve": "/disputes/{dispute}/resolve",
}
_BODIES: dict[str, dict[str, Any]] = {
    "refund": {"reason": "late"},
    "dispute": {"reason": "OTHER"},
    "extend": {"extendBySeconds": 60},
    "assign": {"assignedTo": "agent-7"},
    "evidence": {"text": "I have seen it."},
    "message": {"text": "I have seen it."},
}
_ABOUT_A_MILESTONE = ("complete", "release milestone")
_ABOUT_A_PART = ("refund", "dispute")
_ABOUT_A_DISPUTE = ("assign", "evidence", "message", "resolve")
_LEADS_TO = {"reserve": "FUNDS_RESERVED", "cancel": "CLOSED", "abandon": "CLOSED", "assign": "UNDER_REVIEW"}
# Each of these that is accepted leaves exactly one event of its own.
_LEAVES = {"assign": "dispute.under_review", "evidence": "dispute.evidence_added", "message": "dispute.evidence_added"}
_BY_ITSELF = ("remainder", "compensation")


@dataclass
class Walk:
    """``seed`` decides what is asked; when the answers come, and so what they are, the machine decides."""

    seed: int
    installation: Installation
    witness: Witness
    client: httpx.AsyncClient
    steps: list[str] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)

    async def run(self) -> None:
        try:
            await self._run()
        except BaseException as failure:
            failure.add_note("\n".join([f"walk with seed {self.seed}:", *self.steps]))
            raise

    async def _run(self) -> None:
        self.buyer, self.seller = await self.installation.party(), await self.installation.party()
        await self.installation.deposit(self.buyer, AMOUNT)
        self.order_id = await self._create(self.buyer, self.seller)
        left_after_the_end = STEPS_AFTER_THE_END
        for _ in range(STEPS):
            number, moment = await self.witness.now(self.order_id)
            if moment.state == "CLOSED":
                left_after_the_end -= 1
            if left_after_the_end < 0:
                break
            await self._step(moment, number)
            await self.installation.assert_ledger_adds_up()
            if self.chance.random() < 0.6:
                await self._rest()
        await self._end()
        await self._assert_accounted_for()

    async def _create(self, buyer: UserRecord, seller: UserRecord) -> str:
        wish: dict[str, Any] = {"buyerId": buyer.id, "sellerId": seller.id, "amount": format_amount(AMOUNT), "title": "Logo"}
        wish["milestones"] = [{"ref": f"m{n}", "title": f"Part {n}", "amount": format_amount(PART)} for n in range(PARTS)]
        wish["releaseMode"] = self.chance.choice(("single", "per_milestone"))
        if self.chance.random() < 0.5:
            wish["autoReleaseAfterSeconds"] = 30 * 86_400
        answer = await self.client.post("/orders", json=wish)
        assert answer.status_code == 201, answer.text
        self.steps.append(f"  {answer.json()['data']['id']}, {wish['releaseMode']}")
        return str(answer.json()["data"]["id"])

    # One step

    async def _step(self, moment: Moment, number: int) -> None:
        batch = [self._choose(moment) for _ in range(self.chance.choice((1, 1, 2, 3)))]
        asked = [(wish, self._body(wish, moment), uuid.uuid4().hex) for wish in batch]
        is_twin = self.chance.random() < 0.25
        if is_twin:
            asked.append(asked[0])
        wait_s = self.chance.choice((0, 0, 10))
        answers = await asyncio.gather(*(self._ask(wish, body, key, wait_s) for wish, body, key in asked))
        moments = await self.witness.since(self.order_id, number)
        seen: set[str] = set()
        for (wish, _, key), answer in zip(asked, answers, strict=True):
            self.steps.append(f"  {moment.state}: {wish} {answer.status_code} {_brief(answer)}")
            if is_twin and _is_still_running(answer):
                continue
            self._assert_answer(wish, answer, moments)
            if answer.is_success and key not in seen:
                self.accepted[wish.command] += 1
                seen.add(key)
        if not is_twin and self.chance.random() < 0.3:
            wish, body, key = asked[0]
            _assert_same(answers[0], await self._ask(wish, body, key, wait_s))

    def _choose(self, moment: Moment) -> Wish:
        wishes = [wish for command in RULES for wish in self._wishes(command, moment)]
        welcome = [wish for wish in wishes if judge(moment, wish) in (DONE, BEGUN)]
        if welcome and self.chance.random() < 0.6:
            return self.chance.choices(welcome, [_WEIGHTS.get(wish.command, 1.0) for wish in welcome])[0]
        return self.chance.choice(wishes)

    def _wishes(self, command: str, moment: Moment) -> list[Wish]:
        if command in _ABOUT_A_DISPUTE:
            return [Wish(command, dispute_id=dispute_id) for dispute_id in moment.disputes]
        if command in _ABOUT_A_MILESTONE or (command in _ABOUT_A_PART and moment.is_per_milestone):
            return [Wish(command, index) for index in range(PARTS)]
        return [Wish(command)]

    def _body(self, wish: Wish, moment: Moment) -> dict[str, Any] | None:
        if wish.command == "resolve":
            return self._decision(PART if moment.is_per_milestone else AMOUNT)
        body = dict(_BODIES.get(wish.command, {}))
        if wish.command in _ABOUT_A_PART and wish.index is not None:
            body["milestoneRef"] = f"m{wish.index}"
        if wish.command == "dispute":
            body["openedBy"] = self.chance.choice(("BUYER", "SELLER"))
        return body or None

    def _decision(self, held: int) -> dict[str, str]:
        decision = self.chance.choice(("FULL_RELEASE", "FULL_REFUND", "SPLIT"))
        if decision != "SPLIT":
            return {"decision": decision}
        return {"decision": decision, "releaseAmount": format_amount(TO_SELLER), "refundAmount": format_amount(held - TO_SELLER)}

    async def _ask(self, wish: Wish, body: dict[str, Any] | None, key: str, wait_s: int) -> httpx.Response:
        path = _PATHS[wish.command].format(order=self.order_id, index=wish.index, dispute=wish.dispute_id)
        headers = {"Idempotency-Key": key, "Prefer": f"wait={wait_s}"}
        with suppress(httpx.RemoteProtocolError):  # a kept connection that the server gave up in this moment
            return await self.client.post(path, json=body, headers=headers)
        return await self.client.post(path, json=body, headers=headers)

    def _assert_answer(self, wish: Wish, answer: httpx.Response, moments: list[Moment]) -> None:
        """There was a moment between question and answer for which this is the right one."""
        right = [judge(moment, wish) for moment in moments]
        if not answer.is_success:
            assert _refusal(answer) in right, (wish, answer.text, moments)
            return
        operation = answer.json().get("operation")
        if operation is None:
            assert DONE in right, (wish, answer.text, moments)
            assert answer.json()["data"].get("status") == _LEADS_TO.get(wish.command, answer.json()["data"].get("status"))
            return
        self.operations.add(operation["id"])
        assert Verdict("KNOWN", operation["id"]) in right or _began(operation["id"], wish, moments), (wish, answer.text, moments)

    # After a step, and in the end

    async def _rest(self) -> None:
        """Until nothing is under way; then chain, books, order and what was told of it must be one."""
        await self.installation.until(self._is_idle)
        _, moment = await self.witness.now(self.order_id)
        await self.installation.assert_wallets_hold(self.buyer, self.seller)
        order = await self.installation.read_order(self.order_id)
        if order.escrow is not None and order.escrow.contract_id is not None:
            held = await self.installation.in_contract(order.escrow.contract_id)
            assert held == await self.installation.balance(f"escrow:{order.escrow.id}")
            await self.installation.assert_contracts_as_ordered(self.order_id)
        await assert_told(self.installation, order, moment)

    async def _is_idle(self) -> bool:
        return (await self.installation.read_order(self.order_id)).operation is None

    async def _end(self) -> None:
        """From wherever the walk has led there is a way to the end."""
        while True:
            await self._rest()
            number, moment = await self.witness.now(self.order_id)
            if moment.state == "CLOSED":
                return
            wish = self._last_wish(moment)
            answer = await self._ask(wish, self._body(wish, moment), uuid.uuid4().hex, 10)
            self.steps.append(f"  {moment.state}: {wish} {answer.status_code} {_brief(answer)}")
            assert answer.is_success, answer.text
            self._assert_answer(wish, answer, await self.witness.since(self.order_id, number))

    def _last_wish(self, moment: Moment) -> Wish:
        if moment.undecided is not None:
            return Wish("resolve", dispute_id=moment.undecided)
        if moment.state in ("ORDER_CREATED", "FUNDS_RESERVED"):
            return Wish("cancel")
        if moment.state == "ESCROW_FUNDING":
            return Wish("abandon")
        if moment.is_per_milestone:
            left = [index for index, state in enumerate(moment.milestones) if state not in ("RELEASED", "REFUNDED", "SPLIT")]
            return Wish("refund", left[0])
        return Wish("release")

    async def _assert_accounted_for(self) -> None:
        """Nothing was done that nobody asked for, nothing accepted was lost, nothing was done twice."""
        done = await self.installation.rows("SELECT id, kind, status FROM operations WHERE resource_id = :id", id=self.order_id)
        assert {row["status"] for row in done} <= {"SUCCEEDED"}, done
        assert {row["id"] for row in done if row["kind"] not in _BY_ITSELF} == self.operations
        happened = Counter(
            row["type"]
            for row in await self.installation.rows("SELECT type FROM events WHERE payload ->> 'orderId' = :id", id=self.order_id)
        )
        wanted: Counter[str] = Counter()
        for command, event in _LEAVES.items():
            wanted[event] += self.accepted[command]
        assert all(happened[event] == times for event, times in wanted.items()), (happened, self.accepted)
        assert self.accepted["reserve"] <= 1


def _began(operation_id: str, wish: Wish, moments: list[Moment]) -> bool:
    """The operation first appears right after a moment in which the command was to begin one."""
    return any(
        judge(before, wish) == BEGUN
        and operation_id not in {one.id for one in before.operations}
        and operation_id in {one.id for one in after.operations}
        for before, after in pairwise(moments)
    )


def _refusal(answer: httpx.Response) -> Verdict:
    error = answer.json()["error"]
    if error["code"] != "INVALID_STATE":
        return Verdict(error["code"])
    return Verdict(error["code"], current=error["details"]["currentState"], allowed=tuple(error["details"]["allowedStates"]))


def _assert_same(first: httpx.Response, repeated: httpx.Response) -> None:
    """A request repeated later with its key is told what it was told, or what has become of that."""
    assert repeated.is_success is first.is_success, (first.text, repeated.text)
    if not first.is_success:
        assert _refusal(repeated) == _refusal(first)
    elif "operation" in first.json():
        assert repeated.json()["operation"]["id"] == first.json()["operation"]["id"]
    else:
        assert repeated.json() == first.json()


def _is_still_running(answer: httpx.Response) -> bool:
    return answer.status_code == httpx.codes.CONFLICT and answer.json()["error"]["code"] == "IDEMPOTENCY_KEY_IN_PROGRESS"


def _brief(answer: httpx.Response) -> str:
    body = answer.json()
    return str(body["error"]["code"] if "error" in body else body.get("operation", {}).get("kind", ""))
