"""Valkey, the Redis of this stack: on 127.0.0.1 only, every write in its append-only file."""

from __future__ import annotations

import os
from pathlib import Path

from devstack import binaries, probes
from devstack.service import Service, Tier


def prepare(data: Path, port: int, *, durable: bool = True) -> Service:
    data.mkdir(parents=True, exist_ok=True)
    return Service(
        name="redis",
        argv=(
            str(binaries.valkey_program()),
            *("--bind", "127.0.0.1", "--port", str(port), "--dir", str(data)),
            *("--appendonly", "yes" if durable else "no", "--save", ""),
        ),
        tier=Tier.STORE,
        env={"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC"},
        probe=lambda: probes.answers_ping(port),
        shown_as=f"127.0.0.1:{port}",
    )


def url(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"
