"""Logs: JSON lines with secrets and personal data masked before they are written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog
from aiohttp.http_exceptions import HttpProcessingError

MASK = "***"
_SECRET_FIELDS = re.compile(r"token|secret|password|authorization|credential|sealed|api_key|cookie", re.IGNORECASE)
_PERSONAL_FIELDS = frozenset(
    {"text", "caption", "phone", "email", "address", "display_name", "username", "body", "payload", "chat_id", "to"}
)
_PATTERNS = (
    re.compile(r"\b\d{5,}:[A-Za-z0-9_-]{30,}"),  # Telegram bot token
    re.compile(r"\b(?:EAA|act\.|rft\.)[A-Za-z0-9._!-]{16,}"),  # Graph and TikTok tokens
    re.compile(r"(?i)\bbearer\s+\S+"),
    re.compile(r"\+\d[\d ()./-]{5,}\d"),  # phone numbers as people write them
    re.compile(r"(?<![A-Za-z0-9])[1-9]\d{8,14}(?![A-Za-z0-9])"),  # phone numbers and chat ids
    re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+"),  # addresses
)
_SMALLEST_ID = 100_000_000  # numbers beyond it may be somebody's


def masked(value: Any, field: str = "") -> Any:
    """The value with everything replaced that a log must not hold."""
    if field and (_SECRET_FIELDS.search(field) or field in _PERSONAL_FIELDS):
        return MASK
    if isinstance(value, str):
        for pattern in _PATTERNS:
            value = pattern.sub(MASK, value)
        return value
    if isinstance(value, dict):
        return {masked(str(key)): masked(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [masked(inner) for inner in value]
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) < _SMALLEST_ID else MASK
    return masked(repr(value))


def _mask(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = masked(value, key if key != "event" else "")
    return event


class _MaskingFormatter(logging.Formatter):
    """Lines of libraries, in the same shape and as careful."""

    def format(self, record: logging.LogRecord) -> str:
        event: MutableMapping[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0]:
            event["exception"] = record.exc_info[0].__name__
        rendered = structlog.processors.JSONRenderer()(None, "", _stamp(None, "", _mask(None, "", event)))
        return rendered if isinstance(rendered, str) else rendered.decode()


_stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)

# These log request lines with tokens in them, or every fetch.
_NOISY = ("httpx", "httpcore", "telegram", "aiohttp.access", "pywa")


_AIOKAFKA = logging.getLogger("aiokafka")


def _is_no_bad_request(record: logging.LogRecord) -> bool:
    """What is no HTTP is answered 400: anybody can send it, and nobody may fill our log with it."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


@contextmanager
def aiokafka_heard() -> Iterator[None]:
    """Show aiokafka's warnings for a while: only they say why a broker takes no connection (its name, TLS, SASL)."""
    level = _AIOKAFKA.level
    _AIOKAFKA.setLevel(min(level, logging.WARNING))
    try:
        yield
    finally:
        _AIOKAFKA.setLevel(level)


def configure_logs(level: str = "INFO") -> None:
    """Send structlog and the standard library's logs to standard error as masked JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_MaskingFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger("aiohttp.server").addFilter(_is_no_bad_request)
    # Thousands of lines a second while a broker is away; readiness and our own lines say so once. Below WARNING never:
    # it would write out whole requests, with passwords and what people wrote.
    _AIOKAFKA.setLevel(logging.WARNING if level == "DEBUG" else logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _name_exception,
            _mask,
            _stamp,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,  # whoever configures last is obeyed
    )


def _name_exception(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception's type and place, without its text: texts hold what people wrote."""
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()[1]
    if isinstance(raised, BaseException):
        event["exception"] = type(raised).__name__
        trace = raised.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            event["at"] = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
    return event
