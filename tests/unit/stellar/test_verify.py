from __future__ import annotations

import base64
import time
from dataclasses import replace

import pytest
from stellar_sdk import Keypair, Network, StrKey, TransactionBuilder, TransactionEnvelope, scval, xdr

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import EscrowIntent
from offerhub.stellar.expected import BuilderChoices, expected_call
from offerhub.stellar.ledger_keys import trustline_key
from offerhub.stellar.verify import verify_envelope
from sandbox.contracts.factory import escrow_contract_id
from tests.unit.stellar.offered import (
    APPROVE,
    BOUNDS,
    DEPLOY,
    ESCROW,
    FUND,
    INTENTS,
    MULTI,
    MULTI_RELEASE,
    MULTI_RESOLVE,
    NETWORK,
    NOW,
    PASSPHRASE,
    RELEASE,
    RESOLVE,
    SALT,
    SEQUENCE,
    STATUS,
    STRANGER,
    TERMS,
    WITHDRAW,
    account,
    contract,
    named,
    offer,
    tampered,
    verify,
)
from tests.unit.stellar.tampering import ATTACKS, Attack, authorized, call, in_escrow, operation, plain, reads, restores, soroban, struct
from tests.unit.stellar.tampering_settlements import SETTLEMENT_ATTACKS, both


@pytest.mark.parametrize("intent", INTENTS, ids=named)
def test_what_the_builder_makes_of_our_intent_is_accepted(intent: EscrowIntent) -> None:
    offered = offer(intent)
    verified = verify(intent, offered.envelope_xdr)
    assert verified.envelope_xdr == offered.envelope_xdr
    assert verified.inner_hash == offered.hash == TransactionEnvelope.from_xdr(offered.envelope_xdr, PASSPHRASE).hash_hex()
    assert (verified.source, verified.sequence, verified.max_time) == (intent.source, SEQUENCE, NOW + 100)
    assert 0 < verified.fee_stroops < 1_000_000


def test_the_contract_of_a_deployment_is_derived_from_factory_and_salt() -> None:
    assert verify(DEPLOY, offer(DEPLOY).envelope_xdr).contract_id == escrow_contract_id(PASSPHRASE, NETWORK.factory_contract, SALT)
    assert verify(FUND, offer(FUND).envelope_xdr).contract_id == ESCROW


@pytest.mark.parametrize("attack", ATTACKS + SETTLEMENT_ATTACKS, ids=lambda attack: attack.name)
def test_a_bent_envelope_is_refused_and_the_field_named(attack: Attack) -> None:
    envelope_xdr = tampered(attack.intent, attack.change)
    assert envelope_xdr != offer(attack.intent).envelope_xdr
    with pytest.raises(IntentMismatchError) as refusal:
        verify(attack.intent, envelope_xdr)
    assert refusal.value.field == attack.field


@pytest.mark.parametrize("offered", INTENTS, ids=named)
@pytest.mark.parametrize("asked", INTENTS, ids=named)
def test_an_envelope_serves_its_own_intent_only(asked: EscrowIntent, offered: EscrowIntent) -> None:
    if asked is offered:
        return
    with pytest.raises(IntentMismatchError):
        verify(asked, offer(offered).envelope_xdr)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (replace(FUND, contract_id=contract("other")), "contract"),
        (replace(FUND, amount_stroops=1), "amount"),
        (replace(FUND, terms=replace(TERMS, milestones=("Sketch", "Other"))), "expected_escrow.milestones[1].description"),
        (replace(FUND, terms=replace(TERMS, milestones=("Sketch",))), "expected_escrow.milestones"),
        (replace(FUND, terms=replace(TERMS, title="Other")), "expected_escrow.title"),
        (replace(DEPLOY, terms=replace(TERMS, platform_fee_bps=0)), "init_args[0].platform_fee"),
    ],
)
def test_the_intent_is_the_yardstick(asked: EscrowIntent, field: str) -> None:
    honest = FUND if "expected" in field or field in {"contract", "amount"} else DEPLOY
    with pytest.raises(IntentMismatchError) as refusal:
        verify(asked, offer(honest).envelope_xdr)
    assert refusal.value.field == field


def test_an_explicit_operation_source_equal_to_the_wallet_is_fine() -> None:
    envelope_xdr = tampered(APPROVE, lambda envelope: setattr(operation(envelope), "source_account", plain(APPROVE.source)))
    assert verify(APPROVE, envelope_xdr).source == APPROVE.source


@pytest.mark.parametrize(
    ("intent", "fee_position"), [(RELEASE, 1), (RESOLVE, 1), (MULTI_RELEASE, 1), (MULTI_RESOLVE, 2), (WITHDRAW, 1)], ids=named
)
def test_a_payment_without_the_fee_address_is_the_mainnet_layout(intent: EscrowIntent, fee_position: int) -> None:
    bent = tampered(intent, both(lambda args: args.pop(fee_position)))
    assert verify(intent, bent).contract_id == verify(intent, offer(intent).envelope_xdr).contract_id


def test_shares_stand_in_the_order_of_the_host() -> None:
    """By the bytes of the addresses, accounts before contracts; neither the text nor the amounts decide."""
    accounts = sorted((account(f"payee {number}") for number in range(20)), key=StrKey.decode_ed25519_public_key)
    assert accounts != sorted(accounts), "the texts sort in another way"
    payees = [*accounts, *sorted((contract(f"payee {number}") for number in range(20)), key=StrKey.decode_contract)]
    shuffled = tuple((address, 1 + payees.index(address) % 3) for address in sorted(payees, reverse=True))
    intent = replace(RESOLVE, shares=shuffled)
    _, shares = expected_call(NETWORK, intent, BuilderChoices()).arguments[1]
    assert shares.map is not None
    assert [scval.from_address(entry.key).address for entry in shares.map.sc_map] == payees
    assert shares == scval.to_map({scval.to_address(address): scval.to_int128(amount) for address, amount in shuffled})
    to_accounts = replace(RESOLVE, shares=tuple(share for share in shuffled if share[0] in accounts))
    assert verify(to_accounts, offer(to_accounts).envelope_xdr).contract_id == ESCROW


def test_trustlines_of_fees_and_payees_may_be_written_and_no_more() -> None:
    three = replace(RESOLVE, shares=(*RESOLVE.shares, (STRANGER, 5)))
    assert verify(three, offer(three).envelope_xdr).contract_id == ESCROW
    written = tampered(three, lambda envelope: soroban(envelope).resources.footprint.read_write.append(_trustline("one more")))
    with pytest.raises(IntentMismatchError) as refusal:
        verify(three, written)
    assert (refusal.value.field, refusal.value.expected, refusal.value.found) == ("footprint.trustlines", "0 to 5", "6")


def test_without_the_code_of_the_multi_release_contract_nothing_of_it_passes() -> None:
    unknown = replace(NETWORK, multi_release_wasm_hash="")
    for intent in MULTI:
        with pytest.raises(IntentMismatchError) as refusal:
            verify_envelope(unknown, intent, offer(intent).envelope_xdr, BOUNDS)
        assert refusal.value.field == "wasm_hash"
    assert verify_envelope(unknown, RELEASE, offer(RELEASE).envelope_xdr, BOUNDS).contract_id == ESCROW


def _trustline(name: str) -> xdr.LedgerKey:
    return xdr.LedgerKey.from_xdr_bytes(trustline_key(NETWORK, account(name)))


def test_both_integer_types_of_the_receiver_memo_are_known() -> None:
    envelope_xdr = tampered(FUND, in_escrow(1, "receiver_memo", scval.to_int128(0)))
    assert verify(FUND, envelope_xdr).contract_id == ESCROW


def test_the_older_name_of_the_platform_role_is_known() -> None:
    def older(envelope: xdr.TransactionEnvelope) -> None:
        for args in (call(envelope).args, authorized(envelope).args):
            roles = struct(args[1], "roles").val
            struct(roles, "platform").key = scval.to_symbol("platform_address")

    assert verify(FUND, tampered(FUND, older)).contract_id == ESCROW


def test_archived_entries_of_the_escrow_may_be_restored() -> None:
    def archived(envelope: xdr.TransactionEnvelope) -> None:
        footprint = soroban(envelope).resources.footprint
        footprint.read_write.append(footprint.read_only.pop(0))  # the code: one restores what one declares as written
        restores(0, 1)(envelope)

    assert verify(APPROVE, tampered(APPROVE, archived)).contract_id == ESCROW


def test_accounts_and_usdc_trustlines_may_be_read() -> None:
    assert verify(APPROVE, tampered(APPROVE, reads(trustline_key(NETWORK, STRANGER)))).contract_id == ESCROW


def test_bounds_decide_about_time_and_fee() -> None:
    envelope_xdr = offer(APPROVE).envelope_xdr
    for bounds, field in (
        (replace(BOUNDS, now_unix=NOW + 81), "max_time"),
        (replace(BOUNDS, now_unix=NOW - 201), "max_time"),
        (replace(BOUNDS, min_remaining_s=101), "max_time"),
        (replace(BOUNDS, max_window_s=99), "max_time"),
        (replace(BOUNDS, max_fee_stroops=520_000), "fee"),
    ):
        with pytest.raises(IntentMismatchError) as refusal:
            verify(APPROVE, envelope_xdr, bounds)
        assert refusal.value.field == field


@pytest.mark.parametrize(
    "change", ["trailing bytes", "trailing space", "line feed", "url alphabet", "truncated", "empty", "huge", "not ascii"]
)
def test_only_the_canonical_text_of_the_bytes_is_read(change: str) -> None:
    good = offer(STATUS).envelope_xdr
    raw = base64.b64decode(good)
    bad = {
        "trailing bytes": base64.b64encode(raw + bytes(4)).decode(),
        "trailing space": good + " ",
        "line feed": good[:76] + "\n" + good[76:],
        "url alphabet": base64.urlsafe_b64encode(raw + b"\xff\xfe\xfd").decode(),
        "truncated": base64.b64encode(raw[:-8]).decode(),
        "empty": "",
        "huge": "A" * 1_000_000,
        "not ascii": good[:-1] + "é",
    }[change]
    with pytest.raises(IntentMismatchError) as refusal:
        verify(STATUS, bad)
    assert refusal.value.field == "envelope"


def test_padding_that_is_not_zero_is_not_canonical() -> None:
    raw = bytearray(base64.b64decode(offer(APPROVE).envelope_xdr))
    at = bytes(raw).index(b"approve_milestone") + len(b"approve_milestone")
    raw[at] = 1
    with pytest.raises(IntentMismatchError):
        verify(APPROVE, base64.b64encode(raw).decode())


def test_a_fee_bump_and_an_old_envelope_are_refused() -> None:
    keypair = Keypair.random()
    inner = TransactionEnvelope.from_xdr(offer(APPROVE).envelope_xdr, PASSPHRASE)
    inner.sign(keypair)
    bump = TransactionBuilder.build_fee_bump_transaction(keypair, 1_000, inner, PASSPHRASE)
    with pytest.raises(IntentMismatchError) as refusal:
        verify(APPROVE, bump.to_xdr())
    assert refusal.value.field == "envelope.type"
    raw = base64.b64decode(offer(APPROVE).envelope_xdr)
    with pytest.raises(IntentMismatchError):
        verify(APPROVE, base64.b64encode(bytes(4) + raw[8:]).decode())


def test_the_hash_is_the_one_of_our_network() -> None:
    verified = verify(APPROVE, offer(APPROVE).envelope_xdr)
    elsewhere = TransactionEnvelope.from_xdr(verified.envelope_xdr, Network.PUBLIC_NETWORK_PASSPHRASE).hash_hex()
    assert verified.inner_hash != elsewhere


def test_a_deployment_on_another_network_gives_another_contract() -> None:
    other = replace(NETWORK, passphrase="another network", protocol_fee_address=account("fee"))
    assert other.usdc_contract != NETWORK.usdc_contract


def test_refusals_name_no_more_than_they_need() -> None:
    with pytest.raises(IntentMismatchError) as refusal:
        verify(RELEASE, tampered(RELEASE, lambda envelope: call(envelope).args.__setitem__(1, scval.to_address(STRANGER))))
    assert STRANGER in refusal.value.found
    assert len(refusal.value.found) <= 200


def test_verification_is_quick_enough_to_run_twice_per_step() -> None:
    envelope_xdr = offer(FUND).envelope_xdr
    best = min(_seconds(envelope_xdr) for _ in range(10))
    assert best < 0.1


def _seconds(envelope_xdr: str) -> float:
    start = time.perf_counter()
    verify(FUND, envelope_xdr)
    return time.perf_counter() - start
