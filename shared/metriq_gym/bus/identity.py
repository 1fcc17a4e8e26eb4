"""Which job or suite a delivery is about: what it says, or for a request that does not say, the same id each time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from metriq_gym import texts
from metriq_gym.bus.port import Delivery
from metriq_gym.errors import InvalidRequest, Unreadable
from metriq_gym.messages import AboutJob, JobId, JobRequested, ScheduleRequested, SuiteId, SuiteRequested
from metriq_gym.wording import from_pydantic

MAX_READ = 2**24
"""A body of more bytes is not searched for an id: parsed, it can take 30 times as many. RabbitMQ 4 takes no more."""
Asked = TypeVar("Asked", bound=AboutJob)
_job_id = TypeAdapter[str](JobId)
_suite_id = TypeAdapter[str](SuiteId)


def job_of(delivery: Delivery) -> str | None:
    """Return the id of the job that a delivery of any kind is about; None if it is about none, or does not say."""
    if delivery.routing_key == JobRequested.routing_key:
        return read_request(delivery).job_id
    return _stated(_value(delivery), "job_id", _job_id)


def read_about(kind: type[AboutJob], delivery: Delivery) -> str:
    """Return the id of the job that a message of a kind is about.

    Raises `Unreadable` when it names none; and what the model raises when it names one and is no such message anyway,
    as one of a later version may be: that is not the message's fault.
    """
    try:
        return kind.model_validate_json(delivery.body).job_id
    except ValidationError as error:
        if _stated(_value(delivery), "job_id", _job_id) is not None:
            raise
        raise Unreadable(f"{kind.routing_key} that names no job: {InvalidRequest(from_pydantic(error))}") from None


def read_asked(kind: type[Asked], delivery: Delivery) -> Asked:
    """Return what anyone may ask about a job.

    Raises `Unreadable` whatever is wrong with it: anyone may have sent it, so it says nothing about the job that it
    names, nor about the service.
    """
    try:
        return kind.model_validate_json(delivery.body)
    except ValidationError as error:
        raise Unreadable(f"{kind.routing_key}: {InvalidRequest(from_pydantic(error))}") from None


@dataclass(frozen=True, slots=True)
class Request:
    """A request as anyone may have published it, parsed once.

    Parameters
    ----------
    body:
        Its JSON value; None where it is none.
    problem:
        Why it is none.
    job_id:
        The requested job, or the suite: the id under which the request is recorded if it cannot be accepted.
    suite_id:
        The suite that is requested, or that the job says it belongs to.
    """

    delivery: Delivery
    body: object
    problem: str | None
    job_id: str
    suite_id: str | None


def read_request(delivery: Delivery) -> Request:
    """Return a request with its ids, the same for every delivery of the same request, even a broken one.

    An id is the body's if that can be read (not in a body of more than `MAX_READ` bytes), else the message's, else a
    digest of the body.
    """
    body, problem, stated = None, None, None
    if len(delivery.body) <= MAX_READ:
        try:
            text = texts.decode(delivery.body)
            stated = from_json(text, allow_inf_nan=False)
            texts.check_keys(text)
            body = stated
        except (ValueError, RecursionError) as error:
            problem, stated = str(error), _value(delivery)
    if delivery.routing_key == SuiteRequested.routing_key:
        suite_id = _stated(stated, "suite_id", _suite_id) or _derived(delivery, _suite_id)
        return Request(delivery, body, problem, suite_id, suite_id)
    named = "request_id" if delivery.routing_key == ScheduleRequested.routing_key else "job_id"
    job_id = _stated(stated, named, _job_id) or _derived(delivery, _job_id)
    return Request(delivery, body, problem, job_id, _stated(stated, "suite_id", _job_id))


def _value(delivery: Delivery) -> object:
    """Return a body's value with what only almost is JSON, numbers that are none; None where it is none at all."""
    if len(delivery.body) > MAX_READ:
        return None
    try:
        return from_json(texts.decode(delivery.body))
    except ValueError:
        return None


def _stated(body: object, key: str, kind: TypeAdapter[str]) -> str | None:
    return _valid(body.get(key), kind) if isinstance(body, dict) else None


def _derived(delivery: Delivery, kind: TypeAdapter[str]) -> str:
    return _valid(delivery.message_id, kind) or f"request-{hashlib.sha256(delivery.body).hexdigest()[:32]}"


def _valid(candidate: object, kind: TypeAdapter[str]) -> str | None:
    try:
        return kind.validate_python(candidate, strict=True)
    except ValidationError:
        return None
