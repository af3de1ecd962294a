from __future__ import annotations

import base64
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import Keypair, xdr

from offerhub.custody.errors import CustodyError
from offerhub.custody.keys import LocalKeyEncryption
from offerhub.custody.sealing import SealedSeed, SeedOwner, seal, unseal
from offerhub.custody.vault import Vault

NETWORK = "OFFER-HUB Sandbox Network ; November 2026"
KEY, OTHER_KEY = LocalKeyEncryption(bytes(32)), LocalKeyEncryption(bytes([1]) * 32)
HASH = bytes(range(32))
CANARY = Keypair.from_raw_ed25519_seed(b"canary seed that must not be seen"[:32])
OWNER = SeedOwner("wal_1", CANARY.public_key, NETWORK)


def vault(key: LocalKeyEncryption = KEY, network: str = NETWORK, *retiring: LocalKeyEncryption) -> Vault:
    return Vault(key, network, retiring)


def test_a_new_wallet_signs_with_its_own_key() -> None:
    public_key, sealed = vault().create("wal_1")
    decorated = xdr.DecoratedSignature.from_xdr_bytes(vault().sign("wal_1", public_key, sealed, HASH))
    Keypair.from_public_key(public_key).verify(HASH, decorated.signature.signature)
    assert decorated.hint.signature_hint == Keypair.from_public_key(public_key).signature_hint()


def test_every_wallet_has_its_own_seed_data_key_and_nonce() -> None:
    made = [vault().create("wal_1") for _ in range(20)]
    assert len({public_key for public_key, _ in made}) == 20
    assert len({sealed.wrapped_key for _, sealed in made}) == len({sealed.nonce for _, sealed in made}) == 20


def test_a_row_copied_onto_another_wallet_does_not_open() -> None:
    mine, my_seed = vault().create("wal_1")
    theirs, their_seed = vault().create("wal_2")
    for wallet, public_key, sealed in (
        ("wal_1", mine, their_seed),
        ("wal_2", mine, my_seed),
        ("wal_1", theirs, my_seed),
        ("wal_1", mine, replace(my_seed, ciphertext=their_seed.ciphertext, nonce=their_seed.nonce)),
        ("wal_1", mine, replace(my_seed, wrapped_key=their_seed.wrapped_key)),
    ):
        with pytest.raises(CustodyError):
            vault().sign(wallet, public_key, sealed, HASH)


def test_another_key_network_or_format_does_not_open() -> None:
    public_key, sealed = vault().create("wal_1")
    pretending = replace(sealed, key_id=OTHER_KEY.id)
    with pytest.raises(CustodyError, match="no key-encryption key"):
        vault(OTHER_KEY).sign("wal_1", public_key, sealed, HASH)
    with pytest.raises(CustodyError, match="does not open"):
        vault(OTHER_KEY).sign("wal_1", public_key, pretending, HASH)
    with pytest.raises(CustodyError, match="does not open"):
        vault(KEY, "Public Global Stellar Network ; September 2015").sign("wal_1", public_key, sealed, HASH)
    with pytest.raises(CustodyError, match="format 2"):
        vault().sign("wal_1", public_key, replace(sealed, format_version=2), HASH)


def test_a_seed_that_opens_must_still_be_the_wallet_s() -> None:
    """Whoever holds the keys may have sealed the wrong seed; the derived public key decides."""
    sealed = seal(bytes(32), OWNER, KEY)
    with pytest.raises(CustodyError, match="another account"):
        vault().sign(OWNER.wallet_id, OWNER.public_key, sealed, HASH)


def test_owners_that_concatenate_alike_are_different() -> None:
    sealed = seal(CANARY.raw_secret_key(), SeedOwner("wal_1G", "ABC", NETWORK), KEY)
    with pytest.raises(CustodyError):
        unseal(sealed, SeedOwner("wal_1", "GABC", NETWORK), KEY)


def test_rotation_rewraps_the_data_key_only_and_both_keys_open_meanwhile() -> None:
    public_key, old = vault(KEY).create("wal_1")
    rotating = vault(OTHER_KEY, NETWORK, KEY)
    assert rotating.sign("wal_1", public_key, old, HASH)
    new = rotating.rewrap("wal_1", public_key, old)
    assert (new.key_id, new.ciphertext, new.nonce) == (OTHER_KEY.id, old.ciphertext, old.nonce)
    assert new.wrapped_key != old.wrapped_key
    assert rotating.rewrap("wal_1", public_key, new) == new
    assert vault(OTHER_KEY).sign("wal_1", public_key, new, HASH) == vault(KEY).sign("wal_1", public_key, old, HASH)
    with pytest.raises(CustodyError):
        vault(KEY).sign("wal_1", public_key, new, HASH)
    with pytest.raises(CustodyError):
        rotating.rewrap("wal_2", public_key, old)


def test_only_a_hash_is_signed() -> None:
    public_key, sealed = vault().create("wal_1")
    for wrong in (b"", HASH[:-1], HASH + b"\0"):
        with pytest.raises(CustodyError, match="32 bytes"):
            vault().sign("wal_1", public_key, sealed, wrong)


@settings(max_examples=60, deadline=None)
@given(part=st.sampled_from(["wrapped_key", "nonce", "ciphertext"]), at=st.integers(0, 200), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(part: str, at: int, bit: int) -> None:
    sealed = seal(CANARY.raw_secret_key(), OWNER, KEY)
    changed = bytearray(getattr(sealed, part))
    changed[at % len(changed)] ^= 1 << bit
    with pytest.raises(CustodyError):
        unseal(SealedSeed(**{**vars(sealed), part: bytes(changed)}), OWNER, KEY)


@pytest.mark.parametrize("part", ["wrapped_key", "nonce", "ciphertext"])
@pytest.mark.parametrize("length", [0, 1, 11, 13])
def test_truncated_parts_are_a_custody_error(part: str, length: int) -> None:
    sealed = seal(CANARY.raw_secret_key(), OWNER, KEY)
    short = getattr(sealed, part)[:length] if length < 12 else bytes(length)
    with pytest.raises(CustodyError):
        unseal(SealedSeed(**{**vars(sealed), part: short}), OWNER, KEY)


def test_no_secret_in_any_text_we_could_log(caplog: pytest.LogCaptureFixture) -> None:
    sealed = seal(CANARY.raw_secret_key(), OWNER, KEY)
    texts = [repr(sealed), repr(OWNER), repr(KEY), repr(vault()), str(vars(vault()))]
    failures: tuple[Callable[[], object], ...] = (
        lambda: unseal(replace(sealed, nonce=bytes(12)), OWNER, KEY),
        lambda: vault().sign("wal_1", Keypair.random().public_key, sealed, HASH),
        lambda: vault().sign("wal_1", CANARY.public_key, sealed, b"short"),
    )
    for fail in failures:
        with pytest.raises(CustodyError) as caught:
            fail()
        assert caught.value.__cause__ is None
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        texts += ["".join(shown.format())]
    seed = CANARY.raw_secret_key()
    for text in [*texts, caplog.text]:
        for secret in (CANARY.secret, seed.hex(), repr(seed), base64.b64encode(seed).decode(), repr(bytes(32))):
            assert secret not in text


def test_a_signature_failure_shows_no_seed_in_a_traceback_with_local_variables() -> None:
    """The seed opens and belongs to another account: the one failure that has a real seed in hand."""
    owner = replace(OWNER, public_key=Keypair.random().public_key)
    sealed = seal(CANARY.raw_secret_key(), owner, KEY)
    with pytest.raises(CustodyError) as caught:
        vault().sign(owner.wallet_id, owner.public_key, sealed, HASH)
    frames = list(traceback.walk_tb(caught.value.__traceback__))[1:]
    shown = "".join(repr(frame.f_locals) for frame, _ in frames)
    assert "public_key" in shown
    assert CANARY.secret not in shown
    assert repr(CANARY.raw_secret_key()) not in shown


def test_keys_are_read_from_text_and_file_and_named_by_their_content(tmp_path: Path) -> None:
    text = base64.b64encode(bytes(32)).decode()
    path = tmp_path / "key"
    path.write_text(text + "\n")
    assert LocalKeyEncryption.from_text(text).id == LocalKeyEncryption.from_file(path).id == KEY.id
    assert KEY.id != OTHER_KEY.id
    for wrong in ("not base64!", base64.b64encode(b"k" * 31).decode()):
        with pytest.raises(CustodyError) as caught:
            LocalKeyEncryption.from_text(wrong)
        assert wrong not in str(caught.value)
    with pytest.raises(CustodyError, match="absent"):
        LocalKeyEncryption.from_file(tmp_path / "absent")


def test_the_format_is_aes_256_gcm_as_written_down() -> None:
    """Opened with nothing but the cipher: what an operator needs for recovery, and what must never change silently."""
    sealed = seal(CANARY.raw_secret_key(), OWNER, KEY)

    def context(*parts: str) -> bytes:
        return b"".join(len(part).to_bytes(4) + part.encode() for part in parts)

    seed_context = context("1", OWNER.wallet_id, OWNER.public_key, NETWORK)
    key_context = context("1", OWNER.wallet_id, OWNER.public_key, NETWORK, KEY.id)
    data_key = AESGCM(bytes(32)).decrypt(sealed.wrapped_key[:12], sealed.wrapped_key[12:], key_context)
    assert len(data_key) == 32
    assert AESGCM(data_key).decrypt(sealed.nonce, sealed.ciphertext, seed_context) == CANARY.raw_secret_key()
    assert SealedSeed(**vars(sealed)) == sealed
