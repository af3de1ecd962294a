"""A contract's instance, as an RPC server shows it, against what our order calls for."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Address, Keypair, StrKey, scval, xdr

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import EscrowTerms, FundEscrow
from offerhub.stellar.escrow_struct import Spelling, escrow_struct
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.read_back import check_contract
from sandbox.contracts.escrow_record import escrow_value
from sandbox.contracts.multi_release_record import MilestoneFlags, MultiReleaseEscrow, multi_release_value
from tests.unit.stellar import offered

ACCOUNTS = [Keypair.random().public_key for _ in range(7)]
CODE = "ab" * 32
NETWORK = StellarNetwork("A test network", ACCOUNTS[0], StrKey.encode_contract(bytes(32)), CODE, ACCOUNTS[1])
TERMS = EscrowTerms(
    engagement_id="ord_1",
    title="A logo",
    description="",
    approver=ACCOUNTS[1],
    service_provider=ACCOUNTS[2],
    platform=ACCOUNTS[3],
    release_signer=ACCOUNTS[4],
    dispute_resolver=ACCOUNTS[5],
    receiver=ACCOUNTS[6],
    amount_stroops=800_000_000,
    platform_fee_bps=250,
    milestones=("delivery",),
)
INTENT = FundEscrow(TERMS.approver, StrKey.encode_contract(bytes([7] * 32)), TERMS, TERMS.amount_stroops)


def entry(escrow: xdr.SCVal, *, code: str = CODE, key: str = "Escrow") -> str:
    executable = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(bytes.fromhex(code)))
    storage = xdr.SCMap([xdr.SCMapEntry(scval.to_vec([scval.to_symbol(key)]), escrow)])
    instance = xdr.SCContractInstance(executable, storage)
    data = xdr.ContractDataEntry(
        ext=xdr.ExtensionPoint(0),
        contract=Address(INTENT.contract_id).to_xdr_sc_address(),
        key=xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
        durability=xdr.ContractDataDurability.PERSISTENT,
        val=xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=instance),
    )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr()


def stored(terms: EscrowTerms = TERMS, spelling: Spelling | None = None) -> xdr.SCVal:
    return escrow_struct(NETWORK, terms, spelling or Spelling())


def refused(entry_xdr: str) -> str:
    with pytest.raises(IntentMismatchError) as mismatch:
        check_contract(NETWORK, INTENT, entry_xdr)
    return mismatch.value.field


@pytest.mark.parametrize("spelling", [Spelling(), Spelling(memo_is_i128=True), Spelling(names_platform_address=True)])
def test_the_contract_we_deployed_passes_in_every_spelling_of_its_builds(spelling: Spelling) -> None:
    check_contract(NETWORK, INTENT, entry(stored(spelling=spelling)))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda terms: replace(terms, amount_stroops=1), "amount"),
        (lambda terms: replace(terms, platform_fee_bps=9_900), "platform_fee"),
        (lambda terms: replace(terms, receiver=ACCOUNTS[0]), "roles.receiver"),
        (lambda terms: replace(terms, approver=ACCOUNTS[0]), "roles.approver"),
        (lambda terms: replace(terms, release_signer=ACCOUNTS[0]), "roles.release_signer"),
        (lambda terms: replace(terms, dispute_resolver=ACCOUNTS[0]), "roles.dispute_resolver"),
        (lambda terms: replace(terms, platform=ACCOUNTS[0]), "roles.platform"),
        (lambda terms: replace(terms, service_provider=ACCOUNTS[0]), "roles.service_provider"),
        (lambda terms: replace(terms, engagement_id="ord_2"), "engagement_id"),
        (lambda terms: replace(terms, milestones=("delivery", "more")), "milestones"),
    ],
)
def test_every_term_that_differs_is_refused_by_its_name(change: Callable[[EscrowTerms], EscrowTerms], field: str) -> None:
    assert refused(entry(stored(change(TERMS)))).startswith(f"contract.escrow.{field}")


def test_other_code_no_escrow_or_another_entry_is_refused() -> None:
    assert refused(entry(stored(), code="cd" * 32)) == "contract.wasm_hash"
    assert refused(entry(stored(), key="Other")) == "contract.escrow"
    assert refused("AAAA") == "contract"


def multi(escrow: MultiReleaseEscrow, code: str = offered.NETWORK.multi_release_wasm_hash) -> str:
    """Encoded by the sandbox, which read the reference for itself."""
    return entry(multi_release_value(escrow), code=code)


HONEST = offered.multi_escrow(offered.MULTI_TERMS)
FIRST, SECOND = HONEST.milestones


def test_a_multi_release_contract_passes_by_its_own_code_and_fields() -> None:
    check_contract(offered.NETWORK, offered.MULTI_FUND, multi(HONEST))


@pytest.mark.parametrize(
    ("escrow", "field"),
    [
        (replace(HONEST, milestones=(replace(FIRST, amount_stroops=1), SECOND)), "escrow.milestones[0].amount"),
        (replace(HONEST, milestones=(FIRST, replace(SECOND, receiver=offered.STRANGER))), "escrow.milestones[1].receiver"),
        (replace(HONEST, milestones=(replace(FIRST, description="other"), SECOND)), "escrow.milestones[0].description"),
        (replace(HONEST, milestones=(replace(FIRST, status="completed"), SECOND)), "escrow.milestones[0].status"),
        (replace(HONEST, milestones=(replace(FIRST, flags=MilestoneFlags(approved=True)), SECOND)), "escrow.milestones[0].flags.approved"),
        (replace(HONEST, milestones=(FIRST, replace(SECOND, flags=MilestoneFlags(released=True)))), "escrow.milestones[1].flags.released"),
        (replace(HONEST, milestones=(SECOND, FIRST)), "escrow.milestones[0].amount"),
        (replace(HONEST, milestones=(FIRST,)), "escrow.milestones"),
        (replace(HONEST, platform_fee_bps=501), "escrow.platform_fee"),
        (replace(HONEST, roles=replace(HONEST.roles, dispute_resolver=offered.SELLER)), "escrow.roles.dispute_resolver"),
        (replace(HONEST, trustline=offered.contract("token")), "escrow.trustline.address"),
    ],
)
def test_a_multi_release_contract_that_differs_is_refused_by_the_name(escrow: MultiReleaseEscrow, field: str) -> None:
    with pytest.raises(IntentMismatchError) as mismatch:
        check_contract(offered.NETWORK, offered.MULTI_FUND, multi(escrow))
    assert mismatch.value.field == f"contract.{field}"


def test_one_contract_is_not_the_other() -> None:
    single = entry(escrow_value(offered.escrow(offered.TERMS)), code=offered.NETWORK.escrow_wasm_hash)
    check_contract(offered.NETWORK, offered.FUND, single)
    for intent, entry_xdr in ((offered.FUND, multi(HONEST)), (offered.MULTI_FUND, single)):
        with pytest.raises(IntentMismatchError) as mismatch:
            check_contract(offered.NETWORK, intent, entry_xdr)
        assert mismatch.value.field == "contract.wasm_hash"
    with pytest.raises(IntentMismatchError) as mismatch:
        check_contract(offered.NETWORK, offered.FUND, multi(HONEST, offered.NETWORK.escrow_wasm_hash))
    assert mismatch.value.field == "contract.escrow"


@given(st.binary(max_size=400))
def test_whatever_the_server_answers_is_a_refusal_and_nothing_else(garbage: bytes) -> None:
    assert refused(base64.b64encode(garbage).decode()).startswith("contract")
