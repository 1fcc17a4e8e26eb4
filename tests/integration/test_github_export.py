"""Pull requests through PyGithub's real HTTP stack, against a server that answers, refuses and breaks like GitHub."""

from __future__ import annotations

import json
import logging
import re
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from metriq_gym.errors import MetriqGymError, OutOfReach, Permanent, Transient
from metriq_gym.exporters.github import Busy, GitHub
from metriq_gym.exporters.github_pr_exporter import GitHubPRExporter
from metriq_gym.exporters.pull_request import PullRequest, compose
from metriq_gym.exporters.record import make_record
from metriq_gym.exporters.targets import GitHubPullRequests
from metriq_gym.jobs import Job
from metriq_gym.settings import Settings
from tests.fake_github import FakeGitHub, serving
from tests.fake_github.server import MAINTAINER, OUTSIDER, REPO, TOKENS
from tests.support.jobs import ended_job, failed_job

BRANCH = "mgym/upload-wit-1"
PATH = r"results/metriq-gym/v0\.3/tyxonq/homebrew_s2/2026-11-20_12-34-56_wit_[0-9a-f]{8}\.json"
CREATIONS = {
    "fork": ("POST", f"/repos/{REPO}/forks"),
    "branch": ("POST", "/repos/.*/git/refs"),
    "file": ("PUT", "/repos/.*/contents/.*"),
    "pull request": ("POST", f"/repos/{REPO}/pulls"),
    "labels": ("POST", f"/repos/{REPO}/issues/1/labels"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGitHub]:
    with serving() as started:
        yield started


@pytest.fixture
def github(server: FakeGitHub) -> FakeGitHub:
    server.reset()
    return server


def settings(github: FakeGitHub, login: str = MAINTAINER) -> Settings:
    return Settings(
        github_token=SecretStr(github.token(login)),
        github_api_url=github.url,
        github_repos=(REPO,),
        github_pause_seconds=0,
    )


def export(github: FakeGitHub, login: str = MAINTAINER, job: Job | None = None, **where: object) -> str:
    exporter = GitHubPRExporter(job or ended_job(), settings=settings(github, login))
    return exporter.export(repo=REPO, base_branch="main", directory="results/", **where)  # type: ignore[arg-type]


def wanted(upload_id: str = "wit-1") -> PullRequest:
    record = make_record(ended_job(upload_id))
    return compose([record], upload_id, repo=REPO, base_branch="main", directory="results/")


def client(github: FakeGitHub, login: str = MAINTAINER) -> GitHub:
    return GitHub(SecretStr(github.token(login)), github.url, pause=0)


def the_one_pull_request(github: FakeGitHub) -> dict[str, Any]:
    """What there is after however many exports of one job: one pull request with one file."""
    (pull,) = github.pulls
    path, content = github.file(pull)
    assert re.fullmatch(PATH, path)
    record: dict[str, Any]
    (record,) = json.loads(content)
    assert record["job_type"] == "WIT"
    assert pull.title == "mgym upload: WIT on tyxonq/homebrew_s2"
    assert (pull.head_branch, pull.base) == (BRANCH, "main")
    assert path in pull.body
    return record


def test_a_writer_gets_a_branch_one_file_a_pull_request_and_labels(github: FakeGitHub) -> None:
    url = export(github)
    assert url == f"https://github.test/{REPO}/pull/1"
    record = the_one_pull_request(github)
    assert record == make_record(ended_job())
    assert github.pulls[0].head_repo == REPO
    assert github.pulls[0].labels == ["data", "source:metriq-gym"]


def test_whoever_may_not_write_gets_a_fork_and_no_labels(github: FakeGitHub) -> None:
    assert export(github, OUTSIDER) == f"https://github.test/{REPO}/pull/1"
    the_one_pull_request(github)
    assert github.pulls[0].head_repo == "outsider/data"
    assert github.pulls[0].labels == []
    assert set(github.repo.branches) == {"main"}


def test_whoever_may_not_write_but_label_labels(github: FakeGitHub) -> None:
    github.repo.triagers.add(OUTSIDER)
    export(github, OUTSIDER)
    assert github.pulls[0].labels == ["data", "source:metriq-gym"]


def test_a_fork_may_have_another_name(github: FakeGitHub) -> None:
    github.state.add("outsider/data", writers={OUTSIDER})
    export(github, OUTSIDER)
    the_one_pull_request(github)
    assert github.pulls[0].head_repo == "outsider/data-1"


@pytest.mark.parametrize("login", TOKENS.values())
def test_a_second_run_finds_everything_and_changes_nothing(github: FakeGitHub, login: str) -> None:
    github.repo.triagers.add(OUTSIDER)
    url = export(github, login)
    before = github.state.writes()
    assert export(github, login) == url
    assert github.state.writes() == before
    the_one_pull_request(github)


@pytest.mark.parametrize("merged", [True, False])
def test_a_pull_request_that_was_merged_or_closed_is_not_opened_again(github: FakeGitHub, merged: bool) -> None:
    url = export(github)
    (pull,) = github.pulls
    pull.state, pull.merged = "closed", merged
    if merged:
        github.repo.branches["main"] = github.repo.branches[BRANCH]
    del github.repo.branches[BRANCH]
    before = github.state.writes()
    assert export(github) == url
    assert github.state.writes() == before
    assert len(github.pulls) == 1


@pytest.mark.parametrize(
    ("login", "created"),
    [
        (login, created)
        for login in TOKENS.values()
        for created in CREATIONS
        if (login, created) != (MAINTAINER, "fork")
    ],
)
def test_a_lost_answer_to_any_creation_leads_to_no_second_one(github: FakeGitHub, login: str, created: str) -> None:
    github.repo.triagers.add(OUTSIDER)
    github.fail(*CREATIONS[created], after=True)
    with pytest.raises(Transient, match="cannot be reached"):
        export(github, login)
    assert export(github, login) == f"https://github.test/{REPO}/pull/1"
    the_one_pull_request(github)
    assert github.pulls[0].labels == ["data", "source:metriq-gym"]
    assert len(github.state.repositories) == (1 if login == MAINTAINER else 2)


@pytest.mark.parametrize("created", CREATIONS)
@pytest.mark.parametrize("status", [500, 502, 503, 409])
def test_a_server_error_or_conflict_anywhere_is_for_later(github: FakeGitHub, created: str, status: int) -> None:
    if created == "file" and status == 409:
        github.fail(*CREATIONS[created], status, "is at abc but expected def")
    else:
        github.fail(*CREATIONS[created], status, body=b"<html>Unicorn!</html>")
    github.repo.triagers.add(OUTSIDER)
    with pytest.raises(Transient):
        export(github, OUTSIDER)
    export(github, OUTSIDER)
    the_one_pull_request(github)


RATE_LIMITS = {
    "secondary, with a time": (403, "You have exceeded a secondary rate limit.", {"Retry-After": "17"}, 17),
    "secondary, as 429": (429, "Too many requests", {"Retry-After": "17"}, 17),
    "secondary, without a time": (403, "You have exceeded a secondary rate limit.", {}, 60),
    "primary": (
        403,
        "API rate limit exceeded for user ID 1.",
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1000030", "X-RateLimit-Limit": "5000"},
        31,
    ),
    "primary, as 429": (
        429,
        "API rate limit exceeded",
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1000030", "X-RateLimit-Limit": "5000"},
        31,
    ),
}


@pytest.mark.parametrize("kind", RATE_LIMITS)
@pytest.mark.parametrize("where", [("GET", f"/repos/{REPO}"), *CREATIONS.values()])
def test_a_rate_limit_says_how_long_to_wait_and_nothing_is_asked_until_then(
    github: FakeGitHub, kind: str, where: tuple[str, str]
) -> None:
    status, message, headers, seconds = RATE_LIMITS[kind]
    clock = [1_000_000.0]
    outsider = GitHub(SecretStr(github.token(OUTSIDER)), github.url, pause=0, now=lambda: clock[0])
    github.repo.triagers.add(OUTSIDER)
    github.fail(*where, status, message, headers=headers)
    with pytest.raises(Busy, match="rate limit") as caught:
        outsider.ensure(wanted())
    assert caught.value.retry_after == seconds
    asked = len(github.state.requests)
    clock[0] += seconds - 1
    with pytest.raises(Busy) as caught:
        outsider.ensure(wanted("another"))
    assert caught.value.retry_after == 1
    assert len(github.state.requests) == asked
    clock[0] += 1
    outsider.ensure(wanted())
    the_one_pull_request(github)


def test_a_token_that_is_not_accepted_says_which_setting_to_check_and_is_tried_until_it_is(github: FakeGitHub) -> None:
    github.state.tokens.clear()
    with pytest.raises(OutOfReach, match=r"METRIQ_GITHUB_TOKEN"):
        export(github)


def test_a_token_without_rights_says_what_it_needs_and_is_tried_until_it_has_them(github: FakeGitHub) -> None:
    github.fail(*CREATIONS["file"], 403, "Resource not accessible by personal access token")
    with pytest.raises(OutOfReach, match=r"not accessible by personal access token.*rights"):
        export(github)


def test_a_repository_that_is_not_there_or_not_visible_is_named(github: FakeGitHub) -> None:
    del github.state.repositories[REPO]
    with pytest.raises(Permanent, match=f"knows no repository {REPO}"):
        export(github)


def test_a_base_branch_that_is_not_there_is_named(github: FakeGitHub) -> None:
    exporter = GitHubPRExporter(ended_job(), settings=settings(github))
    with pytest.raises(Permanent, match="knows no branch trunk"):
        exporter.export(repo=REPO, base_branch="trunk", directory="results/")


def test_a_validation_error_is_told_as_github_tells_it(github: FakeGitHub) -> None:
    github.fail(*CREATIONS["pull request"], 422, "Validation Failed: base is protected")
    with pytest.raises(Permanent, match="422: Validation Failed: base is protected"):
        export(github)


@pytest.mark.parametrize("body", [b"{", b"null", b"{}"])
def test_an_answer_that_makes_no_sense_is_for_later(github: FakeGitHub, body: bytes) -> None:
    github.fail("GET", f"/repos/{REPO}/pulls", 200, body=body)
    github.fail("GET", f"/repos/{REPO}", 200, body=body)
    for _ in range(2):
        with suppress(Transient):
            export(github)
    export(github)
    the_one_pull_request(github)


def test_an_unreachable_server_is_for_later(github: FakeGitHub) -> None:
    away = Settings(github_token=SecretStr("ghp_secret"), github_api_url="http://127.0.0.1:9", github_repos=(REPO,))
    with pytest.raises(OutOfReach, match="cannot be reached"):
        GitHubPRExporter(ended_job(), settings=away).export(repo=REPO)


def test_a_token_that_changes_in_its_file_is_used_from_the_next_export_on(
    github: FakeGitHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("ghp_revoked")
    monkeypatch.setenv("METRIQ_GITHUB_TOKEN_FILE", str(file))
    target = GitHubPullRequests(
        Settings(github_api_url=github.url, github_repos=(REPO,), github_pause_seconds=0, github_directory="results/")
    )
    with pytest.raises(OutOfReach, match="METRIQ_GITHUB_TOKEN"):
        target.export([ended_job()])
    file.write_text(github.token(MAINTAINER))
    assert target.export([ended_job()]) == f"https://github.test/{REPO}/pull/1"


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_outage_of_github_lasts_as_long_as_it_lasts(github: FakeGitHub, status: int) -> None:
    github.fail("GET", f"/repos/{REPO}", status, "We had issues producing the response")
    with pytest.raises(OutOfReach, match=f"answered {status}"):
        export(github)


def test_an_archived_repository_is_refused_before_anything_is_made(github: FakeGitHub) -> None:
    github.repo.archived = True
    with pytest.raises(Permanent, match="archived"):
        export(github, OUTSIDER)
    assert github.state.writes() == []


def test_a_repository_that_was_renamed_is_not_followed(github: FakeGitHub) -> None:
    """The new name may be somebody else's: only the operator can allow it."""
    github.state.repositories["else/where"] = github.state.repositories.pop(REPO)
    github.state.repositories["else/where"].full_name = "else/where"
    github.state.moved[REPO] = "else/where"
    with pytest.raises(Permanent, match="else/where"):
        export(github)
    assert github.state.writes() == []


def test_a_fork_that_is_still_being_made_is_for_later(github: FakeGitHub) -> None:
    github.state.slow_forks = True
    with pytest.raises(Busy, match="outsider/data") as caught:
        export(github, OUTSIDER)
    assert caught.value.retry_after == 10
    github.state.repositories["outsider/data"].ready = True
    export(github, OUTSIDER)
    the_one_pull_request(github)


def test_a_fork_that_was_left_behind_is_synced(github: FakeGitHub) -> None:
    fork = github.state.add("outsider/data", writers={OUTSIDER}, parent=REPO)
    fork.in_sync = False
    github.repo.branches["main"] = github.repo.commit({**github.repo.files("main"), "new": b"1"}, "newer")
    with pytest.raises(Busy):
        export(github, OUTSIDER)
    export(github, OUTSIDER)
    the_one_pull_request(github)


def test_work_of_others_on_the_fork_s_main_branch_does_not_get_into_the_pull_request(github: FakeGitHub) -> None:
    fork = github.state.add("outsider/data", writers={OUTSIDER}, parent=REPO)
    fork.branches["main"] = fork.commit({**fork.files("main"), "private": b"1"}, "mine")
    export(github, OUTSIDER)
    the_one_pull_request(github)


def test_two_exporters_at_once_make_one_pull_request(github: FakeGitHub) -> None:
    github.repo.triagers.add(OUTSIDER)
    ended: list[str | Exception] = []

    def run() -> None:
        exporter = client(github, OUTSIDER)
        while True:
            try:
                ended.append(exporter.ensure(wanted()))
                return
            except Transient:
                continue
            except MetriqGymError as error:
                ended.append(error)
                return

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [f"https://github.test/{REPO}/pull/1"] * 6
    the_one_pull_request(github)


def test_what_was_made_between_looking_and_making_is_taken(github: FakeGitHub) -> None:
    """The losing side of every race: each thing is there although it was not when we looked."""
    client(github).ensure(wanted())
    for path in (f"/repos/{REPO}/pulls", f"/repos/{REPO}/git/ref/heads/{BRANCH}", f"/repos/{REPO}/contents/.*"):
        github.fail(
            "GET", path, *((200,) if path.endswith("pulls") else (404,)), body=b"[]" if "pulls" in path else b"{}"
        )
    assert client(github).ensure(wanted()) == f"https://github.test/{REPO}/pull/1"
    the_one_pull_request(github)


def test_another_upload_s_branch_is_left_alone(github: FakeGitHub) -> None:
    """A job and a suite of the same id, or a job that joined a suite after it was uploaded."""
    export(github)
    before = github.state.writes()
    with pytest.raises(Permanent, match="has the branch mgym/upload-wit-1 but not the file"):
        export(github, job=ended_job(result={"score": {"value": 0.5, "uncertainty": None}}))
    assert github.state.writes() == before


def test_a_repository_that_is_not_allowed_is_never_asked(github: FakeGitHub) -> None:
    exporter = GitHubPRExporter(ended_job(), settings=settings(github))
    with pytest.raises(Permanent, match=r"else/where is not in METRIQ_GITHUB_REPOS \(metriq/data\)"):
        exporter.export(repo="else/where")
    assert github.state.requests == []


def test_without_a_token_it_says_which_setting_is_missing(github: FakeGitHub) -> None:
    exporter = GitHubPRExporter(ended_job(), settings=settings(github).model_copy(update={"github_token": None}))
    with pytest.raises(Permanent, match="METRIQ_GITHUB_TOKEN"):
        exporter.export(repo=REPO)


def test_a_dry_run_sends_nothing_and_tells_exactly_what_would_be_sent(github: FakeGitHub) -> None:
    told = export(github, dry_run=True)
    assert github.state.requests == []
    export(github)
    (pull,) = github.pulls
    path, content = github.file(pull)
    sent = {(method, path): body for method, path, body in github.state.requests if method != "GET"}
    for each in (REPO, pull.head_branch, pull.title, pull.body, path, content.decode(), *pull.labels):
        assert each in told
    assert sent["PUT", f"/repos/{REPO}/contents/{path}"]["message"] in told


def test_a_failed_job_is_uploaded_with_the_verbatim_error(github: FakeGitHub) -> None:
    reason = "TyxonQ said:\n  {'error': \"queue <b>full</b>\"}"
    export(github, job=failed_job(reason=reason))
    record = the_one_pull_request(github)
    assert record["outcome"] == "error"
    assert record["outcome_detail"] == {"reason": "TyxonQ said:", "error_message": reason, "source": "poll"}
    assert record["results"] is None


def test_the_token_is_shown_nowhere(github: FakeGitHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = github.token(OUTSIDER)
    exporter = GitHubPRExporter(ended_job(), settings=settings(github, OUTSIDER))
    shown = [repr(exporter), str(vars(exporter)), repr(client(github, OUTSIDER)), exporter.export(REPO, dry_run=True)]
    for status, extra in ((401, {}), (403, {}), (404, {}), (422, {}), (500, {}), (None, {}), (200, {"body": b"{"})):
        github.fail("GET", f"/repos/{REPO}", status, f"said {status}", **extra)
        with pytest.raises(MetriqGymError) as caught:
            exporter.export(repo=REPO)
        shown.append("".join(traceback.format_exception(caught.value)))
        assert caught.value.__traceback__ is not None
        ours = caught.value.__traceback__.tb_next  # not this function, which knows the secret
        frames = traceback.TracebackException(type(caught.value), caught.value, ours, capture_locals=True)
        shown += frames.format()
    exporter.export(repo=REPO)
    shown += [record.getMessage() for record in caplog.records]
    assert not [text for text in shown if secret in text]
