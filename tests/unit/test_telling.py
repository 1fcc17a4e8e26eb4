"""Held jobs, drift and dead letters are told at least once after a crash, once otherwise, and in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import Delivery
from metriq_gym.errors import Lethal, NotYet, Unavailable, Unreadable, UnreadableDocument
from metriq_gym.exporters.senders import senders
from metriq_gym.jobs import ExportState, JobState
from metriq_gym.jobs import notices as jobs_notices
from metriq_gym.jobs.changes import Accepted
from metriq_gym.jobs.watched import Watched
from metriq_gym.messages import DeviceDrifted
from metriq_gym.service.attempts import Attempt
from metriq_gym.service.breaker import Breaker
from metriq_gym.service.letters import dead_letter
from metriq_gym.service.service import Context
from metriq_gym.settings import Event, Settings
from metriq_gym.store import Store
from metriq_gym.testing import memory_store
from services.exporter import Exporter
from services.exporter.telling import IDLE_SECONDS, SECONDS
from tests.support.jobs import AT, failed_job, to
from tests.support.receiver import Receiver, receiving
from tests.support.telling import Clock, exporter_of, shift


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def hold(store: Store, job_id: str = "j", reason: str = "sent perhaps") -> None:
    accepted = Accepted(benchmark_name="WIT", provider="tyxonq", device="homebrew_s2")
    job = await store.jobs.accept(job_id, accepted, owner="d", lease_seconds=60)
    assert job.lease is not None
    await store.jobs.hold(job_id, job.lease.token, reason)


async def drift(store: Store, *shifts: DeviceDrifted) -> None:
    def changed(watched: Watched | None) -> Watched:
        before = watched or Watched(id="s")
        return before.model_copy(update={"to_notify": [*before.to_notify, *shifts]})

    await store.drifts.change("s", changed)


async def bury(store: Store, number: int = 0, service: str = "scorer") -> None:
    delivery = Delivery("job.completed", b"{}", message_id=f"letter-{number}")
    await store.notices.add([dead_letter(service, delivery, Unreadable("it names no job"))])


async def rounds(exporter: Exporter, clock: Clock, until: float) -> None:
    while clock.seconds < until:
        await exporter.telling()
        clock.seconds += SECONDS


async def test_a_receiver_that_fails_for_an_hour_gets_each_event_once_it_is_back_and_in_order(
    receiver: Receiver, clock: Clock, tmp_path: Path
) -> None:
    async with memory_store() as store:
        await hold(store)
        await drift(store, shift("homebrew_s2-1"), shift("homebrew_s2-2"))
        for number in range(3):
            await bury(store, number)
        receiver.status = 503
        exporter = exporter_of(receiver.settings(), store, tmp_path)
        await rounds(exporter, clock, until=1800)
        await store.jobs.unhold("j")
        await hold(store, reason="and once more")
        await drift(store, shift("homebrew_s2-3"))
        await rounds(exporter, clock, until=3600)
        assert receiver.got == []
        assert receiver.asked < 5 * 20  # of each subject only the first is tried, in ever longer pauses
        receiver.status = 204
        again = exporter_of(receiver.settings(), store, tmp_path)  # another process goes on where the one before was
        await rounds(again, clock, until=2 * 3600)
        assert set(Counter(receiver.ids).values()) == {1}
        by_subject: dict[str, list[str]] = {}
        for event in receiver.events:
            by_subject.setdefault(event["subject"], []).append(event["id"])
        assert by_subject.pop("j") == ["j/job.held/1", "j/job.held/2"]
        assert by_subject.pop("tyxonq/homebrew_s2") == [f"homebrew_s2-{each}/device.drifted" for each in (1, 2, 3)]
        assert sorted(by_subject) == ["letter-0", "letter-1", "letter-2"]
        assert {event["type"] for event in receiver.events} == {
            f"info.metriq.{kind}" for kind in ("job.held", "device.drifted", "message.dead_lettered")
        }
        assert (await store.notices.standing(), await store.notices.held()) == ([], [])
        assert await store.drifts.to_notify() == []


async def test_what_is_told_says_what_has_happened(receiver: Receiver, clock: Clock, tmp_path: Path) -> None:
    async with memory_store() as store:
        await hold(store)
        await drift(store, shift("homebrew_s2-1"))
        await bury(store)
        await rounds(exporter_of(receiver.settings(), store, tmp_path), clock, until=30)
    data = {event["type"].removeprefix("info.metriq."): event["data"] for event in receiver.events}
    assert (data["job.held"]["job_id"], data["job.held"]["reason"]) == ("j", "sent perhaps")
    assert data["device.drifted"]["drift_id"] == "homebrew_s2-1"
    assert data["device.drifted"]["since"] == "2026-11-20T12:34:56Z"
    letter = data["message.dead_lettered"]
    assert (letter["letter_id"], letter["service"]) == ("letter-0", "scorer")
    assert "it names no job" in letter["reason"]


async def test_a_crash_after_sending_sends_the_same_event_again(
    receiver: Receiver, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with memory_store() as store:
        await hold(store)
        settle = store.notices.settle

        async def crash(*_: Any, **__: Any) -> None:
            raise asyncio.CancelledError

        monkeypatch.setattr(store.notices, "settle", crash)
        with pytest.raises(asyncio.CancelledError):
            await exporter_of(receiver.settings(), store, tmp_path).telling()
        monkeypatch.setattr(store.notices, "settle", settle)
        again = exporter_of(receiver.settings(), store, tmp_path)
        await again.telling()
        assert len(receiver.got) == 1  # the one that is gone has it in hand, for all that is known
        await rounds(again, clock, until=600)
        assert receiver.ids == ["j/job.held/1"] * 2
        assert receiver.got[0][1] == receiver.got[1][1]


async def test_any_number_of_exporters_tell_of_an_event_once(receiver: Receiver, clock: Clock, tmp_path: Path) -> None:
    async with memory_store() as store:
        for number in range(5):
            await hold(store, f"j{number}")
        exporters = [exporter_of(receiver.settings(), store, tmp_path) for _ in range(4)]
        await asyncio.gather(*(each.telling() for each in exporters))
        await asyncio.gather(*(each.telling() for each in exporters))
    assert sorted(receiver.ids) == [f"j{number}/job.held/1" for number in range(5)]


async def test_a_job_that_was_held_is_told_to_have_ended_after_that(
    receiver: Receiver, clock: Clock, tmp_path: Path
) -> None:
    async with memory_store() as store, MemoryBus() as bus:
        await hold(store)
        failure = failed_job().failure
        await store.jobs.move("j", to(JobState.FAILED, failure=failure), service="operator")
        settings = receiver.settings(export_dir=tmp_path)
        exporter = Exporter(Context(settings, bus, store, pool=None))  # type: ignore[arg-type]
        delivery = Delivery("job.failed", b'{"job_id": "j", "outcome": "error", "reason": "x"}', correlation_id="j")
        with pytest.raises(NotYet, match="told first"):
            await exporter.handle(delivery)
        assert receiver.ids == []
        await exporter.telling()
        await exporter.handle(delivery)
        assert receiver.ids == ["j/job.held/1", "j/job.ended/0"]


async def test_what_is_not_to_be_told_is_not_told_later_either(
    receiver: Receiver, clock: Clock, tmp_path: Path
) -> None:
    async with memory_store() as store:
        await hold(store)
        await bury(store)
        exporter = exporter_of(receiver.settings(notify_events="job.ended,job.held"), store, tmp_path)
        assert exporter.telling.seconds == SECONDS
        await rounds(exporter, clock, until=30)
        await rounds(exporter_of(receiver.settings(), store, tmp_path), clock, until=60)
        assert receiver.ids == ["j/job.held/1"]
        await hold(store, "k")
        nobody = exporter_of(Settings(), store, tmp_path)
        assert nobody.telling.seconds == IDLE_SECONDS
        await nobody.telling()
        await rounds(exporter_of(receiver.settings(), store, tmp_path), clock, until=90)
        assert receiver.ids == ["j/job.held/1"]


async def test_ends_are_told_only_where_they_are_chosen(receiver: Receiver, tmp_path: Path) -> None:
    job = failed_job(suite_id="s", suite_size=1)
    for events, wanted in (
        ("job.held", ("json",)),
        ("job.ended", ("json", "webhook")),
        ("suite.ended", ("json", "webhook:suite")),
    ):
        exporter = exporter_of(receiver.settings(notify_events=events), memory_store(), tmp_path)
        assert exporter._wanted(job) == wanted


async def test_what_no_receiver_takes_is_given_up_and_the_next_of_its_subject_follows(
    receiver: Receiver, clock: Clock, tmp_path: Path
) -> None:
    async with memory_store() as store:
        await hold(store)
        await store.jobs.unhold("j")
        await hold(store)
        receiver.status = 410
        await exporter_of(receiver.settings(), store, tmp_path).telling()
        assert [each.to["webhook"].state for each in await store.notices.standing()] == [ExportState.FAILED] * 2
        assert receiver.asked == 2


async def test_an_event_that_cannot_be_sent_harms_no_other(
    receiver: Receiver, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with memory_store() as store:
        await hold(store, "a")
        await hold(store, "b")
        exporter = exporter_of(receiver.settings(), store, tmp_path)
        sender = exporter._sender("webhook")
        send = sender.send

        def fail(notice: jobs_notices.Notice) -> None:
            if notice.subject == "a":
                raise ValueError("a bug")
            send(notice)

        monkeypatch.setattr(sender, "send", fail)
        await exporter.telling()
        assert receiver.ids == ["b/job.held/1"]
        (left,) = await store.notices.standing()
        assert (left.to["webhook"].state, left.to["webhook"].error) == ("pending", "ValueError: a bug")


async def test_more_than_may_be_sent_waits_for_its_turn(receiver: Receiver, clock: Clock, tmp_path: Path) -> None:
    async with memory_store() as store:
        for number in range(40):
            await bury(store, number)
        exporter = exporter_of(receiver.settings(notify_per_minute=60), store, tmp_path)
        sender = exporter._sender("webhook")
        sender._sleep, sender._now = (lambda _: None), (lambda: 1000 + clock.seconds)
        await exporter.telling()
        assert len(receiver.got) == 16
        await rounds(exporter, clock, until=300)
        assert len(set(receiver.ids)) == len(receiver.got) == 40
    assert receiver.asked == 40


def test_the_settings_name_what_can_be_told() -> None:
    kinds = {value for name, value in vars(jobs_notices).items() if name.isupper() and isinstance(value, str)}
    assert set(get_args(Event)) == kinds - {jobs_notices.TYPES}
    assert senders(Settings()) == ()


class Letters:
    """One service's attempts at a message that it cannot handle."""

    def __init__(self, store: Store, error: Exception, service: str = "exporter") -> None:
        breaker = Breaker("metriq.exporter", 16, 100, None)

        async def refuse(*_: object) -> bool:
            return False

        self._attempt = Attempt(service, None, store, MemoryBus(), breaker, refuse)
        self._error = error

    async def __call__(self, delivery: Delivery) -> None:
        async def handle(_: Delivery) -> None:
            raise self._error

        await self._attempt(delivery, handle)


def last(**changes: Any) -> Delivery:
    """The delivery that is one too many."""
    body = b'{"job_id": "j"}'
    return replace(Delivery("job.scored", body, message_id="m", failures=9, failing_since=AT), **changes)


@pytest.mark.parametrize(
    ("error", "delivery"),
    [
        (ValueError("a bug"), last()),
        (UnreadableDocument("of a later version"), last()),
        (Unreadable("it names no job"), Delivery("job.scored", b"?", message_id="m")),
        (Lethal("it ended the process"), last(failing_since=None)),
    ],
)
async def test_a_dead_letter_is_noted_before_it_is_one_and_once(error: Exception, delivery: Delivery) -> None:
    async with memory_store() as store:
        letters = Letters(store, error)
        for _ in range(2):  # the process ended in between
            with pytest.raises(type(error)):
                await letters(delivery)
        (noted,) = await store.notices.standing()
        assert (noted.kind, noted.subject) == ("message.dead_lettered", "m")


async def test_a_letter_that_is_replayed_and_given_up_again_is_told_again() -> None:
    async with memory_store() as store:
        letters = Letters(store, ValueError("a bug"))
        for since in (AT, AT + timedelta(hours=1)):
            with pytest.raises(ValueError, match="a bug"):
                await letters(last(failing_since=since))
        assert len(await store.notices.standing()) == 2


async def test_what_fails_for_the_first_time_is_no_letter() -> None:
    async with memory_store() as store:
        with pytest.raises(ValueError, match="a bug"):
            await Letters(store, ValueError("a bug"))(Delivery("job.scored", b'{"job_id": "j"}'))
        assert await store.notices.standing() == []


async def test_a_message_becomes_no_letter_while_that_cannot_be_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with memory_store() as store:

        async def away(_: object) -> None:
            raise Unavailable

        monkeypatch.setattr(store.notices, "add", away)
        with pytest.raises(Unavailable):
            await Letters(store, ValueError("a bug"))(last())


async def test_a_strangers_message_id_is_no_header() -> None:
    """It may have line ends, or half a character."""
    delivery = Delivery("job.scored", b"?", message_id="a\r\nX: y")
    notice = dead_letter("scorer", delivery, Unreadable("\r\nodd \ud800"))
    assert notice.id.isascii()
    assert notice.id.isprintable()
    assert notice.envelope()
    assert "\r" not in notice.text


async def test_a_send_that_takes_longer_than_its_lease_is_not_made_twice(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with memory_store() as store:
        await hold(store)
        settings = receiver.settings(lease_seconds=0.6)
        exporters = [exporter_of(settings, store, tmp_path) for _ in range(2)]
        sender, renewed = exporters[0]._sender("webhook"), asyncio.Event()
        send, renew, loop = sender.send, store.notices.renew, asyncio.get_running_loop()

        async def renewing(*args: Any) -> None:
            await renew(*args)
            renewed.set()

        def slowly(notice: jobs_notices.Notice) -> None:
            for _ in range(4):
                asyncio.run_coroutine_threadsafe(renewed.wait(), loop).result()
                loop.call_soon_threadsafe(renewed.clear)
            send(notice)

        monkeypatch.setattr(store.notices, "renew", renewing)
        monkeypatch.setattr(sender, "send", slowly)
        first = asyncio.create_task(exporters[0].telling())
        while not first.done():
            await exporters[1].telling()
            await asyncio.sleep(0.05)
        await first
    assert receiver.ids == ["j/job.held/1"]
