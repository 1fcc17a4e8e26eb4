"""``mgym suite upload``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated

import typer

from metriq_gym import run
from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.options import AsJson, SuiteName
from metriq_gym.cli.output import say
from metriq_gym.cli.uploads import Base, Body, Branch, CloneDir, Folder, Message, Repo, Title, show_plans, tell
from metriq_gym.errors import Permanent
from metriq_gym.run.suites import plan_suite, recorded
from metriq_gym.run.uploads import says_how, uploaded


def upload(
    name: SuiteName = None,
    to: Annotated[
        str, typer.Option(help="Where the records go: github, or json for the folder of results.")
    ] = "github",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent to GitHub, and send nothing.")
    ] = False,
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
    """Publish the records of a suite.

    On GitHub one pull request has all of them. With --repo, --base or another option that says how, this command opens
    the pull request itself, and needs the token.
    """
    wanted = SimpleNamespace(suite_id=name, to=to, dry_run=dry_run, repo=repo, base_branch=base, upload_dir=folder)
    vars(wanted).update(branch_name=branch, pr_title=title, pr_body=body)
    vars(wanted).update(commit_message=commit_message, clone_dir=clone_dir)
    if not (dry_run or says_how(wanted)):
        opening.run(_upload_suite(name, to, as_json=json))
        return
    if name is None:
        wanted.suite_id = opening.run(_suite(name))
    manager = opening.manager()
    if dry_run and json:
        show_plans(plan_suite(wanted, manager), as_json=True)
        return
    done = run.upload_suite(wanted, manager)
    if not dry_run:
        tell(done, json)


async def _suite(name: None) -> str:
    async with opening.store() as store:
        return await opening.suite_called(store, name)


async def _upload_suite(name: str | None, target: str, *, as_json: bool) -> None:
    """Upload the records of a suite's jobs, where suites go as a whole at once; exits with `FAILED` if one is not."""
    done: dict[str, str] = {}
    async with opening.client() as client:
        suite_id = await opening.suite_called(client.store, name)
        jobs = recorded(await client.store.jobs.suite(suite_id), target)
        with opening.way_back(f"mgym suite upload {suite_id} --to {target}"):
            for job in jobs:
                try:
                    done[job.id] = await uploaded(client, job, target)
                except Permanent as error:
                    say(f"error: {error}")
    tell(done, as_json)
    if len(done) < len(jobs):
        raise typer.Exit(FAILED)
