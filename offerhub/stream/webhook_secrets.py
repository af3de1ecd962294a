"""The secrets that webhooks are signed with, as Standard Webhooks wants them, and how they are kept.

Only wallets' keys belong to custody. These sign no money, and two processes that must never hold custody's key need them: the API makes
one and shows it once, the role ``streams`` signs each delivery. So they are sealed with a key of their own
(``WEBHOOK_ENCRYPTION_KEY``): a copy of the database alone can forge no webhook.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES = 32
_NONCE_BYTES = 12
_SECRET_BYTES = 32
_PREFIX = "whsec_"


class WebhookKeyError(Exception):
    """``WEBHOOK_ENCRYPTION_KEY`` is not a key, or not the one a secret was sealed with."""


class WebhookSecrets:
    """Makes, seals and opens secrets. A sealed secret opens only for the endpoint it was made for."""

    def __init__(self, encryption_key: str) -> None:
        """``encryption_key`` is base64 of 32 bytes."""
        try:
            key = base64.b64decode(encryption_key.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != _KEY_BYTES:
            raise WebhookKeyError(f"WEBHOOK_ENCRYPTION_KEY needs base64 of {_KEY_BYTES} random bytes")
        self._cipher = AESGCM(key)

    def make(self, endpoint_id: str) -> tuple[str, bytes]:
        """A new secret as the receiver is shown it, ``whsec_…``, and sealed."""
        secret, nonce = secrets.token_bytes(_SECRET_BYTES), secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, secret, _context(endpoint_id))
        return _PREFIX + base64.b64encode(secret).decode(), sealed

    def open(self, sealed: bytes, endpoint_id: str) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _context(endpoint_id))
        except InvalidTag:
            raise WebhookKeyError(
                f"The secret of {endpoint_id} was sealed with another WEBHOOK_ENCRYPTION_KEY; rotate it with overlapSeconds 0."
            ) from None


def signature_header(secrets_now: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """``v1,<signature>`` once for each secret that is valid now, separated by blanks."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets_now)


def _context(endpoint_id: str) -> bytes:
    return b"offerhub webhook secret 1:" + endpoint_id.encode()
