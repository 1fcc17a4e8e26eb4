"""Who tells of events: the signed webhook, and Apprise for people. Each is on where its addresses are set."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Protocol

from metriq_gym.errors import NotYet
from metriq_gym.exporters.webhook import Webhook
from metriq_gym.jobs.notices import Notice
from metriq_gym.settings import Settings

_LONGEST_PAUSE = 5.0
"""Seconds that a thread waits for its turn; who would have to wait longer comes again."""


class Sends(Protocol):
    """What brings one notice to where it is to go; raises `Transient` or `Permanent`."""

    def send(self, notice: Notice) -> None:
        """Send it, and return when it was accepted."""


class Sender:
    """Sends notices no faster than the settings allow.

    Parameters
    ----------
    per_minute:
        How many, on average; ten seconds' worth may come at once.
    """

    concurrency = 4

    def __init__(
        self,
        sends: Sends,
        per_minute: float,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sends = sends
        self._spacing = 60 / per_minute
        self._credit = 10.0
        self._next = 0.0
        self._lock = threading.Lock()
        self._now = now
        self._sleep = sleep

    def send(self, notice: Notice) -> None:
        """Send a notice when it is its turn; raises `NotYet` when that is too far ahead."""
        with self._lock:
            now = self._now()
            turn = max(self._next, now - self._credit)
            if (wait := turn - now) <= _LONGEST_PAUSE:
                self._next = turn + self._spacing
        if wait > _LONGEST_PAUSE:
            raise NotYet("more is to be told than METRIQ_NOTIFY_PER_MINUTE allows", retry_after=wait)
        if wait > 0:
            self._sleep(wait)
        self._sends.send(notice)


def senders(settings: Settings) -> tuple[str, ...]:
    """Return the names of those that are on."""
    on = {"notify": settings.notify_urls is not None, "webhook": bool(settings.webhook_url)}
    return tuple(name for name, is_on in on.items() if is_on)


def opened(settings: Settings) -> Callable[[str], Sender]:
    """Return what opens a sender by its name, and the next time returns the same: all that it tells shares its pace."""
    return cache(partial(open_sender, settings=settings))


def open_sender(name: str, settings: Settings) -> Sender:
    """Return a sender; raises `Permanent`, which names the setting, for settings that it cannot work with."""
    if name == "webhook":
        return Sender(Webhook(settings), settings.notify_per_minute)
    from metriq_gym.exporters.people import People

    return Sender(People(settings), settings.notify_per_minute)
