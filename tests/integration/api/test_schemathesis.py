"""Schemathesis over the whole document, against ``python -m api``: what its schemas allow, their edges, and what is beyond them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import openapi_document
from devstack import ports
from tests.integration.api.conftest import MASTER, opened
from tests.integration.api.test_fuzz import populated
from tests.integration.api.test_process import ROOT, environment
from tests.services import PostgresServer

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
# Neither Horizon nor Temporal is there: only 503 may say so, and only where it is documented.
STATUSES = ["2xx", "3xx", "4xx", 503]
DRAIN = "/api/v1/maintenance/drain"
READY_S = 120.0


def document(examples: int, *, edges: bool) -> Any:
    """``edges``: also every bound of every schema, one case for each, and one just beyond it."""
    config: dict[str, Any] = {
        "seed": 1,
        "headers": {"Authorization": f"Bearer {MASTER}"},
        # Nobody is there to carry an operation out: waiting for it would only take time.
        "parameters": {"header.Prefer": "respond-async"},
        "checks": {"not_a_server_error": {"expected-statuses": STATUSES}},
        "generation": {"max-examples": examples, "deterministic": True},
        "phases": {"coverage": {"enabled": edges, "unexpected-methods": []}},
    }
    described = openapi_document()
    # Last: while the instance is drained, it refuses what the others are about.
    described["paths"][DRAIN] = described["paths"].pop(DRAIN)
    return schemathesis.openapi.from_dict(described, config=schemathesis.Config.from_dict(config))


@dataclass(frozen=True)
class Running:
    """``known`` are ids of what there is, by the names of the parameters and fields that take them."""

    url: str
    session: requests.Session
    known: Mapping[str, Sequence[str]]

    def judge(self, case: Any) -> None:
        self._aim(case)
        # A stream of events would not end.
        answer = case.call(self.url, self.session, headers={"Accept": "application/json"})
        case.validate_response(answer, CHECKS, transport_kwargs={"base_url": self.url})

    def _aim(self, case: Any) -> None:
        """At what exists, where a random id is as good; and with a key of its own, or the first request's answer would be all it gets."""
        choice = crc32(repr(case).encode(errors="surrogatepass"))
        places = {ParameterLocation.PATH: case.path_parameters, ParameterLocation.QUERY: case.query, ParameterLocation.BODY: case.body}
        for location, place in places.items():
            if isinstance(place, dict) and _is_valid(case, location):
                for name in place.keys() & self.known.keys():
                    choices = [*self.known[name], place[name]]
                    place[name] = choices[choice % len(choices)]
        if "Idempotency-Key" in case.headers and _is_valid(case, ParameterLocation.HEADER):
            case.headers["Idempotency-Key"] = f"{case.id}-{time.monotonic_ns()}"


def _is_valid(case: Any, location: ParameterLocation) -> bool:
    part = case.meta.components.get(location)
    return part is not None and bool(part.mode.is_positive)


async def filled(database_url: str, redis_url: str) -> dict[str, Sequence[str]]:
    async with opened(database_url, redis_url) as api:
        return await populated(api)


def wait_until_ready(process: subprocess.Popen[bytes], url: str, session: requests.Session) -> None:
    until = time.monotonic() + READY_S
    while True:
        try:
            assert session.get(f"{url}/api/v1/health").status_code == 200
        except requests.ConnectionError:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="module")
def running(postgres_server: PostgresServer, migrated_template: str, redis_server: str) -> Iterator[Running]:
    port = ports.any_free()
    url = f"http://127.0.0.1:{port}"
    with postgres_server.database(migrated_template) as database_url, closing(requests.Session()) as session:
        session.trust_env = False
        values = environment(database_url, redis_server, port)
        process = subprocess.Popen((sys.executable, "-m", "api"), cwd=ROOT, env=values, stdout=subprocess.DEVNULL)
        try:
            known = asyncio.run(filled(database_url, redis_server))
            wait_until_ready(process, url, session)
            yield Running(url, session, known)
        finally:
            process.kill()
            process.wait()


@document(8, edges=False).parametrize()  # type: ignore[untyped-decorator]
def test_what_is_documented_is_answered_and_nothing_else(running: Running, case: Any) -> None:
    running.judge(case)


@pytest.mark.endurance
@document(20, edges=True).parametrize()  # type: ignore[untyped-decorator]
def test_what_is_documented_is_answered_and_nothing_else_at_length(running: Running, case: Any) -> None:
    running.judge(case)
