"""How a provider can fail us, by what to do next."""

from __future__ import annotations

from offerhub.domain.errors import DomainError, ErrorCode


class EscrowRejectedError(DomainError):
    """Trustless Work refuses the call for a reason of the business; its own words are in ``details["reason"]``."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.ESCROW_REJECTED, f"Trustless Work refused: {reason}", {"reason": reason})


class ProviderUnavailableError(DomainError):
    """No answer, or one that decides nothing. For reads and builds: ask again later."""

    def __init__(self, message: str, code: ErrorCode = ErrorCode.PROVIDER_UNAVAILABLE) -> None:
        super().__init__(code, message)


class EscrowNotIndexedError(ProviderUnavailableError):
    """Trustless Work does not know this contract (yet): tell its index the hash of the deployment, then ask again."""


class RateLimitedError(DomainError):
    """The request was not made, or not admitted. ``retry_after_s`` is when to come back."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(ErrorCode.RATE_LIMITED, f"Trustless Work's request limit is used up for {retry_after_s} s.")
        self.retry_after_s = retry_after_s
