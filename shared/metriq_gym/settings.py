"""Everything an operator can set: environment variables with the prefix METRIQ_, or ``…_FILE`` naming a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from metriq_gym.messages import Compilation

PREFIX = "METRIQ_"
LEAST_SETTLE_SECONDS = 60.0
"""A submission may be on its way for so long: 15 s from its intention, 10 for its turn and 30 for the answer."""
SECRET_ENDINGS = ("token", "key", "secret", "password")
"""How the names of providers' secrets end."""
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def _split(value: Any) -> Any:
    """Read a list that came as text: JSON, or words between commas."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else [word.strip() for word in value.split(",") if word]


Targets = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]
Repo = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
Repos = Annotated[tuple[Repo, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]
Event = Literal["job.ended", "suite.ended", "job.held", "device.drifted", "message.dead_lettered"]
Events = Annotated[tuple[Event, ...], NoDecode, BeforeValidator(_split)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


def _not_blank(value: SecretStr | None) -> SecretStr | None:
    """Take empty text, which Compose passes on for a variable that is not set, for nothing."""
    return value if value is not None and value.get_secret_value().strip() else None


Token = Annotated[SecretStr | None, AfterValidator(_not_blank)]


class _FromEnvironment(BaseSettings):
    """Fields that come from variables with a prefix, or from the files that ``…_FILE`` name."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the environment variable of a field."""
        return f"{cls.model_config['env_prefix']}{name.upper()}"

    def file_of(self, name: str) -> Path | None:
        """Return the file that a setting was read from, if it was: the environment has it in no variable."""
        variable = self.variable(name)
        path = os.environ.get(f"{variable}_FILE")
        return None if path is None or variable in os.environ else Path(path)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then files the environment names."""
        return init_settings, env_settings, _FileSource(settings_cls)


class ProviderSettings(_FromEnvironment):
    """What a provider's plug-in declares to be set: a subclass with its fields, and the prefix ``METRIQ_<PROVIDER>_``.

    ``class ToySettings(ProviderSettings, env_prefix="METRIQ_TOY_")`` with a field ``token`` reads METRIQ_TOY_TOKEN, or
    the file that METRIQ_TOY_TOKEN_FILE names. The fields' descriptions stand in the table of settings. Secrets are
    `SecretStr`, and their names end as one of `SECRET_ENDINGS` does, by which logs know what to hide.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """Fields without which the provider cannot be used, such as ``token``."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            if SecretStr in (field.annotation, *get_args(field.annotation)) and not name.endswith(SECRET_ENDINGS):
                raise TypeError(f"{cls.__name__}.{name} is a secret: let its name end in {', '.join(SECRET_ENDINGS)}")

    @property
    def missing(self) -> str | None:
        """The variable that has to be set before the provider can be used; None where all are."""
        for name in self.needs:
            value = getattr(self, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            if text is None or (isinstance(text, str) and not text.strip()):
                return self.variable(name)
        return None

    @property
    def is_practice(self) -> bool:
        """Whether its ``base_url`` is of this machine: nothing is paid for there."""
        return urlsplit(str(getattr(self, "base_url", ""))).hostname in _THIS_MACHINE


Declared = TypeVar("Declared", bound=ProviderSettings)


class Settings(_FromEnvironment):
    """The settings of the services and commands; the README lists them, and those of the providers that ship."""

    _of_providers: dict[str, Any] = PrivateAttr(default_factory=dict)
    """What was given by name and is no field of this class."""

    amqp_url: SecretStr | None = Field(
        default=None, description="RabbitMQ to use, amqp://user:password@host/vhost. Unset: embedded, in memory."
    )
    mongo_url: SecretStr | None = Field(
        default=None, description="MongoDB replica set to use, mongodb://… Unset: embedded, a private mongod."
    )
    mongo_database: str = Field(default="metriq", min_length=1, description="Name of the database.")
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("metriq-gym"), description="Where the embedded runtime keeps its data."
    )
    mongod_stay_seconds: int | None = Field(
        default=None,
        ge=0,
        le=600,
        description="How long the private mongod stays when its last user leaves. Unset: 180 after an `mgym` command "
        "(`mgym stop` stops it), else 0.",
    )
    export_dir: Path | None = Field(
        default=None, description="Root below which result files are written. Unset: `results` in METRIQ_DATA_DIR."
    )

    export_targets: Targets = Field(
        default=("json",), description="Where the record of every job goes, between commas: `json`, `github`."
    )
    github_token: SecretStr | None = Field(default=None, description="Token that opens pull requests on GitHub.")
    github_api_url: str = Field(default="https://api.github.com", description="Where GitHub's REST API is.")
    github_repos: Repos = Field(
        default=("unitaryfoundation/metriq-data",),
        description="Repositories that may get pull requests, between commas; services use the first.",
    )
    github_base_branch: str = Field(
        default="main", min_length=1, description="Branch that the exporter's pull requests are for."
    )
    github_directory: str = Field(
        default="", description="Folder of the repository that uploads go to. Empty: its root."
    )
    github_pause_seconds: float = Field(
        default=1, ge=0, description="Pause between two changes at GitHub, which limits their rate."
    )

    webhook_url: str | None = Field(
        default=None, description="Where a signed event is posted of what METRIQ_NOTIFY_EVENTS has. Unset: nowhere."
    )
    webhook_secret: Token = Field(default=None, description="Key of the signatures, at least 24 bytes.")
    webhook_hosts: Words = Field(
        default=(),
        description="Hosts that webhooks may go to, between commas: `HOST` or `HOST:PORT`; `http://HOST` without TLS.",
    )
    notify_urls: Token = Field(
        default=None,
        description="Addresses of Apprise, blanks between them, where people are told the same; they hold secrets.",
    )
    notify_hosts: Words = Field(
        default=(), description="Hosts that these may name, between commas: mail servers, or services of one's own."
    )
    notify_private_networks: Words = Field(
        default=(),
        description="Networks that are not public and that notifications may go to all the same, as `10.1.0.0/16`.",
    )
    notify_events: Events = Field(
        default=get_args(Event), description="What is told by both, between commas; see docs/notifications.md."
    )
    notify_per_minute: float = Field(
        default=60, gt=0, description="Notifications that an exporter sends per minute to each of both, on average."
    )

    prefetch: int = Field(default=16, ge=1, le=1000, description="Messages a service handles at once.")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="Worker processes for building, simulating and scoring.",
    )
    compilation: Compilation = Field(
        default="default",
        description="How circuits are compiled unless a request says: `default` (as the dataset's tool does), Qiskit's "
        "optimisation level `0` to `3`, or `best` (docs/benchmarks.md).",
    )
    aer_memory_mib: int = Field(default=2048, ge=1, description="Most memory one Aer simulation may take, in MiB.")
    twin_calibration: Path | None = Field(
        default=None,
        description="JSON file of calibrations for digital twins, device id → calibration. Unset: those that ship.",
    )

    lease_seconds: float = Field(
        default=30, gt=0, description="How long a crashed worker's job or task stays with it before another takes over."
    )
    simulation_seconds: float = Field(
        default=6 * 3600,
        gt=0,
        description="How long a worker process may simulate one task, of up to 100 circuits, before that fails.",
    )
    poll_seconds: float = Field(
        default=1,
        gt=0,
        description="How often a poller looks for due tasks, and the shortest time between two questions about one.",
    )
    poll_max_seconds: float = Field(
        default=60, gt=0, description="Longest time between two questions about a task that waits at a provider."
    )
    settle_seconds: float = Field(
        default=90,
        gt=0,
        description="How long after a submission whose answer was lost the provider's list is sure to show it; "
        f"at least {LEAST_SETTLE_SECONDS:g}, unless the provider is a sandbox on this machine.",
    )
    reconcile_seconds: float = Field(
        default=30, gt=0, description="How long a job may stand still before its message is published again."
    )
    job_deadline_seconds: float = Field(
        default=7 * 86400,
        gt=0,
        description="How long after its acceptance a job without a result ends as failed; 7 days.",
    )
    max_message_bytes: int = Field(default=2**20, ge=1, description="Largest request body that is accepted, in bytes.")
    fair_shares: bool = Field(
        default=True,
        description="Whether dispatchers put requests of a publisher who has many into lanes, so that others pass by. "
        "False to empty the lanes before going back to a version that knows none.",
    )
    quota_jobs: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Jobs without a result that one publisher, a user of RabbitMQ's, may have at a time; what asks for "
        "more is rejected. With it, what a process publishes names its user. Unset: any number.",
    )
    quota_exempt: Words = Field(
        default=("operator",), description="Users of RabbitMQ to whom the quota does not apply, between commas."
    )
    purge_counts_after_days: int | None = Field(
        default=None,
        ge=1,
        description="Days after which circuits and counts of exported jobs are forgotten. Unset: never "
        "(docs/operations.md).",
    )
    purge_jobs_after_days: int | None = Field(
        default=None, ge=1, description="Days after which jobs that are over are deleted, with results. Unset: never."
    )
    purge_letters_after_days: int | None = Field(
        default=None, ge=1, description="Days after which dead letters that no job needs are deleted. Unset: never."
    )
    purge_ticks_after_days: int | None = Field(
        default=None, ge=1, description="Days after which schedules forget ticks that are done with. Unset: never."
    )
    grace_seconds: float = Field(default=30, ge=0, description="How long work in hand may go on after SIGTERM.")

    http_host: str = Field(default="127.0.0.1", description="Address that serves /livez, /readyz and /metrics.")
    http_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port for the same; unset: 8081 dispatcher, 8082 poller, 8083 scorer, 8084 exporter, 8085 console, "
        "8080 all.",
    )
    console_host: str = Field(
        default="127.0.0.1",
        description="Address that serves the console. Another than this machine's own needs a token or a proxy.",
    )
    console_port: int = Field(default=8090, ge=0, le=65535, description="Port of the console.")
    console_viewer_token: Token = Field(default=None, description="Token with which the console may be looked at.")
    console_submitter_token: Token = Field(
        default=None, description="Token with which the console takes jobs and suites too, and cancels them."
    )
    console_operator_token: Token = Field(
        default=None, description="Token with which everything may be done; without any token, so may everybody here."
    )
    console_allowed_hosts: Words = Field(
        default=(), description="Names by which the console is reached, besides this machine's own, between commas."
    )
    console_trusted_proxies: Words = Field(
        default=(), description="Addresses or networks of proxies whose word the console takes for who asks."
    )
    console_role_header: str = Field(
        default="X-Forwarded-Groups",
        pattern="^[A-Za-z0-9-]+$",
        description="Header in which such a proxy says it: `viewer`, `submitter`, `operator`, or groups `metriq-…`.",
    )
    console_requests_per_second: float = Field(
        default=50, gt=0, description="Requests that one client of the console may make per second, on average."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern="^https?://",
        description="Where traces are sent, by OTLP over HTTP: http://host:4318. Unset: nowhere.",
    )
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="Least level logged.")

    @model_validator(mode="wrap")
    @classmethod
    def _keep_those_of_providers(cls, data: Any, made: ModelWrapValidatorHandler[Self]) -> Self:
        settings = made(data)
        if isinstance(data, dict):
            settings._of_providers = {name: data[name] for name in data.keys() - cls.model_fields.keys()}
        return settings

    @property
    def export_root(self) -> Path:
        """Root below which result files are written."""
        return self.export_dir or self.data_dir / "results"

    def of(self, declared: type[Declared]) -> Declared:
        """Return a provider's settings; arguments that name them in full, as ``toy_token``, come first here too."""
        prefix = declared.variable("").removeprefix(PREFIX).lower()
        given = self._of_providers.items()
        return declared(**{name.removeprefix(prefix): value for name, value in given if name.startswith(prefix)})

    def secrets_of_providers(self) -> Iterator[str]:
        """Yield the secrets of all providers, as far as their names tell them: plug-ins need not be loaded for it."""
        for name, value in self._of_providers.items():
            if name.endswith(SECRET_ENDINGS):
                yield value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        known = {self.variable(name) for name in type(self).model_fields}
        for variable in sorted(os.environ):
            name = variable.removesuffix("_FILE")
            if name not in known and name.startswith(PREFIX) and name.lower().endswith(SECRET_ENDINGS):
                with suppress(OSError, UnicodeDecodeError):
                    value = os.environ[variable]
                    yield value if name == variable else Path(value).read_text(encoding="utf-8").strip()

    def latest(self, name: str) -> Callable[[], str]:
        """Return what tells a secret as its file has it now: a password may be rotated while a service runs.

        Without a file, or while that cannot be read or is empty, it is as it was first.
        """
        file = self.file_of(name)
        first: SecretStr = getattr(self, name)

        def tell() -> str:
            try:
                found = "" if file is None else file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                found = ""
            return found or first.get_secret_value()

        return tell


class _FileSource(PydanticBaseSettingsSource):
    """Reads METRIQ_X from the file that METRIQ_X_FILE names, as containers mount secrets."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{self.settings_cls.model_config['env_prefix']}{field_name.upper()}_FILE")
        return (None if path is None else Path(path).read_text(encoding="utf-8").strip()), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def table(*declared: type[ProviderSettings]) -> str:
    """Return the settings as a Markdown table, those that providers declare after our own."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    classes: tuple[type[_FromEnvironment], ...] = (Settings, *declared)
    for settings in classes:
        for name, field in settings.model_fields.items():
            rows.append(f"| `{settings.variable(name)}` | {_shown(field)} | {field.description} |")
    return "\n".join(rows)


def _shown(field: FieldInfo) -> str:
    """Return a default as one would write it in the environment."""
    if field.default_factory or field.default in (None, ""):
        return ""
    return f"`{','.join(field.default) if isinstance(field.default, tuple) else field.default}`"
