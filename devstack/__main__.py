"""`python -m devstack up`: run the stack in the foreground. `python -m devstack reset`: forget its state."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import os
import shutil
import signal
import sys
from collections.abc import Sequence

from devstack import choices as choices_
from devstack import ports, postgres
from devstack.account import unprivileged
from devstack.choices import Choices
from devstack.console import Console
from devstack.failure import StackError
from devstack.home import Home
from devstack.sitter_client import Sitter
from devstack.stack import Stack
from devstack.supervisor import Supervisor

PARENT_POLL_S = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="run everything until Ctrl-C")
    up.add_argument("--only", metavar="SERVICES", help="start only these (postgres,redis,temporal,sandbox) and neither worker nor API")
    up.add_argument("--stop-with-parent", action="store_true", help="stop when the program that started this one is gone")
    commands.add_parser("reset", help="delete the stack's state")
    options = parser.parse_args(arguments)
    # What lies in the home is its owner's: chain keys, logs, the database of the sandbox.
    os.umask(0o077)
    try:
        if options.command == "reset":
            return reset(choices_.read(os.environ))
        return asyncio.run(run(choices_.read(os.environ, options.only), stop_with_parent=options.stop_with_parent))
    except StackError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return _refuse(f"the disk is full ({error.filename})" if full else f"{error.strerror or error}: {error.filename}")


async def run(choices: Choices, *, stop_with_parent: bool) -> int:
    """Until a signal says stop (0) or something that cannot be mended happens (1)."""
    console, home = Console(), Home(choices.home)
    descriptor = home.open()
    remembered = home.remembered_ports()
    wanted = ports.choose(choices, remembered, lambda text: console.say("ports", text))
    home.remember_ports(remembered | wanted)
    sitter = Sitter(descriptor, remove=home.stack_file)
    supervisor = Supervisor(console, home.logs, sitter)
    stop = _stop_requested(supervisor, console)
    bring_up = asyncio.create_task(Stack(choices, home, wanted, supervisor, console).bring_up())
    parent_gone = asyncio.create_task(_parent_gone(stop_with_parent=stop_with_parent))
    waiting: set[asyncio.Future[None]] = {stop, bring_up, parent_gone, supervisor.failed}
    try:
        while True:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if done - {bring_up}:
                break
            if bring_up.exception():
                break
        return _verdict(bring_up, supervisor.failed)
    finally:
        bring_up.cancel()
        parent_gone.cancel()
        with contextlib.suppress(BaseException):
            await bring_up
        home.stack_file.unlink(missing_ok=True)
        await supervisor.stop()
        sitter.close()


def reset(choices: Choices) -> int:
    """Delete the home, and PostgreSQL's data where it had to live elsewhere."""
    home = Home(choices.home)
    if not home.path.exists():
        print(f"nothing to forget at {home.path}")
        return 0
    if not (home.path / "secrets.json").exists() and any(home.path.iterdir()):
        raise StackError(f"{home.path} does not look like a stack's home; nothing deleted")
    os.close(home.lock())
    elsewhere = postgres.reachable_data(home.path / "postgres", unprivileged()).parent
    if elsewhere != home.path:
        shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.rmtree(home.path)
    print(f"forgot {home.path}")
    return 0


def _verdict(bring_up: asyncio.Task[None], failed: asyncio.Future[None]) -> int:
    """Raises the first cause, if there was a failure."""
    if bring_up.done() and not bring_up.cancelled() and (error := bring_up.exception()):
        if failed.done():
            failed.exception()
        raise _cause(error)
    if failed.done() and (error := failed.exception()):
        raise error
    return 0


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _stop_requested(supervisor: Supervisor, console: Console) -> asyncio.Future[None]:
    """Done at the first signal; a second one kills."""
    loop = asyncio.get_running_loop()
    requested: asyncio.Future[None] = loop.create_future()

    def on_signal() -> None:
        if requested.done():
            console.say("stack", "asked again: killing everything")
            supervisor.kill()
        else:
            console.say("stack", "stopping")
            requested.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores SIGHUP for us; that stays.
        if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:
            loop.add_signal_handler(number, on_signal)
    return requested


async def _parent_gone(*, stop_with_parent: bool) -> None:
    """The make that started us was killed: nobody would ever stop us."""
    parent = os.getppid()
    while not stop_with_parent or os.getppid() == parent:
        await asyncio.sleep(PARENT_POLL_S)


def _refuse(message: str) -> int:
    print(f"make up: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
