"""Who may make a contract do something, and under which id the factory deploys."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from stellar_sdk import Address, StrKey, scval, xdr

from sandbox.contracts import execute
from sandbox.contracts.errors import EscrowError
from sandbox.contracts.factory import escrow_contract_id
from sandbox.contracts.interface import ContractFailure, Transfer
from sandbox.contracts.values import address_value, amounts_value, string_value
from sandbox.trustless import identity
from sandbox.trustless.envelope import ContractCall
from tests.sandbox_trustless.memory_world import (
    BUYER,
    FACTORY,
    FEE_ADDRESS,
    PASSPHRASE,
    RELEASER,
    RESOLVER,
    SALT,
    SELLER,
    STRANGER,
    TOKEN,
    WASM_HASH,
    MemoryWorld,
    deploy,
    deploy_call,
    escrow,
    fund_call,
    invocation,
    run,
    state,
    stored,
    world,
)


def unauthorised(into: MemoryWorld, call: ContractCall, source: str | None = None) -> None:
    with pytest.raises(ContractFailure, match="InvalidAction") as failure:
        run(into, call, source)
    assert failure.value.code is None


def test_the_source_account_must_be_the_address_that_authorises() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    unauthorised(ledger, ContractCall(BUYER, contract_id, "dispute_escrow", [address_value(BUYER)]), source=SELLER)


def test_the_authorised_root_must_be_the_call_itself() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    approve = ContractCall(BUYER, contract_id, "approve_milestone", [scval.to_uint32(0), address_value(BUYER)])
    dispute = ContractCall(BUYER, contract_id, "dispute_escrow", [address_value(BUYER)])
    for auth in ([], [dispute.authorization()]):
        with pytest.raises(ContractFailure, match="InvalidAction"):
            execute(replace(invocation(approve), auth=auth), ledger)


def test_no_call_that_changes_anything_goes_without_authorisation() -> None:
    ledger = world(buyer=100)
    contract_id = deploy(ledger)
    fee_recipient, shares = address_value(FEE_ADDRESS), amounts_value({BUYER: 1})
    calls = [
        deploy_call(escrow(), salt=bytes(32)),
        fund_call(contract_id, stored(ledger, contract_id), 50),
        ContractCall(
            SELLER, contract_id, "change_milestone_status", [scval.to_uint32(0), string_value("x"), scval.to_void(), address_value(SELLER)]
        ),
        ContractCall(BUYER, contract_id, "approve_milestone", [scval.to_uint32(0), address_value(BUYER)]),
        ContractCall(RELEASER, contract_id, "release_funds", [address_value(RELEASER), fee_recipient]),
        ContractCall(BUYER, contract_id, "dispute_escrow", [address_value(BUYER)]),
        ContractCall(RESOLVER, contract_id, "resolve_dispute", [address_value(RESOLVER), fee_recipient, shares]),
    ]
    for call in calls:
        unauthorised(ledger, call, source=STRANGER)
        with pytest.raises(ContractFailure, match="InvalidAction"):
            execute(replace(invocation(call), auth=[]), ledger)


def test_address_credentials_authorise_nothing() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    dispute = ContractCall(BUYER, contract_id, "dispute_escrow", [address_value(BUYER)])
    entry = dispute.authorization()
    entry.credentials = xdr.SorobanCredentials(
        xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS,
        address=xdr.SorobanAddressCredentials(Address(BUYER).to_xdr_sc_address(), xdr.Int64(1), xdr.Uint32(100), scval.to_void()),
    )
    with pytest.raises(ContractFailure, match="InvalidAction"):
        execute(replace(invocation(dispute), auth=[entry]), ledger)


def test_funding_needs_the_transfer_among_the_sub_invocations() -> None:
    ledger = world(buyer=100)
    contract_id = deploy(ledger)
    call = fund_call(contract_id, stored(ledger, contract_id), 50)
    unauthorised(ledger, replace(call, inner=[]))
    larger = fund_call(contract_id, stored(ledger, contract_id), 51)
    unauthorised(ledger, replace(call, inner=larger.inner))
    assert ledger.balances[TOKEN, BUYER] == 100
    run(ledger, call)
    assert ledger.balances[TOKEN, BUYER] == 50


def test_a_transfer_authorised_beside_the_call_does_not_count_for_the_funding() -> None:
    ledger = world(buyer=100)
    contract_id = deploy(ledger)
    call = fund_call(contract_id, stored(ledger, contract_id), 50)
    auth = [replace(call, inner=[]).authorization(), call.inner[0].authorization()]
    with pytest.raises(ContractFailure, match="InvalidAction"):
        execute(replace(invocation(call), auth=auth), ledger)


def test_the_token_moves_on_the_holders_word_only() -> None:
    ledger = world(buyer=10)
    args = [address_value(BUYER), address_value(SELLER), scval.to_int128(4)]
    unauthorised(ledger, ContractCall(SELLER, TOKEN, "transfer", args))
    run(ledger, ContractCall(BUYER, TOKEN, "transfer", args))
    assert ledger.transfers == [Transfer(TOKEN, BUYER, SELLER, 4)]
    balance = run(ledger, ContractCall(BUYER, TOKEN, "balance", [address_value(SELLER)]))
    assert scval.from_int128(balance.return_value) == 4
    with pytest.raises(ContractFailure) as failure:
        run(ledger, ContractCall(BUYER, TOKEN, "transfer", [*args[:2], scval.to_int128(-1)]))
    assert failure.value.name == "NegativeAmountError"


def test_contract_id_is_the_hash_of_the_preimage_laid_out_by_hand() -> None:
    network_id = sha256(PASSPHRASE.encode()).digest()
    factory_address = (1).to_bytes(4, "big") + StrKey.decode_contract(FACTORY)
    preimage = (8).to_bytes(4, "big") + network_id + (0).to_bytes(4, "big") + factory_address + SALT
    assert escrow_contract_id(PASSPHRASE, FACTORY, SALT) == StrKey.encode_contract(sha256(preimage).digest())


def test_deploy_answers_the_id_and_the_initialised_record() -> None:
    ledger = world()
    result = run(ledger, deploy_call(escrow()))
    contract_id, initialised = scval.from_vec(result.return_value)
    assert scval.from_address(contract_id).address == escrow_contract_id(PASSPHRASE, FACTORY, SALT)
    assert initialised.to_xdr_bytes() == stored(ledger, scval.from_address(contract_id).address).to_xdr_bytes()
    assert [scval.from_symbol(topics[0]) for topics, _ in result.events] == ["tw_init"]
    assert state(ledger, scval.from_address(contract_id).address) == escrow()


def test_a_salt_is_good_for_one_contract_and_the_code_must_be_known() -> None:
    ledger = world()
    deploy(ledger)
    with pytest.raises(ContractFailure, match="ExistingValue"):
        run(ledger, deploy_call(escrow()))
    with pytest.raises(ContractFailure, match="MissingValue"):
        run(ledger, deploy_call(escrow(), salt=bytes(32), wasm_hash=bytes(32)))
    run(ledger, deploy_call(escrow(), salt=bytes(32), wasm_hash=WASM_HASH))
    assert len(ledger.contracts) == 2


def test_calls_to_nothing_trap() -> None:
    nothing = StrKey.encode_contract(bytes(32))
    transfer = [address_value(BUYER), address_value(SELLER), scval.to_int128(1)]
    for function, args in (("fund_escrow", []), ("transfer", transfer)):
        with pytest.raises(ContractFailure, match="MissingValue"):
            run(world(), ContractCall(BUYER, nothing, function, args))


def test_stored_maps_are_sorted_as_the_host_demands() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    record = stored(ledger, contract_id)
    resorted = scval.to_map(scval.from_map(record))
    assert resorted.to_xdr_bytes() == record.to_xdr_bytes()
    assert [scval.from_symbol(key) for key in scval.from_map(record)] == [
        "amount", "description", "engagement_id", "flags", "milestones",
        "platform_fee", "receiver_memo", "roles", "title", "trustline",
    ]  # fmt: skip


def test_unsorted_or_malformed_records_are_refused() -> None:
    ledger = world()
    call = deploy_call(escrow(title="other"))
    record = scval.from_vec(call.args[4])[0]
    assert record.map is not None
    last = record.map.sc_map.pop()
    for entries in (record.map.sc_map, [last, *record.map.sc_map], [*record.map.sc_map, last, last]):
        record.map.sc_map = entries
        with pytest.raises(ContractFailure, match="struct fields") as failure:
            run(ledger, call)
        assert failure.value.code is None


def test_identity_follows_from_the_passphrase() -> None:
    known = identity(PASSPHRASE)
    assert known["feeAddress"] == FEE_ADDRESS
    assert known == identity(PASSPHRASE)
    assert not set(known.values()) & set(identity("another network").values())
    assert StrKey.is_valid_contract(known["factory"])
    assert len(bytes.fromhex(known["wasmHash"])) == 32
    assert "." in known["apiKey"]


def test_error_numbers_are_those_of_the_source() -> None:
    assert {error.name: error.value for error in EscrowError}["EscrowPropertiesMismatch"] == 33
    assert EscrowError.MilestoneToUpdateDoesNotExist.value == 46
