"""Resources as Horizon shows them: stored records with links, accounts, and the views by inner hash."""

from __future__ import annotations

from typing import Any

from sandbox.horizon.replica import Replica
from sandbox.ledger.encoding import amount_text, asset_fields, drop_none, time_text
from sandbox.ledger.entries import Account, Trustline
from sandbox.ledger.history import Collection
from sandbox.ledger.store import StoredTransaction


def with_links(collection: Collection, record: dict[str, Any], base: str) -> dict[str, Any]:
    """Adds ``_links`` in place and answers the record."""
    if collection is Collection.LEDGERS:
        return _ledger(record, base)
    if collection is Collection.TRANSACTIONS:
        return transaction_links(record, base)
    return operation_links(record, base)


def transaction_links(record: dict[str, Any], base: str) -> dict[str, Any]:
    here = f"{base}/transactions/{record['hash']}"
    record["_links"] = {
        "self": {"href": here},
        "account": {"href": f"{base}/accounts/{record['source_account']}"},
        "ledger": {"href": f"{base}/ledgers/{record['ledger']}"},
        "operations": _templated(f"{here}/operations"),
        "effects": _templated(f"{here}/effects"),
        "precedes": {"href": f"{base}/transactions?order=asc&cursor={record['paging_token']}"},
        "succeeds": {"href": f"{base}/transactions?order=desc&cursor={record['paging_token']}"},
        "transaction": {"href": here},
    }
    return record


def operation_links(record: dict[str, Any], base: str) -> dict[str, Any]:
    here = f"{base}/operations/{record['id']}"
    record["_links"] = {
        "self": {"href": here},
        "transaction": {"href": f"{base}/transactions/{record['transaction_hash']}"},
        "effects": {"href": f"{here}/effects"},
        "succeeds": {"href": f"{base}/effects?order=desc&cursor={record['id']}"},
        "precedes": {"href": f"{base}/effects?order=asc&cursor={record['id']}"},
    }
    joined = record.get("transaction")
    if joined is not None:
        transaction_links(joined, base)
    return record


def _ledger(record: dict[str, Any], base: str) -> dict[str, Any]:
    here = f"{base}/ledgers/{record['sequence']}"
    record.pop("closed_at_unix", None)
    record["paging_token"] = str(record["sequence"] << 32)
    record["_links"] = {
        "self": {"href": here},
        "transactions": _templated(f"{here}/transactions"),
        "operations": _templated(f"{here}/operations"),
        "payments": _templated(f"{here}/payments"),
        "effects": _templated(f"{here}/effects"),
    }
    return record


def _templated(href: str) -> dict[str, Any]:
    return {"href": f"{href}{{?cursor,limit,order}}", "templated": True}


def transaction_resource(found: StoredTransaction, asked_hash: str, base: str) -> dict[str, Any]:
    """Asked for by its inner hash, a fee bump answers under that hash and with the inner signatures."""
    document = found.document
    if asked_hash == found.inner_hash:
        document["id"] = document["hash"] = asked_hash
        document["signatures"] = document["inner_transaction"]["signatures"]
    return transaction_links(document, base)


def account_resource(account: Account, replica: Replica, base: str) -> dict[str, Any]:
    here = f"{base}/accounts/{account.address}"
    low, medium, high = account.thresholds
    document: dict[str, Any] = {
        "_links": {
            "self": {"href": here},
            "transactions": _templated(f"{here}/transactions"),
            "operations": _templated(f"{here}/operations"),
            "payments": _templated(f"{here}/payments"),
            "effects": _templated(f"{here}/effects"),
            "offers": _templated(f"{here}/offers"),
            "trades": _templated(f"{here}/trades"),
            "data": {"href": f"{here}/data/{{key}}", "templated": True},
        },
        "id": account.address,
        "account_id": account.address,
        "sequence": str(account.sequence),
        "sequence_ledger": account.sequence_ledger or None,
        "sequence_time": str(account.sequence_time) if account.sequence_time else None,
        "subentry_count": account.subentry_count,
        "home_domain": account.home_domain or None,
        "last_modified_ledger": account.last_modified_ledger,
        "last_modified_time": time_text(account.last_modified_time),
        "thresholds": {"low_threshold": low, "med_threshold": medium, "high_threshold": high},
        "flags": auth_flags(account),
        "balances": [*(_balance(key, line, _flags(account, key, replica)) for key, line in account.trustlines.items()), _native(account)],
        "signers": _signers(account),
        "data": {name: entry.value for name, entry in account.data.items()},
        "num_sponsoring": account.num_sponsoring,
        "num_sponsored": account.num_sponsored,
        "sponsor": account.sponsor,
        "paging_token": account.address,
    }
    return drop_none(document)


def auth_flags(account: Account) -> dict[str, bool]:
    return {
        "auth_required": bool(account.flags & 1),
        "auth_revocable": bool(account.flags & 2),
        "auth_immutable": bool(account.flags & 4),
        "auth_clawback_enabled": bool(account.flags & 8),
    }


def _flags(account: Account, asset: str, replica: Replica) -> int:
    """A frozen trustline may neither pay nor be paid, nor keep its offers."""
    return 0 if replica.is_frozen(account.address, asset) else account.trustlines[asset].flags


def _balance(asset: str, line: Trustline, flags: int) -> dict[str, Any]:
    document = {
        "balance": amount_text(line.balance),
        "limit": amount_text(line.limit),
        "buying_liabilities": amount_text(0),
        "selling_liabilities": amount_text(0),
        "sponsor": line.sponsor,
        "last_modified_ledger": line.last_modified_ledger,
        "is_authorized": bool(flags & 1),
        "is_authorized_to_maintain_liabilities": bool(flags & 3),
        "is_clawback_enabled": True if flags & 4 else None,
        **asset_fields(asset),
    }
    return drop_none(document)


def _native(account: Account) -> dict[str, Any]:
    zero = amount_text(0)
    return {
        "balance": amount_text(account.balance),
        "buying_liabilities": zero,
        "selling_liabilities": zero,
        "asset_type": "native",
    }


def _signers(account: Account) -> list[dict[str, Any]]:
    others = [
        drop_none({"weight": signer.weight, "key": key, "type": "ed25519_public_key", "sponsor": signer.sponsor})
        for key, signer in account.signers.items()
    ]
    own = {"weight": account.master_weight, "key": account.address, "type": "ed25519_public_key"}
    return [*others, own]
