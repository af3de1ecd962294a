"""The stack's home: its lock, its secrets, its remembered ports, and `stack.json` while it runs."""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devstack.failure import StackError
from devstack.sitter import alive

FREE_NEEDED_MB = 500
# The longest a killed run's sitter needs to stop what that run left.
SITTER_CLEANS_UP_S = 10.0


class Home:
    """Opened by one process at a time; the lock goes with the last process that holds its descriptor."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.stack_file = self.path / "stack.json"

    def open(self) -> int:
        """Make the folders, check the disk, take the lock; returns its descriptor for the sitter to hold too."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            # Passable but not listable: PostgreSQL's account, when we are root, must get to its folder.
            self.path.chmod(0o711)
        except OSError as error:
            raise StackError(f"cannot use {self.path} as home: {error.strerror} (OFFERHUB_HOME chooses another)") from error
        self._require_space()
        descriptor = self.lock()
        self.stack_file.unlink(missing_ok=True)
        return descriptor

    def lock(self) -> int:
        """One holder at a time. Waits for the clean-up after a killed run, not for a living one."""
        path = self.path / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + SITTER_CLEANS_UP_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in {errno.EAGAIN, errno.EACCES}:
                    raise
            else:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return descriptor
            holder = path.read_text(encoding="ascii").strip()
            if not holder or alive(int(holder)) or time.monotonic() > until:
                os.close(descriptor)
                raise StackError(
                    f"another instance already runs in {self.path} (pid {holder or 'unknown'}); OFFERHUB_HOME chooses another home"
                )
            time.sleep(0.1)

    def secrets(self) -> dict[str, str]:
        """Generated on the first start, the same ever after: the data is unreadable without them."""
        path = self.path / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        made = {
            "masterKey": f"ohk_master_{secrets.token_urlsafe(32)}",
            "walletEncryptionKey": base64.b64encode(secrets.token_bytes(32)).decode(),
            "webhookEncryptionKey": base64.b64encode(secrets.token_bytes(32)).decode(),
            "postgresPassword": secrets.token_urlsafe(24),
        } | known
        if made != known:
            write_private(path, made)
        return made

    def remember_secret(self, name: str, value: str) -> None:
        write_private(self.path / "secrets.json", self.secrets() | {name: value})

    def remembered_ports(self) -> dict[str, int]:
        try:
            ports: dict[str, int] = json.loads((self.path / "ports.json").read_text())
        except (OSError, ValueError):
            return {}
        return ports

    def remember_ports(self, ports: Mapping[str, int]) -> None:
        write_private(self.path / "ports.json", dict(ports))

    def _require_space(self) -> None:
        free_mb = shutil.disk_usage(self.path).free // 2**20
        if free_mb < FREE_NEEDED_MB:
            raise StackError(
                f"only {free_mb} MB free at {self.path}; the stack needs {FREE_NEEDED_MB} MB (OFFERHUB_HOME chooses another place)"
            )


def write_private(path: Path, content: Any) -> None:  # noqa: ANN401 JSON
    """Whole or not at all, and never readable by others, not even for a moment."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
