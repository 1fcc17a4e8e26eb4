"""What `mgym job upload` and `mgym suite upload` share."""

from __future__ import annotations

from typing import Annotated

import typer

from metriq_gym.cli import output
from metriq_gym.cli.exports import elsewhere, tell_of_location
from metriq_gym.exporters.pull_request import PullRequest
from metriq_gym.jobs.documents import is_file


def _text(flag: str, purpose: str, variable: str | None = None) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(flag, help=purpose, envvar=variable, show_default=False)
    return info


Repo = Annotated[str | None, _text("--repo", "GitHub repository, owner/name.", "MGYM_UPLOAD_REPO")]
Base = Annotated[str | None, _text("--base", "Branch the pull request is for.", "MGYM_UPLOAD_BASE_BRANCH")]
Folder = Annotated[str | None, _text("--dir", "Folder of the repository.", "MGYM_UPLOAD_DIR")]
Branch = Annotated[str | None, _text("--branch", "Branch with the record.")]
Title = Annotated[str | None, _text("--title", "Title of the pull request.")]
Body = Annotated[str | None, _text("--body", "Text of the pull request.")]
Message = Annotated[str | None, _text("--commit-message", "Message of the commit.")]
CloneDir = Annotated[
    str | None,
    _text("--clone-dir", "Taken for scripts of metriq-gym; nothing is cloned here.", "MGYM_UPLOAD_CLONE_DIR"),
]


def show_plans(plans: list[PullRequest], as_json: bool) -> None:
    """Print pull requests that would be opened."""
    if as_json:
        output.emit([plan.to_dict() for plan in plans])
        return
    for plan in plans:
        output.tell(str(plan))


def tell(locations: dict[str, str], as_json: bool) -> None:
    """Print where the records of jobs are."""
    if as_json:
        output.emit([{"job_id": job_id, "location": location} for job_id, location in locations.items()])
        return
    for job_id, location in locations.items():
        output.tell(f"{job_id}: {location}")
        if is_file(location) and elsewhere():
            tell_of_location(job_id, location)
