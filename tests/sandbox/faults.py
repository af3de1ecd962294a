"""Faults as a test orders them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.sandbox.network import Network


def inject(network: Network, kind: str, **fields: Any) -> str:
    answer = network.http.post("/control/faults", json={"kind": kind, **fields})
    assert answer.status_code == 201, answer.text
    fault_id: str = answer.json()["id"]
    return fault_id


def listed(network: Network) -> dict[str, dict[str, Any]]:
    """Every fault by its id."""
    document = network.control("faults")
    return {each["id"]: each for each in (*document["active"], *document["spent"])}


@contextmanager
def fault(network: Network, kind: str, **fields: Any) -> Iterator[str]:
    """In force inside the block only; it must have fired there."""
    fault_id = inject(network, kind, **fields)
    try:
        yield fault_id
        assert listed(network)[fault_id]["fired"] > 0
    finally:
        network.http.delete(f"/control/faults/{fault_id}")
