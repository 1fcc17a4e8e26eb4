"""Showing on standard error how a job or a suite gets on: live on a terminal, a line a stage elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Self

from rich.console import Console
from rich.status import Status

from metriq_gym.client.client import Client, decision_about
from metriq_gym.jobs import ExportState, Job, JobState
from metriq_gym.jobs.suite_progress import SuiteProgress
from metriq_gym.terminal.lines import tell

STAGES = {
    JobState.DISPATCHING: "building and compiling circuits",
    JobState.DISPATCHED: "running",
    JobState.COMPLETED: "scoring",
    JobState.SCORED: "exporting",
}
_UNSEEN_SECONDS = 10.0
"""A request is taken up sooner, unless no dispatcher runs, or there is much to do before."""
_SLOW_SECONDS = 5.0
"""A run shorter than this gets no estimate: it would be over before it is read."""


def handed_over(job: Job) -> bool:
    """Whether a job has left the dispatcher: it is with the provider, has ended, or waits for an operator."""
    return job.state is not JobState.DISPATCHING or job.held is not None


async def follow(
    client: Client, job_id: str, progress: ProgressLine, until: Callable[[Job], bool] | None = None
) -> Job:
    """Show how a job gets on and what goes wrong from now on, and return it once it is as wanted.

    See `Client.progress`.
    """
    estimate = TimeLeft(time.monotonic)
    known = 0
    with _patience(progress) as seen:
        async for each in client.progress(job_id, until):
            seen()
            job = each.job
            progress.show("held for an operator" if job.held else _stage(job))
            for remark in _remarks(job, known):
                progress.note(remark)
            known = len(job.history)
            if job.state is JobState.DISPATCHING and each.tasks_placed:
                progress.update(f"submitting, {each.tasks_placed} of {sum(each.tasks.values())} tasks accepted")
            elif job.state is JobState.DISPATCHED and job.task_count > 1:
                progress.update(f"running, {each.tasks_done} of {job.task_count} tasks done")
                progress.expect(estimate.seconds_left(each.tasks_done, job.task_count))
    return job


def _remarks(job: Job, known: int) -> list[str]:
    """Return what services have noted of a job without moving it, after the first lines of its history, if `known`."""
    lines = job.history[known - 1 :] if known and not job.held else []
    return [line.cause for before, line in pairwise(lines) if line.state is before.state]


@contextmanager
def _patience(progress: ProgressLine) -> Iterator[Callable[[], None]]:
    """Say after a while that no dispatcher has taken up what was requested, unless what is yielded is called before."""
    hint = "no dispatcher has taken it up yet; `mgym doctor` says whether one is running"
    waiting = asyncio.get_running_loop().call_later(_UNSEEN_SECONDS, progress.note, hint)
    try:
        yield waiting.cancel
    finally:
        waiting.cancel()


def _stage(job: Job) -> str:
    if job.waits_for_suite:
        return "waiting for its suite"
    if job.is_stuck:
        return "not exported"
    stage = STAGES.get(job.state, job.state)
    postponed = "; ".join(f"{name}: {reason}" for name, reason in _postponed(job).items())
    return f"{stage}, tried again by itself ({postponed})" if postponed else stage


def _postponed(job: Job) -> dict[str, str]:
    """Return the targets that a job's record did not reach yet, with the reasons."""
    pending = {name: each for name, each in sorted(job.exports.items()) if each.state is ExportState.PENDING}
    return {name: each.error for name, each in pending.items() if each.error}


async def follow_suite(client: Client, suite_id: str, progress: ProgressLine) -> list[Job]:
    """Show how a suite gets on, and return its jobs once all stay as they are; see `Client.suite_progress`."""
    said, postponed = set[str](), set[str]()
    jobs = list[Job]()
    estimate = TimeLeft(time.monotonic)
    with _patience(progress) as seen:
        async for summary, jobs in client.suite_progress(suite_id):
            if jobs:
                seen()
            for job in jobs:
                if (undecided := decision_about(job)) is not None and job.id not in said:
                    said.add(job.id)
                    progress.note(str(undecided))
                for name, reason in _postponed(job).items():
                    if name not in postponed:
                        postponed.add(name)
                        progress.note(f"what goes to {name} is tried again by itself: {reason}")
            progress.show(describe(summary) if jobs else "requested")
            progress.expect(estimate.seconds_left(summary.ended, summary.size))
    return jobs


def describe(summary: SuiteProgress) -> str:
    """Return a suite's progress in words."""
    states = ", ".join(f"{count} {state}" for state, count in summary.states.items())
    return f"{summary.ended} of {summary.size} jobs ended ({states})"


class TimeLeft:
    """Guesses the seconds left of something done in equal parts, from the parts seen done since it was first asked."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._first: tuple[float, int] | None = None

    def seconds_left(self, done: int, size: int) -> float | None:
        """Return the guess, or None as long as there is nothing to go by."""
        if self._first is None:
            self._first = (self._now(), done)
        began, before = self._first
        spent = self._now() - began
        if done <= before or spent < _SLOW_SECONDS:
            return None
        return spent / (done - before) * (size - done)


def _clock(seconds: float) -> str:
    """Return a time span as ``h:mm:ss``, or in seconds as long as it is short."""
    return f"{seconds:.0f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))


class ProgressLine:
    """The line that says what is going on, and for how long it has been."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True)
        self._title = title
        self._began = time.monotonic()
        self._text = ""
        self._expected: float | None = None
        live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._status = Status(self, console=self._console) if live else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, text: str) -> None:
        """Say that a stage began."""
        if self._status is None and text != self._text:
            tell(self._console, f"{time.monotonic() - self._began:6.1f} s  {self._title}: {text}")
        self._text = text
        self._expected = None

    def update(self, text: str) -> None:
        """Say how far a stage is; only a terminal shows it."""
        if self._status is not None:
            self._text = text

    def expect(self, seconds: float | None) -> None:
        """Say how long a stage will take from now on, if that is known; only a terminal shows it."""
        self._expected = None if seconds is None else time.monotonic() + seconds

    def note(self, text: str) -> None:
        """Print a line that stays."""
        tell(self._console, text)

    def __rich__(self) -> str:
        now = time.monotonic()
        times = _clock(now - self._began)
        if self._expected is not None:
            times += f", about {_clock(max(0.0, self._expected - now))} left"
        return f"{self._title}: {self._text} ({times})".replace("[", r"\[")
