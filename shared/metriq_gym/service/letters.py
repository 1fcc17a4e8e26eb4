"""Dead letters, as they are told: the notice is stored before the queue is to make a letter of the message.

A crash in between brings the message again, which fails again, and its notice is there already.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from metriq_gym.bus.dead_letters import given_up
from metriq_gym.bus.port import Delivery
from metriq_gym.jobs.notices import DEAD_LETTER, Notice
from metriq_gym.wording import printable, shorten


def dead_letter(service: str, delivery: Delivery, error: BaseException) -> Notice:
    """Return what is told of a delivery that a service gives up because of an error.

    A letter that is replayed and given up again is told again: its failures have begun anew. Of one that is given up at
    once, which has none before, that is so after a week.
    """
    letter = given_up(f"metriq.{service}", delivery, error, datetime.now(UTC), None)
    began = delivery.failing_since.isoformat() if delivery.failing_since else "at once"
    digest = hashlib.sha256(repr((service, letter.id, began)).encode()).hexdigest()[:32]
    about = f" about job {letter.job_id}" if letter.job_id else ""
    reason, subject = printable(letter.reason), shorten(printable(letter.id, kept=""))
    return Notice(
        id=f"{digest}/{DEAD_LETTER}",
        kind=DEAD_LETTER,
        subject=subject,
        at=letter.last or datetime.now(UTC),
        text=f"the {service} gave up a message{about}: {reason}",
        data={
            "letter_id": subject,
            "service": service,
            "job_id": letter.job_id and shorten(printable(letter.job_id)),
            "routing_key": shorten(printable(letter.routing_key)),
            "deliveries": letter.deliveries,
            "reason": reason,
        },
    )
