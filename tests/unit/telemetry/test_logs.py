from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from offerhub.domain.redaction import REDACTED
from offerhub.telemetry import logs

KEY = "ohk_test_01m81q6x1a7zzmrebtg6cj5wqj_" + "ab" * 32
SEED = "SAV76USXIJOBMEQXPANUOQM6F5LIOTLPDIDVRJBFFE2MDJXG24TAPUU7"
SECRETS = (KEY, SEED, "hunter2")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield
    root.handlers, root.level = before, level
    structlog.reset_defaults()


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    output = capsys.readouterr().out
    assert not [secret for secret in SECRETS if secret in output]
    return [json.loads(line) for line in output.splitlines()]


def test_secrets_are_taken_out_by_name_and_by_shape(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    log = logs.get_logger("test")
    log.info("by name", authorization="hunter2", nested={"x-api-key": "hunter2", "list": [{"password": "hunter2"}]}, apiKey=None)
    log.info("by shape", header=f"Bearer {KEY}", text=f"seed {SEED}!", url="postgresql://offerhub:hunter2@host/db", raw=b"hunter2")
    for sentence in (f"in the sentence itself {KEY}",):
        log.info(sentence)
    by_name, by_shape, in_sentence = written(capsys)
    assert by_name["nested"] == {"x-api-key": REDACTED, "list": [{"password": REDACTED}]}
    assert by_name["apiKey"] is None
    assert by_shape["url"] == f"postgresql://{REDACTED}@host/db"
    assert in_sentence["event"] == f"in the sentence itself {REDACTED}"


def test_tracebacks_and_foreign_entries_go_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    try:
        raise RuntimeError(f"with {SEED}")
    except RuntimeError:
        logs.get_logger("test").exception("failed")
    logging.getLogger("uvicorn.error").warning("foreign %s", KEY)
    failed, foreign = written(capsys)
    assert "RuntimeError" in failed["exception"]
    assert (foreign["level"], foreign["logger"]) == ("warning", "uvicorn.error")


def test_bound_fields_are_on_every_entry_of_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    with logs.bound(correlation_id="req_1"):
        logs.get_logger("test").info("inside")
    logs.get_logger("test").info("outside")
    inside, outside = written(capsys)
    assert inside["correlation_id"] == "req_1"
    assert "correlation_id" not in outside


@pytest.mark.parametrize("output", ["json", "console"])
def test_levels_and_outputs(capsys: pytest.CaptureFixture[str], output: Any) -> None:
    logs.configure("WARNING", output)
    logs.get_logger("test").info("quiet")
    logs.get_logger("test").warning("loud", token="hunter2")
    text = capsys.readouterr().out
    assert "quiet" not in text
    assert "loud" in text
    assert "hunter2" not in text
