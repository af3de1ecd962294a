"""Structured logs on standard output, one line per entry, without secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

import orjson
import structlog

from offerhub.domain.redaction import redact


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
        entry[name] = redact(name, value)
    return entry


def _json(entry: object, default: Any = str, **_: object) -> str:  # noqa: ANN401 structlog's own signature
    return orjson.dumps(entry, default=default, option=orjson.OPT_NON_STR_KEYS).decode()
