"""Structured logs on standard output, one line per entry, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

import orjson
import structlog

REDACTED = "[redacted]"
_SECRET_NAME = re.compile(r"authorization|api[_-]?key|master[_-]?key|encryption[_-]?key|secret|seed|password|token|cookie", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"ohk_(?:live|test|tok)_\w+"  # our API keys
    r"|\bS[A-Z2-7]{55}\b"  # a Stellar seed
    r"|(?<=Bearer )\S+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user and password in a URL
)
_DEPTH = 6


def configure(level: str, output: Literal["json", "console"]) -> None:
    """Send structlog's and the standard library's entries through one chain to standard output."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact_entry,
    ]
    renderer = structlog.processors.JSONRenderer(serializer=_json) if output == "json" else structlog.dev.ConsoleRenderer(colors=False)
    handler = logging.StreamHandler(sys.stdout)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove_meta, renderer]))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


@contextmanager
def bound(**fields: str) -> Iterator[None]:
    """Every entry of the block, in this task and those it starts, carries ``fields`` (``correlation_id``, for one)."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def redact_entry(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank out values whose name or shape is that of a secret, also inside lists and mappings and in tracebacks."""
    for name, value in entry.items():
        entry[name] = _redact(name, value, _DEPTH)
    return entry


def _redact(name: str, value: object, depth: int) -> object:
    if value is not None and _SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_VALUE.sub(REDACTED, value)
    if isinstance(value, bytes):
        return REDACTED
    if depth and isinstance(value, Mapping):
        return {key: _redact(str(key), inner, depth - 1) for key, inner in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_redact("", inner, depth - 1) for inner in value]
    return value


def _json(entry: object, default: Any = str, **_: object) -> str:  # noqa: ANN401 structlog's own signature
    return orjson.dumps(entry, default=default, option=orjson.OPT_NON_STR_KEYS).decode()
