"""Take the pictures of `docs/operations` again: ``python -m docs.screenshots [picture ...]``.

Each situation is made on a running stack of its own (``OFFERHUB_HOME``), whose network this disturbs. Needs chromium.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.e2e.situations import UNTIL_UNKNOWN_S, Town, until

IMAGES = Path(__file__).parent / "operations" / "images"
WIDTH, HEIGHT = 1400, 1500
# The UI's menus on the left and above are on every page and say nothing.
LEFT_PX, TOP_PX = 256, 100
_SHOWN_WITHIN_S = 60.0
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe"),
)


class Browser:
    """One page of a chromium that is told what to do through a pipe (the DevTools protocol)."""

    def __init__(self, program: str, folder: str) -> None:
        reading, self._to = os.pipe()
        self._from, writing = os.pipe()
        pipes = f'exec "$@" 3<&{reading} 4>&{writing}'
        command = (*("bash", "-c", pipes, "bash"), program, *_FLAGS, f"--user-data-dir={folder}", "about:blank")
        self._process = subprocess.Popen(command, pass_fds=(reading, writing), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(reading)
        os.close(writing)
        self._number, self._unread, self._session = 0, b"", ""
        target = self._tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._tell("Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False)

    def open(self, url: str, shows: str) -> None:
        self._tell("Page.navigate", url=url)
        self.wait_for(shows)

    def wait_for(self, text: str) -> None:
        """A page that looks on for ever is never loaded: it is there when it says so."""
        ends = time.monotonic() + _SHOWN_WITHIN_S
        while text not in str(self.evaluate("document.body.innerText")):
            if time.monotonic() > ends:
                raise TimeoutError(f"the page never said {text!r}")
            time.sleep(0.3)
        time.sleep(2)

    def evaluate(self, script: str) -> Any:  # noqa: ANN401 whatever the script answers
        return self._tell("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def save(self, picture: str, height: int) -> None:
        self._save(picture, {"x": LEFT_PX, "y": TOP_PX, "width": WIDTH - LEFT_PX, "height": height})

    def save_part(self, picture: str, selector: str) -> None:
        self._save(picture, self.evaluate(f"document.querySelector('{selector}').getBoundingClientRect().toJSON()"))

    def _save(self, picture: str, part: dict[str, float]) -> None:
        clip = {name: part[name] for name in ("x", "y", "width", "height")} | {"scale": 1}
        shown = self._tell("Page.captureScreenshot", format="png", clip=clip)["data"]
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / f"{picture}.png").write_bytes(base64.b64decode(shown))
        sys.stdout.write(f"{picture}\n")

    def close(self) -> None:
        self._tell("Browser.close")
        self._process.wait(10)

    def _tell(self, method: str, **parameters: object) -> Any:  # noqa: ANN401 JSON
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps({"id": self._number, "method": method, "params": parameters, **session}).encode() + b"\0")
        while True:
            while b"\0" not in self._unread:
                self._unread += os.read(self._from, 1 << 16)
            line, _, self._unread = self._unread.partition(b"\0")
            answer = json.loads(line)
            if answer.get("id") == self._number:
                return answer["result"]


class Photographer:
    def __init__(self, stack: dict[str, Any], browser: Browser) -> None:
        self.town = Town(stack)
        self._stack = stack
        self._browser = browser

    def stuck_retrying(self) -> None:
        trade = self.town.funded()
        self.town.fault("html_bad_gateway")
        self.town.release(trade)
        self._pending("stuck-retrying", f"release/{trade.order_id}", "502")

    def trustless_work_down(self) -> None:
        trade = self.town.funded()
        self.town.fault("tw_server_error")
        self.town.release(trade)
        self._pending("trustless-work-down", f"release/{trade.order_id}", "Trustless Work is not able")

    def contract_refused(self) -> None:
        trade = self.town.funded()
        self.town.fault("freeze_trustline", account=self.town.wallet(trade.seller_id))
        self.town.release(trade)
        self._details("contract-refused", f"order/{trade.order_id}", "Last error")

    def unknown_attempt(self) -> None:
        trade = self.town.funded()
        self.town.fault("server_error", path="^GET /transactions/")
        self.town.fault("accept_then_drop", path="^POST /transactions", next=1, account=self.town.wallet(trade.seller_id))
        self.town.release(trade)
        time.sleep(2)
        self.town.pass_time(UNTIL_UNKNOWN_S)
        until(lambda: self.town.events("envelope.unknown"))
        self._details("unknown-attempt", f"release/{trade.order_id}", "UNKNOWN")

    def ledger_mismatch(self) -> None:
        trade = self.town.funded()
        with self.town.another_fee(trade):
            self.town.release(trade)
            until(lambda: self.town.events("ledger.mismatch"))
            self._details("ledger-mismatch", f"release/{trade.order_id}", "Nothing is booked")

    def deposits_halted(self) -> None:
        self.town.lose_history()
        until(lambda: self.town.events("deposits.halted"))
        self._pending("deposits-halted", "deposits", "History gap")
        self._temporal("signal", "deposits", "--name", "accept_gap", "--input", '"it was made for a picture"')
        until(lambda: self.town.events("deposits.resumed"))

    def webhook_endpoint(self) -> None:
        with _receiver_that_fails() as url:
            endpoint = self.town.call("POST", "/webhook-endpoints", {"url": url, "eventTypes": ["user.created"]})["id"]
            self.town.new_user("BUYER")
            until(lambda: self.town.call("GET", f"/webhook-endpoints/{endpoint}/deliveries"))
            self._details("webhook-endpoint", f"webhook/{endpoint}", "The receiver fails", 480)
        self.town.call("DELETE", f"/webhook-endpoints/{endpoint}")

    def platform_account_low(self) -> None:
        run = self.town.call("POST", "/reconciliation/runs")["id"]
        self._details("platform-account-low", f"reconciliation/{run}", "finding(s)", 480)

    def dispute(self) -> None:
        dispute_id = self.town.disputed(self.town.funded())
        self._details("dispute", f"dispute/{dispute_id}", "To decide", 850)
        self._press("button", "More Actions")
        self._press("[role=menuitem]", "Send a Signal")
        self._browser.evaluate("document.querySelector('dialog[open] #signal-select').parentElement.click()")
        time.sleep(1)
        self._browser.save_part("decision-by-signal", "dialog[open]")

    def _press(self, selector: str, label: str) -> None:
        """Of several alike, for windows of other widths, one can be seen."""
        found = f"[...document.querySelectorAll('{selector}')].find(one => one.offsetParent && one.innerText.includes('{label}'))"
        self._browser.evaluate(f"{found}?.click()")
        time.sleep(1)

    def _details(self, picture: str, workflow_id: str, shows: str, height: int = 720) -> None:
        """The page draws them in a frame that cannot be looked into, so the workflow is asked."""
        until(lambda: shows in self._temporal("metadata", workflow_id))
        self._take(picture, f"{self._address(workflow_id)}/user-metadata", "Current Details", height)

    def _pending(self, picture: str, workflow_id: str, shows: str) -> None:
        self._take(picture, f"{self._address(workflow_id)}/pending-activities", shows, 400)

    def _take(self, picture: str, url: str, shows: str, height: int) -> None:
        self._browser.open(url, shows)
        self._browser.save(picture, height)

    def _address(self, workflow_id: str) -> str:
        described = json.loads(until(lambda: self._temporal("describe", workflow_id, "--output", "json")))
        run_id = described["workflowExecutionInfo"]["execution"]["runId"]
        namespace = f"{self._stack['temporalUiUrl']}/namespaces/{self._stack['temporalNamespace']}"
        return f"{namespace}/workflows/{quote(workflow_id, safe='')}/{run_id}"

    def _temporal(self, command: str, workflow_id: str, *options: str) -> str:
        program = Path(sys.executable).parent / "temporal"
        where = ("--address", self._stack["temporalAddress"], "--namespace", self._stack["temporalNamespace"])
        arguments = (program, "workflow", command, "--workflow-id", workflow_id, *where, *options)
        return subprocess.run(arguments, capture_output=True, text=True, check=False).stdout


class _Failing(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(503)

    def log_message(self, *_arguments: object) -> None:
        """Nobody wants to read it."""


@contextmanager
def _receiver_that_fails() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hooks"
        server.shutdown()


def main(wanted: list[str]) -> None:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("screenshots: there is no chromium here")
    home = Path(os.environ.get("OFFERHUB_HOME") or ".offerhub")
    stack = json.loads((home / "stack.json").read_text())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(program, folder)
        photographer = Photographer(stack, browser)
        situations: list[Callable[[], None]] = [
            *(photographer.contract_refused, photographer.stuck_retrying, photographer.trustless_work_down, photographer.ledger_mismatch),
            *(photographer.webhook_endpoint, photographer.platform_account_low, photographer.dispute, photographer.deposits_halted),
            photographer.unknown_attempt,
        ]
        try:
            for situation in situations:
                if not wanted or situation.__name__ in wanted:
                    situation()
                    photographer.town.heal()
        finally:
            with suppress(OSError):
                browser.close()
            photographer.town.close()


if __name__ == "__main__":
    main(sys.argv[1:])
