"""``python -m sandbox``: run a sandbox network until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.app import build_app
from sandbox.control import MAX_INTERVAL_S
from sandbox.faults.exchange import CUT_EXTENSION
from sandbox.identities import NETWORK_PASSPHRASE
from sandbox.ledger.chain import ForeignLedger
from sandbox.ledger.ledger import Ledger
from sandbox.ledger.store import HomeInUse


def main() -> None:
    options = _options()
    try:
        ledger = Ledger(options.home, NETWORK_PASSPHRASE, options.interval_seconds)
    except (ForeignLedger, HomeInUse) as error:
        raise SystemExit(str(error)) from error
    app = build_app(ledger, options.home, options.trustless_requests_per_minute)
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        loop="uvloop",
        http=CuttableProtocol,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, signal.SIG_IGN)  # uvicorn stops on them and then raises them again: exit with 0 instead
    _Server(config, ledger).run()


class CuttableProtocol(HttpToolsProtocol):
    """Lets a fault close the connection it is on, whatever was sent so far."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {CUT_EXTENSION: {"close": self.transport.close}}


class _Server(uvicorn.Server):
    """Ends the open event streams when it is told to stop; waiting for them would take up to 55 s."""

    def __init__(self, config: uvicorn.Config, ledger: Ledger) -> None:
        super().__init__(config)
        self._ledger = ledger

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._ledger.announce_end()
        super().handle_exit(sig, frame)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox", description="A local Stellar network with Trustless Work on it.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4010)
    parser.add_argument("--home", type=Path, required=True, help="directory that keeps the ledger")
    parser.add_argument("--interval-seconds", type=float, default=1.0, help="time between ledgers; 0 closes one per transaction")
    parser.add_argument("--trustless-requests-per-minute", type=int, default=50, help="0 switches the limit off")
    options = parser.parse_args()
    if not 0 <= options.interval_seconds <= MAX_INTERVAL_S:
        parser.error(f"--interval-seconds must be from 0 to {MAX_INTERVAL_S}")
    return options


if __name__ == "__main__":
    main()
