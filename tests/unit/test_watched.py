"""Drift as results come in: each shift is found and told of once, whoever looks, whatever comes again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import Delivery
from metriq_gym.errors import Unavailable
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.drift import BASELINE, IN_A_ROW, STEP
from metriq_gym.jobs.watched import RECENT, Seen, Watched, looked_at, seen_in
from metriq_gym.messages import DeviceDrifted, Message
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.testing import memory_store
from services.exporter import drift
from services.exporter.drift import DriftWatch
from services.exporter.service import Exporter
from tests.support.inprocess import InlinePool
from tests.support.jobs import ended_job

PAGE = Path(__file__).parents[2] / "docs" / "trends.md"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NIGHTS, SERIES = 365, 50
AWAY = 50.0


def seen(night: int, value: float, **fields: Any) -> Seen:
    common = {"provider": "p", "device": "d", "benchmark": "WIT", "job_id": f"j{night}"}
    at = BEGIN + timedelta(days=night)
    return Seen.model_validate({**common, "at": at, "numbers": {"score": (value, 0.6)}, **fields})


def after(values: Iterable[Seen], before: Watched | None = None) -> Watched:
    watched = looked_at(before, values)
    assert watched is not None
    return watched


def quiet(nights: int, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(0, 0.8) + chance.gauss(0, 0.6) for _ in range(nights)]


def nights(values: Iterable[float], first: int = 0) -> list[Seen]:
    return [seen(night, value) for night, value in enumerate(values, first)]


def test_a_shift_is_found_once_with_the_evidence_for_it() -> None:
    watched = after(nights([*quiet(50), *[AWAY] * 60]))
    (found,) = watched.untold
    assert (found.found, found.threshold, found.values, found.values_since) == ("step", STEP, 53, IN_A_ROW)
    assert (found.since - BEGIN).days == 50
    assert (found.at - BEGIN).days == 52
    assert (found.value, found.uncertainty, found.found_by) == (AWAY, 0.6, "j52")
    assert abs(found.baseline) < 1
    assert 0.5 < found.scatter < 2
    assert found.deviation > STEP
    assert (found.provider, found.device, found.benchmark_name, found.metric) == ("p", "d", "WIT", "score")


def test_a_shift_back_is_another() -> None:
    watched = after(nights([*quiet(50), *[AWAY + each for each in quiet(50)], *quiet(50)]))
    assert [(each.since - BEGIN).days for each in watched.untold] == [50, 100]
    assert len({each.drift_id for each in watched.untold}) == 2


def test_what_comes_again_or_late_changes_nothing() -> None:
    values = nights([*quiet(BASELINE + RECENT + 20), AWAY])
    watched = after(values)
    assert looked_at(watched, values) is None
    drifted = after(nights([AWAY] * 5, first=len(values)), watched)
    assert looked_at(drifted, values) is None
    assert len(drifted.untold) == 1


def test_what_comes_in_another_order_is_found_alike() -> None:
    values = nights([*quiet(60), *[AWAY] * IN_A_ROW])
    swapped = [*values[:-2], values[-1], values[-2]]
    assert after(swapped).untold[0].since == after(values).untold[0].since


def test_what_is_kept_of_a_series_has_a_bound() -> None:
    watched = after(nights(quiet(1000)))
    assert len(watched.values["score"]) <= BASELINE + RECENT


def test_a_calibration_counts_when_it_changes_and_drifts_like_a_benchmark() -> None:
    jobs = [
        ended_job(f"j{night}", dispatch_time=BEGIN + timedelta(days=night), device_metadata={"T1_us": t1, "SQ": 0.001})
        for night, t1 in enumerate([*quiet(50), *[AWAY, AWAY + 1, AWAY + 2]])
    ]
    calibrations = [each for job in jobs for each in seen_in(job) if each.benchmark is None]
    assert len({each.series_id for each in calibrations}) == 1
    watched = after(calibrations)
    assert [(each.metric, each.benchmark_name) for each in watched.untold] == [("T1_us", None)]
    same = calibrations[-1].model_copy(update={"at": BEGIN + timedelta(days=999), "job_id": "later"})
    assert looked_at(watched, [same]) is None


def test_only_what_may_be_compared_is_one_series() -> None:
    config = {"benchmark_name": "WIT", "num_qubits": 6}
    jobs = [ended_job("a"), ended_job("b"), ended_job("c", device="other"), ended_job("d", config=config)]
    one, same, *others = [seen_in(job)[0].series_id for job in jobs]
    assert one == same
    assert len({one, *others}) == 3


def test_numbers_that_cannot_be_reckoned_with_are_left_out() -> None:
    odd = ended_job(result={"a": 1e200, "b": {"value": 1.0, "uncertainty": 1e200}, "c": [1.0], "score": 0.5})
    assert seen_in(odd)[0].numbers == {"score": (0.5, None)}


class Events(MemoryBus):
    """Remembers shifts that are published; the first publications that it is to fail fail."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.drifted: list[DeviceDrifted] = []
        self.failures = failures

    async def publish(self, message: Message) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise Unavailable
        assert isinstance(message, DeviceDrifted)
        self.drifted.append(message)


def shifted() -> list[Job]:
    values = [*quiet(40), *[AWAY] * IN_A_ROW]
    result = [{"score": {"value": value, "uncertainty": 0.6}} for value in values]
    return [
        ended_job(f"j{night}", dispatch_time=BEGIN + timedelta(days=night), result=each)
        for night, each in enumerate(result)
    ]


async def test_of_any_number_of_exporters_one_tells_of_a_shift() -> None:
    bus = Events()
    async with memory_store() as store:
        watches = [DriftWatch(store, bus) for _ in range(4)]
        await asyncio.gather(*(watch.look(job) for job in shifted() for watch in watches))
        for job in shifted():
            await watches[0].look(job)
    assert len({each.message_id for each in bus.drifted}) == 1


def test_together_they_show_what_they_show_one_after_the_other() -> None:
    steady, shift = quiet(40), [AWAY] * 20
    for values in (quiet(300), [*steady, *shift, *quiet(110)], [*steady, *shift, *quiet(40), *shift, *quiet(40)]):
        together, alone = after(nights(values)), None
        for each in nights(values):
            alone = looked_at(alone, [each]) or alone
        assert alone is not None
        assert (together.values, together.since) == (alone.values, alone.since)
        at = {"found_at"}
        assert [each.model_dump(exclude=at) for each in together.untold] == [
            each.model_dump(exclude=at) for each in alone.untold
        ]


class Watching:
    """Counts how often a series is looked at."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        self._change = store.drifts.change
        monkeypatch.setattr(store.drifts, "change", self.change)

    async def change(self, *args: Any) -> Watched | None:
        self.looks += 1
        return await self._change(*args)


@pytest.mark.parametrize(("most", "looks"), [(1, 3), (2, 2), (100, 2)])
async def test_what_comes_soon_after_a_look_is_looked_at_together_unless_that_is_much(
    monkeypatch: pytest.MonkeyPatch, most: int, looks: int
) -> None:
    monkeypatch.setattr(drift, "PAUSE_SECONDS", 60 if most < 100 else 0.1)
    first, *others = (ended_job(f"j{night}", device_metadata={}) for night in range(3))
    async with memory_store() as store:
        watching, watch = Watching(store, monkeypatch), DriftWatch(store, Events(), most)
        await watch.look(first)
        for waiting in [others[:1], others[1:]] if most == 1 else [others]:
            await asyncio.gather(*map(watch.look, waiting))
        assert watching.looks == looks


async def test_who_waits_for_company_and_is_cancelled_leaves_its_result_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drift, "PAUSE_SECONDS", 60)
    bus, jobs = Events(), shifted()
    async with memory_store() as store:
        watch = DriftWatch(store, bus, 2)
        for job in jobs[:-2]:
            watch._rests_until = 0
            await watch.look(job)
        resting = asyncio.create_task(watch.look(jobs[-2]))
        await asyncio.sleep(0)
        resting.cancel()
        await asyncio.wait({resting})
        await watch.look(jobs[-1])  # with what was left, two
        assert (resting.cancelled(), len(bus.drifted)) == (True, 1)


async def test_a_series_that_cannot_be_looked_at_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bus, jobs = Events(), shifted()
    async with memory_store() as store:
        watch, change = DriftWatch(store, bus), store.drifts.change
        for job in jobs[:-1]:
            await watch.look(job)
        calibration = next(each.series_id for each in seen_in(jobs[0]) if each.benchmark is None)

        async def fail(series_id: str, *args: Any) -> Watched | None:
            if series_id == calibration:
                raise Unavailable
            return await change(series_id, *args)

        monkeypatch.setattr(store.drifts, "change", fail)
        with pytest.raises(Unavailable):
            await watch.look(jobs[-1])
        assert len(bus.drifted) == 1


async def untold(store: Store) -> int:
    watched = await store.drifts.change(seen_in(shifted()[0])[0].series_id, lambda _: None)
    assert watched is not None
    return len(watched.untold)


async def test_a_shift_that_could_not_be_published_is_when_its_delivery_comes_again() -> None:
    bus, jobs = Events(failures=1), shifted()
    async with memory_store() as store:
        watch = DriftWatch(store, bus)
        for job in jobs[:-1]:
            await watch.look(job)
        with pytest.raises(Unavailable):
            await watch.look(jobs[-1])
        assert (await untold(store), bus.drifted) == (1, [])
        another = DriftWatch(store, bus)
        await another.look(jobs[0])  # of the others, none takes it for its own
        assert bus.drifted == []
        await another.look(jobs[-1])
        await another.look(jobs[-1])
        assert (await untold(store), len(bus.drifted)) == (0, 1)


async def test_deliveries_that_waited_behind_one_that_failed_are_looked_at() -> None:
    bus, jobs = Events(failures=1), shifted()
    async with memory_store() as store:
        watch = DriftWatch(store, bus)
        ended = await asyncio.gather(*map(watch.look, jobs), return_exceptions=True)
        for job, how in zip(jobs, ended, strict=True):
            if how is not None:
                await watch.look(job)
        assert (await untold(store), len(bus.drifted)) == (0, 1)


async def test_what_ails_the_look_holds_up_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with memory_store() as store, MemoryBus() as bus:

        async def fail(*_: object) -> None:
            raise Unavailable

        monkeypatch.setattr(store.drifts, "change", fail)
        exporter = Exporter(Context(Settings(export_dir=tmp_path, data_dir=tmp_path), bus, store, InlinePool()))
        await store.records.add(ended_job("j"))
        with pytest.raises(Unavailable):
            await exporter.handle(Delivery("job.scored", b'{"job_id": "j"}'))
        assert (await store.jobs.get("j")).state is JobState.EXPORTED
    assert (tmp_path / "j.json").exists()


async def test_a_series_that_another_version_has_written_is_left_alone() -> None:
    async with memory_store() as store:
        await store.drifts.change("s", lambda _: Watched(id="s"))
        await store.drifts._series.update_one({"_id": "s"}, [{"$set": {"values": 7}}])
        assert await store.drifts.change("s", partial(looked_at, seen=[seen(1, 2.0)])) is None


async def test_what_a_later_version_has_written_beside_stays() -> None:
    async with memory_store() as store:
        await store.drifts.change("s", lambda _: Watched(id="s"))
        await store.drifts._series.update_one({"_id": "s"}, [{"$set": {"later": {"$literal": "$word"}}}])
        assert await store.drifts.change("s", partial(looked_at, seen=[seen(1, 2.0)])) is not None
        found = await store.drifts._series.find_one({"_id": "s"})
    assert (found["later"], found["revision"], len(found["values"]["score"])) == ("$word", 2, 1)


@pytest.mark.slow
def test_the_page_says_how_many_false_events_there_are() -> None:
    count = sum(bool(after(nights(quiet(NIGHTS, seed))).untold) for seed in range(SERIES))
    assert f", {count} of {SERIES} have an event in a year" in PAGE.read_text(encoding="utf-8")
