"""What a machine has too little of is no job's fault: it is waited out, however the error was wrapped, and told."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.benchmarks import openqasm
from metriq_gym.errors import (
    FailureClass,
    InvalidRequest,
    NoMeans,
    Permanent,
    Transient,
    Unsupported,
    classify,
    means,
    want_of_means,
)
from metriq_gym.providers import Providers, plugin
from metriq_gym.providers.plugin import ProviderPlugin, installed, opened
from metriq_gym.providers.provider import Provider
from metriq_gym.service import pool
from metriq_gym.service.breaker import WANTS_SECONDS, Breaker
from metriq_gym.service.pool import Pool
from metriq_gym.settings import Settings
from metriq_gym.testing import ToldProvider
from services.poller.decode import decode_all
from tests.support.patience import PATIENCE
from tests.support.workers import plain_workers as plain_workers

WANTING = [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.ENOBUFS]


def short_of(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _plainly(error: OSError) -> None:
    raise error


def _as_permanent(error: OSError) -> None:
    raise Permanent("it cannot be opened") from error


def _as_invalid(error: OSError) -> None:
    try:
        _as_permanent(error)
    except Permanent:
        raise InvalidRequest([]) from None


@pytest.mark.parametrize("number", WANTING)
@pytest.mark.parametrize("raising", [_plainly, _as_permanent, _as_invalid])
def test_want_of_means_is_seen_through_what_it_was_wrapped_in(raising: Callable[[OSError], None], number: int) -> None:
    with pytest.raises(NoMeans, match="means are wanting: ") as raised, means():
        raising(short_of(number))
    assert classify(raised.value) is FailureClass.WAITING


def test_want_of_threads_is_one_too() -> None:
    usual = threading.stack_size(2**47)  # more than there are addresses
    try:
        with pytest.raises(NoMeans, match="can't start new thread"), means():
            threading.Thread(target=print).start()
    finally:
        threading.stack_size(usual)


def test_other_errors_and_those_that_are_tried_again_anyway_stay_what_they_are() -> None:
    for error in (
        Permanent("no"),
        FileNotFoundError(errno.ENOENT, "no"),
        ValueError(errno.EMFILE),
        MemoryError(),
        RuntimeError("no"),
    ):
        with pytest.raises(type(error)), means():
            raise error
        assert want_of_means(error) is None
    with pytest.raises(Transient) as raised, means():
        raise Transient("later", retry_after=5) from short_of(errno.ENOSPC)
    assert not isinstance(raised.value, NoMeans)
    turning = ValueError()
    turning.__cause__ = turning
    assert want_of_means(turning) is None


class Once:
    """Raises at the first call, and from then on returns what it was given."""

    def __init__(self, error: Exception, then: Any) -> None:
        self._error: Exception | None = error
        self._then = then

    def __call__(self, *_: Any) -> Any:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._then


def test_a_provider_that_cannot_be_opened_for_now_is_opened_later(monkeypatch: pytest.MonkeyPatch) -> None:
    told: Provider = ToldProvider([], name="told")
    for error in (short_of(errno.EMFILE), Permanent("no calibrations")):
        if isinstance(error, Permanent):
            error.__cause__ = short_of(errno.ENFILE)
        there = ProviderPlugin(Once(error, told))
        with pytest.raises(NoMeans):
            opened("told", there, Settings())
        assert opened("told", there, Settings()) is told


def test_a_plug_in_that_cannot_be_loaded_for_now_is_not_taken_for_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Once(short_of(errno.EMFILE), ProviderPlugin(lambda _: ToldProvider([], name="told")))
    monkeypatch.setattr(plugin, "_entries", lambda: [EntryPoint("told", "told:PLUGIN", "metriq_gym.providers")])
    monkeypatch.setattr(plugin, "_package", lambda _: "told")
    monkeypatch.setattr(plugin, "_loaded", loaded)
    installed.cache_clear()
    try:
        providers = Providers(Settings())
        with pytest.raises(NoMeans, match="open files"):
            providers.get("told")
        assert providers.get("told").name == "told"
    finally:
        installed.cache_clear()


def _short() -> None:
    raise Unsupported("cannot be read") from short_of(errno.EMFILE)


@pytest.mark.usefixtures("plain_workers")
async def test_work_that_runs_out_of_means_in_a_worker_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "START_PAUSES", (0.01, 0.05))
    monkeypatch.setattr(pool, "START_SECONDS", 0.1)
    async with asyncio.timeout(PATIENCE), Pool(1) as workers:
        with pytest.raises(NoMeans, match="open files"):
            await workers.run(_short)
        assert workers.wants
        assert await workers.run(abs, -1) == 1
        assert workers.wants is None


def test_an_answer_is_not_blamed_for_it() -> None:
    def decoder(circuits: bytes, counts: Any) -> bytes:
        if circuits == b"odd":
            raise KeyError("odd")
        raise short_of(errno.EMFILE)

    assert decode_all(decoder, [(b"odd", {})]) == ["KeyError: 'odd'"]
    with pytest.raises(OSError, match="open files"):
        decode_all(decoder, [(b"odd", {}), (b"even", {})])


def test_a_circuit_is_not_blamed_for_it() -> None:
    with pytest.raises(OSError, match="open files"), openqasm._reporting("read"):
        raise short_of(errno.EMFILE)
    with pytest.raises(Unsupported), openqasm._reporting("read"):
        raise short_of(errno.ENOENT)


def test_a_service_says_so_until_a_message_is_handled_or_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    breaker = Breaker("queue", 16)
    breaker.missed("means are wanting: Too many open files")
    assert breaker.wants
    assert breaker.is_closed, "no message was at fault"
    breaker.handled()
    assert breaker.wants is None
    breaker.missed("means are wanting: Too many open files")
    later = time.monotonic() + WANTS_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert breaker.wants is None, "another process may have handled it"
