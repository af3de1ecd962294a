"""The test services themselves: what a test gets is real and its own, and a killed run leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import redis
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from devstack.choices import CHECKOUT
from devstack.temporal import CONFIGURATION
from tests.devstack.test_stack import descendants, gone, wait_until
from tests.services import NAMESPACE, PREFIX, PostgresServer


def test_each_database_is_migrated_and_nobody_elses(postgres_server: PostgresServer, migrated_template: str) -> None:
    with postgres_server.database(migrated_template) as first, postgres_server.database(migrated_template) as second:
        with psycopg.connect(first) as connection:
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
            connection.execute("CREATE TABLE mine ()")
        with psycopg.connect(second) as connection:
            assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)


def test_redis_starts_empty(redis_server: str, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


async def test_temporal_knows_the_search_attributes(temporal_address: str) -> None:
    client = await Client.connect(temporal_address, namespace=NAMESPACE)
    known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=NAMESPACE))
    assert json.loads((CONFIGURATION / "search-attributes.json").read_text()).keys() <= set(known.custom_attributes)


def test_a_killed_test_run_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *  # noqa: F403\n")
    asked = (
        "import pathlib, time\ndef test_it(postgres_server, redis_url, temporal_address):\n    pathlib.Path('up').touch(); time.sleep(60)\n"
    )
    (tmp_path / "test_sleeps.py").write_text(asked)
    run = subprocess.Popen(
        (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.DEVNULL,
    )
    assert wait_until((tmp_path / "up").exists, 120)
    processes = descendants(run.pid)
    assert len(processes) >= 4, "the sitter and three servers"
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert gone(processes, within_s=30)
    for below in (Path("/dev/shm"), Path("/tmp")):  # noqa: S108 looking only
        for folder in below.glob(f"{PREFIX}{run.pid}-*"):
            subprocess.run(("rm", "-r", str(folder)), check=True)
