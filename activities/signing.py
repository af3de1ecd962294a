"""Custody: the only activities with the vault, on the ``custody`` queue.

Nothing is signed because somebody asked: the intent is derived from our own rows once more and the envelope compared with it here. Our
own transactions are not even taken over; they are built again from the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from temporalio import activity

from activities.envelope_check import EnvelopeCheck
from activities.escrow import operation_context
from activities.failures import StartOverError, WaitingError
from activities.intents import EscrowStep, escrow_step, is_own, own_step
from activities.outcomes import signed_attempt
from offerhub.commands import attempts as attempt_commands
from offerhub.commands.operations import report_refused_signature
from offerhub.commands.wallets import record_wallets
from offerhub.custody.errors import CustodyError
from offerhub.custody.sealing import SealedSeed
from offerhub.custody.vault import Vault
from offerhub.domain.context import Context
from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import PayOut
from offerhub.domain.messages import PlatformAccount, Prepared, SignedAttempt
from offerhub.domain.plans import Action, Step
from offerhub.domain.states import AttemptState
from offerhub.stellar.build import Placement, build_envelope
from offerhub.stellar.envelope import attach_signatures, decode_envelope, encode_envelope, fee_bump
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.verify import VerifiedEnvelope
from offerhub.storage import attempts, wallets
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.unit_of_work import Database, Transaction, new_id
from offerhub.storage.wallets import SealedWallet

# What a fee bump bids on top of the inner transaction's own bid; only what the ledger asks is charged. Every envelope of an intent that
# died has perhaps bid too little, so its successor's bump bids four times as much. Deployments and the platform's own transactions have
# no bump and bid the same again.
BUMP_STROOPS = 20_000
BUMP_GROWTH_BITS = 2
MOST_BUMP_STROOPS = 20_000_000
OWN_BASE_FEE_STROOPS = 10_000
OWN_MAX_WINDOW_S = 300
# Never more new keys in one go than two batches.
MOST_NEW_WALLETS = 38
_SYSTEM = Context("system", "")


@dataclass(frozen=True)
class StockTarget:
    """How many ready wallets and platform signers the installation keeps."""

    wallets: int
    signers: int


class SigningActivities:
    def __init__(self, database: Database, vault: Vault, network: StellarNetwork, check: EnvelopeCheck, target: StockTarget) -> None:
        self._database = database
        self._vault = vault
        self._network = network
        self._check = check
        self._target = target

    @activity.defn
    async def sign_step(self, prepared: Prepared) -> SignedAttempt:
        """Sign, and persist the attempt before anybody can send it. An attempt that is open already is returned instead."""
        if is_own(prepared.intent_id):
            return await self._sign_own_step(prepared)
        async with self._database.reading() as reader:
            wanted = await escrow_step(reader, prepared.intent_id)
            last_sequence = await attempts.last_sequence(reader, wanted.intent.source)
        context = operation_context(wanted.operation)
        try:
            verified = await self._check.verify(wanted, prepared.envelope, last_sequence)
        except IntentMismatchError as mismatch:
            difference = (mismatch.field, mismatch.expected, mismatch.found)
            async with self._database.transaction(context) as transaction:
                await report_refused_signature(transaction, wanted.operation.id, wanted.intent_id, difference)
            raise
        except WaitingError as early:
            # Asked for again the builder may have caught up; this envelope would stay as it is until it expires.
            raise StartOverError(str(early)) from None
        return signed_attempt(await self._record(context, await self._sign_escrow(wanted, verified)))

    @activity.defn
    async def make_platform_accounts(self) -> list[PlatformAccount]:
        """The platform's own accounts, with keys for those that are missing. Called twice it finds the first call's keys."""
        async with self._database.transaction(_SYSTEM) as transaction:
            await wallets.lock_platform_accounts(transaction)
            known = await wallets.platform_accounts(transaction)
            missing = ["SPONSOR", "FEE", "PLATFORM", *["SIGNER"] * self._target.signers]
            for account in known:
                if account.kind in missing:
                    missing.remove(account.kind)
            await record_wallets(transaction, [self._new_wallet(kind) for kind in missing])
            accounts = await wallets.platform_accounts(transaction)
        return [PlatformAccount(account.kind, account.public_key, account.state == "READY") for account in accounts]

    @activity.defn
    async def make_wallets(self) -> int:
        """Keys for as many wallets as the stock lacks; returns how many were made."""
        async with self._database.transaction(_SYSTEM) as transaction:
            await wallets.lock_platform_accounts(transaction)
            stock = await wallets.stock(transaction)
            lacking = self._target.wallets + stock.waiting_users - stock.ready - stock.prepared
            made = [self._new_wallet("USER") for _ in range(min(lacking, MOST_NEW_WALLETS))]
            await record_wallets(transaction, made)
        return len(made)

    async def _sign_escrow(self, wanted: EscrowStep, verified: VerifiedEnvelope) -> AttemptRecord:
        is_deploy = wanted.step.action is Action.DEPLOY
        async with self._database.reading() as reader:
            fee_account = None if is_deploy else await wallets.platform_key(reader, "FEE")
            bid_stroops = await _bid(reader, wanted.intent_id, verified.fee_stroops)
            sealed = await wallets.sealed(reader, [key for key in (verified.source, fee_account) if key])
        envelope = self._signed(decode_envelope(verified.envelope_xdr), bytes.fromhex(verified.inner_hash), [verified.source], sealed)
        outer_hash = verified.inner_hash
        if not is_deploy:
            envelope, outer_hash = self._bumped(envelope, bid_stroops, fee_account, sealed)
        step = wanted.step
        return AttemptRecord(
            id=new_id("att"),
            intent_id=wanted.intent_id,
            operation_id=wanted.operation.id,
            step=_as_json(step),
            via="trustless" if is_deploy else "horizon",
            source=verified.source,
            sequence=verified.sequence,
            inner_hash=verified.inner_hash,
            outer_hash=outer_hash,
            envelope=encode_envelope(envelope),
            max_time=verified.max_time,
            contract_id=verified.contract_id,
        )

    async def _sign_own_step(self, prepared: Prepared) -> SignedAttempt:
        now_unix = await self._check.clock.now_unix()
        if not now_unix < prepared.max_time <= now_unix + OWN_MAX_WINDOW_S:
            raise StartOverError("The transaction has too little time left to be sent; building a new one.")
        async with self._database.reading() as reader:
            own = await own_step(reader, prepared.intent_id)
            placement = Placement(prepared.sequence, OWN_BASE_FEE_STROOPS, prepared.max_time)
            built = build_envelope(self._network, own.intent, placement)
            # The platform's own accounts have lumens; a user's wallet has none.
            is_bumped = isinstance(own.intent, PayOut)
            fee_account = await wallets.platform_key(reader, "FEE") if is_bumped else None
            bid_stroops = await _bid(reader, prepared.intent_id, built.fee_stroops)
            sealed = await wallets.sealed(reader, [*built.signers, *([fee_account] if fee_account else [])])
        envelope = self._signed(decode_envelope(built.envelope_xdr), bytes.fromhex(built.inner_hash), built.signers, sealed)
        outer_hash = built.inner_hash
        if is_bumped:
            envelope, outer_hash = self._bumped(envelope, bid_stroops, fee_account, sealed)
        signed = AttemptRecord(
            id=new_id("att"),
            intent_id=prepared.intent_id,
            operation_id=own.operation.id if own.operation else None,
            step=_as_json(own.step) if own.step else None,
            via="horizon",
            source=own.intent.source,
            sequence=built.sequence,
            inner_hash=built.inner_hash,
            outer_hash=outer_hash,
            envelope=encode_envelope(envelope),
            max_time=built.max_time,
        )
        return signed_attempt(await self._record(operation_context(own.operation) if own.operation else _SYSTEM, signed))

    def _bumped(self, signed: bytes, bid_stroops: int, fee_account: str | None, sealed: dict[str, SealedWallet]) -> tuple[bytes, str]:
        """The signed envelope in a fee bump that the FEE account pays and signs; and the bump's hash."""
        if fee_account is None:
            raise CustodyError("There is no ready FEE account.")
        outer, to_sign = fee_bump(self._network, signed, fee_account, bid_stroops)
        return self._signed(outer, to_sign, [fee_account], sealed), to_sign.hex()

    async def _record(self, context: Context, signed: AttemptRecord) -> AttemptRecord:
        async with self._database.transaction(context) as transaction:
            return await attempt_commands.record_attempt(transaction, signed)

    def _signed(self, unsigned: bytes, to_sign: bytes, signers: Sequence[str], sealed: dict[str, SealedWallet]) -> bytes:
        return attach_signatures(unsigned, [self._signature(key, to_sign, sealed) for key in signers])

    def _signature(self, public_key: str, to_sign: bytes, sealed: dict[str, SealedWallet]) -> bytes:
        if public_key not in sealed:
            raise CustodyError(f"Custody holds no key for {public_key}.")
        row = sealed[public_key]
        seed = SealedSeed(row.seal_format, row.seal_key_id, row.wrapped_key, row.seal_nonce, row.sealed_seed)
        return self._vault.sign(row.id, public_key, seed, to_sign)

    def _new_wallet(self, kind: str) -> SealedWallet:
        wallet_id = new_id("wal")
        public_key, seed = self._vault.create(wallet_id)
        return SealedWallet(wallet_id, kind, public_key, seed.format_version, seed.key_id, seed.wrapped_key, seed.nonce, seed.ciphertext)


async def _bid(reader: Transaction, intent_id: str, fee_stroops: int) -> int:
    """What the fee bump around a transaction of this fee offers in all."""
    died = sum(attempt.state is AttemptState.DEAD for attempt in await attempts.of_intent(reader, intent_id))
    return 2 * fee_stroops + min(BUMP_STROOPS << (BUMP_GROWTH_BITS * died), MOST_BUMP_STROOPS)


def _as_json(step: Step) -> dict[str, Any]:
    return {"action": step.action.value, "party": step.party.value, "milestone_index": step.milestone_index}
