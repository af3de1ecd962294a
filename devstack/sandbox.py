"""The sandbox network as a service of the stack, and what the server must be told to use it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from devstack import probes
from devstack.choices import CHECKOUT
from devstack.service import Service, Tier


def prepare(data: Path, port: int, interval_s: str | None = None, trustless_requests_per_minute: str | None = None) -> Service:
    argv = [sys.executable, "-m", "sandbox", "--host", "127.0.0.1", "--port", str(port), "--home", str(data)]
    if interval_s:
        argv += ["--interval-seconds", interval_s]
    if trustless_requests_per_minute:
        argv += ["--trustless-requests-per-minute", trustless_requests_per_minute]
    data.mkdir(parents=True, exist_ok=True)
    return Service(
        name="sandbox",
        argv=tuple(argv),
        tier=Tier.NETWORK,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        cwd=CHECKOUT,
        probe=lambda: _describes_itself(port),
        shown_as=url(port),
    )


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def state(port: int) -> dict[str, Any]:
    """The network's own description of itself."""
    answer: dict[str, Any] = probes.ask(f"{url(port)}/control/state").expect(200)
    return answer


def _describes_itself(port: int) -> None:
    state(port)


def server_environment(port: int, described: dict[str, Any]) -> dict[str, str]:
    """Settings with which the server talks to this sandbox as to a real network."""
    base, escrow = url(port), described["trustlessWork"]
    return {
        "STELLAR_NETWORK": "sandbox",
        "NETWORK_PASSPHRASE": described["networkPassphrase"],
        "HORIZON_URL": base,
        "FRIENDBOT_URL": f"{base}/friendbot",
        "SANDBOX_CONTROL_URL": f"{base}/control",
        "STELLAR_RPC_URL": f"{base}{described['rpcUrl']}",
        "USDC_ISSUER": described["usdc"]["issuer"],
        "TRUSTLESS_WORK_URL": f"{base}/trustless-work",
        "TRUSTLESS_WORK_API_KEY": escrow["apiKey"],
        "TRUSTLESS_WORK_FACTORY": escrow["factory"],
        "TRUSTLESS_WORK_WASM_HASH": escrow["wasmHash"],
        "TRUSTLESS_WORK_MULTI_WASM_HASH": escrow["multiReleaseWasmHash"],
        "TRUSTLESS_WORK_FEE_ADDRESS": escrow["feeAddress"],
    }
