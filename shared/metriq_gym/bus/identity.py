"""Which job or suite a delivery is about: what it says, or for a request that does not say, the same id each time."""

from __future__ import annotations

import hashlib

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from metriq_gym.bus.port import Delivery
from metriq_gym.errors import InvalidRequest, Unreadable
from metriq_gym.messages import AboutJob, JobId, JobRequested, SuiteId
from metriq_gym.wording import from_pydantic

MAX_READ = 2**24
"""A body of more bytes is not searched for an id: parsed, it can take 30 times as many. RabbitMQ 4 takes no more."""
_job_id = TypeAdapter[str](JobId)
_suite_id = TypeAdapter[str](SuiteId)


def job_of(delivery: Delivery) -> str | None:
    """Return the id of the job that a delivery of any kind is about; None if it is about none, or does not say."""
    if delivery.routing_key == JobRequested.routing_key:
        return identify(delivery)
    return _stated(delivery, "job_id", _job_id)


def read_about(kind: type[AboutJob], delivery: Delivery) -> str:
    """Return the id of the job that a message of a kind is about.

    Raises `Unreadable` when it names none; and what the model raises when it names one and is no such message anyway,
    as one of a later version may be: that is not the message's fault.
    """
    try:
        return kind.model_validate_json(delivery.body).job_id
    except ValidationError as error:
        if _stated(delivery, "job_id", _job_id) is not None:
            raise
        raise Unreadable(f"{kind.routing_key} that names no job: {InvalidRequest(from_pydantic(error))}") from None


def identify(delivery: Delivery) -> str:
    """Return the id of the requested job, the same for every delivery of the same request, even a broken one.

    It is the body's ``job_id`` if that can be read (not in a body of more than `MAX_READ` bytes), else the message's
    id, else a digest of the body.
    """
    return _stated(delivery, "job_id", _job_id) or _derived(delivery, _job_id)


def identify_suite(delivery: Delivery) -> str:
    """Return the id of the requested suite, found as `identify` finds a job's."""
    return _stated(delivery, "suite_id", _suite_id) or _derived(delivery, _suite_id)


def suite_of(delivery: Delivery) -> str | None:
    """Return the id of the suite that a job request, even a broken one, says it belongs to."""
    return _stated(delivery, "suite_id", _job_id)


def _stated(delivery: Delivery, key: str, kind: TypeAdapter[str]) -> str | None:
    if len(delivery.body) > MAX_READ:
        return None
    try:
        body = from_json(delivery.body)
    except ValueError:
        return None
    return _valid(body.get(key), kind) if isinstance(body, dict) else None


def _derived(delivery: Delivery, kind: TypeAdapter[str]) -> str:
    return _valid(delivery.message_id, kind) or f"request-{hashlib.sha256(delivery.body).hexdigest()[:32]}"


def _valid(candidate: object, kind: TypeAdapter[str]) -> str | None:
    try:
        return kind.validate_python(candidate, strict=True)
    except ValidationError:
        return None
