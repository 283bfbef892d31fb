"""Logs: JSON lines with secrets and personal data masked before they are written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import orjson
import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import Processor

from shared.contract.ids import split_conversation_id
from shared.state.keys import digest
from shared.stream.records import Record

MASK = "***"
_SECRET_FIELDS = re.compile(r"token|secret|password|authorization|credential|sealed|api_key|cookie", re.IGNORECASE)
_PERSONAL_FIELDS = frozenset(
    {"text", "caption", "phone", "email", "address", "display_name", "username", "body", "payload", "chat_id", "to"}
)
_PATTERNS = (
    re.compile(r"(?i)\bbearer\s+\S+"),
    re.compile(r"\+\d[\d ()./-]{5,}\d"),  # phone numbers as people write them
    re.compile(r"(?<![A-Za-z0-9])[1-9]\d{8,14}(?![A-Za-z0-9])"),  # phone numbers and chat ids
    re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+"),  # addresses
)
_SMALLEST_ID = 100_000_000  # numbers beyond it may be somebody's


_TAKEN_UP: ContextVar[Record | None] = ContextVar("taken_up", default=None)
_LARGEST_LOOK = 64 * 1024  # bytes of a command that is looked into for its id


def about(record: Record) -> None:
    """From now on, every line of this task, and of those it starts, says which record it is about."""
    _TAKEN_UP.set(record)


def _add_record(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Account, conversation (a digest, as in the state store's keys), id and trace of the record in hand."""
    record = _TAKEN_UP.get()
    if record is not None:
        for name, value in _facts(record).items():
            event.setdefault(name, value)
    return event


def _facts(record: Record) -> dict[str, str]:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    facts: dict[str, str] = {}
    if account_id := headers.get("account_id"):
        facts["account_id"] = account_id
    if record.key is not None:
        key = record.key.decode("utf-8", "replace")
        facts["conversation"] = f"c{digest(key)}"
        with suppress(ValueError):
            facts.setdefault("account_id", split_conversation_id(key)[1])
    if event_id := headers.get("ce_id") or _command_id(record, headers):
        facts["id"] = event_id
    if trace := headers.get("traceparent"):
        facts["trace_id"] = trace[3:35]
    return facts


def _command_id(record: Record, headers: Mapping[str, str]) -> str | None:
    """What names a command that came without `ce_id`."""
    if "ce_type" not in headers or record.value is None or len(record.value) > _LARGEST_LOOK:
        return None
    try:
        document = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        return None
    found = document.get("command_id") if isinstance(document, dict) else None
    return found[:200] if isinstance(found, str) else None


def _add_place(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Where the record in hand is: after the masking, which would take an offset for somebody's number."""
    record = _TAKEN_UP.get()
    if record is not None:
        event.setdefault("topic", record.topic)
        event.setdefault("partition", record.partition)
        event.setdefault("offset", record.offset)
    return event


class Masking:
    """A processor that masks what a log must not hold; `secrets` are the shapes of the channel's own."""

    def __init__(self, secrets: Iterable[re.Pattern[str]] = ()) -> None:
        self._patterns = (*secrets, *_PATTERNS)

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event.items():
            event[key] = self.masked(value, key if key != "event" else "")
        return event

    def masked(self, value: Any, field: str = "") -> Any:
        """The value with everything replaced that a log must not hold."""
        if field and (_SECRET_FIELDS.search(field) or field in _PERSONAL_FIELDS):
            return MASK
        if isinstance(value, str):
            for pattern in self._patterns:
                value = pattern.sub(MASK, value)
            return value
        if isinstance(value, dict):
            return {self.masked(str(key)): self.masked(inner, str(key)) for key, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.masked(inner) for inner in value]
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, int):
            return value if abs(value) < _SMALLEST_ID else MASK
        return self.masked(repr(value))


_ACCESS = logging.getLogger("aiohttp.access")  # a line for every request
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


def configure_logs(level: str = "INFO", secrets: Iterable[re.Pattern[str]] = ()) -> None:
    """Send structlog and the standard library's logs to standard error as masked JSON lines.

    `secrets` are what the channel's own secrets look like.
    """
    written: list[Processor] = [
        _add_record,
        Masking(secrets),
        _add_place,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.processors.add_log_level, structlog.stdlib.add_logger_name, _name_exception],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    _ACCESS.setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger("aiohttp.server").addFilter(_is_no_bad_request)
    # Thousands of lines a second while a broker is away; readiness and our own lines say so once. Below WARNING never:
    # it would write out whole requests, with passwords and what people wrote.
    _AIOKAFKA.setLevel(logging.WARNING if level == "DEBUG" else logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _name_exception,
            *written,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,  # whoever configures last is obeyed
    )


def _name_exception(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception's type and place, without its text: texts hold what people wrote."""
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()
    if isinstance(raised, tuple):
        raised = raised[1]
    if isinstance(raised, BaseException):
        event["exception"] = type(raised).__name__
        trace = raised.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            event["at"] = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
    return event
