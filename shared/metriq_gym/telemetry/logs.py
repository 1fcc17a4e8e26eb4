"""Structured logs: one JSON object a line, with the ids of the trace and the job it is about, and without secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO, cast
from urllib.parse import unquote, urlsplit

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor

from metriq_gym.settings import Settings
from metriq_gym.telemetry import metrics, tracing
from metriq_gym.telemetry.harmless import harmless
from metriq_gym.telemetry.sink import Direct, Sink, sink_for

SHORTEST_SECRET = 8
"""Length from which a known secret is hidden wherever it stands; a shorter one may be part of any word."""
_NAMED = re.compile(
    r'("(?:[\w.-]{0,40}(?:passw|secret|api_?key|authorization)[\w.-]{0,40}|(?:\w{0,40}_)?token)": ")(?:[^"\\]|\\.)+',
    re.IGNORECASE,
)
"""A field, by its name."""
_PATTERNS: Mapping[str, Sequence[re.Pattern[str]]] = {
    "://": [re.compile(r"(://[^\s/?#:@\"\\]*:)[^\s/?#\"\\]+(?=@)")],
    "bearer": [re.compile(r"(\bbearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE)],
    "authorization": [re.compile(r"(\bauthorization\W{1,6}basic\s+)[\w.~+/=-]+", re.IGNORECASE), _NAMED],
    "passw": [_NAMED],
    "secret": [_NAMED],
    "api": [_NAMED],
    "token": [_NAMED],
    "gh": [re.compile(r"(\bgh[a-z]_)\w{16,}")],
    "github_pat_": [re.compile(r"(\bgithub_pat_)\w{16,}")],
}
"""What a line has in it, in small letters, that may have a secret in it → where that then stands."""

_sink: Sink | Direct | None = None


def configure(service: str, level: str, stream: TextIO = sys.stdout, secrets: Iterable[str] = ()) -> None:
    """Send this process's logs, and from warnings on those of the libraries it uses, to `stream` as JSON lines.

    `secrets` are hidden wherever they stand, and so is whatever looks like one. To log raises nothing and waits for
    nothing, whatever becomes of the stream; `close` at the end, so that the last lines are written.
    """
    global _sink
    render = _renderer(secrets)
    _sink = sink = sink_for(stream)
    metrics.LOST_LINES.set_function(lambda: sink.lost)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Without local variables: one of them may be a token.
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    ]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=harmless_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, sink)),  # all it does is write and flush
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    least = max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()])
    # What goes wrong with a line would be told on standard error, which may be what is wrong.
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    logging.basicConfig(level=least, handlers=[handler], force=True)


def close() -> None:
    """Return when what was logged is written, or cannot be for the little time that a process has at its end."""
    if _sink is not None:
        _sink.close()


def harmless_logger(level: str) -> type[Any]:
    """Return structlog's logger for lines from a level on, whose errors do not reach who logs."""
    filtering: type[Any] = structlog.make_filtering_bound_logger(level)

    class Harmless(filtering):  # type: ignore[misc]
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **event_kw: Any) -> Any:
            with harmless():
                return super()._proxy_to_logger(method_name, event, **event_kw)

    return Harmless


def secrets_of(settings: Settings) -> Iterator[str]:
    """Yield what no log line may show: tokens, and the passwords of URLs as they are and as they are written there."""
    for name in type(settings).model_fields:
        secret = getattr(settings, name)
        if isinstance(secret, SecretStr):
            password = urlsplit(secret.get_secret_value()).password
            yield from (password, unquote(password)) if password else (secret.get_secret_value(),)
    yield from settings.secrets_of_providers()


def _with_trace(_: Any, __: str, event: EventDict) -> EventDict:
    return {**event, **tracing.ids()}


def _renderer(secrets: Iterable[str]) -> Callable[[Any, str, EventDict], str]:
    """Return what writes a line; hiding is done on the text, so that nothing is nested too deep for it."""
    render = structlog.processors.JSONRenderer()
    known = sorted({json.dumps(secret)[1:-1] for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len)

    def rendered(logger: Any, name: str, event: EventDict) -> str:
        line = str(render(logger, name, event))
        for secret in reversed(known):
            line = line.replace(secret, "***")
        lowered = line.lower()
        for sign, patterns in _PATTERNS.items():
            if sign in lowered:
                for pattern in patterns:
                    line = pattern.sub(r"\1***", line)
        return line

    return rendered
