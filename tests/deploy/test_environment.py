"""The variables of .env: each is explained once, reaches somebody, and the sandbox's are those the sandbox publishes."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from offerhub.settings import Settings
from sandbox.identities import NETWORK_PASSPHRASE, usdc_asset
from sandbox.rpc.routes import PATH as RPC_PATH
from sandbox.trustless import identity
from tests.architecture.source import ROOT
from tests.deploy.test_compose import SERVERS, TEXT, environment

EXAMPLE = (ROOT / "deploy" / ".env.example").read_text()
PLAIN = re.compile(r"^([A-Z_]+)=(.*)$", re.MULTILINE)
COMMENTED = re.compile(r"^# ([A-Z_]+)=(.*)$", re.MULTILINE)


def values(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in PLAIN.findall(text)}


def read_by_compose() -> set[str]:
    passed_on = {name for service in SERVERS for name, value in environment(service).items() if value is None}
    return passed_on | set(re.findall(r"\$\{([A-Z_]+)", TEXT)) | {"COMPOSE_PROFILES"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    return tmp_path


def new_env(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("sh", "deploy/new-env", *arguments), cwd=checkout, capture_output=True, text=True, check=False)


def test_every_variable_is_in_the_example_once_and_read() -> None:
    names = [name for name, _ in (*PLAIN.findall(EXAMPLE), *COMMENTED.findall(EXAMPLE))]
    assert len(names) == len(set(names))
    assert set(names) == read_by_compose()


def test_every_setting_reaches_a_process() -> None:
    passed = {name for service in SERVERS for name in environment(service)}
    assert {name.upper() for name in Settings.model_fields} - passed == {"WALLET_ENCRYPTION_KEY_FILE"}
    assert passed <= {name.upper() for name in Settings.model_fields}


def test_the_defaults_shown_are_the_settings_defaults() -> None:
    shown = {name.lower(): value for name, value in COMMENTED.findall(EXAMPLE)}
    defaults = {name: str(field.default) for name, field in Settings.model_fields.items()}
    assert {name: value for name, value in shown.items() if name in defaults and value != defaults[name]} == {}


def test_the_example_holds_no_secret() -> None:
    assert {name for name, value in values(EXAMPLE).items() if value} == {"STELLAR_NETWORK", "COMPOSE_PROFILES"}


def test_the_sandbox_is_described_as_it_describes_itself() -> None:
    trustless = identity(NETWORK_PASSPHRASE)
    assert values((ROOT / "deploy" / "sandbox.env").read_text()) == {
        "NETWORK_PASSPHRASE": NETWORK_PASSPHRASE,
        "HORIZON_URL": "http://sandbox:4010",
        "FRIENDBOT_URL": "http://sandbox:4010/friendbot",
        "STELLAR_RPC_URL": f"http://sandbox:4010{RPC_PATH}",
        "USDC_ISSUER": usdc_asset(NETWORK_PASSPHRASE).issuer,
        "TRUSTLESS_WORK_URL": "http://sandbox:4010/trustless-work",
        "TRUSTLESS_WORK_API_KEY": trustless["apiKey"],
        "TRUSTLESS_WORK_FACTORY": trustless["factory"],
        "TRUSTLESS_WORK_WASM_HASH": trustless["wasmHash"],
        "TRUSTLESS_WORK_MULTI_WASM_HASH": trustless["multiReleaseWasmHash"],
        "TRUSTLESS_WORK_FEE_ADDRESS": trustless["feeAddress"],
    }


def test_a_new_env_is_private_and_complete(checkout: Path) -> None:
    assert new_env(checkout).returncode == 0
    path = checkout / ".env"
    written = values(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    keys = [written[name] for name in ("WALLET_ENCRYPTION_KEY", "WEBHOOK_ENCRYPTION_KEY")]
    assert [len(base64.b64decode(key, validate=True)) for key in keys] == [32, 32]
    assert keys[0] != keys[1]
    secrets = [written[name] for name in ("POSTGRES_PASSWORD", "TEMPORAL_POSTGRES_PASSWORD", "OFFERHUB_MASTER_KEY")]
    assert len({secret[-64:] for secret in secrets}) == 3
    assert all(re.fullmatch(r"(ohk_master_)?[0-9a-f]{64}", secret) for secret in secrets)
    settings = {name.lower(): value for name, value in written.items()}
    assert Settings(database_url="x", redis_url="x", **settings).stellar_network == "sandbox"  # type: ignore[arg-type]  # parsed from text


def test_a_real_network_gets_nothing_of_the_sandbox(checkout: Path) -> None:
    assert new_env(checkout, "mainnet").returncode == 0
    written = values((checkout / ".env").read_text())
    assert (written["STELLAR_NETWORK"], written["COMPOSE_PROFILES"]) == ("mainnet", "")
    assert "TRUSTLESS_WORK_API_KEY" not in written


def test_existing_keys_are_never_overwritten(checkout: Path) -> None:
    (checkout / ".env").write_text("WALLET_ENCRYPTION_KEY=the-only-copy\n")
    assert new_env(checkout).returncode != 0
    assert (checkout / ".env").read_text() == "WALLET_ENCRYPTION_KEY=the-only-copy\n"


def test_an_unknown_network_writes_nothing(checkout: Path) -> None:
    assert new_env(checkout, "futurenet").returncode == 2
    assert not (checkout / ".env").exists()
