"""TyxonQ's four endpoints over HTTP: answers as models, failures as the errors of `errors`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
import structlog
from aiolimiter import AsyncLimiter
from pydantic import BaseModel, SecretStr, ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from metriq_gym.errors import MetriqGymError, Permanent, SubmissionAmbiguous, Transient
from metriq_gym.providers.provider import CredentialTrouble, TryLater
from metriq_gym.providers.tyxonq.connections import Connections
from metriq_gym.providers.tyxonq.credential import Credential
from metriq_gym.providers.tyxonq.errors import (
    AuthenticationFailed,
    NoAnswer,
    ProtocolError,
    RateLimited,
    ServerError,
    TyxonQRefused,
    Unreachable,
)
from metriq_gym.providers.tyxonq.models import (
    DeviceList,
    DeviceRow,
    StateList,
    StateRow,
    Submitted,
    TaskDetail,
    TaskList,
    TaskRequest,
)
from metriq_gym.providers.tyxonq.pace import Pace
from metriq_gym.providers.tyxonq.text import readable
from metriq_gym.providers.tyxonq.transport import NoReply, NotSent, Reply, post
from metriq_gym.providers.tyxonq.whole import whole
from metriq_gym.telemetry import metrics

log = structlog.get_logger()

DEVICES = "api/v1/devices/list"
SUBMIT = "api/v1/tasks/submit_task"
DETAIL = "api/v1/tasks/detail"
TASKS = "api/v1/tasks/api_key/list"
_OPERATIONS = {DEVICES: "devices", SUBMIT: "submit", DETAIL: "detail", TASKS: "list"}
_UNAUTHORIZED = frozenset({401, 402, 403})
"""The credential is the matter, or its account: whatever else was asked with it would be answered the same."""
_AWAY = frozenset({404, 407, 421, 423, 425})
"""Of a submission: the device was there when its job began, so the endpoint or the device is away for the moment (404);
or it is locked (423), or the service would not risk to handle it just now (425); or what stands in between did not let
it pass (407, 421). Nothing was accepted, and it may be sent again."""
_IN_DOUBT = frozenset({408, 409})
"""Of a submission: the service gave up waiting (408), or knows of one like it (409). It may have been accepted."""
_SUBSTANCE = ("id", "task", "tasks", "devices")
"""What answers hold that are no errors."""
_CODES = ("code", "status", "status_code")
"""Where an error's body may name the status that it should have had."""
_NAME = "tyxonq"
"""In metrics."""

SUBMIT_SECONDS = 30.0
READ_SECONDS = 15.0
SLOT_SECONDS = 10.0
"""How long a submission waits for its turn among our own requests; then it is given up, certainly not sent."""
READ_ATTEMPTS = 3
LONGEST_PAUSE = 10.0
"""Seconds up to which a read waits before it is tried again; a longer Retry-After is left to the caller."""
KEEP_ALIVE_SECONDS = 3.0
"""Shorter than any server's: a submission on a connection that is just being closed would be ambiguous."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class TyxonQClient:
    """Connections to TyxonQ's cloud for one token. Use it as an asynchronous context manager.

    Parameters
    ----------
    token, token_file:
        Sent as a bearer token and shown nowhere; read again from the file, if there is one, when that changes.
    base_url:
        What the paths of the endpoints are appended to, with or without a slash at its end.
    concurrency:
        Most requests under way at once, and most connections.
    requests_per_second:
        Most requests sent, in the long run; as many as in one second may go at once. None for no limit.
    transport, sleep, now:
        How requests are sent, how a read waits before it is tried again, and the time in UTC.

    Raises `Permanent` when token or URL cannot be used at all.
    """

    def __init__(
        self,
        token: SecretStr,
        base_url: str,
        *,
        token_file: Path | None = None,
        concurrency: int = 8,
        requests_per_second: float | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.credential = Credential(token, token_file)
        self.concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._bucket = None if requests_per_second is None else _bucket(requests_per_second)
        self.pace = Pace()
        """Of questions about tasks, for whoever asks many."""
        self._sleep = sleep
        self._now = now
        self.base_url = _checked_url(base_url)

        def connection() -> httpx.AsyncClient:
            return httpx.AsyncClient(
                base_url=self.base_url,
                verify=_trusted(),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                limits=httpx.Limits(max_connections=1, keepalive_expiry=KEEP_ALIVE_SECONDS),
                transport=transport,
            )

        self._connections = Connections(connection, concurrency)

    async def __aenter__(self) -> TyxonQClient:
        """Return the client; it connects when it is first used."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()

    async def devices(self) -> tuple[DeviceRow, ...]:
        """Return the devices that the token may use."""
        return (await self._read(DEVICES, {}, DeviceList)).devices

    async def detail(self, task_id: str, *, attempts: int | None = None, seconds: float | None = None) -> TaskDetail:
        """Return one task. Raises `TyxonQRefused` when the service answers with an error instead.

        It is asked for `attempts` times, each answer may take `seconds`; without these, as for all that is read.
        """
        answer = await self._read(DETAIL, {"task_id": task_id}, _Detail, attempts, seconds)
        if answer.task.id not in (None, task_id):
            raise ProtocolError(f"asked for task {task_id}, TyxonQ told of {answer.task.id}")
        return answer.task

    async def list_tasks(self, device: str | None = None, task_type: str = "quantum_api") -> TaskList:
        """Return the token's tasks.

        `device` is left to the service to filter by. Whether that finds tasks submitted with flags is not known, so
        leave it out when none may be missed.
        """
        body = {"task_type": task_type} | ({} if device is None else {"device": device})
        return await self._read(TASKS, body, TaskList)

    async def list_states(self) -> tuple[StateRow, ...]:
        """Return the states of the token's tasks: the same list in a tenth of the memory. It is asked for once only."""
        return (await self._read(TASKS, {"task_type": "quantum_api"}, StateList, 1)).tasks

    async def submit(self, submission: TaskRequest) -> Submitted:
        """Submit one circuit, once: nothing is ever sent a second time from here.

        Raises `SubmissionAmbiguous` when it may or may not have been accepted; any other `MetriqGymError` means that
        it was not. When this is cancelled, or raises anything else, treat it as ambiguous too.
        """
        reply = await self._post(SUBMIT, submission.body(), SUBMIT_SECONDS, SLOT_SECONDS)
        if isinstance(reply, NotSent):
            raise self._unreachable(reply)
        if isinstance(reply, NoReply):
            raise SubmissionAmbiguous(f"the submission was sent, but {reply.reason}")
        if reply.status in _AWAY:
            raise Unreachable(f"TyxonQ answered with {_summary(reply)}", retry_after=reply.retry_after)
        refused = 400 <= reply.status < 500 and reply.status not in _IN_DOUBT
        if refused or (reply.status < 300 and reply.document and _complains(reply.document)):
            raise self._error(reply)
        if reply.status < 300 and reply.document and not _complaint(reply.document):
            try:
                return Submitted.model_validate(reply.document)
            except ValidationError as error:
                reply = Reply(reply.status, None, None, f"an answer without a usable id ({_first(error)})")
        raise SubmissionAmbiguous(f"the submission was answered with {_summary(reply)}")

    async def _read(
        self,
        path: str,
        body: Mapping[str, Any],
        model: type[ModelT],
        attempts: int | None = None,
        seconds: float | None = None,
    ) -> ModelT:
        """Ask, and ask again a few times when that may help."""
        async for attempt in AsyncRetrying(
            sleep=self._sleep,
            stop=stop_after_attempt(attempts or READ_ATTEMPTS),
            wait=_pause,
            retry=retry_if_exception(_is_worth_a_retry),
            before_sleep=_report,
            reraise=True,
        ):
            with attempt:
                return await self._read_once(path, body, model, min(seconds or READ_SECONDS, READ_SECONDS))
        raise AssertionError  # tenacity returns or raises

    async def _read_once(self, path: str, body: Mapping[str, Any], model: type[ModelT], seconds: float) -> ModelT:
        reply = await self._post(path, body, seconds)
        if isinstance(reply, NotSent | NoReply):
            raise self._unreachable(reply)
        if not 200 <= reply.status < 300 or reply.document is None or _complaint(reply.document):
            raise self._error(reply)
        try:
            return model.model_validate(reply.document)
        except ValidationError as error:
            problem = _first(error)
        raise ProtocolError(f"TyxonQ's answer to {path} is not understood: {problem}")

    async def _post(
        self, path: str, body: Mapping[str, Any], seconds: float, patience: float | None = None
    ) -> Reply | NoReply | NotSent:
        """Wait for a turn, for as long as `patience` has it, then for the answer, up to `seconds`."""
        operation = _OPERATIONS[path]
        async with AsyncExitStack() as turn:
            try:
                with metrics.RATE_LIMIT_WAIT.labels(_NAME, "ours").time():
                    async with asyncio.timeout(patience):
                        await turn.enter_async_context(self._slots)
                        if self._bucket is not None:
                            await self._bucket.acquire()
            except TimeoutError:
                return NotSent(f"too many other requests of ours: it was not its turn within {patience:g} s")
            with metrics.PROVIDER_SECONDS.labels(_NAME, operation).time():
                token = self.credential.admit()
                reply = await post(self._connections.one(), path, body, seconds=seconds, now=self._now, secret=token)
        if isinstance(reply, Reply):
            reply = _as_meant(reply)
        metrics.PROVIDER_CALLS.labels(_NAME, operation, _outcome(reply)).inc()
        if isinstance(reply, Reply) and reply.status in _UNAUTHORIZED:
            self.credential.refused(token, _refusal(reply))
        elif isinstance(reply, Reply) and reply.status < 300 and reply.document is not None:
            self.credential.accepted(token)
        if isinstance(reply, Reply) and reply.retry_after:
            metrics.RATE_LIMIT_WAIT.labels(_NAME, "theirs").observe(reply.retry_after)
        return reply

    def _unreachable(self, failure: NotSent | NoReply) -> Unreachable:
        return Unreachable(f"TyxonQ cannot be reached: {failure.reason}")

    def _error(self, reply: Reply) -> MetriqGymError:
        """Return the error that an answer other than success stands for."""
        message = f"TyxonQ answered with {_summary(reply)}"
        match reply.status:
            case 401 | 402 | 403:
                return AuthenticationFailed(_refusal(reply))
            case 429:
                return RateLimited(message, retry_after=reply.retry_after)
            case 408 | 502 | 503 | 504:
                return Unreachable(message, retry_after=reply.retry_after)
            case status if status >= 500:
                return ServerError(message, retry_after=reply.retry_after)
            case 413:
                return TyxonQRefused(message)
        if reply.document is None:
            return NoAnswer(message)
        return ProtocolError(message) if 300 <= reply.status < 400 else TyxonQRefused(message)


class _Detail(BaseModel):
    task: TaskDetail


def _bucket(per_second: float) -> AsyncLimiter:
    burst = max(per_second, 1.0)
    return AsyncLimiter(burst, burst / per_second)


def _complaint(document: Mapping[str, Any]) -> str:
    """Return the error an answer tells of, in any of the shapes seen, or "" if it tells of none.

    A task that failed is no failed request, whatever ``success`` says beside it.
    """
    task = document.get("task")
    if isinstance(task, dict) and task.get("err"):
        return ""
    for name in ("error", "err", "detail"):
        if text := readable(document.get(name)):
            return text
    return _words(document) or "an error without a reason" if document.get("success") is False else ""


def _words(document: Mapping[str, Any]) -> str:
    """Return a message that is an error's reason where something else says that there is an error."""
    return readable(document.get("message")) or readable(document.get("msg"))


def _as_meant(reply: Reply) -> Reply:
    """Give an error that came as a success the status that it names in its body, unless what was asked for is there."""
    document = reply.document
    if reply.status >= 300 or not document or any(document.get(name) is not None for name in _SUBSTANCE):
        return reply
    named = [
        place.get(name) for place in (document, document.get("error")) if isinstance(place, dict) for name in _CODES
    ]
    codes = [code for code in map(whole, named) if code is not None and 400 <= code < 600]
    return replace(reply, status=codes[0]) if codes else reply


def _complains(document: Mapping[str, Any]) -> bool:
    """Whether an answer to a submission says that it was refused: an error, and no id beside it."""
    return bool(_complaint(document)) and not document.get("id")


def _refusal(reply: Reply) -> str:
    remedy = "see to the account" if reply.status == httpx.codes.PAYMENT_REQUIRED else "check METRIQ_TYXONQ_TOKEN"
    return f"TyxonQ answered with {_summary(reply)}; {remedy}"


def _outcome(reply: Reply | NoReply | NotSent) -> str:
    """Return what came of a request, for the metrics."""
    match reply:
        case NotSent():
            return "not_sent"
        case NoReply():
            return "no_answer"
        case Reply(status=401 | 402 | 403):
            return "unauthorized"
        case Reply(status=429):
            return "rate_limited"
        case Reply(status=status) if status >= 500 or status == httpx.codes.REQUEST_TIMEOUT:
            return "unavailable"
        case Reply(status=status, document=document) if status < 300 and document is not None:
            return "refused" if _complaint(document) else "answered"
        case Reply(status=status) if status >= 400:
            return "refused"
    return "not_understood"


def _summary(reply: Reply) -> str:
    text = reply.problem if reply.document is None else _complaint(reply.document) or _words(reply.document)
    return f"HTTP {reply.status}{f': {text}' if text else ''}"


def _first(error: ValidationError) -> str:
    """Return where and why a document does not fit its model, without quoting it."""
    found = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"[:500]


_backoff = wait_random_exponential(multiplier=0.25, max=5)


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: what the service asked for, and a growing random share on top."""
    assert state.outcome is not None  # noqa: S101  (called after an attempt)
    error = state.outcome.exception()
    asked = error.retry_after if isinstance(error, Transient) else None
    return (asked or 0.0) + _backoff(state)


def _is_worth_a_retry(error: BaseException) -> bool:
    if isinstance(error, TryLater) and error.retry_after is not None:
        return error.retry_after <= LONGEST_PAUSE
    return isinstance(error, Transient) and not isinstance(error, CredentialTrouble)


def _report(state: RetryCallState) -> None:
    assert state.outcome is not None  # noqa: S101  (called after an attempt)
    log.warning("asking TyxonQ again", attempt=state.attempt_number, error=str(state.outcome.exception()))


@cache
def _trusted() -> ssl.SSLContext:
    """Return whom to trust, read once: that takes 20 ms, as long as a whole job on Aer."""
    return httpx.create_ssl_context()


def _checked_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise Permanent(f"METRIQ_TYXONQ_BASE_URL is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise Permanent("METRIQ_TYXONQ_BASE_URL must be http(s)://host[:port][/path], without credentials or query")
    return url
