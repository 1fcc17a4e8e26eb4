"""``mgym job upload``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from metriq_gym import run
from metriq_gym.cli import bulk, filters, opening
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.options import AsJson, JobName, Output, Yes
from metriq_gym.cli.output import say
from metriq_gym.cli.uploads import Base, Body, Branch, CloneDir, Folder, Message, Repo, Title, show_plans, tell
from metriq_gym.errors import NotFound
from metriq_gym.exporters.targets import TARGETS
from metriq_gym.jobs import Job
from metriq_gym.operations.again import failed_exports
from metriq_gym.run.files import write_record
from metriq_gym.run.keeping import look_up
from metriq_gym.run.uploads import plan


def upload(
    name: JobName = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="Where the record goes: github unless given, or json for the folder of results. Of many: each target.",
            show_default=False,
        ),
    ] = None,
    output: Output = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent to GitHub, and send nothing.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Every record whose export failed.")] = False,
    reason: bulk.Reason = None,
    since: filters.Since = None,
    until: filters.Until = None,
    yes: Yes = False,
    json: AsJson = False,
    repo: Repo = None,
    base: Base = None,
    folder: Folder = None,
    branch: Branch = None,
    title: Title = None,
    body: Body = None,
    commit_message: Message = None,
    clone_dir: CloneDir = None,
) -> None:
    """Publish the record of a job that has ended.

    The exporter does it, once more if it failed before. Of a suite GitHub gets all records at once. With --all,
    --reason or --since, every record whose export failed, for that reason, or of jobs since then.
    With --repo, --base or another option that says how, this command opens the pull request itself, and needs the
    token.
    """
    which = filters.query(since=since, until=until)
    if not (all_ or reason or which):
        wanted = SimpleNamespace(job_id=name, to=to, dry_run=dry_run, repo=repo, base_branch=base, upload_dir=folder)
        vars(wanted).update(branch_name=branch, pr_title=title, pr_body=body)
        vars(wanted).update(commit_message=commit_message, clone_dir=clone_dir)
        _upload_job(wanted, output, as_json=json)
        return
    if name is not None or output is not None:
        raise Usage("--all, --reason, --since and --until choose the jobs: give no JOB_ID and no --output")
    if to is not None and to not in TARGETS:
        raise NotFound(f"records cannot be exported to {to!r}; there are: {', '.join(TARGETS)}")
    bulk.begin_anew(lambda store: failed_exports(store, which, to, reason), dry_run=dry_run, yes=yes, as_json=json)


def _upload_job(wanted: SimpleNamespace, output: Path | None, *, as_json: bool) -> None:
    """Upload one job's record; raises `Permanent` with the target's own words when it is refused there."""
    if wanted.job_id is None or output is not None:
        job = opening.run(_job(wanted.job_id))
        wanted.job_id = job.id
        if output is not None:
            say(f"wrote {write_record(job, output)}")
            if not wanted.dry_run:
                return
    manager = opening.manager()
    if wanted.dry_run and as_json:
        show_plans([plan(wanted.job_id, wanted, manager)], as_json=True)
        return
    with opening.way_back(f"mgym job upload {wanted.job_id} --to {wanted.to or 'github'}"):
        location = run.upload_job(wanted, manager)
    if not wanted.dry_run:
        tell({look_up(wanted.job_id, manager)[0].id: location}, as_json)


async def _job(name: str | None) -> Job:
    async with opening.store() as store:
        return await opening.job_called(store, name)
