"""The audit that ends every scenario: what is wrong, judged by what store, provider, disk and queues show."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metriq_gym.exporters.pull_request import branch_name
from metriq_gym.jobs import TERMINAL, Job, JobState, Task, TaskState
from metriq_gym.jobs.schedules import Schedule, TickState
from metriq_gym.jobs.states import MOVES, OPEN_TASKS, RESUMABLE
from metriq_gym.jobs.ticks import tag as tag_of

FINAL = ("state", "result", "failure", "history")
"""Fields of a job that never change again once its state is terminal; `exports` goes on."""

LAST = 12
"""How many writes are told of a job that is lost."""


@dataclass(frozen=True)
class Change:
    """One write to a document: the fields that it set, by the names that MongoDB's change streams give them."""

    collection: str
    id: str
    fields: Mapping[str, Any]


@dataclass
class Evidence:
    """What is left when a scenario is over."""

    accepted: Collection[str]
    """Ids of the jobs whose request the queue has confirmed, those of a suite one by one."""
    jobs: Sequence[Job]
    tasks: Sequence[Task]
    changes: Sequence[Change] = ()
    """Every write to jobs and tasks since before the first request, in order."""
    schedules: Sequence[Schedule] = ()
    """Those that there are; the jobs of one that was deleted are asked for by nothing more."""
    listings: Collection[str] = ()
    """Ids of the jobs for which a provider's list is kept."""
    submissions: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The provider's own account: tag → ids that it gave."""
    waiting: Collection[str] = ()
    """The ids of what the provider would still run, and could be asked to cancel."""
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Exported records by job id."""
    uploads: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]] | None = None
    """The records of each pull request by its branch, where records go to GitHub too."""
    queued: Mapping[str, int] = field(default_factory=dict)
    """Queue → messages that are left in it."""
    in_flight: Collection[str] = ()
    """Ids of the jobs that are rightly not at their end, such as those held for an operator."""


@dataclass
class Verdict:
    """What is wrong, in words; nothing, if all is well."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        return [*self.lost, *self.duplicated, *self.wrong]


def judge(evidence: Evidence) -> Verdict:
    """Hold the evidence against what the system promises."""
    jobs = {job.id: job for job in evidence.jobs}
    verdict = Verdict()
    verdict.lost += _lost(evidence, jobs)
    verdict.duplicated += _submitted_twice(evidence)
    _replay(evidence.changes, verdict)
    verdict.wrong += _invented(evidence, jobs)
    verdict.wrong += _results(evidence, jobs)
    if evidence.uploads is not None:
        _uploads(evidence.uploads, evidence.jobs, verdict)
    verdict.wrong += _tasks(evidence, jobs)
    for schedule in evidence.schedules:
        _ticks(schedule, evidence.jobs, verdict)
    verdict.wrong += [f"{name}: {count} messages are left" for name, count in evidence.queued.items() if count]
    return verdict


def _lost(evidence: Evidence, jobs: Mapping[str, Job]) -> Iterator[str]:
    for job_id in sorted(evidence.accepted):
        job = jobs.get(job_id)
        if job is None:
            yield f"{job_id}: its request was accepted, and there is no such job"
        elif job.state not in TERMINAL and job_id not in evidence.in_flight:
            yield f"{job_id}: is {job.state} and goes nowhere{_account(evidence, job_id)}"


def _account(evidence: Evidence, job_id: str) -> str:
    """Return a job's tasks and what was written last to it and to them."""
    tasks = {task.id: task for task in evidence.tasks if task.job_id == job_id}
    kept = [f"\n  {task.model_dump(mode='json', exclude_defaults=True)}" for task in tasks.values()]
    written = [each for each in evidence.changes if each.id == job_id or each.id in tasks]
    return "".join([*kept, *(f"\n  {each.id}: {str(each.fields)[:500]}" for each in written[-LAST:])])


def _invented(evidence: Evidence, jobs: Mapping[str, Job]) -> Iterator[str]:
    for job_id in sorted(jobs.keys() - set(evidence.accepted)):
        yield f"{job_id}: nobody asked for this job"


def _submitted_twice(evidence: Evidence) -> Iterator[str]:
    for tag, ids in evidence.submissions.items():
        if len(ids) > 1:
            yield f"{tag}: submitted {len(ids)} times"


def _results(evidence: Evidence, jobs: Mapping[str, Job]) -> Iterator[str]:
    """Exactly one result per job, and the record says the same."""
    for job in jobs.values():
        has_result = job.state in (JobState.SCORED, JobState.EXPORTED)
        if has_result != (job.result is not None):
            yield f"{job.id}: is {job.state} {'without' if has_result else 'with'} a result"
        if (job.failure is not None) != (job.state in (JobState.FAILED, JobState.REJECTED)):
            yield f"{job.id}: is {job.state} {'with' if job.failure else 'without'} a failure"
        if [entry.state for entry in job.history][-1:] != [job.state]:
            yield f"{job.id}: is {job.state}, and its history does not say so"
        recorded = job.state in (JobState.EXPORTED, JobState.FAILED, JobState.CANCELLED)
        if recorded != (job.id in evidence.records):
            yield f"{job.id}: is {job.state} {'without' if recorded else 'with'} a record"
        elif recorded and not _agree(evidence.records[job.id], job):
            yield f"{job.id}: its record has other results than the job"
    for job_id in sorted(evidence.records.keys() - jobs.keys()):
        yield f"{job_id}: a record of a job that does not exist"


def _uploads(
    uploads: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], jobs: Iterable[Job], verdict: Verdict
) -> None:
    """One pull request per job, or per suite, with one record of each job in it."""
    wanted = defaultdict[str, list[Job]](list)
    for job in jobs:
        if job.state in (JobState.EXPORTED, JobState.FAILED, JobState.CANCELLED):
            wanted[branch_name(job.suite_id or job.id)].append(job)
    for branch, together in wanted.items():
        pulls = uploads.get(branch, ())
        if not pulls:
            verdict.lost.append(f"{branch}: has no pull request")
        if len(pulls) > 1:
            verdict.duplicated.append(f"{branch}: has {len(pulls)} pull requests")
        for records in pulls:
            pairs = zip(records, sorted(together, key=lambda job: job.id), strict=False)
            if len(records) != len(together) or not all(_agree(*each) for each in pairs):
                verdict.wrong.append(f"{branch}: its pull request has other records than its jobs")
    verdict.wrong += [f"{branch}: a pull request of no job" for branch in sorted(uploads.keys() - wanted.keys())]


def _agree(record: Mapping[str, Any], job: Job) -> bool:
    """Whether a record has the job's score, or none where the job has none."""
    results = record["results"]
    if results is None or job.result is None:
        return results is job.result
    # A plain circuit has counts in place of a score.
    return all(results.get(name) == job.result.get(name) for name in ("score", "counts"))


def _tasks(evidence: Evidence, jobs: Mapping[str, Job]) -> Iterator[str]:
    """No orphan: every task has its job, every submission its task, and what has ended leaves nothing open."""
    completed = Counter[str]()
    for task in evidence.tasks:
        job = jobs.get(task.job_id)
        if job is None:
            yield f"{task.id}: a task without a job"
        elif job.state in TERMINAL and task.state in OPEN_TASKS:
            yield f"{task.id}: is {task.state} though its job is {job.state}"
        elif job.state is JobState.CANCELLED and task.provider_job_id in evidence.waiting:
            yield f"{task.id}: its job is cancelled, and the provider would still run {task.provider_job_id}"
        if task.state is TaskState.COMPLETED:
            completed[task.job_id] += 1
    for job in jobs.values():
        if job.state is JobState.EXPORTED and completed[job.id] != job.task_count:
            yield f"{job.id}: has a result of {completed[job.id]} tasks, and {job.task_count} were planned"
    known = {task.id: task.provider_job_id for task in evidence.tasks}
    ids = {each for given in evidence.submissions.values() for each in given}
    for tag, given in evidence.submissions.items():
        if tag not in known:
            yield f"{tag}: was submitted, and there is no such task"
        elif known[tag] is not None and known[tag] not in given:
            yield f"{tag}: has the id of another submission"
    if evidence.submissions:
        for tag, provider_job_id in known.items():
            if provider_job_id is not None and provider_job_id not in ids:
                yield f"{tag}: has an id, {provider_job_id}, that the provider never gave"
    for job_id in evidence.listings:
        if job_id not in jobs or jobs[job_id].state in TERMINAL:
            yield f"{job_id}: a provider's list is kept for a job that has ended"


def _ticks(schedule: Schedule, jobs: Sequence[Job], verdict: Verdict) -> None:
    """One tick, one job or suite: none without the other, and neither twice."""
    ticks = [*schedule.open, *schedule.ticks]
    for what, values in (("id", [each.id for each in ticks]), ("time", [each.at for each in ticks])):
        for value, count in Counter(values).items():
            if count > 1:
                verdict.duplicated.append(f"{schedule.name}: {count} ticks have the {what} {value}")
    asked = {each.id for each in ticks if each.state is TickState.REQUESTED}
    ran = {job.suite_id or job.id for job in jobs if tag_of(schedule.name) in job.tags}
    verdict.lost += [f"{schedule.name}: a tick requested {each}, and there is no such job" for each in asked - ran]
    verdict.wrong += [f"{schedule.name}: no tick requested {each}" for each in ran - asked]
    verdict.lost += [
        f"{schedule.name}: the tick {each.id} is {each.state} and goes nowhere"
        for each in schedule.open
        if each.state in (TickState.DUE, TickState.REQUESTED)
    ]


def _replay(changes: Iterable[Change], verdict: Verdict) -> None:
    """Go through every write: moves are legal, what has ended stays as it is, counts and results are written once."""
    documents: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for change in changes:
        before = documents[change.collection, change.id]
        # A document that is replaced by itself is not changed.
        new = {name: value for name, value in change.fields.items() if name not in before or before[name] != value}
        if change.collection == "jobs":
            _job_changed(change.id, before, new, verdict)
        elif change.collection == "tasks":
            job = documents["jobs", change.id.rpartition(":")[0]]
            _task_changed(change.id, before, new, bool(job.get("resumed")), verdict)
        before.update(new)


def _job_changed(job_id: str, before: Mapping[str, Any], new: Mapping[str, Any], verdict: Verdict) -> None:
    state, target = before.get("state"), new.get("state")
    if state == RESUMABLE and target == JobState.DISPATCHING and "resumed" in new:
        return  # somebody asked for it
    if state in TERMINAL:
        if touched := sorted(name for name in new if name.partition(".")[0] in FINAL):
            verdict.wrong.append(f"{job_id}: {state} is terminal, and then {', '.join(touched)} changed")
    elif target is not None and state is not None and target not in MOVES[JobState(state)]:
        verdict.wrong.append(f"{job_id}: moved from {state} to {target}")
    if new.get("result") is not None and before.get("result") is not None:
        verdict.duplicated.append(f"{job_id}: got a second result")


def _task_changed(
    task_id: str, before: Mapping[str, Any], new: Mapping[str, Any], resumed: bool, verdict: Verdict
) -> None:
    if new.get("counts") and before.get("counts"):
        verdict.duplicated.append(f"{task_id}: got counts a second time")
    elif resumed and before.get("state") == TaskState.FAILED and new.get("state") in OPEN_TASKS:
        return  # its job goes on
    elif before.get("state") in (TaskState.COMPLETED, TaskState.FAILED) and new:
        verdict.wrong.append(f"{task_id}: {before['state']} is its end, and then {', '.join(sorted(new))} changed")
