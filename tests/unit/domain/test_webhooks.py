from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from offerhub.domain.webhooks import RetrySchedule, TargetRefused, check_url, is_public

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "0.0.0.0",  # noqa: S104
            "255.255.255.255",
        ),
        *("224.0.0.1", "233.252.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1", "168.63.129.16"),
        *("::", "::1", "::7f00:1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1", "5f00::1"),
        # An IPv4 address inside: mapped, 6to4, NAT64.
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "2002:a9fe:a9fe::1", "64:ff9b::a00:1", "64:ff9b:1::1", "2001::1"),
    ],
)
def test_addresses_that_are_nobodys_receiver(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "shop",
            "//shop.example/hooks",
            "ftp://shop.example",
            "file:///etc/passwd",
            "gopher://shop.example",
            "https://",
            "https:///x",
        ),
        *("https://shop.example:0/", "https://shop.example:99999/", "https://shop.example:x/", "https://[::1", "http://shop.example/hooks"),
        *("https://user@shop.example/", "https://user:password@shop.example/", "https://:@shop.example/"),
        *("https://shop.example/#part", "https://shop.example/a b", "https://shop.example/\n", "https://shop.example/" + "a" * 2_000),
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        check_url(url, allow_private=False)


def test_urls_that_are_not() -> None:
    for url in ("https://shop.example", "https://shop.example:8443/hooks?token=x", "https://93.184.215.14/", "HTTPS://SHOP.EXAMPLE/"):
        check_url(url, allow_private=False)
    check_url("http://127.0.0.1:3000/hooks", allow_private=True)


def test_pauses_double_up_to_four_hours_and_end_with_a_try_after_three_days() -> None:
    schedule, now, failures, pauses = RetrySchedule(), NOW, 0, []
    while True:
        failures += 1
        next_try_at = schedule.next_try(failures, NOW, now)
        if next_try_at is None:
            break
        pauses.append(next_try_at - now)
        now = next_try_at
    assert pauses[:4] == [timedelta(seconds=seconds) for seconds in (5, 10, 20, 40)]
    assert max(pauses) == timedelta(hours=4)
    assert now == NOW + timedelta(days=3)
    assert 25 < len(pauses) < 35


def test_failures_without_number_make_no_pause_without_end() -> None:
    assert RetrySchedule().next_try(10**6, NOW, NOW) == NOW + timedelta(hours=4)
