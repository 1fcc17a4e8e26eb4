"""The synchronous API: dispatch, poll, view and upload jobs and suites, and look at providers and their devices.

The functions take what metriq-gym's own take, a namespace of options, and leave attributes that they do not know alone.
Without servers in the settings the embedded runtime does the work in this process; what is unfinished when it ends, the
next one finishes. What goes wrong raises a `MetriqGymError`. It prints to a terminal, and imports no command.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from metriq_gym.client.client import Client, decision_about, embedded, failure_of
from metriq_gym.client.configurations import read_configuration
from metriq_gym.client.session import session_for
from metriq_gym.job_manager import JobManager, MetriqGymJob
from metriq_gym.jobs.estimate import Estimate, estimate
from metriq_gym.parts import parts
from metriq_gym.providers import Providers, names
from metriq_gym.run.files import beside, write_debug_export, write_record
from metriq_gym.run.keeping import find, in_file, look_up, note
from metriq_gym.run.replaying import replay_from_debug_file
from metriq_gym.run.suites import delete_suite, dispatch_suite, poll_suite, upload_suite, view_suite
from metriq_gym.run.uploads import publish
from metriq_gym.schema_validator import validate
from metriq_gym.settings import Settings
from metriq_gym.terminal import report
from metriq_gym.terminal.estimates import show_estimate
from metriq_gym.terminal.follow import ProgressLine, follow, handed_over

if TYPE_CHECKING:
    from metriq_gym.jobs import Job
    from metriq_gym.providers.provider import Device, Provider

T = TypeVar("T")

__all__ = [
    "SyncProvider",
    "delete_job",
    "delete_suite",
    "dispatch_job",
    "dispatch_suite",
    "estimate_job",
    "get_providers",
    "load_provider",
    "poll_job",
    "poll_suite",
    "replay_from_debug_file",
    "setup_device",
    "upload_job",
    "upload_suite",
    "view_job",
    "view_suite",
]


def dispatch_job(config: Any, job_manager: JobManager) -> str:
    """Dispatch a benchmark and return the job's id, once its circuits are with the provider.

    Parameters
    ----------
    config
        ``config``: path of the configuration, as given or relative to the installed package, or the name of a shipped
        example. ``provider`` and ``device``: where to run it. Optional ``prior``, ``remarks`` and ``group`` for the
        provider, ``tags``, ``compilation`` as a request has it, ``force`` to use a device that is out of use, and
        ``job_id`` to name the job.
    job_manager
        Whose store and runtime to use.

    Raises
    ------
    InvalidRequest
        With everything that is wrong with the configuration, by JSON path.
    NoConfiguration
        When there is no such file and no such example.
    Unsupported
        When the device cannot run it.
    Permanent
        When the provider refuses it.
    """
    chosen = read_configuration(config.config)
    _, warnings = validate(chosen)
    names = ("job_id", "prior", "remarks", "group", "compilation")
    options: dict[str, Any] = {name: getattr(config, name, None) for name in names}
    options["force"] = bool(getattr(config, "force", False))
    tags = getattr(config, "tags", None) or ()

    async def dispatch(client: Client) -> Job:
        with ProgressLine(f"{chosen['benchmark_name']} on {config.provider}/{config.device}") as progress:
            for warning in warnings:
                progress.note(f"warning: {warning}")
            job_id = await client.dispatch(chosen, config.provider, config.device, tags=tags, **options)
            job = await follow(client, job_id, progress, handed_over)
            if (undecided := decision_about(job)) is not None:
                progress.note(str(undecided))
            return job

    job = job_manager.session.on_client(dispatch)
    if (error := failure_of(job)) is not None:
        raise error
    if job_manager.jobs_file is not None:
        note(job, job_manager)
    return job.id


def poll_job(config: Any, job_manager: JobManager) -> MetriqGymJob:
    """Wait until a job has ended, print its result, and return it.

    Parameters
    ----------
    config
        ``job_id``: the job's id, the beginning of it, or ``latest``. Optional ``wait`` (True): if False, print how far
        the job is and return at once. Optional ``json``: a file that the record is written to; with ``include_raw``
        what `replay_from_debug_file` reads is also written, to one whose name ends in ``_debug.json``. A result is what
        the services computed, so there is no cache, and ``no_cache`` changes nothing.
    job_manager
        Whose store and runtime to use.

    Raises
    ------
    NotFound
        When there is no such job.
    InvalidRequest, Unsupported, Permanent
        For a job that ended without a result: why.
    Undecided
        For a job that is held until an operator decides, unless ``wait`` is False.
    """
    kept = in_file(config.job_id, job_manager)

    async def wait(client: Client) -> Job:
        job = await find(client.store, config.job_id, kept)
        if kept is not None and job.imported is not None:
            return job
        with ProgressLine(f"{job.benchmark_name} on {job.provider}/{job.device}") as progress:
            return await follow(client, job.id, progress, None if waiting else _always)

    waiting = getattr(config, "wait", True)
    job = job_manager.session.on_client(wait)
    if (error := failure_of(job) or (decision_about(job) if waiting else None)) is not None:
        raise error
    report.show_job(Console(), job, elsewhere=not embedded(job_manager.settings))
    if (path := getattr(config, "json", None)) and (job.has_ended or job.waits_for_suite):
        write_record(job, Path(path))
        if getattr(config, "include_raw", False) and job.imported is None:
            tasks = job_manager.session.on_store(lambda store: store.tasks.of_job(job.id))
            write_debug_export(job, tasks, beside(Path(path)))
    return note(job, job_manager)


def view_job(config: Any, job_manager: JobManager) -> MetriqGymJob:
    """Print a job, and return it.

    Parameters
    ----------
    config
        ``job_id`` as for `poll_job`.
    job_manager
        Whose store and runtime to use.

    Raises
    ------
    NotFound
        When there is no such job.
    """
    job, found = look_up(config.job_id, job_manager)
    report.show_job(Console(), job, found.provider_job_ids, elsewhere=not embedded(job_manager.settings))
    return found


def upload_job(config: Any, job_manager: JobManager) -> str:
    """Bring the record of a job that has ended to where results are published, and return where it is then.

    Parameters
    ----------
    config
        ``job_id`` as for `poll_job`. Optional ``to``: the target, ``github`` unless given. Optional ``dry_run``: send
        nothing, print the pull request that would be opened, and return its text. Optional ``repo`` (one of
        METRIQ_GITHUB_REPOS), ``base_branch`` and ``upload_dir``: where in GitHub; ``branch_name``, ``pr_title``,
        ``pr_body`` and ``commit_message``: what to call it there. With any of these the pull request is opened by this
        process, which then needs the token, and not by the exporter.
    job_manager
        Whose store and runtime to use. METRIQ_GITHUB_TOKEN and METRIQ_GITHUB_REPOS say how and where.

    Raises
    ------
    Permanent
        When the job has no record, or with the target's own words when that refuses it.
    """
    return publish(config.job_id, config, job_manager)


def delete_job(config: Any, job_manager: JobManager) -> None:
    """Delete a job that has ended.

    From a manager's own file any job is deleted; what runs, goes on.

    Parameters
    ----------
    config
        ``job_id`` as for `poll_job`.
    job_manager
        Whose store and runtime, or file, to use.

    Raises
    ------
    NotFound
        When there is no such job.
    IllegalTransition
        When it has not ended.
    """
    _, found = look_up(config.job_id, job_manager)
    job_manager.delete_job(found.id)


def estimate_job(config: Any, job_manager: JobManager | None = None) -> Estimate:
    """Print what a job would ask of a device, and return it: circuits, shots, qubits, gates, depth.

    Nothing is submitted.

    Parameters
    ----------
    config
        ``config``, ``provider``, ``device`` and optional ``compilation`` as for `dispatch_job`.
    job_manager
        Whose settings to use; those of the environment unless given.

    Raises
    ------
    InvalidRequest, NoConfiguration
        For a configuration that is not valid, or not there.
    NotFound
        When there is no such provider or device.
    Unsupported
        When the device cannot run it.
    """
    settings = Settings() if job_manager is None else job_manager.settings
    complete, _ = validate(read_configuration(config.config))

    async def ask() -> Estimate:
        async with Providers(settings) as providers:
            provider = providers.get(config.provider)
            chosen = getattr(config, "compilation", None) or settings.compilation
            return estimate(complete, await provider.device(config.device), provider.compiler, chosen)

    with parts():
        found = session_for(settings).run(ask())
    show_estimate(Console(), found)
    return found


@dataclass(frozen=True, slots=True)
class SyncProvider:
    """A provider, for looking at its devices."""

    name: str
    settings: Settings

    def get_devices(self) -> list[Device]:
        """Return its devices; each has an ``id``, a ``status`` and ``num_qubits``."""
        return self._ask(lambda provider: provider.devices())

    def get_device(self, device_id: str) -> Device:
        """Return one device.

        Parameters
        ----------
        device_id
            As requests name it.

        Raises
        ------
        NotFound
            When there is no such device; it names those there are.
        """
        return self._ask(lambda provider: provider.device(device_id))

    def _ask(self, question: Callable[[Provider], Awaitable[T]]) -> T:
        async def ask() -> T:
            providers = Providers(self.settings)
            try:
                with parts():
                    return await question(providers.get(self.name))
            finally:
                await providers.aclose()

        return session_for(self.settings).run(ask())


def get_providers() -> list[str]:
    """Return the names of the providers there are."""
    return names()


def load_provider(name: str, settings: Settings | None = None) -> SyncProvider:
    """Return a provider.

    Parameters
    ----------
    name
        As requests name it.
    settings
        Credentials and addresses; from the environment unless given.

    Raises
    ------
    NotFound
        When there is no such provider; it names those there are.
    Permanent
        When it cannot be used, as without credentials; it says what to set.
    """
    settings = settings or Settings()
    with parts():
        Providers(settings).get(name)
    return SyncProvider(name, settings)


def setup_device(provider: str | SyncProvider, device: str) -> Device:
    """Return a provider's device.

    Parameters
    ----------
    provider
        A provider's name, or what `load_provider` returned.
    device
        As requests name it.

    Raises
    ------
    NotFound
        When there is no such provider or device; it names those there are.
    Permanent
        When the provider cannot be used; it says what to set.
    """
    return (load_provider(provider) if isinstance(provider, str) else provider).get_device(device)


def _always(_: Job) -> bool:
    return True
