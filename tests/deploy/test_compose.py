"""What docker-compose.yml promises: one holder of the key, no secret in the file, nothing open to the outside, everything pinned."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from offerhub.settings import Settings
from tests.architecture.source import ROOT
from tests.deploy.compose_file import UnreadableCompose, read

TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = read(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SERVERS = {"api", "worker", "custody"}
jobs = {name for name, service in SERVICES.items() if service["restart"] == "no"}
SECRET = re.compile(r"PASSWORD|PWD|_KEY|SECRET|TOKEN|DATABASE_URL")
# A value that exists only in .env: without one, or with a reference that fails when it is missing.
FROM_ENV = re.compile(r"\$\{[A-Z_]+:\?[^}]+\}")


def environment(name: str) -> dict[str, Any]:
    return SERVICES[name].get("environment") or {}


def waits_for(name: str) -> dict[str, str]:
    return {other: needed["condition"] for other, needed in (SERVICES[name].get("depends_on") or {}).items()}


def test_the_stack_is_whole() -> None:
    stores = {"postgres", "valkey", "temporal-postgres"}
    assert set(SERVICES) == SERVERS | stores | {"migrations", "sandbox", "temporal", "temporal-schema", "temporal-ui"}
    assert jobs == {"migrations", "temporal-schema"}
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["sandbox"]


def test_only_custody_holds_the_wallet_key() -> None:
    assert [name for name in SERVICES if any(key.startswith("WALLET_ENCRYPTION_KEY") for key in environment(name))] == ["custody"]
    assert [name for name, service in SERVICES.items() if "env_file" in service] == []
    assert TEXT.count("WALLET_ENCRYPTION_KEY") == 2  # the name and its value


def test_only_the_api_holds_the_master_key() -> None:
    assert [name for name in SERVICES if "OFFERHUB_MASTER_KEY" in environment(name)] == ["api"]


def test_two_workers_share_the_roles() -> None:
    assert environment("custody")["WORKER_ROLES"] == "custody"
    rest = environment("worker")["WORKER_ROLES"].split(",")
    assert {*rest, "custody"} == set(Settings.model_fields["worker_roles"].default.split(","))
    assert "custody" not in rest


def test_no_secret_stands_in_the_file() -> None:
    values = ((name, key, value) for name in SERVICES for key, value in environment(name).items())
    assert [(name, key) for name, key, value in values if SECRET.search(key) and value is not None and not FROM_ENV.search(value)] == []


def test_everything_is_a_job_or_has_a_health_check() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == jobs


def test_every_dependency_waits_for_health_or_for_the_jobs_end() -> None:
    expected = {True: "service_completed_successfully", False: "service_healthy"}
    wrong = [(name, other) for name in SERVICES for other, condition in waits_for(name).items() if condition != expected[other in jobs]]
    assert wrong == []
    assert all("migrations" in waits_for(name) for name in SERVERS)
    assert all(SERVICES[name]["depends_on"]["sandbox"]["required"] == "false" for name in SERVERS)


def test_images_are_pinned_to_a_full_version() -> None:
    assert [service["image"] for service in SERVICES.values() if not re.fullmatch(r"[a-z/-]+:\d+(\.\d+)+", service["image"])] == []
    base = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base[1])


def test_ports_are_published_on_this_machine_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_what_must_survive_is_in_named_volumes() -> None:
    mounted = {name: volume.split(":")[0] for name, service in SERVICES.items() for volume in service.get("volumes", [])}
    named = {name: volume for name, volume in mounted.items() if not volume.startswith("./")}
    assert set(named) == {"postgres", "valkey", "temporal-postgres", "sandbox"}
    assert set(named.values()) == set(COMPOSE["volumes"])
    assert [volume for volume in mounted.values() if volume.startswith("./") and not (ROOT / volume).is_file()] == []


def test_our_containers_have_no_power() -> None:
    for name, service in OURS.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] == "true", name
    assert set(OURS) == SERVERS | {"migrations", "sandbox"}
    users = re.findall(r"^USER (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users == ["offerhub"]


def test_the_image_needs_every_locked_package_but_the_embedded_servers() -> None:
    skipped = re.search(r"skip = /\^\(([^)]+)\)==/", (ROOT / "Dockerfile").read_text())
    assert skipped is not None
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert set(skipped[1].split("|")) < locked
    embedded = re.search(r"^embedded = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert embedded is not None
    assert set(re.findall(r'"([a-z-]+)==', embedded[1])) < set(skipped[1].split("|"))


def test_the_image_holds_what_its_commands_run() -> None:
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert [path for path in allowed if not (ROOT / path).exists()] == []
    assert {"api", "activities", "workflows", "offerhub", "migrations", "sandbox", "worker.py", "temporal-config"} <= set(allowed)


def test_temporals_dynamic_configuration_is_the_one_of_the_repository() -> None:
    known = {entry["key"]: str(entry["value"]) for entry in json.loads((ROOT / "temporal-config" / "dynamic-config.json").read_text())}
    text = (ROOT / "deploy" / "temporal-dynamic-config.yaml").read_text()
    assert dict(re.findall(r"^([\w.]+):\n  - value: (\S+)$", text, re.MULTILINE)) == known


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('a: &x\n  b: 1\nc:\n  <<: *x\n  d: [e, "f, g"]', {"a": {"b": "1"}, "c": {"b": "1", "d": ["e", "f, g"]}}),
        ("a: &x\n  b: 1\nc:\n  b: 2\n  <<: *x", {"a": {"b": "1"}, "c": {"b": "2"}}),
        ('a:\n  # said\n  b:\nc: {d: true, e: "5"}', {"a": {"b": None}, "c": {"d": "true", "e": "5"}}),
    ],
)
def test_the_reader_reads(text: str, value: dict[str, Any]) -> None:
    assert read(text) == value


@pytest.mark.parametrize("text", ["a:\n  - b", "a: 1\na: 2", "a: 1 # said", "a: [[b, c], d]", "a: |\n  b", "a: 1\n    b: 2", "a: *x"])
def test_the_reader_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(UnreadableCompose):
        read(text)
