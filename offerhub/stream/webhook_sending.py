"""One attempt to tell a receiver of an event: over HTTPS, to a public address that was checked at this very connection.

A name is looked up before each request, every address it has is judged, and the connection goes to one of those addresses, not to the
name: what the name means a moment later (DNS rebinding) makes no difference. The certificate is still checked against the name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx

from offerhub.domain.webhooks import Attempt, TargetRefused, check_url, is_public

TIMEOUT_S = 15.0
LOOK_UP_S = 5.0
CONNECT_S = 5.0
KEPT_BODY_BYTES = 1_000
_BODY_S = 2.0
_LONGEST_ERROR = 500


async def check_target(url: str, *, allow_private: bool) -> None:
    """What registering an endpoint asks for; raises ``TargetRefused``. Where everything is allowed there is nothing to look up."""
    check_url(url, allow_private=allow_private)
    if not allow_private:
        await _addresses(httpx.URL(url), allow_private=False)


class WebhookSender:
    def __init__(self, *, allow_private: bool, trusted: ssl.SSLContext | None = None) -> None:
        """``trusted`` replaces the usual certificate authorities."""
        self._allow_private = allow_private
        self._trusted = trusted or httpx.create_ssl_context()

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        """For one endpoint at a time."""
        line = Line(self._trusted, allow_private=self._allow_private)
        try:
            yield line
        finally:
            await line.close()


class Line:
    """Keeps its connections from one request to the next, as long as they go to the same URL."""

    def __init__(self, trusted: ssl.SSLContext, *, allow_private: bool) -> None:
        self._trusted = trusted
        self._allow_private = allow_private
        self._url = ""
        self._client = self._without_connections()

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Attempt:
        """POST once. Whatever goes wrong is the attempt's error, not an exception."""
        began = time.monotonic()
        status, answer, error = None, None, None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                check_url(url, allow_private=self._allow_private)
                await self._turn_to(url)
                response = await self._post(httpx.URL(url), headers, body)
            status, answer = response.status_code, await _beginning(response)
        except TimeoutError:
            error = f"No answer within {TIMEOUT_S:g} s."
        except (TargetRefused, httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            error = (str(failure) or type(failure).__name__)[:_LONGEST_ERROR]
        if status is not None and not 200 <= status < 300:
            error = f"The receiver answered {status}." + (" Redirects are not followed." if 300 <= status < 400 else "")
        return Attempt(status, error, round((time.monotonic() - began) * 1_000), answer)

    async def _turn_to(self, url: str) -> None:
        """Kept connections are found by address: one whose certificate was checked against another name must not do."""
        if url == self._url:
            return
        former, self._client, self._url = self._client, self._without_connections(), url
        await former.aclose()

    def _without_connections(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(verify=self._trusted, trust_env=False, follow_redirects=False)

    async def _post(self, url: httpx.URL, headers: dict[str, str], body: bytes) -> httpx.Response:
        """The next address is tried only where no connection came about, so that nothing is sent twice."""
        addresses = await _addresses(url, allow_private=self._allow_private)
        for address in addresses[:-1]:
            try:
                return await self._post_to(address, url, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._post_to(addresses[-1], url, headers, body)

    async def _post_to(self, address: str, url: httpx.URL, headers: dict[str, str], body: bytes) -> httpx.Response:
        request = self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={**headers, "Host": url.netloc.decode("ascii")},
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        return await self._client.send(request, stream=True)


async def _addresses(url: httpx.URL, *, allow_private: bool) -> Sequence[str]:
    """All addresses of the URL's host; one that is refused refuses the host, as a name has no business with both kinds."""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        async with asyncio.timeout(LOOK_UP_S):
            found = await asyncio.get_running_loop().getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        raise TargetRefused(f"The name {url.host} cannot be looked up.") from None
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    if not addresses or not (allow_private or all(is_public(address) for address in addresses)):
        raise TargetRefused(f"{url.host} is not on the public internet.")
    return addresses


async def _beginning(response: httpx.Response) -> str:
    """For the log. As it came: what a compressed body would grow to is nobody's business here."""
    kept = b""
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in response.aiter_raw():
                kept += chunk
                if len(kept) > KEPT_BODY_BYTES:
                    break
    except (TimeoutError, httpx.HTTPError):
        # The status was the answer; what came of the body is kept as it is.
        pass
    finally:
        await response.aclose()
    return kept[:KEPT_BODY_BYTES].decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
