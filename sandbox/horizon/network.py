"""Resources about the network as a whole: root, fee_stats, assets."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import multimode
from typing import Any

from sandbox.horizon.replica import Replica
from sandbox.horizon.resources import auth_flags
from sandbox.ledger.encoding import amount_text, asset_contract_id, asset_fields, issuer_of, time_text
from sandbox.ledger.entries import BASE_FEE_STROOPS
from sandbox.ledger.header import MAX_TX_SET_SIZE, PROTOCOL_VERSION
from sandbox.ledger.ledger import Ledger

_ROOT_LINKS = ("accounts", "assets", "fee_stats", "friendbot", "ledgers", "operations", "payments", "transactions")
_PERCENTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)


def root_resource(ledger: Ledger, replica: Replica, base: str) -> dict[str, Any]:
    latest = replica.newest
    return {
        "_links": {"self": {"href": f"{base}/"}, **{name: {"href": f"{base}/{name}"} for name in _ROOT_LINKS}},
        "horizon_version": "28.0.0-sandbox",
        "core_version": "sandbox",
        "ingest_latest_ledger": latest,
        "history_latest_ledger": latest,
        "history_latest_ledger_closed_at": time_text(replica.closed_at),
        "history_elder_ledger": 1,
        "core_latest_ledger": ledger.latest_ledger,
        "network_passphrase": ledger.network_passphrase,
        "current_protocol_version": PROTOCOL_VERSION,
        "supported_protocol_version": PROTOCOL_VERSION,
        "core_supported_protocol_version": PROTOCOL_VERSION,
    }


def fee_stats_resource(ledger: Ledger, replica: Replica) -> dict[str, Any]:
    """The figures are those of the newest ledgers also where the replica is behind: they are a hint in any case."""
    samples = [sample for closed in ledger.fee_samples for sample in closed]
    full = sum(len(closed) for closed in ledger.fee_samples) * 100
    capacity = MAX_TX_SET_SIZE * max(1, len(ledger.fee_samples)) * 100
    return {
        "last_ledger": str(replica.newest),
        "last_ledger_base_fee": str(BASE_FEE_STROOPS),
        "ledger_capacity_usage": f"{full * 100 // capacity / 100:.2f}",
        "fee_charged": _distribution([sample.charged for sample in samples]),
        "max_fee": _distribution([sample.bid for sample in samples]),
    }


def _distribution(values: Sequence[int]) -> dict[str, str]:
    ordered = sorted(values) or [BASE_FEE_STROOPS]
    summary = {"max": ordered[-1], "min": ordered[0], "mode": multimode(ordered)[0]}
    for percentile in _PERCENTILES:
        summary[f"p{percentile}"] = ordered[min(len(ordered) - 1, len(ordered) * percentile // 100)]
    return {name: str(value) for name, value in summary.items()}


def asset_resources(replica: Replica, network_passphrase: str, code: str, issuer: str) -> list[dict[str, Any]]:
    """One scan over all accounts; empty filters match everything."""
    holders: dict[str, tuple[int, int]] = {}
    for account in replica.accounts():
        for asset, line in account.trustlines.items():
            count, amount = holders.get(asset, (0, 0))
            holders[asset] = (count + 1, amount + line.balance)
    wanted = [
        asset for asset in sorted(holders) if (not code or asset.partition(":")[0] == code) and (not issuer or issuer_of(asset) == issuer)
    ]
    return [_asset(replica, asset, asset_contract_id(asset, network_passphrase), holders[asset]) for asset in wanted]


def _asset(replica: Replica, asset: str, contract: str, held: tuple[int, int]) -> dict[str, Any]:
    count, amount = held
    in_contracts = [balance for (token, _), balance in replica.contract_balances().items() if token == contract and balance]
    zero = amount_text(0)
    issuer = replica.account(issuer_of(asset) or "")
    code, _, issuer_address = asset.partition(":")
    return {
        "_links": {"toml": {"href": ""}},
        **asset_fields(asset),
        "paging_token": f"{code}_{issuer_address}_{asset_fields(asset)['asset_type']}",
        "contract_id": contract,
        "num_claimable_balances": 0,
        "num_liquidity_pools": 0,
        "num_contracts": len(in_contracts),
        "accounts": {"authorized": count, "authorized_to_maintain_liabilities": 0, "unauthorized": 0},
        "claimable_balances_amount": zero,
        "liquidity_pools_amount": zero,
        "contracts_amount": amount_text(sum(in_contracts)),
        "balances": {
            "authorized": amount_text(amount),
            "authorized_to_maintain_liabilities": zero,
            "unauthorized": zero,
        },
        "flags": auth_flags(issuer) if issuer is not None else {},
    }
