"""Which requests are dispatched at once and which wait in a lane, so that no publisher's requests hold up another's.

A share is what the requests of one group have in common, without one those of one suite, else those of one user of the
message queue. The more requests of a share came lately, the later the lane of the next one; all lanes are taken from
at the same pace. So a request of a share that has few passes by the thousands of another, and these fill whatever is
left. Within a share only requests that are at least as urgent count: an urgent one passes by the share's others.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from metriq_gym.bus.identity import Request
from metriq_gym.bus.port import LANES, Queue

SIZES = (8, 64, 512)
"""So many requests of a share are dispatched at once; so many in all wait at most in the first lane; and so on."""
HALF_LIFE_SECONDS = 300.0
"""After this time a request counts half."""
MOST_SHARES = 4096
"""Shares that are remembered; of more, those go that were not seen for longest."""
USUAL = 5
"""The priority of a request that states none: 1 is the most urgent, as at TyxonQ, and 10 the least."""
_LEAST = 10


class Lanes:
    """Counts the requests of each share."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._shares: OrderedDict[str, _Counts] = OrderedDict()

    def lane(self, request: Request) -> Queue | None:
        """Count a request and return the lane it is to wait in; None for one that is dispatched at once."""
        share = share_of(request)
        counts = self._shares.pop(share, None) or _Counts()
        self._shares[share] = counts
        if len(self._shares) > MOST_SHARES:
            self._shares.popitem(last=False)
        count = counts.add(priority_of(request), self._now())
        number = sum(count > size for size in SIZES)
        return LANES[number - 1] if number else None


class _Counts:
    """How many requests of each priority came lately."""

    def __init__(self) -> None:
        self._of = [0.0] * (_LEAST + 1)
        self._at = 0.0

    def add(self, priority: int, now: float) -> float:
        """Count one and return how many there are that are at least as urgent."""
        fading = 0.5 ** ((now - self._at) / HALF_LIFE_SECONDS)
        self._of = [fading * count for count in self._of]
        self._at = now
        self._of[priority] += 1
        return sum(self._of[: priority + 1])


def share_of(request: Request) -> str:
    """Return whose request it is, as far as that can be told."""
    group = request.body.get("group") if isinstance(request.body, dict) else None
    if isinstance(group, str) and group:
        return f"group {group}"
    if request.suite_id is not None:
        return f"suite {request.suite_id}"
    return f"user {request.delivery.user_id or ''}"


def priority_of(request: Request) -> int:
    """Return how urgent a request is: 1 to 10, 1 the most."""
    prior = request.body.get("prior") if isinstance(request.body, dict) else None
    return prior if isinstance(prior, int) and 1 <= prior <= _LEAST else USUAL
