"""The instance: is it alive, is it well, how is it configured."""

from __future__ import annotations

from fastapi import Request, Response

from api import strict_json
from api.answers import Answer, ok, success
from api.auth import Scope
from api.call import MAX_WAIT_S, CurrentCall
from api.middleware import MAX_HEAD_BYTES
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One
from api.schemas.api_keys import MAX_TOKEN_SECONDS
from api.schemas.fields import METADATA_CHARACTERS, METADATA_KEYS, MILESTONES
from api.schemas.instance import Config, DetailedHealth, Health
from offerhub.domain.fees import PROTOCOL_FEE_BPS
from offerhub.domain.money import USDC, format_amount
from offerhub.settings import Settings

VERSION = "0.1.0"
routes = Routes("Instance")
_DETAILED = Documented("Are the dependencies there?", One[DetailedHealth], also=(503,))


@routes.get("/health", Scope.PUBLIC, Documented("Is the process alive?", One[Health]), limited=False)
async def get_health() -> Response:
    """Touches no dependency."""
    return ok({"status": "ok"})


@routes.get("/health/detailed", Scope.PUBLIC, _DETAILED, limited=False)
async def get_detailed_health(request: Request) -> Response:
    """503, with the same body, while something that is needed is down."""
    report = await request.app.state.health.read()
    status = 503 if report["status"] == "down" else 200
    draining = await request.app.state.services.drain.is_draining()
    return Answer(status, success({**report, "draining": draining})).response()


@routes.get("/config", Scope.PUBLIC, Documented("How the instance is configured", One[Config]))
async def get_config(call: CurrentCall) -> Response:
    settings = call.services.settings
    return ok(
        {
            "version": VERSION,
            "apiVersion": "v1",
            "network": settings.stellar_network,
            "networkPassphrase": settings.network_passphrase,
            "asset": {"code": USDC, "issuer": settings.usdc_issuer},
            "escrowProvider": "trustless_work",
            "fees": {"platformFeeBps": settings.platform_fee_bps, "protocolFeeBps": PROTOCOL_FEE_BPS},
            "limits": {
                "maxBodyBytes": strict_json.MAX_BODY_BYTES,
                "maxBodyDepth": strict_json.MAX_DEPTH,
                "maxHeadBytes": MAX_HEAD_BYTES,
                "maxPageSize": 100,
                "maxWaitSeconds": MAX_WAIT_S,
                "maxMilestones": MILESTONES,
                "maxMetadataKeys": METADATA_KEYS,
                "maxMetadataCharacters": METADATA_CHARACTERS,
                "maxTokenSeconds": MAX_TOKEN_SECONDS,
                "minWithdrawal": format_amount(settings.min_withdrawal_stroops),
            },
            "rateLimits": {
                "keyPerMinute": settings.rate_limit_key_per_minute,
                "addressPerMinute": settings.rate_limit_address_per_minute,
                "streamsPerMinute": settings.rate_limit_streams_per_minute,
                "withdrawalsPerUserPerMinute": settings.rate_limit_withdrawals_per_minute,
            },
            "draining": await call.services.drain.is_draining(),
            "features": _features(settings),
        }
    )


def _features(settings: Settings) -> list[str]:
    """What every instance can do, and what this one is configured for."""
    configured = {
        "multi_release_escrow": bool(settings.trustless_work_multi_wasm_hash),
        "make_buyer_whole": settings.make_buyer_whole,
        "dispute_default_decision": bool(settings.dispute_default_decision),
        "ledger_adjustments": settings.ledger_adjustments_enabled,
    }
    always = ["single_release_escrow", "disputes", "crypto_withdrawals", "event_stream", "webhooks", "idempotency", "dry_run"]
    return [*always, *(name for name, has_it in configured.items() if has_it)]
