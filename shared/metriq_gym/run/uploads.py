"""Bringing records to where results are published: by the exporter, or by this process where the caller says how."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metriq_gym.client.client import Client
from metriq_gym.client.upload import rehearse, upload
from metriq_gym.exporters.github_pr_exporter import check_allowed, connect
from metriq_gym.exporters.pull_request import PullRequest
from metriq_gym.job_manager import JobManager
from metriq_gym.jobs import Export, ExportState, Job
from metriq_gym.run.keeping import find, in_file
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.terminal.follow import ProgressLine

_PLACE = {"repo": "github_repos", "base_branch": "github_base_branch", "upload_dir": "github_directory"}
_WORDS = {"branch_name": "branch", "pr_title": "title", "pr_body": "body", "commit_message": "commit_message"}


def publish(name: str, config: Any, job_manager: JobManager) -> str:
    """Upload the record of a job, and of its suite where suites go as a whole; see `upload_job`."""
    if getattr(config, "dry_run", False):
        text = str(plan(name, config, job_manager))
        print(text)  # noqa: T201
        return text
    if says_how(config):
        wanted = plan(name, config, job_manager)
        check_allowed(wanted, job_manager.settings)
        return connect(job_manager.settings).ensure(wanted)
    kept = in_file(name, job_manager)
    target = getattr(config, "to", None) or "github"

    async def work(client: Client) -> str:
        return await uploaded(client, await find(client.store, name, kept), target)

    return job_manager.session.on_client(work)


def plan(name: str, config: Any, job_manager: JobManager) -> PullRequest:
    """Return the pull request that an upload to GitHub opens, as the settings and `config` say; nothing is sent."""
    kept = in_file(name, job_manager)
    settings = _settings(config, job_manager.settings)

    async def compose(store: Store) -> PullRequest:
        return await rehearse(store, await find(store, name, kept), settings)

    wanted = job_manager.session.on_store(compose)
    words = {ours: getattr(config, theirs, None) for theirs, ours in _WORDS.items()}
    return replace(wanted, **{name: text for name, text in words.items() if text})


async def uploaded(client: Client, job: Job, target: str) -> str:
    """Have a record uploaded while a line says how it is getting on; return where it is then."""
    with ProgressLine(f"{job.id} to {target}") as progress:

        def note(export: Export) -> None:
            again = f"; next attempt at {export.not_before:%H:%M:%S} UTC" if export.not_before else ""
            if export.state is ExportState.PENDING:
                progress.show(f"{export.error}{again}" if export.error else "waiting for the exporter")

        return await upload(client, job, target, note)


def says_how(config: Any) -> bool:
    """Whether a caller says where in GitHub a record is to go, or what to call it there."""
    return any(getattr(config, name, None) for name in (*_PLACE, *_WORDS))


def _settings(config: Any, settings: Settings) -> Settings:
    """Return settings with the place that `config` names in those of the operator's."""
    said = {ours: getattr(config, theirs, None) for theirs, ours in _PLACE.items()}
    said["github_repos"] = said["github_repos"] and (said["github_repos"],)
    return settings.model_copy(update={name: value for name, value in said.items() if value})
