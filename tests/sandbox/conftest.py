from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.network import Network


@pytest.fixture(scope="session")
def shared_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(tmp_path_factory.mktemp("sandbox"))
    yield network
    network.stop()


@pytest.fixture
def network(shared_network: Network) -> Network:
    """A running sandbox whose ledgers close as soon as something is queued."""
    shared_network.control("ledger", intervalSeconds=0)
    return shared_network


@pytest.fixture
def own_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A sandbox that this test may kill, stop or look into."""
    network = Network(tmp_path_factory.mktemp("sandbox"))
    yield network
    network.kill()


@pytest.fixture
def stepped(network: Network) -> Iterator[Network]:
    """The shared sandbox with its clock stopped: ledgers close by hand only. Accounts are made before, or with a close."""
    yield network
    network.control("ledger", intervalSeconds=0)
