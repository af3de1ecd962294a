"""Ed25519 signatures of an envelope, checked against the signers of accounts by weight."""

from __future__ import annotations

from stellar_sdk import Keypair
from stellar_sdk.exceptions import BadSignatureError

from sandbox.ledger.encoding import public_key_of
from sandbox.ledger.entries import Account


class SignatureSet:
    """The signatures over one hash; remembers which verified, and which were needed by anybody."""

    def __init__(self, contents_hash: bytes, signatures: list[tuple[bytes, bytes]]) -> None:
        self._contents_hash = contents_hash
        self.signatures = signatures
        self._verified: dict[tuple[str, int], bool] = {}
        self._used: set[int] = set()

    @property
    def all_used(self) -> bool:
        return len(self._used) == len(self.signatures)

    def reset_use(self) -> None:
        self._used.clear()

    def reaches(self, signers: list[tuple[str, int]], needed_weight: int) -> bool:
        """Whether the signers that signed weigh enough; at least one must have signed even for weight 0."""
        remaining = [(address, weight) for address, weight in signers if weight > 0]
        total = 0
        for index in range(len(self.signatures)):
            match = next((each for each in remaining if self._signed_by(index, each[0])), None)
            if match is None:
                continue
            remaining.remove(match)
            self._used.add(index)
            total += min(match[1], 255)
            if total >= needed_weight:
                return True
        return False

    def _signed_by(self, index: int, address: str) -> bool:
        hint, signature = self.signatures[index]
        public_key = public_key_of(address)
        if public_key[-4:] != hint:
            return False
        known = self._verified.get((address, index))
        if known is None:
            known = _verifies(public_key, self._contents_hash, signature)
            self._verified[(address, index)] = known
        return known


def signers_of(account: Account) -> list[tuple[str, int]]:
    others = [(key, signer.weight) for key, signer in account.signers.items()]
    return [(account.address, account.master_weight), *others]


def _verifies(public_key: bytes, contents_hash: bytes, signature: bytes) -> bool:
    try:
        Keypair.from_raw_ed25519_public_key(public_key).verify(contents_hash, signature)
    except (BadSignatureError, ValueError):
        return False
    return True
