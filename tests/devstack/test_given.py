"""Servers of the user's own that are not there are named before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from devstack.choices import read
from devstack.failure import StackError
from devstack.given import require_given_servers
from tests.services import RunningStack

GIVEN = {
    "DATABASE_URL": "postgresql://me:secret@127.0.0.1:{port}/x",
    "REDIS_URL": "redis://127.0.0.1:{port}",
    "TEMPORAL_ADDRESS": "127.0.0.1:{port}",
}


@pytest.mark.parametrize(("variable", "given"), GIVEN.items())
def test_one_that_answers_is_left_to_those_who_use_it(variable: str, given: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        require_given_servers(read({variable: given.format(port=listening.getsockname()[1])}))


@pytest.mark.parametrize("given", ["redis://127.0.0.1:many", "redis://[::1"])
def test_an_address_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(StackError, match="REDIS_URL is no address"):
        require_given_servers(read({"REDIS_URL": given}))


def test_a_socket_in_the_file_system_is_not_looked_for() -> None:
    require_given_servers(read({"DATABASE_URL": "postgresql:///offerhub"}))


@pytest.mark.parametrize(("variable", "given"), GIVEN.items())
def test_one_that_is_not_there_ends_the_stack_in_one_line(tmp_path: Path, variable: str, given: str) -> None:
    with socket.socket() as bound:
        # Taken, so that nobody else gets it, and nobody listens.
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        running = RunningStack(tmp_path, environment={variable: given.format(port=port)})
        assert running.process.wait(120) == 1
    said = f"make up: {variable}: no answer on 127.0.0.1:{port} (Connection refused); without {variable} one is started here"
    assert running.output.splitlines() == [said]
