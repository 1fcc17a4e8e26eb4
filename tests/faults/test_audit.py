"""The audit finds every violation it is there for: evidence of a good run, spoilt in one way at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metriq_gym.jobs import Failure, Job, JobState, Task, TaskState
from metriq_gym.jobs.schedules import Schedule, Tick, TickState
from metriq_gym.messages import ScheduleRequested
from tests.faults.audit import Change, Evidence, Verdict, judge
from tests.faults.silence import alerts
from tests.support.jobs import SCORE, ended_job

PATH = (JobState.DISPATCHING, JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED, JobState.EXPORTED)
RESULT = {"score": SCORE}


def job(job_id: str = "j", **changes: Any) -> Job:
    history = [{"state": state, "at": "2026-11-21T00:00:00Z", "service": "s"} for state in PATH]
    fields = {"state": JobState.EXPORTED, "result": RESULT, "task_count": 1, "history": history}
    return ended_job(job_id, **fields | changes)


def task(task_id: str = "j:0", **changes: Any) -> Task:
    fields = {"_id": task_id, "job_id": "j", "provider": "tyxonq", "device": "d", "state": TaskState.COMPLETED}
    numbers = dict.fromkeys(("run", "first", "circuit_count", "shots", "seed"), 1)
    return Task.model_validate(fields | numbers | {"provider_job_id": "id-0"} | changes)


def moved(*states: JobState, **last: Any) -> list[Change]:
    changes = [Change("jobs", "j", {"state": state}) for state in states]
    return [*changes[:-1], Change("jobs", "j", {**changes[-1].fields, **last})]


GOOD = Evidence(
    accepted={"j"},
    jobs=[job()],
    tasks=[task()],
    changes=[
        *moved(*PATH[:4], result=RESULT),
        Change("jobs", "j", {"state": JobState.EXPORTED}),
        Change("jobs", "j", {"exports.json.at": "later"}),
        Change("jobs", "j", {"state": JobState.EXPORTED, "result": RESULT}),  # replaced by itself
        Change("tasks", "j:0", {"state": TaskState.COMPLETED, "counts": b"1"}),
    ],
    submissions={"j:0": ["id-0"]},
    records={"j": {"results": RESULT}},
    queued={"metriq.poller": 0},
)


UPLOADS = {"mgym/upload-j": [[{"results": RESULT}]]}


def test_a_good_run_passes() -> None:
    assert judge(GOOD) == Verdict()
    assert judge(replace(GOOD, uploads=UPLOADS)) == Verdict()


def test_a_job_that_is_rightly_in_flight_is_not_lost() -> None:
    held = job(state=JobState.DISPATCHING, result=None, history=[{**_line(JobState.DISPATCHING)}])
    assert judge(replace(GOOD, jobs=[held], records={}, in_flight={"j"})).lost == []


def _line(state: JobState) -> dict[str, Any]:
    return {"state": state, "at": "2026-11-21T00:00:00Z", "service": "s"}


def tampered(kind: str, words: str, **changes: Any) -> Any:
    return pytest.param(kind, words, lambda: replace(GOOD, **changes), id=words)


SPOILT = [
    tampered("lost", "there is no such job", jobs=[], tasks=[], submissions={}, records={}),
    tampered("lost", "goes nowhere", jobs=[job(state=JobState.DISPATCHED)]),
    tampered("duplicated", "submitted 2 times", submissions={"j:0": ["id-0", "id-1"]}),
    tampered(
        "duplicated", "second result", changes=[*moved(*PATH[:4], result=RESULT), Change("jobs", "j", {"result": {}})]
    ),
    tampered(
        "duplicated",
        "counts a second time",
        changes=[Change("tasks", "j:0", {"counts": b"1"}), Change("tasks", "j:0", {"counts": b"2"})],
    ),
    tampered("wrong", "nobody asked for", accepted=set()),
    tampered("wrong", "with a result", jobs=[job(state=JobState.CANCELLED)]),
    tampered("wrong", "without a result", jobs=[job(result=None)]),
    tampered("wrong", "without a failure", jobs=[job(state=JobState.FAILED, result=None)]),
    tampered("wrong", "history does not say so", jobs=[job(history=[_line(JobState.SCORED)])]),
    tampered("wrong", "without a record", records={}),
    tampered("wrong", "does not exist", records={**GOOD.records, "x": {"results": None}}),
    tampered("wrong", "other results than the job", records={"j": {"results": {"score": {"value": 0.5}}}}),
    tampered("wrong", "a task without a job", tasks=[task(), task("x:0", job_id="x", provider_job_id=None)]),
    tampered("lost", "has no pull request", uploads={}),
    tampered("duplicated", "has 2 pull requests", uploads={"mgym/upload-j": 2 * UPLOADS["mgym/upload-j"]}),
    tampered("wrong", "other records than its jobs", uploads={"mgym/upload-j": [2 * [{"results": RESULT}]]}),
    tampered("wrong", "of no job", uploads={**UPLOADS, "mgym/upload-x": UPLOADS["mgym/upload-j"]}),
    tampered(
        "wrong",
        "is submitted though its job is cancelled",
        jobs=[job(state=JobState.CANCELLED, result=None)],
        tasks=[task(state=TaskState.SUBMITTED)],
    ),
    tampered(
        "wrong",
        "the provider would still run id-0",
        jobs=[job(state=JobState.CANCELLED, result=None)],
        tasks=[task(state=TaskState.CANCELLED)],
        waiting={"id-0"},
    ),
    tampered("wrong", "result of 0 tasks", tasks=[task(state=TaskState.CANCELLED)]),
    tampered("wrong", "there is no such task", tasks=[task(), task("j:1")], submissions={"j:7": ["id-0"]}),
    tampered("wrong", "the id of another submission", submissions={"j:0": ["id-9"], "j:9": ["id-0"]}),
    tampered("wrong", "that the provider never gave", submissions={"j:0": ["id-1"]}),
    tampered("wrong", "a provider's list is kept", listings={"j"}),
    tampered("wrong", "3 messages are left", queued={"metriq.dead": 3}),
    tampered("wrong", "moved from dispatching to scored", changes=moved(JobState.DISPATCHING, JobState.SCORED)),
    tampered(
        "wrong",
        "exported is terminal, and then state changed",
        changes=[*GOOD.changes, *moved(JobState.FAILED)],
    ),
    tampered(
        "wrong",
        "exported is terminal, and then history.5 changed",
        changes=[*GOOD.changes, Change("jobs", "j", {"history.5": {}})],
    ),
    tampered(
        "wrong",
        "exported is terminal, and then failure changed",
        changes=[*GOOD.changes, Change("jobs", "j", {"failure": {}})],
    ),
    tampered(
        "wrong", "completed is its end", changes=[*GOOD.changes, Change("tasks", "j:0", {"state": TaskState.CANCELLED})]
    ),
]


AT = datetime(2026, 11, 21, 3, tzinfo=UTC)
ASKED = ScheduleRequested(name="nightly", cron="0 3 * * *", provider="local", device="d", config={})
TICK = Tick(at=AT, id="j", state=TickState.REQUESTED)


def scheduled(*ticks: Tick, waiting: Sequence[Tick] = (), tags: Sequence[str] = ("schedule:nightly",)) -> Evidence:
    schedule = Schedule(name="nightly", asked=ASKED, created_at=AT, next_at=None, ticks=list(ticks), open=list(waiting))
    return replace(GOOD, schedules=[schedule], jobs=[job(tags=list(tags))])


def test_a_tick_has_its_job_and_one_that_was_missed_has_none() -> None:
    missed = Tick(at=AT - timedelta(days=1), id="before", state=TickState.MISSED)
    assert judge(scheduled(missed, TICK)) == Verdict()


@pytest.mark.parametrize(
    ("kind", "words", "evidence"),
    [
        ("lost", "a tick requested j", scheduled(TICK, tags=())),
        ("lost", "is due and goes nowhere", scheduled(waiting=[Tick(at=AT, id="j")], tags=())),
        ("wrong", "no tick requested j", scheduled()),
        ("wrong", "no tick requested j", scheduled(TICK.model_copy(update={"state": TickState.SKIPPED}))),
        ("duplicated", "2 ticks have the id j", scheduled(TICK, TICK.model_copy(update={"at": AT + timedelta(1)}))),
        ("duplicated", "2 ticks have the time", scheduled(TICK, TICK.model_copy(update={"id": "again"}))),
    ],
)
def test_ticks_and_jobs_are_one_to_one(kind: str, words: str, evidence: Evidence) -> None:
    assert any(words in each for each in getattr(judge(evidence), kind)), judge(evidence)


@pytest.mark.parametrize(("kind", "words", "spoilt"), SPOILT)
def test_each_violation_is_found(kind: str, words: str, spoilt: Callable[[], Evidence]) -> None:
    assert any(words in each for each in getattr(judge(spoilt()), kind)), judge(spoilt())


def test_a_failure_belongs_to_a_failed_job() -> None:
    failure = Failure(outcome="error", reason="it broke", source="poll")
    failed = job(state=JobState.FAILED, result=None, failure=failure, history=[_line(JobState.FAILED)])
    evidence = replace(GOOD, jobs=[failed], records={"j": {"results": None}})
    assert judge(evidence) == Verdict()


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ('metriq_due_task_lag_seconds{provider="local"} 3525.0\n', {"metriq_due_task_lag_seconds"}),
        ('metriq_undecided_jobs{why="held"} 1.0\n', {"metriq_undecided_jobs"}),
        ('# HELP x\nmetriq_due_task_lag_seconds{provider="local"} 2.0\nmetriq_undecided_jobs{why="held"} 0.0\n', set()),
        ('metriq_jobs{state="dispatched"} 9000.0\n', set()),
    ],
)
def test_a_metric_that_has_an_alert_is_no_silence(page: str, told: set[str]) -> None:
    assert alerts(page) == told
