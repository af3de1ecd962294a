"""``GET /metrics`` for Prometheus. What is counted by the process is this process's; what is read from the database is everybody's."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.call import Services
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import format_amount
from offerhub.providers.budget import TRUSTLESS_WORK, requests_used
from offerhub.storage import gauges
from offerhub.storage.gauges import Gauges, Waiting
from offerhub.storage.unit_of_work import DATABASE_AWAY
from offerhub.telemetry.metrics import CONTENT_TYPE, Histogram, Metric, Sample, gauge, render

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def request_times() -> Histogram:
    text = "Time until an answer begins, by route and status."
    return Histogram("offerhub_http_request_duration_seconds", text, ("method", "route", "status"))


class RequestTimes:
    """Around everything else, so that every answer counts; a stream counts when it begins. Pure ASGI."""

    def __init__(self, app: ASGIApp, times: Histogram) -> None:
        self._app = app
        self._times = times

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def send_timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._times.observe(_labels(scope, message["status"]), time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, send_timed)


def _labels(scope: Scope, status: int) -> tuple[str, str, str]:
    """The route's template, never the address that was asked for: nobody outside decides how many labels there are."""
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    return method, getattr(scope.get("route"), "path", "none"), str(status)


async def get_metrics(request: Request) -> Response:
    """Only for the networks of ``METRICS_ALLOWED_NETWORKS``, and directly: behind a proxy everybody would have the proxy's address."""
    services: Services = request.app.state.services
    _check_network(request, services.settings.metrics_networks)
    metrics = [request.app.state.request_times.metric(), *_of_process(services), *await _of_redis(services), *await _of_database(services)]
    return Response(render(metrics), media_type=CONTENT_TYPE)


def _check_network(request: Request, allowed: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> None:
    host = request.client.host if request.client else ""
    try:
        address: Any = ipaddress.ip_address(host)
    except ValueError:
        address = None
    address = getattr(address, "ipv4_mapped", None) or address
    forwarded = any(name in request.headers for name in _FORWARDED)
    if address is None or forwarded or not any(address in network for network in allowed):
        raise DomainError(ErrorCode.IP_NOT_ALLOWED, "Metrics are not given to this address.", {"address": host})


def _of_process(services: Services) -> Iterator[Metric]:
    yield gauge("offerhub_event_subscribers", "Open event streams of this process.", services.hub.subscribers)


async def _of_redis(services: Services) -> list[Metric]:
    used = await requests_used(services.redis, TRUSTLESS_WORK)
    found = [gauge("offerhub_redis_up", "1 when Redis answers.", int(used is not None))]
    if used is not None:
        text = "Requests to Trustless Work within the last minute, by all processes; the limit is TRUSTLESS_WORK_REQUESTS_PER_MINUTE."
        found.append(gauge("offerhub_trustless_work_requests_per_minute", text, used))
    return found


async def _of_database(services: Services) -> list[Metric]:
    try:
        async with services.database.reading() as reader:
            found = await gauges.read(reader)
        draining = await services.drain.is_draining()
    except DATABASE_AWAY:
        return [_database_up(0)]
    flag = gauge("offerhub_maintenance_draining", "1 while new money is refused.", int(bool(draining)))
    return [_database_up(1), flag, *_work(found), *_books(found)]


def _database_up(value: int) -> Metric:
    return gauge("offerhub_database_up", "1 when PostgreSQL answers; without it the figures read from it are missing.", value)


def _work(found: Gauges) -> Iterator[Metric]:
    yield _operations("offerhub_operations_in_flight", "Operations that are not over.", found.operations_in_flight)
    yield _operations(
        "offerhub_operations_finished_recently", "Operations that ended within the last five minutes.", found.operations_finished
    )
    outbox: Mapping[str, Waiting] = {"command": found.outbox_commands, "view": found.outbox_views}
    text = "Messages that their workflow has not been told yet: commands, and news for the operators' view."
    yield gauge("offerhub_outbox_messages", text, {name: waiting.count for name, waiting in outbox.items()}, "purpose")
    text = "Age of the oldest of them."
    yield gauge("offerhub_outbox_oldest_seconds", text, {name: waiting.oldest_s for name, waiting in outbox.items()}, "purpose")
    text = "Signed envelopes that may still apply. UNKNOWN: nobody can tell yet whether it has."
    yield gauge("offerhub_attempts_open", text, found.open_attempts, "state")
    yield gauge("offerhub_events_unnumbered", "Committed events without a position.", found.unnumbered_events.count)
    yield gauge("offerhub_event_relay_lag_seconds", "Age of the oldest of them.", found.unnumbered_events.oldest_s)
    yield gauge("offerhub_audit_unsealed", "Audit entries that wait for their seal.", found.unsealed_audit_entries)
    yield gauge("offerhub_audit_sequence", "The last sealed entry of the audit log.", found.audit_sequence)
    streams = found.streams
    text = "Ledger up to which a stream of the chain was read."
    yield gauge("offerhub_stream_ledger", text, {name: stream.ledger for name, stream in streams.items()}, "stream")
    text = "Time since its position moved; on a busy network, how far it is behind."
    yield gauge("offerhub_stream_age_seconds", text, {name: stream.age_s for name, stream in streams.items()}, "stream")
    text = "1 while it stands still because reading on would miss payments."
    yield gauge("offerhub_stream_halted", text, {name: int(stream.halted) for name, stream in streams.items()}, "stream")


def _books(found: Gauges) -> Iterator[Metric]:
    balances = {account: format_amount(stroops) for account, stroops in found.balances.items()}
    yield gauge("offerhub_account_balance_usdc", "What the books hold in the platform's accounts.", balances, "account")
    text = "Differences and warnings found by the last completed reconciliation."
    yield gauge("offerhub_reconciliation_findings", text, found.findings, "kind")


def _operations(name: str, text: str, counted: Mapping[tuple[str, str], int]) -> Metric:
    return Metric(name, "gauge", text, [Sample(count, {"kind": kind, "status": status}) for (kind, status), count in counted.items()])
