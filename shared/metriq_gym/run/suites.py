"""Suites for scripts: dispatch, poll, view, upload and delete the jobs of one, as `dispatch_job` and its kin do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from metriq_gym.client.client import Client, failure_of
from metriq_gym.client.lookup import LATEST, choose_suite
from metriq_gym.errors import NotFound, Permanent
from metriq_gym.exporters.pull_request import PullRequest
from metriq_gym.exporters.targets import is_in_suite
from metriq_gym.job_manager import JobManager, MetriqGymJob
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.suite_progress import summarise
from metriq_gym.run.files import write_records
from metriq_gym.run.keeping import find, note, require_name
from metriq_gym.run.uploads import plan, publish
from metriq_gym.store import Store
from metriq_gym.suite_parser import load_suite, select
from metriq_gym.terminal import report
from metriq_gym.terminal.follow import ProgressLine, describe, follow_suite


def dispatch_suite(config: Any, job_manager: JobManager) -> str:
    """Dispatch the benchmarks of a suite and return the id that their jobs share, once all of them are known.

    Parameters
    ----------
    config
        ``suite_config``: path of the suite, or the name of a shipped one. ``provider`` and ``device``: where to run it.
        Optional ``components``: names of those to run, all unless given; ``all_components``: yes, all of a suite that
        warns of that. Optional ``prior``, ``remarks``, ``group``, ``tags``, ``compilation`` and ``force`` as for
        `dispatch_job`, and ``suite_id`` to name the run.
    job_manager
        Whose store and runtime to use.

    Raises
    ------
    InvalidRequest
        With everything that is wrong with the suite, its configurations or the choice of components, by JSON path.
    NoSuite
        When there is no such file and no such suite.
    Unsupported, Permanent
        When the suite is refused as a whole.
    """
    suite, warnings = load_suite(config.suite_config)
    components = getattr(config, "components", None) or []
    components = [components] if isinstance(components, str) else list(components)
    everything = bool(getattr(config, "all_components", False))
    chosen = select(suite, components, everything)
    names = ("suite_id", "prior", "remarks", "group", "compilation")
    options: dict[str, Any] = {name: getattr(config, name, None) for name in names}
    options |= {"force": bool(getattr(config, "force", False)), "tags": getattr(config, "tags", None) or ()}

    async def dispatch(client: Client) -> list[Job]:
        document = suite.model_dump(mode="json", exclude_none=True)
        with ProgressLine(f"{suite.name} on {config.provider}/{config.device}") as progress:
            for warning in warnings:
                progress.note(f"warning: {warning}")
            suite_id = await client.dispatch_suite(
                document, config.provider, config.device, components=components, all=everything, **options
            )
            found = list[Job]()
            async for summary, jobs in client.suite_progress(suite_id):
                found = jobs
                refused = next((job for job in jobs if job.id == suite_id), None)
                if refused is not None and (error := failure_of(refused)) is not None:
                    raise error
                progress.show(describe(summary) if jobs else "requested")
                if len(jobs) >= len(chosen):
                    break
            return found

    jobs = job_manager.session.on_client(dispatch)
    if job_manager.jobs_file is not None:
        for job in jobs:
            note(job, job_manager)
    return str(jobs[0].suite_id)


def poll_suite(config: Any, job_manager: JobManager) -> list[MetriqGymJob]:
    """Wait until all jobs of a suite have ended, print their scores, and return them.

    Parameters
    ----------
    config
        ``suite_id``: the suite's id, the beginning of it, or ``latest``. Optional ``wait`` (True): if False, print how
        far it is and return at once.
        Optional ``json``: a file that the records of the jobs that have one are written to, as a list.
    job_manager
        Whose store and runtime to use.

    Raises
    ------
    NotFound
        When there is no such suite.
    """
    known = _jobs(config.suite_id, job_manager)
    suite_id = str(known[0].suite_id)
    if getattr(config, "wait", True) and not all(job.has_ended for job in known):

        async def wait(client: Client) -> list[Job]:
            with ProgressLine(f"suite {suite_id}") as progress:
                return await follow_suite(client, suite_id, progress)

        known = job_manager.session.on_client(wait)
    _show(known)
    if path := getattr(config, "json", None):
        write_records(known, Path(path))
    return [note(job, job_manager) for job in known]


def view_suite(config: Any, job_manager: JobManager) -> list[MetriqGymJob]:
    """Print the jobs of a suite and their scores, and return them.

    Parameters
    ----------
    config
        ``suite_id`` as for `poll_suite`.
    job_manager
        Whose store and runtime to use.

    Raises
    ------
    NotFound
        When there is no such suite.
    """
    known = _jobs(config.suite_id, job_manager)
    _show(known)
    return job_manager.get_jobs_by_suite_id(str(known[0].suite_id))


def upload_suite(config: Any, job_manager: JobManager) -> dict[str, str]:
    """Bring the records of a suite that has ended to where results are published.

    On GitHub one pull request has all of them.

    Parameters
    ----------
    config
        ``suite_id`` as for `poll_suite`; everything else as for `upload_job`.
    job_manager
        Whose store and runtime to use.

    Returns
    -------
    dict
        By the id of the job that was uploaded, or that stands for all of them, where it is then.

    Raises
    ------
    NotFound
        When there is no such suite.
    Permanent
        When a job has no record, or the target refuses one; those before it are uploaded by then.
    """
    target = "github" if getattr(config, "dry_run", False) else getattr(config, "to", None) or "github"
    jobs = recorded(_jobs(config.suite_id, job_manager), target)
    return {job.id: publish(job.id, config, job_manager) for job in jobs}


def plan_suite(config: Any, job_manager: JobManager) -> list[PullRequest]:
    """Return the pull requests that `upload_suite` would open; nothing is sent.

    Parameters
    ----------
    config
        As for `upload_suite`.
    job_manager
        Whose store and runtime to use.

    Raises
    ------
    NotFound
        When there is no such suite.
    Permanent
        When there is nothing to upload.
    """
    jobs = recorded(_jobs(config.suite_id, job_manager), "github")
    return [plan(job.id, config, job_manager) for job in jobs]


def recorded(jobs: list[Job], target: str) -> list[Job]:
    """Return the jobs of a suite that are uploaded; where suites go as a whole, any one of them stands for all.

    Parameters
    ----------
    jobs
        All jobs of one suite.
    target
        Where they go to, such as ``github``.

    Raises
    ------
    Permanent
        When all jobs of the suite were rejected, so that none has a record.
    """
    found = [job for job in jobs if job.state is not JobState.REJECTED]
    if not found:
        raise Permanent("no job of the suite has a record: all were rejected")
    return found[:1] if target == "github" and is_in_suite(found[0]) else found


def delete_suite(config: Any, job_manager: JobManager) -> None:
    """Delete the jobs of a suite.

    Parameters
    ----------
    config
        ``suite_id`` as for `poll_suite`.
    job_manager
        Whose store and runtime, or file, to use.

    Raises
    ------
    NotFound
        When there is no such suite.
    IllegalTransition
        When one of its jobs has not ended; those before it are deleted by then.
    """
    for job in _jobs(config.suite_id, job_manager):
        job_manager.delete_job(job.id)


def _jobs(suite_id: str, job_manager: JobManager) -> list[Job]:
    """Return the jobs of a suite as the store has them; those that only a file knows, as the file does.

    Raises
    ------
    NotFound
        When there is no such suite.
    """
    require_name("suite", suite_id)
    if job_manager.jobs_file is None:

        async def chosen(store: Store) -> list[Job]:
            return await store.jobs.suite(await choose_suite(store, suite_id))

        return job_manager.session.on_store(chosen)
    kept = job_manager.get_jobs_by_suite_id(_suite_in_file(suite_id, job_manager))
    if not kept:
        raise NotFound(f"there is no suite {suite_id} in {job_manager.jobs_file}")

    async def ask(store: Store) -> list[Job]:
        return [await find(store, job.id, job) for job in kept]

    return job_manager.session.on_store(ask)


def _suite_in_file(name: str, job_manager: JobManager) -> str:
    """Return the id of the suite of the manager's file that `name` is the only beginning of, or the newest's."""
    ids = list(dict.fromkeys(job.suite_id for job in job_manager.get_jobs() if job.suite_id))
    meant = ids[-1:] if name == LATEST else [each for each in ids if each.startswith(name)]
    return meant[0] if len(meant) == 1 else name


def _show(jobs: list[Job]) -> None:
    console = Console()
    facts = {
        "suite": jobs[0].suite_id or "",
        "name": jobs[0].suite_name or "",
        "device": f"{jobs[0].provider}/{jobs[0].device}",
        "progress": describe(summarise(jobs)),
    }
    report.show_facts(console, facts)
    rows = ([job.id, job.benchmark_name, report.state(job), report.score(job)] for job in jobs)
    report.show_table(console, ("job", "benchmark", "state", "score"), rows)
