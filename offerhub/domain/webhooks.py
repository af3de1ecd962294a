"""Webhooks: which addresses may be told of events, when a failed delivery is tried again, and when nobody tries any more."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

LONGEST_URL = 2_000
# Every enabled endpoint has an activity waiting for its events, out of the places that the deposits' stream needs too.
MOST_ENDPOINTS = 50
GONE = 410
# What translates between the two address families may carry any IPv4 address inside.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# A public address by number, but Azure answers it inside every machine, with that machine's configuration.
_AZURE_METADATA = ipaddress.ip_address("168.63.129.16")


class TargetRefused(Exception):
    """Events are not sent there. The message is a sentence for the marketplace."""


@dataclass(frozen=True)
class RetrySchedule:
    """Pauses that double, and the time after which nobody tries any more."""

    first: timedelta = timedelta(seconds=5)
    longest: timedelta = timedelta(hours=4)
    give_up_after: timedelta = timedelta(days=3)

    def next_try(self, failures: int, failing_since: datetime, now: datetime) -> datetime | None:
        """When to try again after so many failures in a row; None to give up."""
        if now - failing_since >= self.give_up_after:
            return None
        pause = min(self.first * (1 << min(failures - 1, 32)), self.longest)
        # The last try is at the end of the time, not an unlucky pause before it.
        return min(now + pause, failing_since + self.give_up_after)


def check_url(url: str, *, allow_private: bool) -> None:
    """The part of the rule that needs no look-up: raises ``TargetRefused``. What the name stands for is asked at every connection."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TargetRefused("This is not a URL.") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname or port == 0:
        raise TargetRefused("This is not an https:// URL.")
    if parts.scheme == "http" and not allow_private:
        raise TargetRefused("Events are sent over https:// only.")
    if parts.username is not None or parts.password is not None:
        raise TargetRefused("User and password do not belong in the URL; receivers know us by the signature.")
    if parts.fragment or not url.isprintable() or " " in url or len(url) > LONGEST_URL:
        raise TargetRefused(f"A URL has no fragment and no blanks, and at most {LONGEST_URL} characters.")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet at large: not of this machine, this network, or a cloud's metadata."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inside = parsed.ipv4_mapped or parsed.sixtofour
        if inside is None and parsed in _NAT64:
            inside = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inside is None:
            return parsed in _GLOBAL_UNICAST and parsed.is_global
        parsed = inside
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved and parsed != _AZURE_METADATA


@dataclass(frozen=True)
class Attempt:
    """How one attempt went. ``status`` is None when there was no answer; ``error`` is a sentence, ``body`` the answer's beginning."""

    status: int | None
    error: str | None
    duration_ms: int
    body: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300
