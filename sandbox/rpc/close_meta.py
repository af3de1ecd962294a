"""What happened in one ledger, as the XDR that nodes publish: header, transactions, results. Changes of entries are left out."""

from __future__ import annotations

from typing import Any

from stellar_sdk import xdr

from sandbox.ledger.history import Collection, PageQuery, Scope, fetch_page
from sandbox.ledger.store import Store


def close_meta_xdr(store: Store, record: dict[str, Any]) -> str:
    """``record`` is the stored ledger."""
    header = xdr.LedgerHeader.from_xdr(record["header_xdr"])
    entry = xdr.LedgerHeaderHistoryEntry(_hash(record["hash"]), header, xdr.LedgerHeaderHistoryEntryExt(0))
    query = PageQuery(Collection.TRANSACTIONS, Scope(ledger=record["sequence"]), limit=header.max_tx_set_size.uint32, include_failed=True)
    transactions = fetch_page(store, query)
    envelopes = [xdr.TransactionEnvelope.from_xdr(each["envelope_xdr"]) for each in transactions]
    meta = xdr.LedgerCloseMetaV0(
        entry, xdr.TransactionSet(_hash(record["prev_hash"]), envelopes), [_result(each) for each in transactions], [], []
    )
    return xdr.LedgerCloseMeta(0, v0=meta).to_xdr()


def _result(transaction: dict[str, Any]) -> xdr.TransactionResultMeta:
    pair = xdr.TransactionResultPair(_hash(transaction["hash"]), xdr.TransactionResult.from_xdr(transaction["result_xdr"]))
    known = transaction.get("result_meta_xdr")
    meta = xdr.TransactionMeta(0, operations=[]) if known is None else xdr.TransactionMeta.from_xdr(known)
    return xdr.TransactionResultMeta(pair, xdr.LedgerEntryChanges([]), meta)


def _hash(text: str) -> xdr.Hash:
    return xdr.Hash(bytes.fromhex(text))
