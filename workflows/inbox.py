"""What the outbox, or a person, has sent to a workflow."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

_LONGEST_ID = 64


class Inbox:
    """Operations to carry out, and word that something has changed, which is answered by looking, once for all of it."""

    def __init__(self) -> None:
        self._operation_ids: deque[str] = deque()

    def __bool__(self) -> bool:
        return bool(self._operation_ids)

    def put(self, sent: Sequence[object]) -> None:
        """Whatever was sent: what names no operation (a signal sent by hand may be anything) is a reason to look."""
        message = sent[0] if len(sent) == 1 else None
        named = message.get("operation_id") if isinstance(message, dict) else None
        is_id = isinstance(named, str) and named.isascii() and named.isprintable() and len(named) <= _LONGEST_ID
        self._operation_ids.append(str(named) if is_id else "")

    def put_first(self, operation_ids: Sequence[str]) -> None:
        self._operation_ids.extendleft(reversed(operation_ids))

    def take(self) -> list[str]:
        """The operations, each once; empty when there was only word."""
        operation_ids = [one for one in dict.fromkeys(self._operation_ids) if one]
        self._operation_ids.clear()
        return operation_ids

    def left(self) -> list[str]:
        """What a run hands over to its successor."""
        return list(self._operation_ids)
