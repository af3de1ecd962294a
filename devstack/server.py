"""The server's own processes, run as in production, and what is asked of the API once it answers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from devstack import probes
from devstack.choices import CHECKOUT
from devstack.failure import NotReadyError, StackError
from devstack.service import Service, Tier

KEY_SCOPES = ["read", "write", "support"]
# Only the role that signs may hold these.
CUSTODY_VARIABLES = ("WALLET_ENCRYPTION_KEY", "WALLET_ENCRYPTION_KEY_FILE")
# Everybody here is 127.0.0.1 and one key: limits are counted as in production and refuse nobody, unless the user asks for others.
ROOMY_LIMITS = {f"RATE_LIMIT_{counted}_PER_MINUTE": "1000000000" for counted in ("KEY", "ADDRESS", "STREAMS", "WITHDRAWALS")}
READY_TIMEOUT_S = 120.0
API_STOP_TIMEOUT_S = 12.0

MIGRATIONS = (sys.executable, "-m", "migrations")


def worker(environment: Mapping[str, str]) -> Service:
    """Its readiness shows in the API's health: the wallet stock is filled by a workflow."""
    return Service("worker", (sys.executable, "worker.py"), Tier.SERVER, environment, cwd=CHECKOUT)


def api(environment: Mapping[str, str], api_url: str) -> Service:
    return Service(
        "api",
        (sys.executable, "-m", "api"),
        Tier.SERVER,
        {**ROOMY_LIMITS, **without_custody(environment)},
        cwd=CHECKOUT,
        probe=lambda: healthy(api_url),
        shown_as=api_url,
        stop_timeout_s=API_STOP_TIMEOUT_S,
        ready_timeout_s=READY_TIMEOUT_S,
    )


def without_custody(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in CUSTODY_VARIABLES}


def healthy(api_url: str) -> None:
    """No dependency is down and there are wallets to give to new users."""
    answer = probes.ask(f"{api_url}/health/detailed")
    report = answer.body.get("data", answer.body) if isinstance(answer.body, dict) else {}
    checks: dict[str, dict[str, Any]] = report.get("checks", {})
    unwell = [f"{name} {check['status']} {check.get('message', '')}".strip() for name, check in checks.items() if check["status"] != "ok"]
    down = any(check["status"] == "down" for check in checks.values())
    stocked = checks.get("walletStock", {}).get("status") == "ok"
    if answer.status != 200 or down or not stocked:
        raise NotReadyError(", ".join(unwell) or f"health answers {answer.status} without a wallet stock")


def working_key(api_url: str, master_key: str, known: str | None) -> str:
    """``known`` if the API still accepts it, else a new key with all scopes but admin."""
    try:
        if known and probes.ask(f"{api_url}/me", bearer=known).status == 200:
            return known
        created: dict[str, Any] = probes.ask(
            f"{api_url}/auth/api-keys", {"name": "make up", "scopes": KEY_SCOPES}, bearer=master_key
        ).expect(201)
    except NotReadyError as error:
        raise StackError(f"the API gave no key: {error}") from error
    return str(created["data"]["apiKey"])
