"""Starting services, keeping them running, stopping them in order.

Until the stack is ready a death is the end of it, with the cause; after that the dead service is started again, with back-off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from devstack.console import Console
from devstack.failure import NotReadyError, StackError
from devstack.service import Child, Service, Tier, start
from devstack.sitter_client import Sitter

POLL_S = 0.05
# Once a service takes its time, asking less often leaves it more of the machine.
PATIENT_POLL_S = 0.25
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
# Waiting for less is not worth a line.
SILENT_S = 3.0
# A service that ran this long and dies had a bad moment, not a bad start.
STEADY_S = 60.0


class Supervisor:
    def __init__(self, console: Console, logs: Path, sitter: Sitter) -> None:
        self._console = console
        self._logs = logs
        self._sitter = sitter
        self._children: dict[str, Child] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._settled = False
        self._stopping = False
        self.on_restart: Callable[[], None] = lambda: None
        # Carries the reason why the stack cannot go on.
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self._children.items() if child.exit_code() is None}

    async def run_to_end(self, name: str, argv: tuple[str, ...], environment: Mapping[str, str], folder: Path) -> None:
        """A step that must succeed before others start, such as the migrations."""
        began = time.monotonic()
        child = self._start(Service(name=name, argv=argv, tier=Tier.SERVER, env=environment, cwd=folder))
        while child.exit_code() is None:
            await asyncio.sleep(POLL_S)
        self._sitter.forget(child.pid)
        del self._children[name]
        if child.exit_code() != 0:
            raise StackError(f"{name} {child.ending()}; the end of {child.log}:\n{child.last_words()}")
        self._console.say(name, f"done ({time.monotonic() - began:.1f} s)")

    async def bring_up(self, service: Service) -> None:
        """Start ``service``, keep it running from now on, return once it is ready."""
        began = time.monotonic()
        child = self._start(service)
        # From here on its death is noticed, whoever is waiting.
        keeper = asyncio.create_task(self._keep(child), name=f"keep {service.name}")
        keeper.add_done_callback(self._keeper_ended)
        self._keepers.append(keeper)
        await self._until_ready(child)
        self._console.say(
            service.name, f"ready on {service.shown_as} ({time.monotonic() - began:.1f} s)" if service.shown_as else "started"
        )

    def settle(self) -> None:
        """The stack is ready: from now on the dead are restarted."""
        self._settled = True

    async def stop(self) -> None:
        """Servers first, stores last; all of a tier together. Who does not go in time is killed, and said so."""
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        for tier in sorted(Tier, reverse=True):
            of_tier = [child for child in self._children.values() if child.service.tier == tier]
            await asyncio.gather(*(self._stop(child) for child in of_tier))

    def kill(self) -> None:
        for child in self._children.values():
            _signal_group(child)

    def _start(self, service: Service) -> Child:
        try:
            child = start(service, self._logs, self._sitter)
        except OSError as error:
            raise StackError(f"cannot start {service.name}: {error.strerror or error}") from error
        self._children[service.name] = child
        return child

    async def _until_ready(self, child: Child) -> None:
        """Ready means: answers, and is still the process we started (not a stranger on its port)."""
        service = child.service
        began, missing = time.monotonic(), ""
        while True:
            if child.exit_code() is not None:
                raise StackError(f"{service.name} {child.ending()} before it was ready; the end of {child.log}:\n{child.last_words()}")
            try:
                await asyncio.to_thread(service.probe)
            except NotReadyError as error:
                waited_s = time.monotonic() - began
                if str(error) != missing and waited_s > SILENT_S:
                    self._console.say(service.name, f"waiting: {error}")
                    missing = str(error)
                if waited_s > service.ready_timeout_s:
                    limit = f"was not ready within {service.ready_timeout_s:.0f} s ({error})"
                    raise StackError(f"{service.name} {limit}; the end of {child.log}:\n{child.last_words()}") from error
            else:
                if child.exit_code() is None:
                    return
            await asyncio.sleep(POLL_S if time.monotonic() - began < SILENT_S else PATIENT_POLL_S)

    async def _keep(self, child: Child) -> None:
        service, backoff_s = child.service, FIRST_BACKOFF_S
        while True:
            began = time.monotonic()
            while child.exit_code() is None:
                await asyncio.sleep(POLL_S)
            self._sitter.forget(child.pid)
            # What is left of its session, if it was killed and had children of its own.
            _signal_group(child)
            if not self._settled:
                raise StackError(
                    f"{service.name} {child.ending()} before the stack was ready; the end of {child.log}:\n{child.last_words()}"
                )
            backoff_s = FIRST_BACKOFF_S if time.monotonic() - began > STEADY_S else backoff_s
            self._console.say(service.name, f"{child.ending()}; starting it again in {backoff_s:g} s ({child.log})")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
            child = await self._start_again(service)

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        """A keeper ends by itself only when it cannot go on, and then nobody would restart its service."""
        if not keeper.cancelled() and (error := keeper.exception()) and not self.failed.done():
            self.failed.set_exception(error)

    async def _start_again(self, service: Service) -> Child:
        while True:
            try:
                child = self._start(service)
            except StackError as error:
                self._console.say(service.name, f"{error}; trying again")
                await asyncio.sleep(LONGEST_BACKOFF_S)
                continue
            self.on_restart()
            try:
                await self._until_ready(child)
            except StackError as error:
                self._console.say(service.name, str(error))
            else:
                self._console.say(service.name, "runs again")
            return child

    async def _stop(self, child: Child) -> None:
        service = child.service
        if child.exit_code() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, service.stop_signal)
        until = time.monotonic() + service.stop_timeout_s
        while child.exit_code() is None and time.monotonic() < until:
            await asyncio.sleep(POLL_S)
        if child.exit_code() is None:
            self._console.say(service.name, f"did not stop within {service.stop_timeout_s:g} s; killed")
        _signal_group(child)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(5)
        self._sitter.forget(child.pid)
        self._console.say(service.name, "stopped")


def _signal_group(child: Child) -> None:
    """Kill what is left of the child's session; nothing, when it ended well."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
