"""PostgreSQL: a cluster of our own, on 127.0.0.1 only, with a password, also when we are root."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from devstack import binaries
from devstack.account import Account, unprivileged
from devstack.failure import NotReadyError, StackError
from devstack.service import Service, Tier

USER = "offerhub"
DATABASE = "offerhub"
# For whatever PostgreSQL's account cannot reach under the home or the checkout (both may lie below a private folder).
SHARED_STATE = Path("/var/lib/offerhub")

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "jit": "off",  # short statements only: compiling one costs more than running it
    "log_min_messages": "warning",
}
# For tests: the data is thrown away, so nothing has to survive a crash.
THROWAWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@dataclass(frozen=True)
class Cluster:
    """Where a cluster lives and how it is reached."""

    data: Path
    port: int
    password: str
    durable: bool = True

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"


def prepare(cluster: Cluster) -> Service:
    """Make the cluster if there is none, and say how to run it. A half-made one is made again."""
    account = unprivileged()
    programs = _reachable_programs(binaries.postgres_programs(), account)
    data = reachable_data(cluster.data, account)
    if not (data / "PG_VERSION").exists() or not (data.parent / f"{data.name}.made").exists():
        _initialise(programs, data, cluster.password, account)
    settings = SETTINGS | ({} if cluster.durable else THROWAWAY_SETTINGS) | {"port": str(cluster.port)}
    return Service(
        name="postgres",
        argv=(str(programs / "postgres"), "-D", str(data), *(part for key, value in settings.items() for part in ("-c", f"{key}={value}"))),
        tier=Tier.STORE,
        env=_environment(),
        probe=lambda: _accepts(cluster),
        shown_as=f"127.0.0.1:{cluster.port}",
        account=account,
        # Fast shutdown; SIGTERM would wait for every client to leave. Nothing is written down for a throwaway cluster.
        stop_signal=signal.SIGINT if cluster.durable else signal.SIGQUIT,
    )


def create_database(cluster: Cluster, name: str = DATABASE) -> None:
    """Create ``name`` if it is not there."""
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def reachable_data(data: Path, account: Account | None) -> Path:
    """``data`` itself, or its stand-in under ``SHARED_STATE`` when the account cannot get there."""
    if account is None:
        return data
    data.parent.mkdir(parents=True, exist_ok=True)
    if account.may("-x", data.parent):
        return data
    _make_shared(SHARED_STATE)
    return _make_shared(SHARED_STATE / hashlib.sha256(str(data).encode()).hexdigest()[:16]) / "postgres"


def _make_shared(folder: Path) -> Path:
    """A folder PostgreSQL's account can pass through, whatever our umask."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    return folder


def _initialise(programs: Path, data: Path, password: str, account: Account | None) -> None:
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True, mode=0o700)
    made = data.parent / f"{data.name}.made"
    made.unlink(missing_ok=True)
    # Beside the data, not in a temporary folder: if we are killed now, the next start or `make reset` removes it.
    secret = data.parent / f"{data.name}.password"
    secret.unlink(missing_ok=True)
    secret.touch(mode=0o600)
    secret.write_text(password)
    if account:
        os.chown(data, account.uid, account.gid)
        os.chown(secret, account.uid, account.gid)
    done = subprocess.run(
        (
            *(str(programs / "initdb"), "-D", str(data), "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}"),
            *("-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-sync"),
        ),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        env=_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    secret.unlink()
    if done.returncode != 0:
        raise StackError(f"PostgreSQL could not make its data folder {data}: {_reason(done.stderr)}")
    made.touch()


def _reason(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if "error" in line.lower() or "fatal" in line.lower()]
    return (lines or stderr.splitlines() or ["no reason given"])[0].strip()


def _reachable_programs(programs: Path, account: Account | None) -> Path:
    """``programs`` itself, or a copy the account can read when the checkout lies below a private folder."""
    if account is None or account.may("-x", programs / "postgres"):
        return programs
    installation = programs.parent
    libraries = installation.parent.parent / f"{installation.parent.name}.libs"
    stat = (programs / "postgres").stat()
    mark = hashlib.sha256(f"{programs}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    copy = SHARED_STATE / f"programs-{mark}"
    if not copy.exists():
        making = _make_shared(SHARED_STATE) / f".making-{mark}-{os.getpid()}"
        package = making / installation.parent.name
        package.mkdir(parents=True)
        shutil.copytree(installation, package / installation.name, ignore=shutil.ignore_patterns("include", "__pycache__"), symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, making / libraries.name, symlinks=True)
        for folder, _, _ in os.walk(making):
            Path(folder).chmod(0o755)
        making.rename(copy)
    return copy / installation.parent.name / installation.name / "bin"


def _environment() -> dict[str, str]:
    """Nothing of the caller's PG* settings reaches our cluster."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}


def _accepts(cluster: Cluster) -> None:
    try:
        psycopg.connect(cluster.url("postgres"), connect_timeout=3).close()
    except psycopg.OperationalError as error:
        raise NotReadyError(str(error).splitlines()[0]) from error
