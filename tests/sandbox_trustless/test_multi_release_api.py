"""Multi-release escrows over HTTP: requests, envelopes, refusals, documents, the index."""

from __future__ import annotations

import pytest
from stellar_sdk import scval

from sandbox.contracts.factory import escrow_contract_id
from sandbox.contracts.multi_release_record import MilestoneFlags, as_multi_release
from sandbox.contracts.values import as_address, as_amounts
from tests.sandbox_trustless.conftest import SINGLE, Service, deploy_body
from tests.sandbox_trustless.memory_world import (
    BUYER,
    FACTORY,
    FEE_ADDRESS,
    ISSUER,
    PASSPHRASE,
    PLATFORM,
    RECEIVER,
    RELEASER,
    RESOLVER,
    SELLER,
    STRANGER,
    TOKEN,
    WASM_HASH,
    stored,
)
from tests.sandbox_trustless.multi_release_calls import MULTI_WASM_HASH, multi_escrow, state
from tests.sandbox_trustless.test_api import API, UPDATE, refusal
from tests.sandbox_trustless.test_envelopes import footprint, parse

MULTI = f"{API}/escrow/multi-release"
DEPLOY = f"{API}/deployer/multi-release"


def body(**changes: object) -> dict[str, object]:
    milestones = [
        {"description": "sketch", "amount": 60, "receiver": RECEIVER},
        {"description": "final", "amount": 40, "receiver": SELLER},
    ]
    single = deploy_body()
    roles = {name: holder for name, holder in single["roles"].items() if name != "receiver"}  # type: ignore[attr-defined]
    del single["amount"]
    return single | {"roles": roles, "milestones": milestones} | changes


async def deployed(service: Service, **changes: object) -> str:
    answer = await service.send(service.sign(await service.build(DEPLOY, body(**changes))))
    contract_id: str = answer.json()["contractId"]
    return contract_id


async def call(service: Service, step: str, request: dict[str, object]) -> str:
    outcome = service.ledger.apply(service.sign(await service.build(f"{MULTI}/{step}", request)))
    assert outcome.successful, outcome
    return outcome.hash


def shares(**amounts: float) -> list[dict[str, object]]:
    holders = {"buyer": BUYER, "seller": SELLER}
    return [{"address": holders[name], "amount": amount} for name, amount in amounts.items()]


async def envelopes(service: Service) -> dict[str, str]:
    """One unsigned transaction of every kind, each built in a state that allows it, and all of them applied."""
    contract_id = await deployed(service)
    steps: list[tuple[str, dict[str, object]]] = [
        ("fund-escrow", {"signer": BUYER, "amount": 110}),
        ("change-milestone-status", {"milestoneIndex": "1", "newStatus": "done", "newEvidence": "x", "serviceProvider": SELLER}),
        ("approve-milestone", {"milestoneIndex": "1", "approver": BUYER}),
        ("release-milestone-funds", {"milestoneIndex": "1", "releaseSigner": RELEASER}),
        ("dispute-milestone", {"milestoneIndex": "0", "signer": SELLER}),
        (
            "resolve-milestone-dispute",
            {"milestoneIndex": "0", "disputeResolver": RESOLVER, "distributions": shares(buyer=59.5, seller=0.5)},
        ),
        ("withdraw-remaining-funds", {"disputeResolver": RESOLVER, "distributions": shares(buyer=10)}),
    ]
    built: dict[str, str] = {}
    for step, request in steps:
        built[step] = await service.build(f"{MULTI}/{step}", {"contractId": contract_id} | request)
        assert service.ledger.apply(service.sign(built[step])).successful
    return built


async def test_life_of_an_escrow_and_every_argument_of_it(service: Service) -> None:
    built = {step: parse(unsigned)[2] for step, unsigned in (await envelopes(service)).items()}
    assert {step: call.function_name.sc_symbol.decode() for step, call in built.items()} == {
        "fund-escrow": "fund_escrow",
        "change-milestone-status": "change_milestone_status",
        "approve-milestone": "approve_milestone",
        "release-milestone-funds": "release_milestone_funds",
        "dispute-milestone": "dispute_milestone",
        "resolve-milestone-dispute": "resolve_milestone_dispute",
        "withdraw-remaining-funds": "withdraw_remaining_funds",
    }
    release, dispute, resolve, withdraw = (
        built[step].args
        for step in ("release-milestone-funds", "dispute-milestone", "resolve-milestone-dispute", "withdraw-remaining-funds")
    )
    assert [as_address(release[0]), as_address(release[1]), scval.from_uint32(release[2])] == [RELEASER, FEE_ADDRESS, 1]
    assert [scval.from_uint32(dispute[0]), as_address(dispute[1])] == [0, SELLER]
    assert [as_address(resolve[0]), scval.from_uint32(resolve[1]), as_address(resolve[2])] == [RESOLVER, 0, FEE_ADDRESS]
    assert as_amounts(resolve[3]) == {BUYER: 595_000_000, SELLER: 5_000_000}
    assert [as_address(withdraw[0]), as_address(withdraw[1]), as_amounts(withdraw[2])] == [RESOLVER, FEE_ADDRESS, {BUYER: 10**8}]
    world, (contract_id,) = service.ledger.world, service.ledger.world.contracts
    assert world.balances[TOKEN, contract_id] == 0
    assert [milestone.flags for milestone in state(world, contract_id).milestones] == [
        MilestoneFlags(resolved=True),
        MilestoneFlags(approved=True, released=True),
    ]


async def test_every_envelope_declares_what_it_touches_and_authorises_itself(service: Service) -> None:
    built = await envelopes(service)
    (contract_id,) = service.ledger.world.contracts
    code, record, balance = f"code {MULTI_WASM_HASH.hex()}", f"instance {contract_id}", f"balance {contract_id}"
    changed = ([code], [record])

    def paid(*payees: str) -> tuple[list[str], list[str]]:
        lines = [f"line {holder}" for holder in (FEE_ADDRESS, PLATFORM, *payees)]
        return [code, f"instance {TOKEN}"], [record, balance, *lines]

    assert {step: footprint(parse(unsigned)[0]) for step, unsigned in built.items()} == {
        "fund-escrow": ([code, record, f"instance {TOKEN}"], [f"line {BUYER}", balance]),
        "change-milestone-status": changed,
        "approve-milestone": changed,
        "dispute-milestone": changed,
        "release-milestone-funds": paid(SELLER),
        "resolve-milestone-dispute": paid(BUYER, SELLER),
        "withdraw-remaining-funds": paid(BUYER),
    }
    for step, unsigned in built.items():
        _, operation, call = parse(unsigned)
        (entry,) = operation.auth
        assert entry.root_invocation.function.contract_fn == call
        assert bool(entry.root_invocation.sub_invocations) == (step == "fund-escrow")


async def test_deploy_names_its_own_code_function_and_record(service: Service) -> None:
    answer = await service.client.post(DEPLOY, json=body(platformFee=2.75))
    assert answer.status_code == 201
    envelope, _, call = parse(answer.json()["unsignedTransaction"])
    signer, wasm_hash, salt, init_function, init_args, constructor_args = call.args
    assert call.function_name.sc_symbol == b"tw_new_multi_release_escrow"
    assert as_address(signer) == BUYER
    assert scval.from_bytes(wasm_hash) == MULTI_WASM_HASH != WASM_HASH
    assert (scval.from_symbol(init_function), scval.from_vec(constructor_args)) == ("initialize_escrow", [])
    assert as_multi_release(scval.from_vec(init_args)[0]) == multi_escrow(platform_fee_bps=275)
    contract_id = escrow_contract_id(PASSPHRASE, FACTORY, scval.from_bytes(salt))
    read_only, read_write = footprint(envelope)
    assert {f"instance {TOKEN}", f"balance {contract_id}", f"code {MULTI_WASM_HASH.hex()}"} < set(read_only)
    assert read_write == [f"instance {contract_id}"]


async def test_deploy_answers_the_escrow_in_the_apis_names(service: Service) -> None:
    document = (await service.send(service.sign(await service.build(DEPLOY, body())))).json()
    flags = {"approved": False, "disputed": False, "released": False, "resolved": False}
    pending = {"status": "pending", "evidence": "", "flags": flags}
    assert document["escrow"] == {
        "engagementId": "ord_1",
        "title": "Order 1",
        "description": "a logo",
        "roles": body()["roles"],
        "platformFee": 5,
        "milestones": [
            {"description": "sketch", "amount": 60, "receiver": RECEIVER, **pending},
            {"description": "final", "amount": 40, "receiver": SELLER, **pending},
        ],
        "trustline": {"address": ISSUER, "symbol": "USDC"},
        "receiverMemo": 0,
    }
    read = await service.read(document["contractId"])
    assert (read["type"], read["platformFee"], "amount" in read, "flags" in read) == ("multi-release", 500, False, False)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"platformFee": 99.01}, "The platform fee cannot exceed 99%"),
        ({"milestones": []}, "Escrow initialized without milestone"),
        ({"milestones": [{"description": "m", "amount": 1, "receiver": SELLER}] * 51}, "Cannot define more than 50 milestones"),
        ({"milestones": [{"description": "m", "amount": 0, "receiver": SELLER}]}, "Amount cannot be equal to or less than zero"),
        ({"milestones": [{"description": "m", "amount": "1", "receiver": SELLER}]}, "milestones.0.amount: must be a number"),
        ({"milestones": [{"description": "m", "amount": 1}]}, "milestones.0.receiver"),
        ({"milestones": [{"description": "m", "amount": 1, "receiver": "GNOT"}]}, "milestones.0.receiver"),
        ({"milestones": [{"description": "m" * 501, "amount": 1, "receiver": SELLER}]}, "milestones.0.description"),
        ({"flags": {"disputed": True}}, "All flags"),
        ({"trustline": {"address": ISSUER, "symbol": "EURC"}}, "trustline"),
        ({"signer": RECEIVER}, "Account not found"),
    ],
)
async def test_deploy_refusals(service: Service, changes: dict[str, object], text: str) -> None:
    assert text in await refusal(service, DEPLOY, body(**changes))


async def test_contract_refusals_are_answered_while_building(service: Service) -> None:
    known: dict[str, object] = {"contractId": await deployed(service)}
    first: dict[str, object] = {"milestoneIndex": "0"}
    resolution: dict[str, object] = {"disputeResolver": RESOLVER, "distributions": shares(buyer=1)}
    cases: list[tuple[str, dict[str, object], str]] = [
        ("fund-escrow", {"signer": BUYER, "amount": 1_000.0000001}, "The signer has insufficient funds"),
        ("approve-milestone", first | {"approver": STRANGER}, "Only the approver"),
        ("approve-milestone", {"milestoneIndex": "2", "approver": BUYER}, "The milestone to approve does not exist"),
        ("change-milestone-status", first | {"newStatus": "", "serviceProvider": SELLER}, "cannot be empty"),
        ("release-milestone-funds", first | {"releaseSigner": RELEASER}, "The milestone must be completed"),
        ("release-milestone-funds", {"milestoneIndex": "2", "releaseSigner": RELEASER}, "Milestone not found"),
        ("release-milestone-funds", {"releaseSigner": RELEASER}, "milestoneIndex"),
        ("dispute-milestone", first | {"signer": RESOLVER}, "cannot be the one to raise a dispute"),
        ("dispute-milestone", {"milestoneIndex": 0, "signer": BUYER}, "milestoneIndex"),
        ("resolve-milestone-dispute", first | resolution, "Milestone not in dispute"),
        ("resolve-milestone-dispute", first | resolution | {"distributions": shares(buyer=1) * 2}, "only once"),
        ("withdraw-remaining-funds", resolution, "All milestones must be released or dispute-resolved"),
        ("withdraw-remaining-funds", resolution | {"distributions": shares(buyer=1) * 2}, "only once"),
    ]
    for step, request, text in cases:
        assert text in await refusal(service, f"{MULTI}/{step}", known | request)


async def test_each_kind_of_escrow_is_unknown_to_the_others_endpoints(service: Service) -> None:
    single, multi = await service.deploy(), await deployed(service)
    fund: dict[str, object] = {"signer": BUYER, "amount": 1}
    assert await refusal(service, f"{SINGLE}/fund-escrow", fund | {"contractId": multi}) == "Escrow not found"
    assert await refusal(service, f"{MULTI}/fund-escrow", fund | {"contractId": single}) == "Escrow not found"


async def test_the_index_learns_direct_submissions_and_knows_every_receiver(service: Service) -> None:
    contract_id = await deployed(service)
    known: dict[str, object] = {"contractId": contract_id}

    async def statuses(*hashes: str) -> tuple[object, object]:
        for transaction_hash in hashes:
            assert (await service.client.put(UPDATE, json={"txHash": transaction_hash})).json()["status"] == "SUCCESS"
        found = await service.client.get(f"{API}/helper/get-escrows-by-role", params={"role": "receiver", "roleAddress": SELLER})
        (document,) = found.json()
        filters = {"signer": BUYER, "status": "working"}
        working = (await service.client.get(f"{API}/helper/get-escrows-by-signer", params=filters)).json()
        return document["balance"], bool(working)

    assert await statuses() == (0, True)
    funded = await call(service, "fund-escrow", known | {"signer": BUYER, "amount": 60})
    assert (await service.read(contract_id))["balance"] == 0
    assert await statuses(funded) == (60, True)
    approved = await call(service, "approve-milestone", known | {"milestoneIndex": "0", "approver": BUYER})
    disputed = await call(service, "dispute-milestone", known | {"milestoneIndex": "0", "signer": BUYER})
    assert await statuses(approved, disputed) == (60, False)
    resolution = {"milestoneIndex": "0", "disputeResolver": RESOLVER, "distributions": shares(seller=60)}
    assert await statuses(await call(service, "resolve-milestone-dispute", known | resolution)) == (0, True)
    milestones = (await service.read(contract_id, validateOnChain="true"))["milestones"]
    assert isinstance(milestones, list)
    assert [(each["status"], each["flags"]["resolved"]) for each in milestones] == [("resolved", True), ("pending", False)]
    balances = await service.client.get(f"{API}/helper/get-multiple-escrow-balance", params={"addresses[]": contract_id})
    assert balances.json() == [{"address": contract_id, "balance": 0}]


async def test_funding_carries_the_record_as_it_is_now(service: Service) -> None:
    contract_id = await deployed(service)
    known: dict[str, object] = {"contractId": contract_id}
    fund = known | {"signer": BUYER, "amount": 100}
    stale = service.sign(await service.build(f"{MULTI}/fund-escrow", fund))
    delivered = {"milestoneIndex": "0", "newStatus": "done", "serviceProvider": SELLER}
    await call(service, "change-milestone-status", known | delivered)
    failed = await service.send(stale)
    assert failed.json() == {"status": "FAILED", "message": "The provided escrow properties do not match the stored escrow."}
    unsigned = await service.build(f"{MULTI}/fund-escrow", fund)
    assert parse(unsigned)[2].args[1] == stored(service.ledger.world, contract_id)
