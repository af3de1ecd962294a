from __future__ import annotations

import base64
import os
import time

import pytest

from offerhub.stream.webhook_secrets import WebhookKeyError, WebhookSecrets, signature_header
from tests.receiver import Received


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def test_the_specifications_own_example() -> None:
    """From the Standard Webhooks specification's reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    header = signature_header([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert header == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_one_signature_for_each_secret() -> None:
    secrets = [os.urandom(32), os.urandom(32)]
    now = int(time.time())
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": signature_header(secrets, "evt_1", now, b"{}")}
    received = Received("POST", "/", headers, b"{}")
    assert all(received.is_signed_with("whsec_" + base64.b64encode(secret).decode()) for secret in secrets)
    assert not received.is_signed_with("whsec_" + base64.b64encode(os.urandom(32)).decode())
    changed = Received("POST", "/", headers, b"{ }")
    assert not any(changed.is_signed_with("whsec_" + base64.b64encode(secret).decode()) for secret in secrets)


def test_a_secret_opens_for_its_endpoint_and_its_key_only() -> None:
    keeper = WebhookSecrets(key())
    shown, sealed = keeper.make("whe_1")
    raw = base64.b64decode(shown.removeprefix("whsec_"))
    assert len(raw) == 32
    assert keeper.open(sealed, "whe_1") == raw
    assert raw not in sealed
    for other, endpoint_id, changed in (
        (keeper, "whe_2", sealed),
        (WebhookSecrets(key()), "whe_1", sealed),
        (keeper, "whe_1", sealed[:-1] + bytes([sealed[-1] ^ 1])),
    ):
        with pytest.raises(WebhookKeyError, match="rotate it"):
            other.open(changed, endpoint_id)


@pytest.mark.parametrize("bad", ["", "short", base64.b64encode(b"x" * 31).decode(), "not base64 at all!" * 3])
def test_a_bad_key_is_named(bad: str) -> None:
    with pytest.raises(WebhookKeyError, match="WEBHOOK_ENCRYPTION_KEY"):
        WebhookSecrets(bad)
