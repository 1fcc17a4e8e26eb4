"""Exports a job's record to a repository on GitHub by a pull request."""

from __future__ import annotations

from metriq_gym.errors import Permanent
from metriq_gym.exporters.base_exporter import BaseExporter
from metriq_gym.exporters.github import GitHub
from metriq_gym.exporters.pull_request import PullRequest, compose
from metriq_gym.exporters.record import GymJob, Result
from metriq_gym.jobs import Job
from metriq_gym.settings import Settings


class GitHubPRExporter(BaseExporter):
    """Exports a job's record by a pull request.

    Parameters
    ----------
    job
        A job that has ended.
    result
        Its result; the job's own unless given. A job that failed has none: the record says what happened.
    settings
        Token, address of GitHub, and the repositories that are allowed; from the environment unless given.
    """

    def __init__(self, job: Job | GymJob, result: Result | None = None, *, settings: Settings | None = None) -> None:
        super().__init__(job, result)
        self._settings = settings or Settings()

    def export(self, repo: str, base_branch: str = "main", directory: str = "", *, dry_run: bool = False) -> str:
        """Open a pull request, or find the one that an earlier call opened, and return its address.

        Parameters
        ----------
        repo
            ``owner/name``, one of METRIQ_GITHUB_REPOS.
        base_branch, directory
            Where in the repository the file is to go.
        dry_run
            Send nothing, and return all that would be sent.

        Raises
        ------
        Permanent
            When it is refused: by us (a repository that is not allowed, no token) or by GitHub.
        Transient
            When calling again later may succeed; nothing is made twice by that.
        """
        wanted = compose([self._record], self._id, repo=repo, base_branch=base_branch, directory=directory)
        check_allowed(wanted, self._settings)
        return str(wanted) if dry_run else connect(self._settings).ensure(wanted)


def check_allowed(wanted: PullRequest, settings: Settings) -> None:
    """Refuse a repository that the operator has not named.

    Parameters
    ----------
    wanted
        The pull request.
    settings
        With METRIQ_GITHUB_REPOS.

    Raises
    ------
    Permanent
        When its repository is not among them.
    """
    if wanted.repo.lower() not in {repo.lower() for repo in settings.github_repos}:
        allowed = ", ".join(settings.github_repos) or "none"
        raise Permanent(f"{wanted.repo} is not in METRIQ_GITHUB_REPOS ({allowed}); add it to allow pull requests to it")


def connect(settings: Settings) -> GitHub:
    """Return GitHub as the settings say.

    Parameters
    ----------
    settings
        With METRIQ_GITHUB_TOKEN and METRIQ_GITHUB_API_URL.

    Raises
    ------
    Permanent
        Without a token.
    """
    if settings.github_token is None:
        raise Permanent("there is no token for GitHub; set METRIQ_GITHUB_TOKEN (or METRIQ_GITHUB_TOKEN_FILE)")
    return GitHub(settings.github_token, settings.github_api_url, pause=settings.github_pause_seconds)
