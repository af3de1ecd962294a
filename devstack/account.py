"""The account PostgreSQL runs as when we are root, which it refuses to be."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devstack.failure import StackError


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int

    def may(self, test: str, path: Path) -> bool:
        """Whether the account passes ``test(1)`` with the flag ``test`` on ``path``, with every folder above it."""
        return (
            subprocess.run(
                ("/bin/sh", "-c", f'test {test} "$0"', str(path)),
                user=self.uid,
                group=self.gid,
                extra_groups=[],
                cwd="/",
                check=False,
            ).returncode
            == 0
        )


def unprivileged() -> Account | None:
    """None when we are not root ourselves. Never creates an account."""
    if os.geteuid() != 0:
        return None
    asked = os.environ.get("OFFERHUB_PG_USER")
    for name in [asked] if asked else ["postgres", "nobody"]:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    missing = asked or "postgres or nobody"
    raise StackError(f"PostgreSQL does not run as root and there is no account {missing}: set OFFERHUB_PG_USER to an existing one")
