"""Keep the platform's own accounts and the stock of user wallets: keys are made by custody, activated on the chain, then handed out."""

from __future__ import annotations

from collections.abc import Sequence

from offerhub.commands.users import give_wallet
from offerhub.storage import wallets
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.wallets import SealedWallet, Stock, WalletRecord

# 20 signatures fit an envelope: 19 wallets and their sponsor (CAP-33).
BATCH_WALLETS = 19


async def record_wallets(transaction: Transaction, made: Sequence[SealedWallet]) -> None:
    """Store freshly made keys as PREPARED, before anything on the chain names them."""
    for wallet in made:
        await wallets.insert(transaction, wallet)
        transaction.audit("wallet.prepared", ("wallet", wallet.id), None, {"kind": wallet.kind, "publicKey": wallet.public_key})


async def begin_activation(transaction: Transaction) -> list[WalletRecord]:
    """The batch to create on the chain now: an interrupted one first, else up to 19 prepared wallets. Empty when none is due."""
    interrupted = await wallets.in_state(transaction, "USER", ["ACTIVATING"], BATCH_WALLETS)
    if interrupted:
        return interrupted
    batch = await wallets.in_state(transaction, "USER", ["PREPARED"], BATCH_WALLETS)
    await wallets.move(transaction, [wallet.public_key for wallet in batch], "PREPARED", "ACTIVATING")
    return batch


async def book_activation(transaction: Transaction, public_keys: Sequence[str]) -> Stock:
    """The chain has these accounts: they are READY, and users who wait for a wallet get theirs, first come first served."""
    await wallets.mark_ready(transaction, public_keys)
    for user_id in await wallets.waiting_users(transaction, len(public_keys)):
        await give_wallet(transaction, user_id)
    return await wallets.stock(transaction)


async def book_platform_account(transaction: Transaction, public_key: str) -> None:
    """A platform account is on the chain and usable."""
    await wallets.move(transaction, [public_key], "PREPARED", "ACTIVATING")
    await wallets.mark_ready(transaction, [public_key])
