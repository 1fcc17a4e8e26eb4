"""When schedules run: cron's times with their time zone, and what becomes of ticks that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from metriq_gym.errors import InvalidRequest
from metriq_gym.jobs import ticks
from metriq_gym.jobs.schedules import Schedule, TickState
from metriq_gym.messages import ScheduleRequested

WIT = {"benchmark_name": "WIT", "num_qubits": 7}


def asked(cron: str = "0 3 * * *", timezone: str = "UTC", **fields: Any) -> ScheduleRequested:
    common = {"name": "nightly", "provider": "local", "device": "aer_simulator", "config": WIT}
    return ScheduleRequested.model_validate({**common, "cron": cron, "timezone": timezone, **fields})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(schedule: Schedule, state: TickState | None = None) -> list[datetime]:
    return [each.at for each in (*schedule.ticks, *schedule.open) if state is None or each.state is state]


def problems(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        ticks.check(asked(**fields))
    return {each.path: each.message for each in caught.value.problems}


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # Three in the morning is there every day, an hour earlier by UTC in summer.
        ("0 3 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T01:00"]),
        ("0 3 * * *", "2026-10-24T12:00", ["2026-10-25T02:00", "2026-10-26T02:00"]),
        # Half past two is left out on one day, and comes twice on another.
        ("30 2 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("30 2 * * *", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("30 2 * * *", "2026-10-25T01:10", ["2026-10-26T01:30"]),
        ("0 2,3 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:00"]),
        ("0 * * * *", "2026-10-24T23:30", ["2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"]),
    ],
)
def test_a_day_on_which_the_clocks_change_has_its_ticks(cron: str, after: str, expected: list[str]) -> None:
    found = ticks.upcoming(asked(cron, "Europe/Berlin"), at(after))
    assert list(islice(found, len(expected))) == [at(each) for each in expected]


@pytest.mark.parametrize(
    "cron",
    ["", "0 3 * *", "0 3 * * * *", "61 3 * * *", "0 25 * * *", "x 3 * * *", "*/0 * * * *", "0 3 31 2 *", "@daily"],
)
def test_what_is_no_time_for_cron_is_named(cron: str) -> None:
    assert list(problems(cron=cron)) == ["$.cron"]


@pytest.mark.parametrize("name", ["", "Europe", "Europe/Nowhere", "/etc/passwd", "../UTC", "Mars/Ol\0ympus", "Ω"])
def test_what_is_no_time_zone_is_named(name: str) -> None:
    assert list(problems(timezone=name)) == ["$.timezone"]


def test_everything_wrong_is_named_at_once() -> None:
    found = problems(config={"benchmark_name": "WIT", "num_qubits": 1}, cron="0 3", timezone="Nowhere")
    assert list(found) == ["$.config.num_qubits", "$.timezone", "$.cron"]


@pytest.mark.parametrize("fields", [{"config": None}, {"suite": {"name": "s", "benchmarks": []}}])
def test_a_schedule_has_either_a_configuration_or_a_suite(fields: dict[str, Any]) -> None:
    assert problems(**fields)["$"] == "must have one of config and suite"


def test_the_id_of_a_tick_follows_from_the_schedule_and_the_time() -> None:
    one = ticks.id_of("nightly", at("2026-03-29T01:00"))
    assert one == ticks.id_of("nightly", at("2026-03-29T01:00"))
    assert (
        len({one, ticks.id_of("weekly", at("2026-03-29T01:00")), ticks.id_of("nightly", at("2026-03-30T01:00"))}) == 3
    )


def test_a_tick_is_noted_once_its_time_has_come() -> None:
    new = ticks.new(asked(), at("2026-01-01T00:00"))
    assert ticks.noted(new, at("2026-01-01T02:59")) == new
    noted = ticks.noted(new, at("2026-01-01T03:00"))
    assert times(noted, TickState.DUE) == [at("2026-01-01T03:00")]
    assert noted.next_at == at("2026-01-02T03:00")
    assert ticks.noted(noted, at("2026-01-01T03:01")) == noted


@pytest.mark.parametrize(("missed", "runs"), [("once", [at("2026-01-10T03:00")]), ("skip", [])])
def test_ticks_that_were_missed_run_once_or_not(missed: str, runs: list[datetime]) -> None:
    new = ticks.new(asked(missed=missed), at("2026-01-01T00:00"))
    noted = ticks.noted(new, at("2026-01-10T12:00"))
    assert times(noted, TickState.DUE) == runs
    (gone,) = noted.ticks
    assert (gone.at, gone.until) == (at("2026-01-01T03:00"), at("2026-01-09T03:00" if runs else "2026-01-10T03:00"))
    assert noted.next_at == at("2026-01-11T03:00")


def test_a_tick_that_is_noted_a_little_late_was_not_missed() -> None:
    new = ticks.new(asked("*/5 * * * *", missed="skip"), at("2026-01-01T00:00"))
    assert len(times(ticks.noted(new, at("2026-01-01T00:10")), TickState.DUE)) == 2


def test_years_of_missed_minutes_are_passed_over_quickly() -> None:
    new = ticks.new(asked("* * * * *"), at("2020-01-01T00:00"))
    noted = ticks.noted(new, at("2026-01-01T00:00"))
    assert len(noted.open) == ticks.MOST_OPEN
    assert times(noted, TickState.MISSED) == [at("2020-01-01T00:01")]
    assert noted.next_at == at("2026-01-01T00:01")


def test_a_clock_that_was_set_back_brings_the_next_tick_back_and_none_again() -> None:
    ahead = ticks.noted(ticks.new(asked(), at("2026-01-01T00:00")), at("2026-01-01T03:00"))
    back = ticks.noted(ahead, at("2026-01-01T01:00"))
    assert back.next_at == at("2026-01-01T03:00")
    again = ticks.noted(back, at("2026-01-01T03:00"))
    assert times(again) == [at("2026-01-01T03:00")]
    assert again.next_at == at("2026-01-02T03:00")


def test_a_paused_schedule_notes_nothing() -> None:
    paused = ticks.new(asked(), at("2026-01-01T00:00")).with_(paused=True)
    assert ticks.noted(paused, at("2026-02-01T00:00")) == paused
    assert paused.look_at is None


def test_a_budget_holds_a_tick_until_another_day() -> None:
    schedule = ticks.new(asked("0 0,23 * * *", "Europe/Berlin", daily_shots=1500), at("2026-01-01T00:00"))
    schedule = ticks.noted(schedule, at("2026-01-01T22:00"))
    (tick,) = schedule.open
    tick = tick.model_copy(update={"shots": 1000})
    spent, requested = ticks.within_budget(schedule, tick, at("2026-01-01T22:00"))
    assert requested.state is TickState.REQUESTED
    same, held = ticks.within_budget(spent, tick, at("2026-01-01T22:30"))
    assert (same, held.state) == (spent, TickState.HELD)
    assert held.reason == "needs 1,000 shots; 500 of 1,500 are left on 2026-01-01"
    _, next_day = ticks.within_budget(same, held, at("2026-01-01T23:00"))  # midnight in Berlin
    assert (next_day.state, next_day.reason) == (TickState.REQUESTED, None)


def test_what_a_tick_requests_is_found_by_the_schedule() -> None:
    schedule = ticks.noted(ticks.new(asked(tags=["night"]), at("2026-01-01T00:00")), at("2026-01-01T03:00"))
    request = ticks.request_of(schedule, schedule.open[0])
    assert request.tags == ["night", "schedule:nightly"]
    assert request.correlation_id == ticks.id_of("nightly", at("2026-01-01T03:00"))


def test_the_times_of_a_schedule_are_in_order() -> None:
    found = list(islice(ticks.upcoming(asked("*/20 1-3 * * *", "Europe/Berlin"), at("2026-03-28T22:00")), 12))
    assert found == sorted(set(found))
    assert all(each > at("2026-03-28T22:00") for each in found)
    assert found[-1] - found[0] < timedelta(days=2)
