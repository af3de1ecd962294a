"""The README's first order, run as it stands."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.services import TestServices

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.slow
def test_the_first_order_of_the_readme_pays_the_seller_what_it_says(stack: dict[str, Any], services: TestServices, tmp_path: Path) -> None:
    [script] = re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / ".offerhub").symlink_to(services.folder / "stack")
    shell = ("bash", "-euo", "pipefail", "-c", script)
    done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    balance = json.loads(done.stdout.splitlines()[-1])
    assert balance["data"]["available"] == "79.76"
    assert "79.76 USDC" in README.read_text()
    assert stack["sandboxUrl"]
