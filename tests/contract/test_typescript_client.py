"""A build of the existing TypeScript client, driven by a script of ours.

The client is somebody else's code and no part of this repository: ``OFFERHUB_TS_CLIENT`` names the folder of a built ``@offerhub/sdk``, and
without one this does not run (``typescript/README.md``). ``test_client_calls.py`` makes the same calls without it, everywhere.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.contract.conftest import Deployment

CLIENT = "OFFERHUB_TS_CLIENT"
SCRIPT = Path(__file__).parent / "typescript" / "drive.mjs"
LIMIT_S = 200


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 200)
@pytest.mark.skipif(
    CLIENT not in os.environ, reason=f"{CLIENT} names no build of the TypeScript client (tests/contract/typescript/README.md)"
)
async def test_the_typescript_client_does_all_its_calls_unchanged(deployment: Deployment) -> None:
    environment = {
        **os.environ,
        "API_URL": deployment.api_url,
        "API_KEY": deployment.api_key,
        "API_KEY_WITHOUT_RIGHTS": deployment.read_only_key,
        "SANDBOX_URL": deployment.sandbox_url,
        "PAYEE": deployment.payee,
    }
    command = ("node", str(SCRIPT), os.environ[CLIENT])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)  # noqa: ASYNC221
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "everything"
