"""Which kind of failure an error is."""

from __future__ import annotations

import asyncio

import pytest

from metriq_gym.bus.failures import MOST_ATTEMPTS, MOST_SECONDS, FailureClass, classify, is_exhausted
from metriq_gym.errors import (
    InvalidRequest,
    LeaseLost,
    Lethal,
    NotFound,
    NotYet,
    Permanent,
    Problem,
    Transient,
    Unavailable,
    Unroutable,
    Unsupported,
)
from metriq_gym.providers.tyxonq.errors import AuthenticationFailed, Rejected, TryLater
from metriq_gym.service.pool import WorkerDied


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Permanent(), FailureClass.PERMANENT),
        (Unsupported(), FailureClass.PERMANENT),
        (InvalidRequest([Problem("$", "wrong")]), FailureClass.PERMANENT),
        (AuthenticationFailed("no"), FailureClass.PERMANENT),
        (Rejected("no"), FailureClass.PERMANENT),
        (Transient(), FailureClass.TRANSIENT),
        (TryLater("busy"), FailureClass.TRANSIENT),
        (Unavailable(), FailureClass.WAITING),
        (Unroutable(), FailureClass.WAITING),
        (NotYet(), FailureClass.WAITING),
        (ValueError(), FailureClass.POISON),
        (KeyError("body"), FailureClass.POISON),
        (WorkerDied(), FailureClass.POISON),
        (Lethal(), FailureClass.POISON),
        (LeaseLost(), FailureClass.POISON),
        (NotFound(), FailureClass.POISON),
        (asyncio.CancelledError(), FailureClass.POISON),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_each_error_has_its_class(error: BaseException, expected: FailureClass) -> None:
    assert classify(error) is expected


def test_either_bound_is_enough() -> None:
    assert not is_exhausted(MOST_ATTEMPTS - 1, MOST_SECONDS - 1)
    assert is_exhausted(MOST_ATTEMPTS, 0)
    assert is_exhausted(1, MOST_SECONDS)
