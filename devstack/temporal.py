"""Temporal's development server, with its web UI, on a database file that survives a kill."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from devstack import binaries, probes
from devstack.service import Service, Tier

CONFIGURATION = Path(__file__).resolve().parent.parent / "temporal-config"


@dataclass(frozen=True)
class TemporalPorts:
    """All four are given: the server would choose those left out at random."""

    grpc: int
    http: int
    metrics: int
    ui: int | None


def prepare(namespace: str, ports: TemporalPorts, data: Path | None) -> Service:
    """``data`` None keeps everything in memory, ``ports.ui`` None runs without the web UI: both for tests."""
    argv = [str(binaries.temporal_program()), "server", "start-dev", "--ip", "127.0.0.1", "--namespace", namespace]
    argv += ["--port", str(ports.grpc), "--http-port", str(ports.http), "--metrics-port", str(ports.metrics)]
    argv += ["--headless"] if ports.ui is None else ["--ui-ip", "127.0.0.1", "--ui-port", str(ports.ui), "--ui-disable-news-fetch"]
    argv += ["--log-format", "json", "--log-level", "error"]
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
        # WAL with `normal` survives the death of every process, at three times the speed of the default journal.
        # `full` would only add safety against a power cut, and cost another tenth to quarter of the throughput.
        argv += [
            "--db-filename",
            str(data / "temporal.sqlite"),
            "--sqlite-pragma",
            "journal_mode=wal",
            "--sqlite-pragma",
            "synchronous=normal",
        ]
    for name, kind in json.loads((CONFIGURATION / "search-attributes.json").read_text()).items():
        argv += ["--search-attribute", f"{name}={kind}"]
    for setting in json.loads((CONFIGURATION / "dynamic-config.json").read_text()):
        argv += ["--dynamic-config-value", f"{setting['key']}={json.dumps(setting['value'])}"]
    return Service(
        name="temporal",
        argv=tuple(argv),
        tier=Tier.NETWORK,
        # Fewer garbage collections: a tenth less CPU for some memory, and this server is the busiest process of the stack.
        env={"GOGC": "400"} | {key: os.environ[key] for key in ("PATH", "HOME", "GOGC", "GOMAXPROCS") if key in os.environ},
        probe=lambda: _serves(ports, namespace),
        shown_as=f"127.0.0.1:{ports.grpc}, namespace {namespace}",
    )


def _serves(ports: TemporalPorts, namespace: str) -> None:
    """The namespace is there and the port workers use accepts; asked over HTTP so that the supervisor needs no gRPC."""
    probes.ask(f"http://127.0.0.1:{ports.http}/api/v1/namespaces/{namespace}").expect(200)
    probes.connects("127.0.0.1", ports.grpc)
