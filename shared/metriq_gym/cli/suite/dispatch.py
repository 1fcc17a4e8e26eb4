"""``mgym suite dispatch``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import uuid4

import typer

from metriq_gym.cli import opening, options
from metriq_gym.cli.options import (
    AsJson,
    Compilation,
    Components,
    Device,
    Everything,
    Force,
    Group,
    Prior,
    Provider,
    Remarks,
    Tags,
)
from metriq_gym.cli.output import emit, say
from metriq_gym.client.client import embedded, failure_of
from metriq_gym.settings import Settings
from metriq_gym.suite_parser import Suite, load_suite, select
from metriq_gym.terminal.follow import ProgressLine


def dispatch(
    suite: Annotated[str, typer.Argument(metavar="SUITE_CONFIG", help="A suite's file, or the name of a shipped one.")],
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    component: Components = None,
    everything: Everything = False,
    suite_id: Annotated[str | None, typer.Option("--id", help="Name the suite's run.")] = None,
    prior: Prior = None,
    remarks: Remarks = None,
    group: Group = None,
    force: Force = False,
    compilation: Compilation = None,
    tag: Tags = None,
    json: AsJson = False,
) -> None:
    """Hand a suite to a device, print its run's id."""
    wishes: dict[str, Any] = {
        "prior": prior,
        "remarks": remarks,
        "group": group,
        "force": force,
        "compilation": compilation,
    }
    wishes |= {"tags": tag or []}
    work = _dispatched(suite, provider, device, component or [], everything, suite_id, wishes)
    dispatched, parsed = opening.run(work)
    if json:
        emit({"suite_id": dispatched, "suite_name": parsed.name})
    else:
        typer.echo(dispatched)
        say(f"to wait for its results: mgym suite poll {dispatched}")


async def _dispatched(
    name: str,
    provider: str,
    device: str,
    components: list[str],
    everything: bool,
    suite_id: str | None,
    wishes: Mapping[str, Any],
) -> tuple[str, Suite]:
    """Request a suite's jobs and return its id; without servers, once all of them are in the store.

    Raises `InvalidRequest` with everything that is wrong with the suite.
    """
    suite, warnings = load_suite(name)
    chosen = select(suite, components, everything)
    suite_id = suite_id or uuid4().hex
    async with opening.client() as opened:
        with (
            opening.way_back(f"mgym suite poll {suite_id}"),
            ProgressLine(f"{suite.name} on {provider}/{device}") as progress,
        ):
            for warning in warnings:
                progress.note(f"warning: {warning}")
            progress.show("requesting")
            document = suite.model_dump(mode="json", exclude_none=True)
            await opened.dispatch_suite(
                document,
                provider,
                device,
                components=components,
                all=everything,
                suite_id=suite_id,
                **wishes,
            )
            if embedded(Settings()):
                # The queue ends with this process: what it still holds must be in the store before.
                async for summary, jobs in opened.suite_progress(suite_id):
                    refused = next((job for job in jobs if job.id == suite_id), None)
                    if refused is not None and (error := failure_of(refused)) is not None:
                        raise error
                    if len(jobs) >= len(chosen) or summary.done:
                        break
    return suite_id, suite
