"""Envelope encryption of one seed: the seed under a data key of its own, the data key under a key-encryption key.

Both layers authenticate format version, wallet id, public key and network, so a row copied onto another wallet or network does not open.
The key-encryption key's id is authenticated with the data key only: changing that key re-wraps the data key and leaves the seed as it is.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from offerhub.custody.errors import CustodyError
from offerhub.custody.keys import KEY_BYTES, NONCE_BYTES, KeyEncryption

FORMAT_VERSION = 1


@dataclass(frozen=True)
class SealedSeed:
    """What the wallet's row stores; useless without the key-encryption key ``key_id`` names."""

    format_version: int
    key_id: str
    wrapped_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


@dataclass(frozen=True)
class SeedOwner:
    """The wallet a seed belongs to, as both layers of the encryption attest it."""

    wallet_id: str
    public_key: str
    network_passphrase: str


def seal(seed: bytes, owner: SeedOwner, key: KeyEncryption) -> SealedSeed:
    data_key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
    return SealedSeed(
        format_version=FORMAT_VERSION,
        key_id=key.id,
        wrapped_key=key.wrap(data_key, _context(FORMAT_VERSION, owner, key.id)),
        nonce=nonce,
        ciphertext=AESGCM(data_key).encrypt(nonce, seed, _context(FORMAT_VERSION, owner)),
    )


def unseal(sealed: SealedSeed, owner: SeedOwner, key: KeyEncryption) -> bytes:
    """Return the seed; ``CustodyError`` unless every byte and ``owner`` are what was sealed."""
    _check_readable(sealed, key)
    # No name is given to the data key: a traceback that shows local variables has nothing to show.
    cipher = AESGCM(key.unwrap(sealed.wrapped_key, _context(sealed.format_version, owner, key.id)))
    try:
        return cipher.decrypt(sealed.nonce, sealed.ciphertext, _context(sealed.format_version, owner))
    except (InvalidTag, ValueError):
        raise CustodyError(f"The sealed seed of wallet {owner.wallet_id} does not open.") from None


def rewrap(sealed: SealedSeed, owner: SeedOwner, old: KeyEncryption, new: KeyEncryption) -> SealedSeed:
    """Move the data key under ``new``; the seed itself is not decrypted."""
    _check_readable(sealed, old)
    wrapped_key = new.wrap(
        old.unwrap(sealed.wrapped_key, _context(sealed.format_version, owner, old.id)),
        _context(sealed.format_version, owner, new.id),
    )
    return replace(sealed, key_id=new.id, wrapped_key=wrapped_key)


def _check_readable(sealed: SealedSeed, key: KeyEncryption) -> None:
    if sealed.format_version != FORMAT_VERSION:
        raise CustodyError(f"Sealed seeds of format {sealed.format_version} are not known here.")
    if sealed.key_id != key.id:
        raise CustodyError(f"The seed is sealed under key-encryption key {sealed.key_id}, not {key.id}.")


def _context(format_version: int, owner: SeedOwner, *key_id: str) -> bytes:
    """Length-prefixed, so that no two owners spell the same bytes."""
    parts = [str(format_version), owner.wallet_id, owner.public_key, owner.network_passphrase, *key_id]
    return b"".join(len(part).to_bytes(4) + part for part in (text.encode() for text in parts))
