"""Each error says what it means for the message and the job: one tree, and one class for each leaf."""

from __future__ import annotations

import asyncio
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module

import pytest

import metriq_gym
import services
from metriq_gym import errors
from metriq_gym.bus.retry import TRANSIENT, RetryPolicy
from metriq_gym.errors import FailureClass, MetriqGymError, Transient, classify
from metriq_gym.schema_validator import invalid_parameters

_IN_THE_TREE = re.compile(r"^[│├└─ ]*(\w+) +(permanent|transient|waiting|poison)\b", re.MULTILINE)
_ELSEWHERE = {
    "AuthenticationFailed": FailureClass.WAITING,
    "CredentialTrouble": FailureClass.WAITING,
    "Busy": FailureClass.TRANSIENT,
    "InvalidParameters": FailureClass.PERMANENT,
    "NoAnswer": FailureClass.TRANSIENT,
    "NoBackup": FailureClass.PERMANENT,
    "NotSetUp": FailureClass.PERMANENT,
    "NotRead": FailureClass.PERMANENT,
    "NotUnderstood": FailureClass.TRANSIENT,
    "ProtocolError": FailureClass.TRANSIENT,
    "IBMRefused": FailureClass.PERMANENT,
    "RateLimited": FailureClass.TRANSIENT,
    "TyxonQRefused": FailureClass.PERMANENT,
    "RequestRefused": FailureClass.PERMANENT,
    "ServerError": FailureClass.TRANSIENT,
    "TryLater": FailureClass.TRANSIENT,
    "Unmatched": FailureClass.PERMANENT,
    "Unreachable": FailureClass.TRANSIENT,
}
"""Errors of other rooms that a handler may raise, and so decide about a job."""


def subclasses(kind: type[MetriqGymError]) -> Iterator[type[MetriqGymError]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


@pytest.fixture(scope="module")
def tree() -> dict[str, type[MetriqGymError]]:
    """Every error there is, by its name."""
    for package in (metriq_gym, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    invalid_parameters()
    found = [each for each in subclasses(MetriqGymError) if each.__module__.startswith(("metriq_gym.", "services."))]
    names = [each.__name__ for each in found]
    assert len(set(names)) == len(names), "two errors have the same name"
    return dict(zip(names, found, strict=True))


def test_errors_have_the_class_that_the_drawn_tree_says(tree: dict[str, type[MetriqGymError]]) -> None:
    drawn = dict(_IN_THE_TREE.findall(errors.__doc__ or ""))
    ours = {name: each.failure_class for name, each in tree.items() if each.__module__ == errors.__name__}
    assert drawn == {"MetriqGymError": FailureClass.POISON} | ours


def test_errors_of_other_rooms_have_the_class_of_what_they_mean(tree: dict[str, type[MetriqGymError]]) -> None:
    elsewhere = {name: each.failure_class for name, each in tree.items() if each.__module__ != errors.__name__}
    unexpected = {name for name, found in elsewhere.items() if found is not FailureClass.POISON} - _ELSEWHERE.keys()
    assert not unexpected, "say here what they mean"
    assert {name: elsewhere[name] for name in _ELSEWHERE} == _ELSEWHERE


@pytest.mark.parametrize("error", [ValueError(), KeyError("body"), asyncio.CancelledError()], ids=repr)
def test_what_this_library_does_not_know_is_poison(error: BaseException) -> None:
    assert classify(error) is FailureClass.POISON


def test_every_error_says_what_went_wrong(tree: dict[str, type[MetriqGymError]]) -> None:
    assert not [name for name, each in tree.items() if not (each.__doc__ or "").strip()]


def test_waiting_is_part_of_the_error() -> None:
    assert Transient("later", retry_after=3).retry_after == 3
    assert errors.NotYet("not due").retry_after is None


def test_a_policy_has_pauses_and_bounds() -> None:
    policy = RetryPolicy((1.0, 5.0), attempts=3, seconds=60)
    assert [policy.pause(failed) for failed in (1, 2, 3, 30)] == [1, 5, 5, 5]
    assert not policy.is_exhausted(2, 59)
    assert policy.is_exhausted(3)
    assert policy.is_exhausted(1, 60)
    assert TRANSIENT.is_exhausted(200)
