from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from stellar_sdk import Keypair, Network, TransactionBuilder, TransactionEnvelope

from offerhub.domain.intents import EscrowIntent, is_multi_release
from offerhub.stellar.envelope import attach_signatures, calls_multi_release, decode_envelope, encode_envelope, fee_bump, inner_hash
from tests.unit.stellar.offered import APPROVE, BUYER, FUND, INTENTS, NETWORK, PASSPHRASE, named, offer

PAYER = Keypair.from_raw_ed25519_seed(bytes(range(32)))
WALLET = Keypair.from_raw_ed25519_seed(bytes(range(1, 33)))


def decorated(keypair: Keypair, transaction_hash: bytes) -> bytes:
    return keypair.sign_decorated(transaction_hash).to_xdr_object().to_xdr_bytes()


@pytest.mark.parametrize("intent", INTENTS, ids=named)
def test_hash_signatures_and_fee_bump_are_the_sdk_s_to_the_byte(intent: EscrowIntent) -> None:
    text = offer(intent).envelope_xdr
    raw = decode_envelope(text)
    theirs = TransactionEnvelope.from_xdr(text, PASSPHRASE)
    assert inner_hash(NETWORK, raw) == theirs.hash()

    theirs.sign(WALLET)
    ours = attach_signatures(raw, [decorated(WALLET, inner_hash(NETWORK, raw))])
    assert encode_envelope(ours) == theirs.to_xdr()

    resource_fee = theirs.transaction.soroban_data.resource_fee.int64  # type: ignore[union-attr]
    their_bump = TransactionBuilder.build_fee_bump_transaction(PAYER, 5_000, theirs, PASSPHRASE)
    our_bump, our_hash = fee_bump(NETWORK, ours, PAYER.public_key, 5_000 * 2 + resource_fee)
    assert our_hash == their_bump.hash()
    their_bump.sign(PAYER)
    assert encode_envelope(attach_signatures(our_bump, [decorated(PAYER, our_hash)])) == their_bump.to_xdr()


def test_several_signatures_keep_their_order() -> None:
    raw = decode_envelope(offer(APPROVE).envelope_xdr)
    theirs = TransactionEnvelope.from_xdr(encode_envelope(raw), PASSPHRASE)
    theirs.sign(WALLET)
    theirs.sign(PAYER)
    both = [decorated(one, inner_hash(NETWORK, raw)) for one in (WALLET, PAYER)]
    assert encode_envelope(attach_signatures(raw, both)) == theirs.to_xdr()


def test_nothing_is_signed_twice_or_with_the_wrong_shape() -> None:
    raw = decode_envelope(offer(FUND).envelope_xdr)
    signature = decorated(WALLET, inner_hash(NETWORK, raw))
    signed = attach_signatures(raw, [signature])
    with pytest.raises(ValueError, match="signed already"):
        attach_signatures(signed, [signature])
    with pytest.raises(ValueError, match="signed already"):
        inner_hash(NETWORK, signed)
    for wrong in ([], [signature] * 21, [signature[:-1]]):
        with pytest.raises(ValueError, match="1 to 20"):
            attach_signatures(raw, wrong)


def test_a_fee_bump_is_neither_hashed_as_a_transaction_nor_wrapped_again() -> None:
    raw = decode_envelope(offer(FUND).envelope_xdr)
    signed = attach_signatures(raw, [decorated(WALLET, inner_hash(NETWORK, raw))])
    outer, _ = fee_bump(NETWORK, signed, PAYER.public_key, 1_000)
    with pytest.raises(ValueError, match="expected type"):
        inner_hash(NETWORK, outer)
    with pytest.raises(ValueError, match="plain transaction"):
        fee_bump(NETWORK, outer, PAYER.public_key, 1_000)


@pytest.mark.parametrize("text", ["AAAA=", "AAA", "AA AA", "AAAA\n", "=AAA", "AB==", "A" * 200_000, "äöü="])
def test_base64_is_read_strictly(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|longer"):
        decode_envelope(text)
    assert base64.b64encode(decode_envelope("AAAA")).decode() == "AAAA"


def test_usdc_contract_is_derived_as_on_the_public_networks() -> None:
    from dataclasses import replace

    testnet = replace(
        NETWORK, passphrase=Network.TESTNET_NETWORK_PASSPHRASE, usdc_issuer="GBBD47IF6LWK7P7MDEVSCWR7DPUWV3NY3DTQEVFL4NAT4AQH3ZLLFLA5"
    )
    public = replace(
        NETWORK, passphrase=Network.PUBLIC_NETWORK_PASSPHRASE, usdc_issuer="GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN"
    )
    assert testnet.usdc_contract == "CBIELTK6YBZJU5UP2WWQEUCYKLPU6AUNZ2BQ4WWFEIE3USCIHMXQDAMA"
    assert public.usdc_contract == "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75"
    assert public.id == Network(Network.PUBLIC_NETWORK_PASSPHRASE).network_id()


@pytest.mark.parametrize("intent", INTENTS, ids=named)
def test_an_envelope_shows_which_of_the_two_contracts_it_calls(intent: EscrowIntent) -> None:
    """Bumped and signed too, as it is stored."""
    plain = offer(intent).envelope_xdr
    signed = attach_signatures(decode_envelope(plain), [bytes(72)])
    bumped = encode_envelope(fee_bump(NETWORK, signed, BUYER, 1_000)[0])
    assert {calls_multi_release(NETWORK, one) for one in (plain, bumped)} == {is_multi_release(intent)}
    assert not calls_multi_release(replace(NETWORK, multi_release_wasm_hash=""), plain)
