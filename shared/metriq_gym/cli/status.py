"""``mgym status``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from metriq_gym.cli import opening
from metriq_gym.cli.options import AsJson
from metriq_gym.cli.output import console, emit, say, tell
from metriq_gym.jobs import Export, ExportState
from metriq_gym.jobs.lifecycle import command
from metriq_gym.jobs.notices import Notice
from metriq_gym.operations.status import STILL_SECONDS, WorkStatus, look
from metriq_gym.service.purging import STEADY_SECONDS, WORDS
from metriq_gym.settings import Settings
from metriq_gym.store.catalogue import AGES
from metriq_gym.terminal import report
from metriq_gym.wording import duration


def status(json: AsJson = False) -> None:
    """Say how the work stands.

    Jobs by state and age, overdue tasks, queues, dead letters, jobs that stand still, wait for an operator or could not
    be exported, and notifications that wait or could not be sent.
    """

    async def ask() -> WorkStatus:
        async with opening.store() as store:
            return await look(store, Settings())

    standing = opening.run(ask())
    untold = _untold(standing.notices)
    unexported = [(job.id, target, export.error) for job in standing.stuck for target, export in job.exports.items()]
    if json:
        names = [*(f"under_{duration(age).replace(' ', '_')}" for age in AGES), "older"]
        emit(
            {
                "jobs": [asdict(each) | {"ages": dict(zip(names, each.ages, strict=True))} for each in standing.states],
                "due_tasks": [asdict(each) for each in standing.due],
                "queues": None if standing.queues is None else [asdict(each) for each in standing.queues],
                "standing_still": [{"job_id": job.id, "state": str(job.state)} for job in standing.still],
                "parked": [asdict(each) | {"since": each.since.isoformat()} for each in standing.parked],
                "away": [asdict(each) | {"since": each.since.isoformat()} for each in standing.away],
                "held": [{"job_id": job.id, "reason": job.held} for job in standing.held],
                "stuck": [{"job_id": job, "target": target, "reason": error} for job, target, error in unexported],
                "untold": untold,
                "overdue_suites": [asdict(each) for each in standing.suites],
                "unreadable": [each._asdict() for each in standing.unreadable],
                "dead_letters": standing.dead_letters,
                "retention_days": standing.policy.days,
            }
        )
        return
    out = console()
    younger = [f"< {duration(age)}" for age in AGES]
    rows = [[each.state, each.count, *each.ages, duration(each.oldest_seconds)] for each in standing.states]
    report.show_table(out, ("state", "jobs", *younger, "older", "oldest, for"), rows)
    late = [[each.provider, each.count, duration(each.lag_seconds)] for each in standing.due]
    if late:
        report.show_table(out, ("tasks due at", "tasks", "due since"), late)
    if standing.queues is not None:
        queues = ([each.name, each.messages, each.consumers] for each in standing.queues)
        report.show_table(out, ("queue", "messages", "consumers"), queues)
    parked = [[each.provider, report.age(each.since), each.reason] for each in standing.parked]
    if parked:
        report.show_table(out, ("parked", "for", "because"), parked)
    away = [[each.provider, report.age(each.since), each.reason] for each in standing.away]
    if away:
        report.show_table(out, ("cannot be asked", "for", "because"), away)
    still = [[report.short_id(job.id, out), job.state, report.age(job.updated_at)] for job in standing.still]
    if still:
        report.show_table(out, ("standing still", "state", "for"), still)
        say("`mgym doctor` says what is away")
    waiting = [[report.short_id(job.id, out), job.held, command(job)] for job in standing.held]
    if waiting:
        report.show_table(out, ("held job", "because", "decide with"), waiting)
    if unexported:
        failed = (
            [report.short_id(job, out), error, f"mgym job upload {job} --to {target}"]
            for job, target, error in unexported
        )
        report.show_table(out, ("exported nowhere", "because", "once more with"), failed)
    if untold:
        late_notices = ([each["id"], each["to"] or "all", each["state"], each["error"] or ""] for each in untold)
        report.show_table(out, ("not told", "by", "state", "because"), late_notices)
    if standing.suites:
        late_suites = ([each.id, each.waiting, each.size, f"mgym suite close {each.id}"] for each in standing.suites)
        report.show_table(out, ("overdue suite", "results that wait", "of", "decide with"), late_suites)
    if standing.unreadable:
        odd = ([f"{each.collection} {each.id}", each.reason] for each in standing.unreadable)
        report.show_table(out, ("cannot be read by this version", "because"), odd)
    if standing.dead_letters:
        report.show_table(out, ("dead letters", "look at them with"), [[standing.dead_letters, "mgym dead list"]])
    if standing.policy.days:
        goes = ([WORDS[what], f"{days} days"] for what, days in standing.policy.days.items())
        report.show_table(out, ("goes by itself", "after"), goes)
        if standing.steady_seconds < STEADY_SECONDS:
            say(f"nothing of it before the store's clock has been steady for {duration(STEADY_SECONDS)}")
    of_work = (late, parked, away, still, waiting, unexported, untold)
    if not any((*of_work, standing.suites, standing.unreadable, standing.dead_letters)):
        minutes = duration(STILL_SECONDS)
        tell(f"no task is overdue, no job is held, stuck, or has stood still for {minutes}")
    if standing.queue_error is not None:
        say(f"no queues: {standing.queue_error}")


def _untold(notices: Sequence[Notice]) -> list[dict[str, Any]]:
    """Return what is still to be told, or could not be, and by whom; by all, where none has begun."""
    none_yet: dict[str | None, Export | None] = {None: None}
    return [
        {
            "id": notice.id,
            "kind": notice.kind,
            "subject": notice.subject,
            "at": notice.at.isoformat(),
            "to": name,
            "state": str(export.state if export else ExportState.PENDING),
            "attempts": export.attempts if export else 0,
            "error": export.error if export else None,
        }
        for notice in notices
        for name, export in (notice.to or none_yet).items()
        if export is None or export.state is not ExportState.DONE
    ]
