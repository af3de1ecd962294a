"""Tell Trustless Work's index of applied transactions, beside the work and at best effort: it is for people to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

from offerhub.domain.messages import OperationPlan, OperationResult
from offerhub.domain.plans import OperationKind
from workflows import calls

# Trustless Work sends deployments itself, and never sees a payment that is none of a contract.
_UNTOLD = frozenset({OperationKind.ESCROW_CREATION, OperationKind.COMPENSATION})


class Index:
    def __init__(self) -> None:
        self._telling: set[asyncio.Task[None]] = set()

    def tell(self, plan: OperationPlan, result: OperationResult) -> None:
        """Of the operation's last transaction."""
        if plan.kind not in _UNTOLD and result.outcomes:
            telling = asyncio.create_task(_tell(result.outcomes[-1].inner_hash, plan.kind))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def told(self, has_news: Callable[[], bool]) -> None:
        """Before a run ends: until everything is told, or there is something to do, which does not wait for that."""
        await workflow.wait_condition(lambda: has_news() or not self._telling)


async def _tell(transaction_hash: str, kind: str) -> None:
    try:
        await calls.tell_index(transaction_hash, f"tell Trustless Work's index of the {kind.replace('_', ' ')}")
    except ActivityError:
        workflow.logger.warning("Trustless Work's index was not told of %s", transaction_hash)
