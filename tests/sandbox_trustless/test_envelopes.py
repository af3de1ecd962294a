"""The unsigned transactions, read back with stellar_sdk as a client would before signing."""

from __future__ import annotations

import base64

import pytest
from stellar_sdk import Address, InvokeHostFunction, TransactionEnvelope, scval, xdr

from sandbox.contracts.escrow_record import as_escrow
from sandbox.contracts.factory import escrow_contract_id
from sandbox.trustless.envelope import transaction_hash
from tests.sandbox_trustless.conftest import SINGLE, Service, deploy_body
from tests.sandbox_trustless.memory_ledger import CLOSE_TIME_S
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
    TOKEN,
    WASM_HASH,
    escrow,
    stored,
)


def parse(unsigned_xdr: str) -> tuple[TransactionEnvelope, InvokeHostFunction, xdr.InvokeContractArgs]:
    envelope = TransactionEnvelope.from_xdr(unsigned_xdr, PASSPHRASE)
    (operation,) = envelope.transaction.operations
    assert isinstance(operation, InvokeHostFunction)
    call = operation.host_function.invoke_contract
    assert call is not None
    return envelope, operation, call


def key_names(keys: list[xdr.LedgerKey]) -> list[str]:
    """Footprint keys in words: ``code``, ``instance C…``, ``balance C…``, ``line G…``."""
    names = []
    for key in keys:
        if key.contract_code is not None:
            names.append(f"code {key.contract_code.hash.hash.hex()}")
        elif key.trust_line is not None:
            names.append(f"line {Address.from_raw_account(key.trust_line.account_id.account_id.ed25519.uint256).address}")  # type: ignore[union-attr]
        else:
            assert key.contract_data is not None
            owner = Address.from_xdr_sc_address(key.contract_data.contract).address
            data = key.contract_data.key
            if data.type == xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE:
                names.append(f"instance {owner}")
            else:
                assert owner == TOKEN
                label, holder = scval.from_vec(data)
                assert scval.from_symbol(label) == "Balance"
                names.append(f"balance {scval.from_address(holder).address}")
    return names


def footprint(envelope: TransactionEnvelope) -> tuple[list[str], list[str]]:
    data = envelope.transaction.soroban_data
    assert data is not None
    return key_names(data.resources.footprint.read_only), key_names(data.resources.footprint.read_write)


async def envelopes(service: Service) -> dict[str, str]:
    """One unsigned transaction of every kind, each built in a state that allows it."""
    deploy = await service.build("/trustless-work/deployer/single-release", deploy_body())
    contract_id = await service.deploy()
    known: dict[str, object] = {"contractId": contract_id}
    bodies: dict[str, dict[str, object]] = {
        "fund-escrow": {"signer": BUYER, "amount": 100},
        "change-milestone-status": {"milestoneIndex": "0", "newStatus": "done", "newEvidence": "x", "serviceProvider": SELLER},
        "approve-milestone": {"milestoneIndex": "0", "approver": BUYER},
        "release-funds": {"releaseSigner": RELEASER},
        "dispute-escrow": {"signer": SELLER},
        "resolve-dispute": {"disputeResolver": RESOLVER, "distributions": [{"address": BUYER, "amount": 100}]},
    }
    built = {"deploy": deploy}
    for step, body in bodies.items():
        built[step] = await service.build(f"{SINGLE}/{step}", known | body)
        if step != "release-funds":
            assert service.ledger.apply(service.sign(built[step])).successful
    return built


async def test_every_envelope_has_the_documented_shape(service: Service) -> None:
    for step, unsigned_xdr in (await envelopes(service)).items():
        raw = base64.b64decode(unsigned_xdr, validate=True)
        parsed = xdr.TransactionEnvelope.from_xdr_bytes(raw)
        assert parsed.type == xdr.EnvelopeType.ENVELOPE_TYPE_TX
        assert parsed.to_xdr_bytes() == raw
        envelope, operation, call = parse(unsigned_xdr)
        assert envelope.to_xdr_object().to_xdr_bytes() == raw
        transaction = envelope.transaction
        assert envelope.signatures == []
        assert operation.source is None
        assert transaction.memo.to_xdr_object().type == xdr.MemoType.MEMO_NONE
        bounds = transaction.preconditions.time_bounds  # type: ignore[union-attr]
        assert bounds is not None
        assert (bounds.min_time, bounds.max_time) == (0, CLOSE_TIME_S + 100)
        (entry,) = operation.auth
        assert entry.credentials.type == xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT
        assert entry.root_invocation.function.contract_fn == call
        assert bool(entry.root_invocation.sub_invocations) == (step == "fund-escrow")
        assert transaction.soroban_data is not None
        assert 500_000 <= transaction.soroban_data.resource_fee.int64 < transaction.fee <= 1_500_000
        keys = [key for part in footprint(envelope) for key in part]
        assert len(keys) == len(set(keys))
        assert transaction_hash(unsigned_xdr, PASSPHRASE) == envelope.hash_hex()


async def test_deploy_names_factory_code_salt_and_record(service: Service) -> None:
    unsigned_xdr = await service.build("/trustless-work/deployer/single-release", deploy_body(platformFee=2.75, amount=0.0000001))
    envelope, _, call = parse(unsigned_xdr)
    signer, wasm_hash, salt, init_function, init_args, constructor_args = call.args
    assert envelope.transaction.source.account_id == BUYER
    assert envelope.transaction.sequence == 42
    assert Address.from_xdr_sc_address(call.contract_address).address == FACTORY
    assert call.function_name.sc_symbol == b"tw_new_single_release_escrow"
    assert scval.from_address(signer).address == BUYER
    assert scval.from_bytes(wasm_hash) == WASM_HASH
    assert scval.from_symbol(init_function) == "initialize_escrow"
    assert scval.from_vec(constructor_args) == []
    assert as_escrow(scval.from_vec(init_args)[0]) == escrow(platform_fee_bps=275, amount_stroops=1)
    contract_id = escrow_contract_id(PASSPHRASE, FACTORY, scval.from_bytes(salt))
    read_only, read_write = footprint(envelope)
    assert read_only[0] == f"instance {FACTORY}"
    assert f"code {WASM_HASH.hex()}" in read_only
    assert read_write == [f"instance {contract_id}"]


async def test_two_deploys_never_share_a_salt(service: Service) -> None:
    assert await service.deploy() != await service.deploy()


async def test_fund_carries_the_stored_record_and_the_transfer(service: Service) -> None:
    contract_id = await service.deploy()
    unsigned_xdr = await service.build(f"{SINGLE}/fund-escrow", {"contractId": contract_id, "signer": BUYER, "amount": 99.9999999})
    envelope, operation, call = parse(unsigned_xdr)
    signer, expected, amount = call.args
    assert scval.from_address(signer).address == BUYER
    assert expected == stored(service.ledger.world, contract_id)
    assert scval.from_int128(amount) == 999_999_999
    (transfer,) = operation.auth[0].root_invocation.sub_invocations
    moved = transfer.function.contract_fn
    assert moved is not None
    assert moved.function_name.sc_symbol == b"transfer"
    assert Address.from_xdr_sc_address(moved.contract_address).address == TOKEN
    assert [scval.from_address(end).address for end in moved.args[:2]] == [BUYER, contract_id]
    assert scval.from_int128(moved.args[2]) == 999_999_999
    assert footprint(envelope) == (
        [f"code {WASM_HASH.hex()}", f"instance {contract_id}", f"instance {TOKEN}"],
        [f"line {BUYER}", f"balance {contract_id}"],
    )


async def test_an_issuer_funds_without_a_trustline_of_its_own(service: Service) -> None:
    contract_id = await service.deploy()
    service.ledger.sequences[ISSUER] = 1
    service.ledger.world.balances[TOKEN, ISSUER] = 10**9
    unsigned_xdr = await service.build(f"{SINGLE}/fund-escrow", {"contractId": contract_id, "signer": ISSUER, "amount": 1})
    assert footprint(parse(unsigned_xdr)[0])[1] == [f"balance {contract_id}"]


@pytest.mark.parametrize("step", ["release-funds", "resolve-dispute"])
async def test_payments_name_the_fee_address_and_touch_every_payee(service: Service, step: str) -> None:
    envelope, _, call = parse((await envelopes(service))[step])
    contract_id = Address.from_xdr_sc_address(call.contract_address).address
    payee = RECEIVER if step == "release-funds" else BUYER
    assert scval.from_address(call.args[1]).address == FEE_ADDRESS
    assert footprint(envelope) == (
        [f"code {WASM_HASH.hex()}", f"instance {TOKEN}"],
        [f"instance {contract_id}", f"balance {contract_id}", f"line {FEE_ADDRESS}", f"line {PLATFORM}", f"line {payee}"],
    )


async def test_state_changes_touch_the_record_only(service: Service) -> None:
    built = await envelopes(service)
    for step in ("change-milestone-status", "approve-milestone", "dispute-escrow"):
        envelope, _, call = parse(built[step])
        contract_id = Address.from_xdr_sc_address(call.contract_address).address
        assert footprint(envelope) == ([f"code {WASM_HASH.hex()}"], [f"instance {contract_id}"])


async def test_two_builds_for_one_account_take_the_same_sequence(service: Service) -> None:
    first, second = [await service.build("/trustless-work/deployer/single-release", deploy_body()) for _ in range(2)]
    assert parse(first)[0].transaction.sequence == parse(second)[0].transaction.sequence
    assert (await service.send(service.sign(first))).status_code == 200
    late = await service.send(service.sign(second))
    assert late.status_code == 400
    assert "tx_bad_seq" in late.json()["message"]
