"""Key-encryption keys: they wrap the data key of each wallet and nothing else."""

from __future__ import annotations

import base64
import binascii
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from offerhub.custody.errors import CustodyError

KEY_BYTES = 32
NONCE_BYTES = 12


class KeyEncryption(Protocol):
    """One key-encryption key, local or in a key management service. ``context`` is authenticated, not stored."""

    @property
    def id(self) -> str: ...

    def wrap(self, data_key: bytes, context: bytes) -> bytes: ...

    def unwrap(self, wrapped_key: bytes, context: bytes) -> bytes:
        """Raise ``CustodyError`` for another key, another context or changed bytes."""
        ...


class LocalKeyEncryption:
    """AES-256-GCM under a key held in this process. The id follows from the key, so two keys can never share one."""

    def __init__(self, key: bytes) -> None:
        self._id = "local-" + sha256(b"offerhub key-encryption key id" + key).hexdigest()[:16]
        if len(key) != KEY_BYTES:
            raise CustodyError(f"A key-encryption key has {KEY_BYTES} bytes, not {len(key)}.")
        self._cipher = AESGCM(key)

    @classmethod
    def from_text(cls, text: str) -> LocalKeyEncryption:
        """``text`` is what ``WALLET_ENCRYPTION_KEY`` holds: base64 of 32 random bytes."""
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise CustodyError("The key-encryption key is not base64.") from None
        return cls(key)

    @classmethod
    def from_file(cls, path: Path) -> LocalKeyEncryption:
        try:
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            raise CustodyError(f"The key-encryption key cannot be read from {path}.") from None
        return cls.from_text(text)

    @property
    def id(self) -> str:
        return self._id

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data_key, context)

    def unwrap(self, wrapped_key: bytes, context: bytes) -> bytes:
        try:
            return self._cipher.decrypt(wrapped_key[:NONCE_BYTES], wrapped_key[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise CustodyError(f"The data key does not open under key-encryption key {self._id}.") from None

    def __repr__(self) -> str:
        return f"LocalKeyEncryption(id={self._id!r})"
