"""The commands of the operators' pages, run as they stand on a running stack in which the situation is real."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.situations import Town, until
from tests.services import TestServices

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "operations"
Shell = Callable[..., str]


@pytest.fixture(scope="module")
def town(stack: dict[str, Any]) -> Iterator[Town]:
    town = Town(stack)
    yield town
    town.close()


@pytest.fixture
def shell(services: TestServices, tmp_path: Path) -> Shell:
    """Run all the commands of a page, with these variables set, in a folder that looks like the checkout beside a running `make up`."""
    (tmp_path / ".offerhub").symlink_to(services.folder / "stack")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "offerhub").symlink_to(ROOT / "offerhub")

    def run(page: str, **variables: str) -> str:
        given = [f"{name}={value}" for name, value in variables.items()]
        script = "\n".join([*_commands("README.md"), *given, *_commands(page)])
        done = subprocess.run(
            ("bash", "-euo", "pipefail", "-c", script), cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_decision_by_signal_splits_as_it_says(town: Town, shell: Shell) -> None:
    trade = town.funded()
    dispute_id = town.disputed(trade)
    shell("decision-by-signal.md", DISPUTE=dispute_id)
    until(lambda: town.call("GET", f"/orders/{trade.order_id}")["finalStatus"] == "SPLIT")
    resolved = town.call("GET", f"/disputes/{dispute_id}")
    assert (resolved["releaseAmount"], resolved["refundAmount"], resolved["note"]) == ("50.00", "30.00", "half of it was usable")


def test_an_escalated_dispute_is_taken_over(town: Town, shell: Shell) -> None:
    dispute_id = town.disputed(town.funded())
    said = shell("dispute-escalated.md", DISPUTE=dispute_id)
    assert dispute_id in said
    taken = town.call("GET", f"/disputes/{dispute_id}")
    assert (taken["status"], taken["assignedTo"], len(taken["messages"])) == ("UNDER_REVIEW", "ana", 1)


def test_a_mismatch_is_not_booked_by_retry_but_once_a_person_accepts_it(town: Town, shell: Shell) -> None:
    trade = town.funded()
    with town.another_fee(trade):
        town.release(trade)
        until(lambda: town.events("ledger.mismatch"))
        said = shell("ledger-mismatch.md", ORDER=trade.order_id, BUYER=trade.buyer_id)
        assert "Nothing is booked: the payout should have paid 0.80 USDC to the platform" in said
        until(lambda: town.call("GET", f"/orders/{trade.order_id}")["finalStatus"] == "RELEASED")
    assert town.call("GET", f"/users/{trade.seller_id}/balance")["available"] == "79.76"


def test_what_is_stuck_says_why_and_goes_on_by_itself(town: Town, shell: Shell) -> None:
    trade = town.funded()
    town.fault("tw_server_error")
    operation_id = town.release(trade)
    until(lambda: "not able to answer" in shell("stuck-retrying.md", ORDER=trade.order_id))
    assert operation_id in shell("trustless-work-down.md")
    town.heal()
    until(lambda: town.call("GET", f"/operations/{operation_id}")["status"] == "SUCCEEDED")


def test_a_refused_release_leaves_its_reason(town: Town, shell: Shell) -> None:
    trade = town.funded()
    town.fault("freeze_trustline", account=town.wallet(trade.seller_id))
    operation_id = town.release(trade)
    until(lambda: town.call("GET", f"/operations/{operation_id}")["status"] == "FAILED")
    town.heal()
    said = shell("contract-refused.md", ORDER=trade.order_id)
    assert "Trustless Work refused: BalanceDeauthorizedError" in said


def test_envelopes_accounts_and_deposits_are_asked_about(town: Town, shell: Shell) -> None:
    trade = town.funded()
    assert '"core_latest_ledger"' in shell("unknown-attempt.md", ORDER=trade.order_id)
    assert '"status":"COMPLETED"' in shell("platform-account-low.md")
    assert '"history_elder_ledger"' in shell("deposits-halted.md")


def test_a_webhook_endpoint_is_looked_at_and_enabled(town: Town, shell: Shell) -> None:
    wanted = {"url": "http://127.0.0.1:9/hooks", "eventTypes": ["user.created"]}
    endpoint_id = town.call("POST", "/webhook-endpoints", wanted)["id"]
    town.call("PATCH", f"/webhook-endpoints/{endpoint_id}", {"enabled": False})
    shell("webhook-endpoint.md", ENDPOINT=endpoint_id)
    assert town.call("GET", f"/webhook-endpoints/{endpoint_id}")["enabled"] is True
    town.call("DELETE", f"/webhook-endpoints/{endpoint_id}")


def test_drain_ends_with_nothing_in_flight_and_money_is_taken_again(town: Town, shell: Shell) -> None:
    assert '"draining":true' in shell("drain.md")
    town.funded()


def test_an_export_of_the_audit_log_is_verified(town: Town, shell: Shell) -> None:
    town.new_user("BUYER")
    assert ", unbroken; last sequence " in shell("audit-log.md")


def test_every_page_with_commands_is_run_here() -> None:
    tested = set(re.findall(r'shell\("([\w-]+\.md)"', Path(__file__).read_text(encoding="utf-8")))
    with_commands = {page.name for page in PAGES.glob("*.md") if _commands(page.name)}
    assert with_commands - tested == {"README.md", "deployment.md"}


def _commands(page: str) -> list[str]:
    return re.findall(r"```bash\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)
