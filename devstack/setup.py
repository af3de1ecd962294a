"""Make `.venv` from the locks. Run by the system's Python, before anything is installed: the standard library only.

uv does it in a tenth of pip's time, so it comes first; plain pip is the way out where uv cannot be had (it does not read
pip's own settings, a mirror for instance). Only prebuilt packages are taken: nothing is ever compiled.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
TOOLS = CHECKOUT / ".tools"
VENV = CHECKOUT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = {"runtime": "requirements.lock", "dev": "requirements-dev.lock"}
FREE_NEEDED_MB = 1500
# How uv and pip say that nobody answers.
UNREACHABLE = ("Failed to fetch", "error sending request", "ConnectionError", "name resolution", "timed out", "ProxyError")


class SetupError(Exception):
    """The message is the one line the user reads."""


def main() -> int:
    wanted = sys.argv[1]
    try:
        # The development set contains the runtime one: once there, it stays.
        chosen = "dev" if stamp("dev").exists() else wanted
        with (CHECKOUT / ".venv.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _check_space()
            _install(CHECKOUT / LOCKS[chosen])
            for name in {chosen, wanted}:
                stamp(name).touch()
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"set-up: {error.strerror}: {error.filename}", file=sys.stderr)
        return 1
    return 0


def stamp(name: str) -> Path:
    return VENV / f".stamp-{name}"


def _install(lock: Path) -> None:
    print(f"set-up: installing {lock.name} into .venv (Python {sys.version.split()[0]})", flush=True)
    uv = _uv()
    failed = _with_uv(uv, lock) if uv else "uv could not be installed"
    if failed is None:
        return
    print("set-up: uv did not work here; trying pip, which takes a minute or two", flush=True)
    failed_too = _with_pip(lock)
    if failed_too is not None:
        raise SetupError(_explained(failed + failed_too))


def _uv() -> Path | None:
    """The locked uv in `.tools`; the system's pip can install it without venv, ensurepip or root."""
    uv = TOOLS / "bin" / "uv"
    if not uv.exists():
        _run(
            sys.executable,
            *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:", "--upgrade"),
            *("--require-hashes", "--target", str(TOOLS), "-r", str(CHECKOUT / "requirements-tools.lock")),
        )
    if uv.exists():
        return uv
    found = shutil.which("uv")
    return Path(found) if found else None


def _with_uv(uv: Path, lock: Path) -> str | None:
    """None when it worked, else what went wrong."""
    if not _venv_matches():
        failed = _run(str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV))
        if failed is not None:
            return failed
    return _run(
        str(uv),
        *("pip", "sync", "--quiet", "--require-hashes", "--only-binary", ":all:", "--compile-bytecode", "--python", str(PYTHON)),
        str(lock),
        environment={"UV_LINK_MODE": "copy"} | _mirror(),
    )


def _with_pip(lock: Path) -> str | None:
    if not (_venv_matches() and (VENV / "bin" / "pip").exists()):
        try:
            venv.create(VENV, with_pip=True, clear=True)
        except subprocess.CalledProcessError:
            return "this Python has neither pip nor venv (on Debian: apt install python3-venv)"
    return _run(
        str(PYTHON),
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:", "--require-hashes"),
        *("-r", str(lock)),
    )


def _venv_matches() -> bool:
    """There is one, and it is of the Python that runs this."""
    if not PYTHON.exists():
        return False
    asked = subprocess.run((str(PYTHON), "-c", "import sys; print(sys.version)"), capture_output=True, text=True, check=False)
    return asked.stdout.strip() == sys.version.strip()


def _mirror() -> dict[str, str]:
    """The package index pip is configured with, which uv would not see."""
    if os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL"):
        return {}
    asked = subprocess.run((sys.executable, "-m", "pip", "config", "get", "global.index-url"), capture_output=True, text=True, check=False)
    return {"UV_DEFAULT_INDEX": asked.stdout.strip()} if asked.returncode == 0 and asked.stdout.strip() else {}


def _run(*command: str, environment: dict[str, str] | None = None) -> str | None:
    """None when it worked, else its output."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env={**os.environ, **(environment or {})}
    )
    return None if done.returncode == 0 else done.stdout


def _check_space() -> None:
    if VENV.exists():
        return
    free_mb = shutil.disk_usage(CHECKOUT).free // 2**20
    if free_mb < FREE_NEEDED_MB:
        raise SetupError(f"only {free_mb} MB free at {CHECKOUT}; installing needs {FREE_NEEDED_MB} MB")


def _explained(output: str) -> str:
    """One line for what a user can do something about; the tool's last words otherwise."""
    if "No space left" in output:
        return f"the disk is full at {CHECKOUT}"
    if any(sign in output for sign in UNREACHABLE):
        return "the package index cannot be reached: check the network, a proxy (HTTPS_PROXY) or a mirror (PIP_INDEX_URL)"
    if "no matching distribution" in output.lower():
        here = f"{sys.platform}, Python {sys.version.split()[0]}"
        return f"the package index cannot be reached, or has no prebuilt file for this platform ({here}); nothing is compiled here"
    return (output.strip().splitlines() or ["no reason given"])[-1]


if __name__ == "__main__":
    sys.exit(main())
