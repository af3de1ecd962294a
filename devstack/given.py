"""Servers of the user's own, looked for before anything is started."""

from __future__ import annotations

from urllib.parse import urlsplit

from devstack import probes
from devstack.choices import Choices
from devstack.failure import NotReadyError, StackError

_USUAL_PORTS = {"DATABASE_URL": 5432, "REDIS_URL": 6379, "TEMPORAL_ADDRESS": 7233}


def require_given_servers(choices: Choices) -> None:
    """Raises ``StackError`` naming the variable of the first one that is not there."""
    for variable, usual_port in _USUAL_PORTS.items():
        given = choices.given(variable)
        if given and choices.servers:
            _require(variable, given, usual_port)


def _require(variable: str, given: str, usual_port: int) -> None:
    try:
        address = urlsplit(given if "://" in given else f"//{given}")
        port = address.port or usual_port
    except ValueError as error:
        raise StackError(f"{variable} is no address ({error})") from None
    if not address.hostname:
        # A socket in the file system.
        return
    try:
        probes.connects(address.hostname, port)
    except NotReadyError as missing:
        raise StackError(f"{variable}: {missing}; without {variable} one is started here") from None
