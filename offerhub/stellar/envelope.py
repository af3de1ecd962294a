"""Envelopes as raw bytes: hash, append signatures, wrap into a fee bump.

An envelope's XDR is its type (4 bytes), the transaction, and the list of signatures; an unsigned one ends in an empty list (4 zero
bytes). That is all these functions need to know, so nothing is parsed or copied: what was verified is what is hashed and sent.
Signatures come as the 72 bytes of an XDR ``DecoratedSignature`` (``offerhub.custody`` makes them).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import sha256

from stellar_sdk import StrKey

from offerhub.stellar.network import StellarNetwork

# The network itself accepts no larger transaction (``reference/stellar.md`` §4).
MAX_ENVELOPE_BYTES = 132_096
MAX_SIGNATURES = 20
DECORATED_SIGNATURE_BYTES = 72

_TYPE_TRANSACTION = (2).to_bytes(4)
_TYPE_FEE_BUMP = (5).to_bytes(4)
_ED25519 = (0).to_bytes(4)
_NO_EXTENSION = (0).to_bytes(4)
_NO_SIGNATURES = (0).to_bytes(4)


def decode_envelope(text: str) -> bytes:
    """Strict base64, at most ``MAX_ENVELOPE_BYTES``, and only the spelling that the bytes encode back to; else ``ValueError``."""
    if len(text) > MAX_ENVELOPE_BYTES * 4 // 3 + 4:
        raise ValueError("longer than any transaction of the network")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"not base64: {error}") from None
    if encode_envelope(raw) != text:
        raise ValueError("not the canonical base64 of its bytes")
    return raw


def encode_envelope(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def inner_hash(network: StellarNetwork, unsigned: bytes) -> bytes:
    """The hash that is signed and by which Horizon knows the transaction, whatever fee bump is wrapped around it."""
    return _hash(network, _TYPE_TRANSACTION, unsigned)


def attach_signatures(unsigned: bytes, decorated: Sequence[bytes]) -> bytes:
    """Sign an unsigned envelope, plain or fee bump. The order of the signatures is kept."""
    _check_unsigned(unsigned)
    if not 1 <= len(decorated) <= MAX_SIGNATURES or any(len(one) != DECORATED_SIGNATURE_BYTES for one in decorated):
        raise ValueError(f"an envelope takes 1 to {MAX_SIGNATURES} decorated signatures of {DECORATED_SIGNATURE_BYTES} bytes")
    return unsigned[:-4] + len(decorated).to_bytes(4) + b"".join(decorated)


def fee_bump(network: StellarNetwork, inner_signed: bytes, fee_account: str, max_fee_stroops: int) -> tuple[bytes, bytes]:
    """Wrap a signed envelope so that ``fee_account`` pays; returns the unsigned outer envelope and the hash to sign.

    ``max_fee_stroops`` is the whole bid, of which the network takes what it needs. Twice the fee of a one-operation envelope always
    suffices: the bump counts as a second operation and must bid no less per operation, while the resource fee stays as it is.
    """
    if inner_signed[:4] != _TYPE_TRANSACTION:
        raise ValueError("only a plain transaction can be wrapped")
    source = _ED25519 + StrKey.decode_ed25519_public_key(fee_account)
    transaction = source + max_fee_stroops.to_bytes(8, signed=True) + inner_signed + _NO_EXTENSION
    unsigned = _TYPE_FEE_BUMP + transaction + _NO_SIGNATURES
    return unsigned, _hash(network, _TYPE_FEE_BUMP, unsigned)


def calls_multi_release(network: StellarNetwork, envelope_xdr: str) -> bool:
    """Whether an escrow call, signed or not, goes to the multi-release contract: its code is then among what the call reads."""
    return bool(network.multi_release_wasm_hash) and bytes.fromhex(network.multi_release_wasm_hash) in decode_envelope(envelope_xdr)


def _hash(network: StellarNetwork, envelope_type: bytes, unsigned: bytes) -> bytes:
    _check_unsigned(unsigned)
    if unsigned[:4] != envelope_type:
        raise ValueError("not an envelope of the expected type")
    return sha256(network.id + unsigned[:-4]).digest()


def _check_unsigned(unsigned: bytes) -> None:
    if unsigned[-4:] != _NO_SIGNATURES:
        raise ValueError("the envelope is signed already")
