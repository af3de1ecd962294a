"""``python -m api``: run the API until SIGTERM or SIGINT, then let requests finish."""

from __future__ import annotations

import socket

import uvicorn

from api.app import create_app, create_services
from api.call import Services
from api.protocol import BoundedHead
from offerhub.garbage import keep_what_is_loaded
from offerhub.settings import load_settings
from offerhub.telemetry import logs

# Longer than no request needs: streams and waiters are ended at once.
_GRACE_S = 10
# Longer than clients and load balancers keep an idle connection: who closes first must not be us, just as the next request comes.
_KEEP_ALIVE_S = 75


class ApiServer(uvicorn.Server):
    """Ends event streams and waiting requests first, as they would otherwise hold up the end for their whole life."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._services.hub.stop()
        await super().shutdown(sockets)


def server_config(services: Services) -> uvicorn.Config:
    settings = services.settings
    return uvicorn.Config(
        create_app(services),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedHead,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )


def main() -> None:
    settings = load_settings()
    logs.configure(settings.log_level, settings.log_format)
    services = create_services(settings)
    server = ApiServer(server_config(services), services)
    keep_what_is_loaded()
    server.run()


if __name__ == "__main__":
    main()
