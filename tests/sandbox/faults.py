"""What can go wrong on a call, when, and how often: rules drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tests.sandbox.records import as_json

Endpoint = Literal["devices", "submit", "detail", "list", "remove"]
ENDPOINTS: tuple[Endpoint, ...] = get_args(Endpoint)

Kind = Literal[
    "latency",  # wait `seconds`, then go on (and other faults of the same call still act)
    "rate_limited",  # 429, with Retry-After if `retry_after` is given
    "server_error",  # `status`, else 503, with a body that is plain text
    "html",  # an HTML page with `status`, else 502
    "redirect",  # 307 to a place that counts who follows
    "truncated_json",  # the first half of the true answer
    "slow_body",  # the true answer, spread over `seconds`
    "reset",  # the connection is reset, nothing was done
    "lost_response",  # the request is carried out, the connection closed without an answer
    "refused",  # an error in the shape of Switches.error_shape, with `message`
    "task_fails",  # the task submitted by this call will fail with `message`
    "no_id",  # a good answer to submit_task without an id, though the task was accepted
    "no_task",  # a good answer to detail without a task
    "state",  # tasks in this answer show `state`
    "stale_state",  # tasks in this answer show where they were `seconds` ago, or their previous state if 0
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule. Of the calls to `endpoints` it lets `after` through, then takes every `every`-th with
    `probability`, `times` times at most."""

    kind: Kind = "server_error"
    endpoints: tuple[Endpoint, ...] = ENDPOINTS
    after: int = 0
    every: int = 1
    probability: float = 1.0
    times: int | None = None
    handled: bool = False
    """For faults that replace the answer: the request is carried out all the same."""
    seconds: float = 0.0
    status: int | None = None
    retry_after: str | None = None
    """Value of the Retry-After header: seconds or an HTTP date."""
    state: str = "hold"
    message: str = "the sandbox was told to fail"

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every: {self.every} is below 1")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability: {self.probability} is not between 0 and 1")
        if self.seconds < 0:
            raise ValueError(f"seconds: {self.seconds} is negative")


class _Rule:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.calls = 0
        self.hits = 0

    def strikes(self, generator: random.Random) -> bool:
        fault = self.fault
        if self.hits == fault.times:
            return False
        self.calls += 1
        counted = self.calls - fault.after
        if counted <= 0 or counted % fault.every or generator.random() >= fault.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The rules in force."""

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self._generator = random.Random(f"faults:{seed}")
        self._rules = [_Rule(fault) for fault in faults]

    def add(self, *faults: Fault) -> None:
        self._rules += [_Rule(fault) for fault in faults]

    def clear(self) -> None:
        self._rules.clear()

    def draw(self, endpoint: Endpoint) -> tuple[Fault, ...]:
        """The faults that strike this call, in the order they were added."""
        if not self._rules:
            return ()
        return tuple(
            rule.fault for rule in self._rules if endpoint in rule.fault.endpoints and rule.strikes(self._generator)
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each rule as JSON with the calls it has seen and its hits."""
        for rule in self._rules:
            yield as_json(rule.fault) | {"calls": rule.calls, "hits": rule.hits}
