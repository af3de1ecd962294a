"""What the user chose, read once from the environment and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.failure import StackError

CHECKOUT = Path(__file__).resolve().parent.parent
SERVERS = ("migrations", "worker", "api")
EMBEDDED = ("postgres", "redis", "temporal", "sandbox")


@dataclass(frozen=True)
class Network:
    """What `stack.json` says of a public network; the server knows the same by itself."""

    passphrase: str
    horizon_url: str
    trustless_work_url: str


PUBLIC_NETWORKS = {
    "testnet": Network("Test SDF Network ; September 2015", "https://horizon-testnet.stellar.org", "https://dev.api.trustlesswork.com"),
    "mainnet": Network("Public Global Stellar Network ; September 2015", "https://horizon.stellar.org", "https://api.trustlesswork.com"),
}


@dataclass(frozen=True)
class Choices:
    """``embedded`` are the services to start here, ``servers`` whether the server's own processes run too."""

    environment: Mapping[str, str]
    home: Path
    network: str
    embedded: frozenset[str]
    servers: bool

    def given(self, variable: str) -> str | None:
        return self.environment.get(variable) or None


def read(environment: Mapping[str, str], only: str | None = None) -> Choices:
    """Refuses a combination that cannot work, naming the variable."""
    network = environment.get("STELLAR_NETWORK") or "sandbox"
    if network not in {"sandbox", *PUBLIC_NETWORKS}:
        raise StackError(f"STELLAR_NETWORK={network} is not one of sandbox, testnet, mainnet")
    if network != "sandbox" and not environment.get("TRUSTLESS_WORK_API_KEY"):
        raise StackError(f"STELLAR_NETWORK={network} needs TRUSTLESS_WORK_API_KEY, a key of Trustless Work for that network")
    home = Path(environment.get("OFFERHUB_HOME") or CHECKOUT / ".offerhub")
    if only is None:
        return Choices(environment, home, network, _embedded(environment, network), servers=True)
    wanted = frozenset(name for name in only.split(",") if name)
    if unknown := wanted - set(EMBEDDED):
        raise StackError(f"--only knows {', '.join(EMBEDDED)}, not {', '.join(sorted(unknown))}")
    return Choices(environment, home, network, wanted, servers=False)


def _embedded(environment: Mapping[str, str], network: str) -> frozenset[str]:
    given = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "temporal": "TEMPORAL_ADDRESS"}
    started = {name for name, variable in given.items() if not environment.get(variable)}
    return frozenset(started | ({"sandbox"} if network == "sandbox" else set()))
