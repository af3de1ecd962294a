"""The two questions that need the ledger before an envelope may be signed: what time is it there, and which sequence number is next."""

from __future__ import annotations

import time

from activities.failures import StartOverError, WaitingError
from activities.intents import EscrowStep
from offerhub.domain.errors import IntentMismatchError
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.horizon_records import LedgerRecord
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.verify import EnvelopeBounds, VerifiedEnvelope, verify_envelope

_FRESH_S = 5
_TIMES = frozenset({"min_time", "max_time"})


class LedgerClock:
    """Ledger time, read from Horizon every few seconds and carried on by our own clock in between.

    A network whose clock runs ahead of ours (the sandbox's can be advanced) shows it by closing a ledger in our future. How far ahead is
    known from two sides: at least as far as its newest ledger is, and, when that ledger closed since we last asked, not much farther than
    it was ahead of us then. A ledger that closed long ago says nothing; a lead that our own clock has made up for is forgotten.
    """

    def __init__(self, horizon: Horizon) -> None:
        self._horizon = horizon
        self._ahead_s = 0
        self._read_at: float | None = None
        self._newest_ledger = 0
        self._asked_unix = 0

    async def now_unix(self, *, fresh: bool = False) -> int:
        if fresh or self._read_at is None or time.monotonic() - self._read_at > _FRESH_S:
            asked_unix = int(time.time())
            self.learn(await self._horizon.latest_ledger(), asked_unix, int(time.time()))
            self._read_at = time.monotonic()
        return int(time.time()) + self._ahead_s

    def learn(self, ledger: LedgerRecord, asked_unix: int, answered_unix: int) -> int:
        """Take in the newest ledger, asked for and answered at these times of our clock; returns the network's lead in seconds."""
        if self._newest_ledger and ledger.sequence > self._newest_ledger:
            self._ahead_s = min(self._ahead_s, ledger.closed_at_unix + 1 - self._asked_unix)
        self._ahead_s = max(0, self._ahead_s, ledger.closed_at_unix - answered_unix)
        if ledger.sequence >= self._newest_ledger:
            self._newest_ledger, self._asked_unix = ledger.sequence, asked_unix
        return self._ahead_s


class EnvelopeCheck:
    """``verify_envelope`` with the bounds of this moment. Used by the asking and by the signing side, each for itself."""

    def __init__(self, network: StellarNetwork, horizon: Horizon, max_fee_stroops: int) -> None:
        self._network = network
        self._horizon = horizon
        self._max_fee_stroops = max_fee_stroops
        self.clock = LedgerClock(horizon)

    async def verify(self, wanted: EscrowStep, envelope_xdr: str, last_sequence: int | None) -> VerifiedEnvelope:
        """Raise ``IntentMismatchError`` for a wrong envelope, ``StartOverError`` for one too old, ``WaitingError`` for one too early."""
        try:
            verified = await self._verify(wanted, envelope_xdr, fresh=False)
        except IntentMismatchError as mismatch:
            if mismatch.field not in _TIMES:
                raise
            verified = await self._verify(wanted, envelope_xdr, fresh=True)
        await self._check_sequence(verified, last_sequence)
        return verified

    async def next_sequence(self, source: str, last_sequence: int | None) -> int:
        """After the last one we know to be used up; for an account that is new to us, what the network says."""
        if last_sequence is not None:
            return last_sequence + 1
        account = await self._horizon.account(source)
        if account is None:
            raise WaitingError(f"Account {source} is not on the network yet.")
        return account.sequence + 1

    async def _verify(self, wanted: EscrowStep, envelope_xdr: str, *, fresh: bool) -> VerifiedEnvelope:
        now_unix = await self.clock.now_unix(fresh=fresh)
        bounds = EnvelopeBounds(now_unix=now_unix, max_fee_stroops=self._max_fee_stroops)
        try:
            return verify_envelope(self._network, wanted.intent, envelope_xdr, bounds)
        except IntentMismatchError as mismatch:
            if mismatch.field == "max_time" and int(mismatch.found) < now_unix + bounds.min_remaining_s:
                raise StartOverError("The envelope has too little time left to be sent; asking for a new one.") from None
            raise

    async def _check_sequence(self, verified: VerifiedEnvelope, last_sequence: int | None) -> None:
        expected = await self.next_sequence(verified.source, last_sequence)
        if verified.sequence == expected:
            return
        if verified.sequence > expected:
            # Somebody may have used the account without us; what the network says counts then.
            expected = max(expected, await self.next_sequence(verified.source, None))
        if verified.sequence > expected:
            raise IntentMismatchError("sequence", expected, verified.sequence)
        if verified.sequence < expected:
            raise WaitingError(f"Trustless Work has not seen the last transaction of {verified.source} yet.")
