"""One attempt, over real sockets. Only the look-up of names is the test's own."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from offerhub.domain.webhooks import Attempt, TargetRefused
from offerhub.stream import webhook_sending
from offerhub.stream.webhook_sending import WebhookSender, check_target
from tests.receiver import Reply, receiving

BODY = b'{"eventId":"evt_1"}'


async def sent(url: str, *, allow_private: bool = True, trusted: ssl.SSLContext | None = None) -> Attempt:
    async with WebhookSender(allow_private=allow_private, trusted=trusted).line() as line:
        return await line.send(url, {"webhook-id": "evt_1"}, BODY)


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names stand for these addresses, one list for each look-up, the last for ever; returns the names asked for."""
    asked: list[str] = []

    async def getaddrinfo(_loop: object, host: str, port: int, **_more: Any) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


@asynccontextmanager
async def saying(words: bytes) -> AsyncIterator[str]:
    """A server that says this to whoever connects, and waits until he has gone."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await gone.wait()


async def test_it_arrives_as_it_was_sent() -> None:
    async with receiving() as receiver:
        attempt = await sent(receiver.url("/a/b?c=d"))
        received = receiver.took[0]
    assert (attempt.status, attempt.error, attempt.body, attempt.succeeded) == (200, None, "ok", True)
    assert (received.method, received.path, received.body, received.id) == ("POST", "/a/b?c=d", BODY, "evt_1")
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async with receiving() as elsewhere, receiving() as receiver:
        receiver.reply = lambda _: Reply(status, headers=(f"Location: {elsewhere.url()}",))
        attempt = await sent(receiver.url())
        assert elsewhere.took == []
    assert (attempt.status, attempt.succeeded) == (status, False)
    assert "not followed" in str(attempt.error)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
async def test_everything_but_2xx_is_a_failure_with_the_answers_beginning(status: int) -> None:
    async with receiving() as receiver:
        receiver.reply = lambda _: Reply(status, b"\x00\xff" + b"x" * 5_000)
        attempt = await sent(receiver.url())
    assert (attempt.status, attempt.succeeded, attempt.error) == (status, False, f"The receiver answered {status}.")
    assert len(str(attempt.body)) == 1_000
    assert "\x00" not in str(attempt.body)


async def test_an_answer_in_time_counts_although_its_body_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sending, "_BODY_S", 0.2)

    async with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun") as url:
        attempt = await sent(url)
    assert (attempt.status, attempt.body, attempt.succeeded) == (200, "begun", True)


async def test_no_answer_no_listener_no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sending, "TIMEOUT_S", 0.2)
    async with receiving() as receiver:
        receiver.reply = lambda _: Reply(delay_s=1)
        attempt = await sent(receiver.url())
        assert (attempt.status, attempt.error) == (None, "No answer within 0.2 s.")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        attempt = await sent(f"http://127.0.0.1:{closed.getsockname()[1]}/")
    assert attempt.status is None
    assert attempt.error

    async with saying(b"SSH-2.0-OpenSSH\r\n") as url:
        attempt = await sent(url)
    assert attempt.status is None
    assert attempt.error


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"])
async def test_private_targets_are_refused_at_registration_and_at_connection(host: str) -> None:
    async with receiving() as receiver:
        url = f"https://{host}:{receiver.port}/"
        with pytest.raises(TargetRefused):
            await check_target(url, allow_private=False)
        attempt = await sent(url, allow_private=False)
        assert (attempt.status, receiver.connections) == (None, 0)
        assert "public internet" in str(attempt.error)


async def test_one_private_address_among_public_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve(monkeypatch, ["93.184.215.14", "10.0.0.1"])
    with pytest.raises(TargetRefused, match="public internet"):
        await check_target("https://shop.example/", allow_private=False)
    assert asked == ["shop.example"]


async def test_a_name_that_means_something_else_since_it_was_checked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    async with receiving() as receiver:
        url = f"https://shop.example:{receiver.port}/"
        await check_target(url, allow_private=False)
        attempt = await sent(url, allow_private=False)
        assert receiver.connections == 0
    assert "public internet" in str(attempt.error)


async def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the name looked up a second time for the connection, it would lead nowhere."""
    asked = resolve(monkeypatch, ["127.0.0.1"], ["192.0.2.1"])
    async with receiving() as receiver:
        attempt = await sent(f"http://shop.example:{receiver.port}/")
        assert (attempt.status, asked) == (200, ["shop.example"])
        assert receiver.took[0].headers["host"] == f"shop.example:{receiver.port}"


async def test_the_next_address_is_tried_when_the_first_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    async with receiving() as receiver:
        attempt = await sent(f"http://shop.example:{receiver.port}/")
        assert (attempt.status, len(receiver.took)) == (200, 1)


async def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_arguments: Any, **_named: Any) -> list[Any]:
        raise socket.gaierror("unknown")

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", getaddrinfo)
    with pytest.raises(TargetRefused, match="looked up"):
        await check_target("https://shop.example/", allow_private=False)
    assert "looked up" in str((await sent("https://shop.example/")).error)


def certificate(folder: Path, *names: x509.GeneralName) -> ssl.SSLContext:
    """A server's side of TLS with a self-signed certificate at ``folder / cert.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_certificates_are_checked_against_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    resolve(monkeypatch, ["127.0.0.1"])
    server = certificate(tmp_path, x509.DNSName("shop.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    trusted = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    async with receiving(server) as receiver:
        accepted = await sent(f"https://shop.example:{receiver.port}/", trusted=trusted)
        assert (accepted.status, accepted.error) == (200, None)
        assert receiver.took[0].headers["host"] == f"shop.example:{receiver.port}"
        other_name = await sent(f"https://other.example:{receiver.port}/", trusted=trusted)
        assert "CERTIFICATE_VERIFY_FAILED" in str(other_name.error)
        unknown_authority = await sent(f"https://shop.example:{receiver.port}/")
        assert "CERTIFICATE_VERIFY_FAILED" in str(unknown_authority.error)
        assert len(receiver.took) == 1


async def test_a_connection_is_kept_for_its_url_and_for_no_other_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An endpoint whose URL is changed goes on over the same line."""
    resolve(monkeypatch, ["127.0.0.1"])
    server = certificate(tmp_path, x509.DNSName("shop.example"))
    sender = WebhookSender(allow_private=True, trusted=ssl.create_default_context(cafile=tmp_path / "cert.pem"))
    async with receiving(server) as receiver, sender.line() as line:
        for _ in range(2):
            assert (await line.send(f"https://shop.example:{receiver.port}/", {"webhook-id": "evt_1"}, BODY)).status == 200
        assert receiver.connections == 1
        other_name = await line.send(f"https://other.example:{receiver.port}/", {"webhook-id": "evt_2"}, BODY)
        assert "CERTIFICATE_VERIFY_FAILED" in str(other_name.error)
        assert receiver.ids == ["evt_1", "evt_1"]
