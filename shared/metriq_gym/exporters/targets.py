"""The places that the exporter service brings records to, by the name an operator or a job calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from metriq_gym.errors import NotFound, Permanent
from metriq_gym.exporters.pull_request import PullRequest, compose
from metriq_gym.exporters.record import make_record
from metriq_gym.exporters.senders import Sender
from metriq_gym.jobs import Job
from metriq_gym.jobs.documents import EVENT
from metriq_gym.jobs.notices import Notice, job_ended, suite_ended
from metriq_gym.settings import Settings


class Target(Protocol):
    """A place for records."""

    concurrency: int
    """How many exports may go on at once in a process."""
    whole_suites: bool
    """Whether the jobs of a suite are exported together, once all of them have ended."""
    dataset: bool
    """Whether it is the dataset, which takes benchmarks only."""
    lasting: bool
    """Whether what was brought there stays, so that it need not be brought again."""

    def export(self, jobs: Sequence[Job]) -> str:
        """Bring the records of jobs that have ended to the target and say where they are; again, it changes nothing.

        Called in a thread. Raises `Permanent` or `Transient`; the latter may carry ``retry_after`` in seconds.
        """


class JSONFiles:
    """One file per job in the configured folder."""

    concurrency = 8
    whole_suites = False
    dataset = False
    lasting = False

    def __init__(self, settings: Settings) -> None:
        self._root = settings.export_root

    def export(self, jobs: Sequence[Job]) -> str:
        """Write the file of one job."""
        from metriq_gym.exporters.json_exporter import JSONExporter, record_path

        (job,) = jobs
        return str(JSONExporter(job).export(record_path(self._root, job.id)))


class GitHubPullRequests:
    """One pull request per job, or per suite, to the first of the allowed repositories."""

    concurrency = 1
    whole_suites = True
    dataset = True
    lasting = True

    def __init__(self, settings: Settings) -> None:
        from metriq_gym.exporters.github_pr_exporter import connect

        self._settings = settings
        self._connect = connect
        self._github = connect(settings)
        self._latest = settings.latest("github_token")
        self._token = self._latest()

    def export(self, jobs: Sequence[Job]) -> str:
        """Open the pull request, or find it. A token that has changed in its file is used from then on."""
        if (token := self._latest()) != self._token:
            self._token = token
            self._github = self._connect(self._settings.model_copy(update={"github_token": SecretStr(token)}))
        return self._github.ensure(plan_pull_request(jobs, self._settings))


def plan_pull_request(jobs: Sequence[Job], settings: Settings) -> PullRequest:
    """Return the pull request with the records of one job or of a suite's; the order of `jobs` does not matter.

    Raises `Permanent` when one has no record, or no repository is allowed.
    """
    if not settings.github_repos:
        raise Permanent("no repository may get pull requests; name it in METRIQ_GITHUB_REPOS")
    first = jobs[0]
    in_suite = is_in_suite(first)
    return compose(
        [make_record(job) for job in sorted(jobs, key=lambda job: job.id)],
        str(first.suite_id) if in_suite else first.id,
        repo=settings.github_repos[0],
        base_branch=settings.github_base_branch,
        directory=settings.github_directory,
        suite=(first.suite_name or first.suite_id) if in_suite else None,
        resumed=sum(job.resumed for job in jobs),
    )


class Notices:
    """The end of each job, told by `sender`."""

    whole_suites = False
    dataset = False
    lasting = True

    def __init__(self, sender: Sender) -> None:
        self.concurrency = sender.concurrency
        self._sender = sender

    def export(self, jobs: Sequence[Job]) -> str:
        """Tell of one job's end, and return the event."""
        (job,) = jobs
        return self._send(job_ended(job))

    def _send(self, notice: Notice) -> str:
        self._sender.send(notice)
        return f"{EVENT}{notice.id}"


class SuiteNotices(Notices):
    """The end of each suite, told by `sender`."""

    whole_suites = True

    def __init__(self, sender: Sender) -> None:
        super().__init__(sender)
        self.concurrency = 1  # of a suite's jobs, the one that comes second finds it told

    def export(self, jobs: Sequence[Job]) -> str:
        """Tell of a suite's end, and return the event."""
        if not is_in_suite(jobs[0]):
            raise Permanent(f"job {jobs[0].id} is of no suite whose end can be told")
        return self._send(suite_ended(jobs))


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a target before it is opened."""

    open: Callable[[Settings, Callable[[str], Sender]], Target]
    whole_suites: bool = False
    dataset: bool = False
    lasting: bool = False


def _of(kind: type[JSONFiles] | type[GitHubPullRequests]) -> Kind:
    return Kind(lambda settings, _: kind(settings), kind.whole_suites, kind.dataset, kind.lasting)


def _told_by(name: str, kind: type[Notices]) -> Kind:
    return Kind(lambda _, sender: kind(sender(name)), kind.whole_suites, kind.dataset, kind.lasting)


TARGETS: Mapping[str, Kind] = {
    "json": _of(JSONFiles),
    "github": _of(GitHubPullRequests),
    "notify": _told_by("notify", Notices),
    "notify:suite": _told_by("notify", SuiteNotices),
    "webhook": _told_by("webhook", Notices),
    "webhook:suite": _told_by("webhook", SuiteNotices),
}


def open_target(name: str, settings: Settings, sender: Callable[[str], Sender]) -> Target:
    """Return a target; raises `NotFound` for a name that none has, `Permanent` for settings it cannot work with.

    `sender` opens who tells of ends by name.
    """
    if name not in TARGETS:
        raise NotFound(f"records cannot be exported to {name!r}; there are: {', '.join(TARGETS)}")
    return TARGETS[name].open(settings, sender)


def is_in_suite(job: Job) -> bool:
    """Whether the job belongs to a suite whose end can be told: without its size, each job is exported by itself."""
    return job.suite_id is not None and job.suite_size is not None
