"""``python -m api`` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from api.__main__ import _GRACE_S
from devstack import ports
from tests.integration.api.conftest import MASTER, settings

ROOT = Path(__file__).resolve().parents[3]


def environment(postgres_url: str, redis_url: str, port: int) -> dict[str, str]:
    values = settings(postgres_url, redis_url, port=port).model_dump()
    needed = {name.upper(): str(value) for name, value in values.items() if name != "wallet_encryption_key"}
    return {**needed, "PATH": os.environ["PATH"]}


def test_it_serves_logs_json_and_ends_quickly_on_sigterm_with_a_stream_open(postgres_url: str, redis_url: str) -> None:
    port = ports.any_free()
    process = subprocess.Popen(
        (sys.executable, "-m", "api"), cwd=ROOT, env=environment(postgres_url, redis_url, port), stdout=subprocess.PIPE, text=True
    )
    try:
        url = f"http://127.0.0.1:{port}/api/v1"
        with httpx.Client(trust_env=False, timeout=60, headers={"Authorization": f"Bearer {MASTER}"}) as client:
            for _ in range(2_000):
                try:
                    client.get(f"{url}/health")
                    break
                except httpx.ConnectError:
                    assert process.poll() is None
                    time.sleep(0.05)
            with client.stream("GET", f"{url}/events") as stream:
                lines = stream.iter_lines()
                assert next(lines) == ": still here"
                process.send_signal(signal.SIGTERM)
                began = time.monotonic()
                assert list(lines) == [""], "the stream ends instead of breaking"
        output, _ = process.communicate(timeout=60)
        assert time.monotonic() - began < _GRACE_S, "nobody had to be waited for until then"
    finally:
        process.kill()
        process.wait()
    assert process.returncode in {0, -signal.SIGTERM}
    entries = [json.loads(line) for line in output.splitlines()]
    assert {"Application startup complete.", "Application shutdown complete."} <= {entry["event"] for entry in entries}
    assert MASTER not in output


def test_a_missing_setting_is_named_in_one_line() -> None:
    done = subprocess.run(
        (sys.executable, "-m", "api"), cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("configuration: DATABASE_URL")
    assert done.stderr.count("\n") == 1
