"""Every kind of fault by its name: the one table."""

from __future__ import annotations

from sandbox.faults import answers, network, reads, streams, trustless_work
from sandbox.faults.kind import FaultKind

KINDS: dict[str, type[FaultKind]] = {
    "accept_then_drop": answers.AcceptThenDrop,
    "timeout_but_applies": answers.TimeoutButApplies,
    "try_again_later": answers.TryAgainLater,
    "rate_limited": answers.RateLimited,
    "server_error": answers.ServerError,
    "html_bad_gateway": answers.HtmlBadGateway,
    "null_extras": answers.NullExtras,
    "empty_504": answers.EmptyGatewayTimeout,
    "ingestion_delay": reads.IngestionDelay,
    "stale_replica": reads.StaleReplica,
    "reorder": streams.Reorder,
    "stream_hang": streams.StreamHang,
    "stream_cut": streams.StreamCut,
    "stream_duplicate": streams.StreamDuplicate,
    "refuse_transaction": network.RefuseTransaction,
    "fee_surge": network.FeeSurge,
    "expire_envelopes": network.ExpireEnvelopes,
    "freeze_trustline": network.FreezeTrustline,
    "stop_ledger": network.StopLedger,
    "tw_timeout": trustless_work.TwTimeout,
    "tw_server_error": trustless_work.TwServerError,
    "tw_rate_limit": trustless_work.TwRateLimit,
    "tw_index_lag": trustless_work.TwIndexLag,
    "tw_lose_deploy": trustless_work.TwLoseDeploy,
    "tw_garbage": trustless_work.TwGarbage,
    "tw_expire_builds": trustless_work.TwExpireBuilds,
    "tw_hostile": trustless_work.TwHostile,
}
