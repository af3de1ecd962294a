"""What the user may choose, and the one line he reads when it cannot be."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devstack import choices, home, ports
from devstack.failure import StackError
from devstack.home import Home


def test_by_itself_everything_is_embedded() -> None:
    chosen = choices.read({})
    assert chosen.embedded == {"postgres", "redis", "temporal", "sandbox"}
    assert chosen.servers
    assert chosen.home == choices.CHECKOUT / ".offerhub"


@pytest.mark.parametrize(
    ("variable", "value", "left_out"),
    [
        ("DATABASE_URL", "postgresql://db.example.org/offerhub", "postgres"),
        ("REDIS_URL", "redis://cache.example.org", "redis"),
        ("TEMPORAL_ADDRESS", "temporal.example.org:7233", "temporal"),
    ],
)
def test_what_is_given_is_not_started(variable: str, value: str, left_out: str) -> None:
    assert choices.read({variable: value}).embedded == set(choices.EMBEDDED) - {left_out}


def test_a_public_network_needs_a_key_and_no_sandbox() -> None:
    assert "sandbox" not in choices.read({"STELLAR_NETWORK": "testnet", "TRUSTLESS_WORK_API_KEY": "k"}).embedded
    with pytest.raises(StackError, match="TRUSTLESS_WORK_API_KEY"):
        choices.read({"STELLAR_NETWORK": "mainnet"})
    with pytest.raises(StackError, match="STELLAR_NETWORK=moon"):
        choices.read({"STELLAR_NETWORK": "moon"})


def test_a_usual_port_that_is_taken_gives_way_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "WANTED", (ports.Wanted("api", "api", port, "PORT"),))
        chosen = ports.choose(choices.read({}), {}, said.append)
    assert chosen["api"] != port
    assert said == [f"port {port} is taken; api uses {chosen['api']}"]


@pytest.mark.parametrize("text", ["eighty", "0", "65536", "-1"])
def test_what_is_no_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(StackError, match=f"PORT={text} is not a port"):
        ports.choose(choices.read({"PORT": text}), {}, print)


def test_the_same_port_for_two_is_refused() -> None:
    port = str(ports.any_free())
    with pytest.raises(StackError, match="same port"):
        ports.choose(choices.read({"PORT": port, "SANDBOX_PORT": port}), {}, print)


def test_a_service_that_does_not_run_here_needs_no_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own_api:
        chosen = ports.choose(choices.read({"PORT": str(own_api.getsockname()[1])}, only="redis"), {}, print)
    assert chosen.keys() == {"redis"}


def test_every_service_gets_a_port_of_its_own() -> None:
    chosen = ports.choose(choices.read({}), {wanted.name: 4000 for wanted in ports.WANTED}, lambda _text: None)
    assert chosen.keys() == {wanted.name for wanted in ports.WANTED}
    assert len(set(chosen.values())) == len(chosen)


def test_two_stacks_starting_at_once_do_not_choose_the_same_ports() -> None:
    choosing = (
        "from devstack import choices, ports;"
        "print(sorted(ports.choose(choices.read({}), {}, lambda _: None).values()), flush=True); input()"
    )
    begun = [
        subprocess.Popen((sys.executable, "-c", choosing), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=choices.CHECKOUT)
        for _ in range(3)
    ]
    chosen = [json.loads(one.stdout.readline()) for one in begun if one.stdout]
    for one in begun:
        one.communicate("\n")
    assert len({port for ports_of_one in chosen for port in ports_of_one}) == 3 * len(ports.WANTED)


def test_a_full_disk_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "FREE_NEEDED_MB", 2**40)
    with pytest.raises(StackError, match="MB free at"):
        Home(tmp_path).open()


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    first = Home(tmp_path).secrets()
    Home(tmp_path).remember_secret("apiKey", "ohk_test_1")
    assert Home(tmp_path).secrets() == first | {"apiKey": "ohk_test_1"}
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
