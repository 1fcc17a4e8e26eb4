"""A dead letter: a message that was given up, and all that an operator needs to decide about it."""

from __future__ import annotations

import hashlib
import traceback
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, Field

from metriq_gym.bus.identity import job_of
from metriq_gym.bus.port import Delivery
from metriq_gym.wording import shorten

TRACEBACK_BYTES = 8 * 1024
"""Of a longer traceback the end is kept, which names the error and where it was raised."""
_REASON = 300


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that a service gave up, as it was, and why."""

    queue: str
    """Where it came from; empty if that is not known."""
    routing_key: str
    body: bytes
    message_id: str | None
    type: str | None
    job_id: str | None
    reason: str
    """One line."""
    traceback: str
    """Empty if the process died before it could write one."""
    first: datetime | None
    """When it failed for the first time."""
    last: datetime | None
    """When it was given up."""
    deliveries: int
    """How often it was delivered, as far as is known."""

    @property
    def id(self) -> str:
        """The message's id, or a digest of its body where it had none; copies of one message have the same."""
        return self.message_id or f"body-{hashlib.sha256(self.body).hexdigest()[:16]}"

    @property
    def service(self) -> str:
        """Whose queue it was in."""
        return self.queue.removeprefix("metriq.")

    def was_given_up(self, before: datetime) -> bool:
        """Whether it was given up before a time; False where it is not known when."""
        return self.last is not None and self.last < before

    def shown(self) -> Letter:
        """Return it as people and programs are shown it."""
        return Letter(
            id=self.id,
            service=self.service,
            reason=self.reason,
            job_id=self.job_id,
            routing_key=self.routing_key,
            message_id=self.message_id,
            type=self.type,
            deliveries=self.deliveries,
            first=self.first,
            last=self.last,
            traceback=self.traceback,
            body=self.body.decode(errors="backslashreplace"),
        )


class Letter(BaseModel):
    """A message that was given up, as the commands and the HTTP API show it."""

    id: str
    service: str = Field(description="Whose queue it was in; empty if that is not known.")
    reason: str
    job_id: str | None
    routing_key: str
    message_id: str | None
    type: str | None = Field(description="What it stated to be.")
    deliveries: int
    first: datetime | None = Field(description="When it failed for the first time.")
    last: datetime | None = Field(description="When it was given up.")
    traceback: str
    body: str


def given_up(queue: str, delivery: Delivery, error: BaseException, now: datetime, kind: str | None) -> DeadLetter:
    """Return the letter for a delivery whose last attempt ended with `error`; `kind` is the type it stated."""
    return DeadLetter(
        queue=queue,
        routing_key=delivery.routing_key,
        body=delivery.body,
        message_id=delivery.message_id,
        type=kind,
        job_id=job_of(delivery) or delivery.correlation_id,
        reason=in_a_line(error),
        traceback=_end(error),
        first=delivery.failing_since or now,
        last=now,
        deliveries=delivery.attempt,
    )


def in_a_line(error: BaseException) -> str:
    """Return what went wrong as one readable line."""
    said = " ".join(str(error).split())
    return shorten(f"{type(error).__name__}: {said}" if said else type(error).__name__, _REASON)


def _end(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error)).encode(errors="backslashreplace")
    return text[-TRACEBACK_BYTES:].decode(errors="ignore")
