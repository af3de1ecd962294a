"""Hostile changes to what a call says, on every call of both escrows that has the thing to change."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from stellar_sdk import scval, xdr

from sandbox.contracts.multi_release_record import as_multi_release
from sandbox.contracts.values import as_address, as_amounts
from sandbox.faults.drafts import ATTACKER
from tests.sandbox.faults import fault, inject, listed
from tests.sandbox.network import Network
from tests.sandbox.trustless_parties import DEPLOY, DEPLOY_MULTI, MULTI, SINGLE, Parties

Request = tuple[str, dict[str, object]]


@dataclass(frozen=True)
class Requests:
    """Every write request, each to an escrow in a state that allows it."""

    parties: Parties
    by_function: dict[str, Request]

    def arguments(self, function: str) -> list[xdr.SCVal]:
        path, body = self.by_function[function]
        return arguments(self.parties.build(path, body))

    def bent(self, function: str, mutation: str) -> list[xdr.SCVal]:
        with fault(self.parties.network, "tw_hostile", mutation=mutation, next=1):
            return self.arguments(function)


@pytest.fixture(scope="module")
def parties(shared_network: Network) -> Parties:
    shared_network.control("ledger", intervalSeconds=0)
    return Parties(shared_network, shared_network.wallet("1000"), shared_network.wallet(), shared_network.wallet())


@pytest.fixture(scope="module")
def requests(parties: Parties) -> Requests:
    buyer, platform, single, multi = parties.buyer, parties.platform, parties.deploy(), parties.deploy_multi()
    parties.fund(single)
    parties.call_multi("fund-escrow", multi, buyer, signer=buyer.public_key, amount=100)
    parties.network.submit(
        parties.sign(parties.build(f"{SINGLE}/dispute-escrow", {"contractId": single, "signer": buyer.public_key}), buyer)
    )
    first: dict[str, object] = {"milestoneIndex": "0"}
    second: dict[str, object] = {"milestoneIndex": "1"}
    parties.call_multi("dispute-milestone", multi, buyer, **first, signer=buyer.public_key)
    parties.call_multi("approve-milestone", multi, buyer, **second, approver=buyer.public_key)
    processed = parties.deploy_multi()
    parties.call_multi("fund-escrow", processed, buyer, signer=buyer.public_key, amount=100)
    for index in ("0", "1"):
        parties.call_multi("dispute-milestone", processed, buyer, milestoneIndex=index, signer=buyer.public_key)
    resolver: dict[str, object] = {"disputeResolver": platform.public_key}
    whole = {"distributions": shares(parties, 60, 40)}
    part = {"distributions": shares(parties, 35, 25)}
    bodies: dict[str, tuple[str, str, dict[str, object]]] = {
        "resolve_dispute": (f"{SINGLE}/resolve-dispute", single, resolver | whole),
        "dispute_milestone": (f"{MULTI}/dispute-milestone", multi, second | {"signer": buyer.public_key}),
        "release_milestone_funds": (f"{MULTI}/release-milestone-funds", multi, second | {"releaseSigner": buyer.public_key}),
        "resolve_milestone_dispute": (f"{MULTI}/resolve-milestone-dispute", multi, first | resolver | part),
        "withdraw_remaining_funds": (f"{MULTI}/withdraw-remaining-funds", processed, resolver | part),
    }
    calls = {function: (path, {"contractId": contract_id} | body) for function, (path, contract_id, body) in bodies.items()}
    deploys: dict[str, Request] = {
        "tw_new_single_release_escrow": (DEPLOY, parties.deploy_body()),
        "tw_new_multi_release_escrow": (DEPLOY_MULTI, parties.multi_deploy_body()),
    }
    return Requests(parties, calls | deploys)


def shares(parties: Parties, to_buyer: int, to_seller: int) -> list[dict[str, object]]:
    return [{"address": parties.buyer.public_key, "amount": to_buyer}, {"address": parties.seller.public_key, "amount": to_seller}]


def arguments(unsigned_xdr: str) -> list[xdr.SCVal]:
    envelope = xdr.TransactionEnvelope.from_xdr(unsigned_xdr)
    assert envelope.v1 is not None
    operation = envelope.v1.tx.operations[0].body.invoke_host_function_op
    assert operation is not None
    call, authorized = operation.host_function.invoke_contract, operation.auth[0].root_invocation.function.contract_fn
    assert call is not None
    assert call == authorized, "what is called is what is authorised"
    return call.args


DISTRIBUTIONS = {"resolve_dispute": 2, "resolve_milestone_dispute": 3, "withdraw_remaining_funds": 2}
SHARES = ("other_amount", "other_receiver", "extra_distribution", "missing_distribution", "swapped_distributions")
CHANGED_ARGUMENT = [
    *((function, mutation, position) for function, position in DISTRIBUTIONS.items() for mutation in SHARES),
    *((function, "other_caller", 0) for function in DISTRIBUTIONS),
    ("dispute_milestone", "other_caller", 1),
    ("release_milestone_funds", "other_caller", 0),
    ("dispute_milestone", "other_milestone", 0),
    ("resolve_milestone_dispute", "other_milestone", 1),
    ("release_milestone_funds", "other_milestone", 2),
    ("resolve_dispute", "other_fee_address", 1),
    ("release_milestone_funds", "other_fee_address", 1),
    ("withdraw_remaining_funds", "other_fee_address", 1),
    ("resolve_milestone_dispute", "other_fee_address", 2),
    ("tw_new_multi_release_escrow", "other_caller", 0),
    ("tw_new_multi_release_escrow", "other_wasm_hash", 1),
]


@pytest.mark.parametrize(("function", "mutation", "position"), CHANGED_ARGUMENT)
def test_one_argument_is_bent_and_authorised_as_it_is(requests: Requests, function: str, mutation: str, position: int) -> None:
    honest = requests.arguments(function)
    bent = requests.bent(function, mutation)
    salted = {2} if function.startswith("tw_new") else set()
    assert {each for each in range(len(honest)) if honest[each] != bent[each]} - salted == {position}


@pytest.mark.parametrize("function", DISTRIBUTIONS)
def test_what_becomes_of_the_shares(requests: Requests, function: str) -> None:
    position, parties = DISTRIBUTIONS[function], requests.parties
    honest = as_amounts(requests.arguments(function)[position])
    bent = {mutation: as_amounts(requests.bent(function, mutation)[position]) for mutation in SHARES}
    buyer, seller, attacker = parties.buyer.public_key, parties.seller.public_key, ATTACKER.public_key
    assert sum(bent["other_amount"].values()) == sum(honest.values()) + 1
    assert bent["other_receiver"].keys() - honest.keys() == {attacker}
    assert sum(bent["other_receiver"].values()) == sum(honest.values())
    assert bent["extra_distribution"] == honest | {attacker: 10**7}
    assert len(bent["missing_distribution"]) == 1
    assert bent["swapped_distributions"] == {buyer: honest[seller], seller: honest[buyer]}


@pytest.mark.parametrize(
    ("mutation", "amount", "receiver", "resolver"),
    [
        ("other_amount", 60 * 10**7 + 1, "seller", "platform"),
        ("other_receiver", 60 * 10**7, "attacker", "platform"),
        ("other_role", 60 * 10**7, "seller", "attacker"),
    ],
)
def test_the_terms_of_a_deployment_are_bent(requests: Requests, mutation: str, amount: int, receiver: str, resolver: str) -> None:
    parties = requests.parties
    names = {"seller": parties.seller.public_key, "platform": parties.platform.public_key, "attacker": ATTACKER.public_key}
    (record,) = scval.from_vec(requests.bent("tw_new_multi_release_escrow", mutation)[4])
    escrow = as_multi_release(record)
    assert (escrow.milestones[0].amount_stroops, escrow.milestones[0].receiver) == (amount, names[receiver])
    assert escrow.milestones[1].amount_stroops == 40 * 10**7
    assert escrow.roles.dispute_resolver == names[resolver]


@pytest.mark.parametrize("mutation", ["missing_distribution", "swapped_distributions"])
def test_a_lone_payee_leaves_nothing_to_drop_or_to_swap(requests: Requests, mutation: str) -> None:
    path, body = requests.by_function["resolve_milestone_dispute"]
    network, parties = requests.parties.network, requests.parties
    alone = body | {"distributions": shares(parties, 60, 1)[:1]}
    fault_id = inject(network, "tw_hostile", mutation=mutation)
    assert list(as_amounts(arguments(parties.build(path, alone))[3])) == [parties.buyer.public_key]
    assert listed(network)[fault_id]["fired"] == 0
    network.http.delete(f"/control/faults/{fault_id}")


def test_whoever_signs_swapped_shares_pays_them_so(parties: Parties) -> None:
    network, buyer, contract_id = parties.network, parties.buyer, parties.deploy_multi()
    parties.call_multi("fund-escrow", contract_id, buyer, signer=buyer.public_key, amount=100)
    parties.call_multi("dispute-milestone", contract_id, buyer, milestoneIndex="0", signer=buyer.public_key)
    resolution = {"milestoneIndex": "0", "disputeResolver": parties.platform.public_key, "distributions": shares(parties, 50, 10)}
    with fault(network, "tw_hostile", mutation="swapped_distributions", next=1):
        resolved = parties.call_multi("resolve-milestone-dispute", contract_id, parties.platform, **resolution)
    (operation,) = network.records(f"/transactions/{resolved['hash']}/operations")
    paid = {change["to"]: change["amount"] for change in operation["asset_balance_changes"]}
    assert (paid[buyer.public_key], paid[parties.seller.public_key]) == ("9.4700000", "47.3500000")


def test_the_attacker_takes_the_resolvers_place(requests: Requests) -> None:
    assert as_address(requests.bent("resolve_milestone_dispute", "other_caller")[0]) == ATTACKER.public_key
