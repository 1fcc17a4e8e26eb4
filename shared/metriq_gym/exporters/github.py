"""Talking to GitHub: makes a pull request exist, however often it is asked to and wherever it was interrupted before.

Every step looks for what is there before it creates, so a creation whose answer was lost is found by the next run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from metriq_gym.errors import MetriqGymError, OutOfReach, Permanent, Transient
from metriq_gym.exporters.pull_request import PullRequest

if TYPE_CHECKING:
    from github import GithubException
    from github.PullRequest import PullRequest as Existing
    from github.Repository import Repository

log = structlog.get_logger()

_FORKING_SECONDS = 10.0
_RATE_SECONDS = 60.0
"""What GitHub asks for when a rate limit comes without a time."""


class Busy(OutOfReach):
    """GitHub asks for patience, or is away; ``retry_after`` is what it said, if it said anything."""


class GitHub:
    """GitHub as the owner of a token. Use it from one thread at a time.

    Parameters
    ----------
    token:
        A token that may read the repository and open pull requests in it.
    url:
        The REST API's address.
    pause:
        Seconds between two requests that change something, as GitHub's guide to its rate limits asks for.
    """

    def __init__(
        self,
        token: SecretStr,
        url: str,
        *,
        pause: float = 1.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        import github

        self._github = github.Github(
            auth=github.Auth.Token(token.get_secret_value()),
            base_url=url.rstrip("/"),
            retry=None,  # the caller decides when to try again: nothing here sleeps for long
            seconds_between_requests=0,
            seconds_between_writes=pause,
            per_page=100,
        )
        self._now = now
        self._closed_until = 0.0

    def ensure(self, wanted: PullRequest) -> str:
        """Make the pull request unless there is one, open or closed or merged, and return its address.

        Raises `Permanent` when GitHub refuses the pull request, with what to do about it; `OutOfReach` when it refuses
        the token or is away, as `Busy` with the seconds to wait when GitHub named them; any other `Transient` when the
        same call may succeed later. Nothing is made twice by calling again.
        """
        wait = self._closed_until - self._now()
        if wait > 0:
            raise Busy("GitHub's rate limit is used up", retry_after=wait)
        try:
            with _translated(self._now):
                return self._ensure(wanted)
        except Busy as error:
            if error.retry_after is not None:
                self._closed_until = self._now() + error.retry_after
            raise

    def _ensure(self, wanted: PullRequest) -> str:
        with _about(f"repository {wanted.repo}"):
            upstream = self._github.get_repo(wanted.repo)
        if upstream.full_name.lower() != wanted.repo.lower():
            raise Permanent(f"{wanted.repo} is now {upstream.full_name}; name it so in METRIQ_GITHUB_REPOS")
        if upstream.archived:
            raise Permanent(f"{wanted.repo} is archived and takes no pull requests")
        may_push = bool(upstream.permissions and upstream.permissions.push)
        owner = upstream.owner.login if may_push else self._login()
        found = _find(upstream, owner, wanted)
        if found is None:
            head = upstream if may_push else self._fork(upstream)
            self._ensure_branch(upstream, head, wanted)
            _ensure_file(head, wanted)
            found = _open(upstream, owner, wanted)
        if found.state == "open":
            _ensure_labels(found, wanted)
        return str(found.html_url)

    def _login(self) -> str:
        with _about("the token's user"):
            return self._github.get_user().login

    def _fork(self, upstream: Repository) -> Repository:
        """Return the token's own fork; GitHub answers with the one there is when it is asked for another."""
        with _about(f"a fork of {upstream.full_name}"):
            return upstream.create_fork()

    def _ensure_branch(self, upstream: Repository, head: Repository, wanted: PullRequest) -> None:
        with _about(f"branch {wanted.base_branch} of {upstream.full_name}"):
            base = upstream.get_git_ref(f"heads/{wanted.base_branch}").object.sha
        name = f"refs/heads/{wanted.branch}"
        if _exists(lambda: head.get_git_ref(f"heads/{wanted.branch}").object.sha):
            return
        try:
            head.create_git_ref(name, base)
        except _github_error() as error:
            if _says(error, "already exists"):
                return
            if not head.fork or error.status not in (404, 409, 422):
                with _about(f"branches of {head.full_name}"):
                    raise
            # A fork takes a while to be made, and one that was left behind does not know the newest commits.
            _catch_up(head, wanted.base_branch)
            text = f"the fork {head.full_name} does not have the newest commit yet; if that stays so, sync it by hand"
            raise Busy(text, retry_after=_FORKING_SECONDS) from None


def _catch_up(fork: Repository, branch: str) -> None:
    try:
        fork.merge_upstream(branch)
    except _github_error() as error:
        if error.status not in (404, 409, 422):
            raise
        log.info("fork cannot be synced", fork=fork.full_name, branch=branch, reason=_text(error))


def _find(upstream: Repository, owner: str, wanted: PullRequest) -> Existing | None:
    """Return our pull request, an open one before others; raises `Permanent` if its branch serves another upload."""
    listed = upstream.get_pulls(state="all", base=wanted.base_branch, head=f"{owner}:{wanted.branch}").get_page(0)
    # GitHub ignores a filter it cannot read, and then lists everything.
    of_branch = [each for each in listed if each.head.ref == wanted.branch]
    ours = [each for each in of_branch if wanted.path in (each.body or "")]
    if of_branch and not ours:
        raise Permanent(f"{of_branch[0].html_url} has the branch {wanted.branch} but not the file {wanted.path}")
    return min(ours, key=lambda each: each.state != "open", default=None)


def _ensure_file(head: Repository, wanted: PullRequest) -> None:
    def there() -> bool:
        return _exists(lambda: head.get_contents(wanted.path, ref=wanted.branch))

    if there():
        return
    try:
        with _about(f"branch {wanted.branch} of {head.full_name}"):
            head.create_file(wanted.path, wanted.commit_message, wanted.content, branch=wanted.branch)
    except _github_error() as error:
        if error.status not in (409, 422) or not there():
            raise


def _open(upstream: Repository, owner: str, wanted: PullRequest) -> Existing:
    head = f"{owner}:{wanted.branch}"
    try:
        with _about(f"pull requests of {upstream.full_name}"):
            return upstream.create_pull(wanted.base_branch, head, title=wanted.title, body=wanted.body)
    except _github_error() as error:
        if not _says(error, "already exists"):
            raise
    found = _find(upstream, owner, wanted)
    if found is None:
        raise Transient(f"GitHub has a pull request of {head} and does not list it yet")
    return found


def _ensure_labels(found: Existing, wanted: PullRequest) -> None:
    missing = sorted(set(wanted.labels) - {label.name for label in found.labels})
    if not missing:
        return
    try:
        found.add_to_labels(*missing)
    except _github_error() as error:
        if _rate_limited(error) or error.status not in (403, 404, 422):
            raise
        # Labels are the maintainers' to give when the token has no rights in the repository.
        log.info("labels not set", pull_request=found.html_url, labels=missing, reason=_text(error))


def _exists(look: Callable[[], object]) -> bool:
    try:
        look()
    except _github_error() as error:
        if error.status != 404:
            raise
        return False
    return True


@contextmanager
def _about(what: str) -> Iterator[None]:
    """Say in an error what was not found or not allowed."""
    try:
        yield
    except _github_error() as error:
        if error.status == 404:
            raise Permanent(f"GitHub knows no {what}, or the token may not see it ({_text(error)})") from None
        if error.status == 403 and not _rate_limited(error):
            raise OutOfReach(f"the token may not use {what}: {_text(error)}; give it the rights to") from None
        raise


@contextmanager
def _translated(now: Callable[[], float]) -> Iterator[None]:
    """Turn whatever PyGithub raises into our errors, without the request that carries the token."""
    import github
    import requests

    try:
        yield
    except github.GithubException as error:
        raise _error(error, now()) from None
    except requests.RequestException as error:
        raise Busy(f"GitHub cannot be reached: {type(error).__name__}") from None
    except MetriqGymError:
        raise
    except OSError as error:  # of this machine: out of files, of disk, of memory
        raise Busy(f"GitHub cannot be reached: {error.strerror or type(error).__name__}") from None
    except Exception as error:
        # PyGithub trusts every answer to have the right form, and fails in any way when one has not.
        raise Transient(f"GitHub's answer was not understood: {type(error).__name__}: {error}") from None


def _error(error: GithubException, now: float) -> Exception:
    status, text = error.status, _text(error)
    if _rate_limited(error):
        return Busy(f"GitHub's rate limit is used up: {text}", retry_after=_pause(error, now))
    if status == 401:
        return OutOfReach(f"GitHub does not accept the token ({text}); check METRIQ_GITHUB_TOKEN")
    if status == 403:
        return OutOfReach(f"GitHub does not allow it: {text}; the token needs the rights to contents and pull requests")
    if status == 409:
        return Transient(f"GitHub answered {status}: {text}")
    if status >= 500:
        return Busy(f"GitHub answered {status}: {text}", retry_after=_stated_pause(error, now))
    return Permanent(f"GitHub answered {status}: {text}")


def _rate_limited(error: GithubException) -> bool:
    headers = error.headers or {}
    said = _text(error).lower()
    return error.status == 429 or (
        error.status == 403
        and ("retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or "rate limit" in said)
    )


def _pause(error: GithubException, now: float) -> float:
    stated = _stated_pause(error, now)
    return _RATE_SECONDS if stated is None else stated


def _stated_pause(error: GithubException, now: float) -> float | None:
    headers = error.headers or {}
    if (after := headers.get("retry-after", "")).isdigit():
        return float(after)
    if headers.get("x-ratelimit-remaining") == "0" and (reset := headers.get("x-ratelimit-reset", "")).isdigit():
        return max(float(reset) - now, 0) + 1  # the reset is some time within that second
    return None


def _says(error: GithubException, words: str) -> bool:
    return error.status == 422 and words in _text(error).lower()


def _text(error: GithubException) -> str:
    """Return what GitHub said: its message and those of single fields."""
    data = error.data if isinstance(error.data, dict) else {}
    details = [each.get("message") for each in data.get("errors") or () if isinstance(each, dict)]
    said = [str(each) for each in (data.get("message"), *details) if each]
    return "; ".join(said)[:500] or f"status {error.status}"


def _github_error() -> type[GithubException]:
    from github import GithubException

    return GithubException
